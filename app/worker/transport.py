"""Faust transport that delivers chunks: one message for a run of records of one partition.

Faust's cost is per message (docs/decisions/0001-chunks-through-faust.md).
Faust still handles the group, its assignment and its rebalances. The partitions themselves say which offsets may be committed:
Faust's bookkeeping of gaps does not fit messages that stand for many offsets.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, ClassVar, Final, Protocol, cast

from aiokafka import TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types.tuples import TP, ConsumerMessage
from yarl import URL

from agents.ports import Chunk, Reach
from app.base.clock import elapsed_ms
from app.kafka.background_tasks import death_of
from app.worker.changelogs import high_watermarks
from app.worker.chunk_thread import ChunkThread
from app.worker.contact import Contact
from events.topics import JOURNAL, TRANSFERS

CHUNK_RECORDS: Final = 2_000
_POLL_SECONDS: Final = 0.25  # a rebalance waits for a running poll


class Ownership(Protocol):
    """What the consumer asks of the registry of owned partitions, and reports to it."""

    @property
    def epoch(self) -> int:
        """How often partitions were closed to be opened again. A fetch notes it when it begins."""

    def is_over(self, partition: int, epoch: int) -> bool:
        """Return whether a partition was closed since an epoch began: what was fetched of it then must not be folded."""

    async def on_revoked(self) -> None:
        """Flush and release every partition. The next assignment says which ones this worker opens again."""

    def durable(self, topic: str, partition: int) -> int | None:
        """Return the offset after the last one that a committed flush covers; None if the partition is not owned here."""

    def is_paused(self, topic: str, partition: int) -> bool:
        """Return whether a source partition is paused: it must not be fetched until the partition is opened again."""


class _Unremembered(dict[TP, int | None]):
    """Faust's notes of the last offset that it handed on. It drops what is before it, which a seek may have made due again.

    It writes a note when an agent's queue has taken a chunk. The chunk may have waited there since before the seek.
    The partitions themselves know what they have folded.
    """

    def __missing__(self, tp: TP) -> None:
        return None

    def __setitem__(self, tp: TP, offset: int | None) -> None:
        pass


class ChunkConsumer(driver.Consumer):
    """Faust's consumer, which delivers chunks. The message of a chunk has the offset of its last record, and a Chunk as value."""

    ownership: Ownership
    on_failed: Callable[[BaseException], None]
    """Called in the app's loop when the consumer cannot continue; it must end the worker."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        transport = cast(ChunkTransport, self.transport)
        self.ownership, self.on_failed = transport.ownership, transport.on_failed
        self._read_offset = _Unremembered()
        self._idle = asyncio.Event()
        self._idle.set()
        self._delivered: dict[TP, int] = {}
        self.ends: dict[TP, int] = {}
        """The high watermarks that the watchdog last saw. Fetches report them only of partitions that are fetched."""
        self._fetched: dict[TP, int] = {}
        self.passed: dict[TP, int] = {}
        """What the next fetch began with when the last one ended. All records before it are in ``_fetched``."""

    def _new_consumer_thread(self) -> ChunkThread:
        return ChunkThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float = _POLL_SECONDS) -> AsyncIterator[tuple[TP, Any]]:
        """Fetch, and yield one message for each run of at most CHUNK_RECORDS records of a partition."""
        epoch = self.ownership.epoch
        records, active = await self._fetch(min(timeout, _POLL_SECONDS))
        runs = {
            tp: run
            for tp, run in (records or {}).items()
            if active is None or tp in active or tp in self._buffered_partitions
        }
        is_over = self.ownership.is_over
        runs = {tp: run for tp, run in runs.items() if not is_over(tp.partition, epoch)}
        self._fetched.update((tp, run[-1].offset + 1) for tp, run in runs.items() if run)
        reaches = ((tp, self.reach(tp)) for tp in active or () if not is_over(tp.partition, epoch))
        self.passed.update((tp, reach.next) for tp, reach in reaches if reach is not None)
        for tp, run in runs.items():
            for start in range(0, len(run), CHUNK_RECORDS):
                if not self.flow_active:
                    return  # recovery seeks to the position before it resumes the flow, so these are read again
                if is_over(tp.partition, epoch):
                    break  # so does the rebuild of a partition
                self._delivered[tp] = run[min(start + CHUNK_RECORDS, len(run)) - 1].offset + 1
                yield tp, self._chunk(tp, run[start : start + CHUNK_RECORDS], epoch)

    async def _fetch(self, timeout: float) -> tuple[Mapping[TP, Any] | None, set[TP] | None]:
        if not self.flow_active:
            await self.wait(self.can_resume_flow.wait())
            return None, None  # the generation may have changed: start again
        self._idle.clear()
        try:
            return await self._wait_next_records(timeout)
        finally:
            self._idle.set()

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:
        # Faust changes its set while a fetch runs. A partition that is held since before the fetch must not come in.
        active = None if active_partitions is None else set(active_partitions)
        return await super()._getmany(active, timeout)

    def _get_active_partitions(self) -> set[TP]:
        """Return the partitions for Faust's fetch, without paused ones. An assignment makes these active again."""
        active: set[TP] = super()._get_active_partitions()
        active.difference_update([tp for tp in active if self.ownership.is_paused(tp.topic, tp.partition)])
        return active

    def _chunk(self, tp: TP, records: list[Any], epoch: int) -> ConsumerMessage:
        last = records[-1]
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            last.offset,
            last.timestamp / 1000,
            last.timestamp_type,
            [],
            None,
            cast(Any, Chunk(tp.topic, tp.partition, epoch, records)),
            None,
            0,
            len(records),
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    async def wait_idle(self) -> None:
        """Wait until no fetch is running: records of a fetch that began before a seek must not be delivered after it."""
        await self._idle.wait()

    def forget(self, tps: Iterable[TP]) -> None:
        """Forget how far partitions were fetched: they were sought back to their positions."""
        for tp in tps:
            for progress in (self._delivered, self._fetched, self.passed):
                progress.pop(tp, None)

    def delivered(self, tp: TP) -> int:
        """Return the offset after the last record delivered since the partition was opened; 0 before the first."""
        return self._delivered.get(tp, 0)

    def reach(self, tp: TP) -> Reach | None:
        """Return where a partition ends, as last reported, and how far it was fetched.

        The end is the high watermark. While a transaction is open, records before it cannot be fetched yet.
        None until the broker has reported an end, and if the partition is not assigned.
        """
        consumer = self._thread._consumer
        subscription = None if consumer is None else consumer._subscription.subscription
        if subscription is None or subscription.assignment is None or tp not in subscription.assignment.tps:
            return None
        state = subscription.assignment.state_value(tp)
        if state is None or not state.has_valid_position:
            return None
        if state.highwater is None and tp not in self.ends:
            return None
        end = max(state.highwater or 0, self.ends.get(tp, 0))
        return Reach(end, state.position, self._fetched.get(tp, 0))

    async def highwaters(self, *partitions: TP) -> Mapping[TP, int]:
        """Return the last stable offset of each partition. A worker that opens partitions asks for them.

        Note also the high watermarks: the worker has to reach those of the journal and of logins before it answers as fresh.
        """
        transport = cast(ChunkTransport, self.transport)
        asked_ms = elapsed_ms()
        servers = ",".join(driver.server_list(transport.url, transport.default_port))
        whole = await high_watermarks(servers, [TopicPartition(*tp) for tp in partitions])
        ends = await super().highwaters(*partitions)
        for tp, end in ends.items():
            transport.contact.visibility.heard(
                tp.topic,
                tp.partition,
                asked_ms,
                end,
                whole[TopicPartition(*tp)],
                is_opening=tp.topic in (JOURNAL, TRANSFERS),
            )
        return ends

    def unread(self, tp: TP, end: int | None = None) -> int:
        """Return how many offsets before ``end`` are not fetched; 0 before the broker's first report.

        Without ``end``, return how many offsets the broker has, as last reported, that are not fetched.
        """
        reach = self.reach(tp)
        return 0 if reach is None else max(0, (reach.end if end is None else end) - reach.next)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Stop the flow, then flush and release every partition, before Faust forgets the assignment."""
        self.stop_flow()
        self._delivered.clear()
        self.ends.clear()
        self._fetched.clear()
        self.passed.clear()
        await self.ownership.on_revoked()
        await super().on_partitions_revoked(revoked)

    def _new_offset(self, tp: TP) -> int | None:
        """Return the offset to commit to the group: what a flush made durable. It is for lag monitors; no worker resumes from it."""
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        return self.ownership.durable(tp.topic, tp.partition)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Ignore gaps: a chunk's message stands for all offsets up to its own."""

    async def perform_seek(self) -> None:
        """Do nothing: recovery seeks to the positions, never to the group's offsets."""


class _WatchedProducer(driver.Producer):
    """Faust's producer. We send nothing by it, but Faust starts it; it ends the worker like every client that dies."""

    async def on_start(self) -> None:
        """Connect, and watch the background tasks."""
        await super().on_start()
        self.add_future(self._end_with(self._producer))

    async def _end_with(self, client: Any) -> None:
        error = await death_of(client)
        cast(ChunkTransport, self.transport).on_failed(error)


class ChunkTransport(driver.Transport):
    """Faust's aiokafka transport with ``ChunkConsumer``, which takes ``ownership``, ``on_failed`` and ``contact`` from here."""

    Consumer: ClassVar[type[ChunkConsumer]] = ChunkConsumer
    Producer: ClassVar[type[_WatchedProducer]] = _WatchedProducer

    def __init__(
        self,
        url: list[URL],
        app: Any,
        ownership: Ownership,
        on_failed: Callable[[BaseException], None],
        contact: Contact,
        fetch_interval_ms: int,
    ) -> None:
        """``fetch_interval_ms``: the least time between two fetches of a broker (app/worker/fetch_pace.py)."""
        super().__init__(url, app)
        self.ownership, self.on_failed, self.contact = ownership, on_failed, contact
        self.fetch_interval_ms = fetch_interval_ms
