"""How records come out of Faust's consumer: as chunks, one message for a run of records of one partition.

Faust's cost is per message (docs/decisions/0001). The group, its assignment and its rebalances stay Faust's; what may be committed is
the partitions' own account, for Faust's bookkeeping of gaps does not fit messages that stand for many offsets.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, ClassVar, Final, Protocol, cast

import aiokafka
from faust.transport.drivers import aiokafka as driver
from faust.types.tuples import TP, ConsumerMessage
from yarl import URL

from agents.ports import Chunk, Reach

CHUNK_RECORDS: Final = 2_000
_FETCH_MAX_WAIT_MS: Final = 500
_POLL_SECONDS: Final = 0.25  # a rebalance waits for a poll that is under way
_FETCH_BYTES_PER_PARTITION: Final = 1_048_576
_NO_BROKER_PAUSE_SECONDS: Final = 0.1


class Ownership(Protocol):
    """What the consumer tells, and asks, of those who own partitions."""

    @property
    def epoch(self) -> int:
        """The number of times that partitions were let go of: a chunk of an earlier epoch must not be folded."""

    async def on_revoked(self) -> None:
        """Flush and let go of every partition: all of them are taken up again, or not, at the next assignment."""

    def durable(self, topic: str, partition: int) -> int | None:
        """Return the next offset that a committed flush covers, or None when the partition is not owned here."""

    def is_paused(self, topic: str, partition: int) -> bool:
        """Tell whether nothing of a source partition is to be fetched until it is taken up anew."""


class _ChunkThread(driver.AIOKafkaConsumerThread):
    """Faust's consumer thread with a consumer that reads only what was committed, and always Faust's assignor."""

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        conf = self.app.conf
        self._assignor = self.app.assignor
        return aiokafka.AIOKafkaConsumer(
            client_id=conf.broker_client_id,
            group_id=conf.id,
            bootstrap_servers=driver.server_list(transport.url, transport.default_port),
            partition_assignment_strategy=[self._assignor],
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_records=conf.broker_max_poll_records,
            max_poll_interval_ms=int(conf.broker_max_poll_interval * 1000),
            max_partition_fetch_bytes=_FETCH_BYTES_PER_PARTITION,
            fetch_max_wait_ms=_FETCH_MAX_WAIT_MS,
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            metadata_max_age_ms=60_000,
        )

    async def on_start(self) -> None:
        """Connect, and see to it that the group's coordination neither begins too early nor ends unseen."""
        await super().on_start()
        consumer: Any = self._consumer
        client = consumer._client
        # A broker that has just woken up may be out of its own cluster for a moment and name none. aiokafka 0.14 asserts that it
        # knows one when it looks for the coordinator.
        while not (client.cluster.brokers() or self.should_stop):
            await client.force_metadata_update()
            await asyncio.sleep(_NO_BROKER_PAUSE_SECONDS)
        consumer._coordinator._coordination_task.add_done_callback(self._on_coordination_end)

    def _stopped_set(self) -> None:
        with contextlib.suppress(
            RuntimeError
        ):  # after a crash the thread may have ended before, and closed its loop
            super()._stopped_set()

    def _on_coordination_end(self, task: "asyncio.Task[None]") -> None:
        """Tell of coordination that failed: nobody joins the group again, and without partitions nobody would ever ask."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            consumer: Any = self.consumer
            self.app.loop.call_soon_threadsafe(consumer.on_failed, error)


class ChunkConsumer(driver.Consumer):
    """Faust's consumer, handing on chunks. A chunk's message has the offset of its last record and a Chunk as value."""

    ownership: Ownership
    on_failed: Callable[[BaseException], None]
    """Called in the app's loop when the consumer cannot go on; it must end the worker."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        transport = cast(ChunkTransport, self.transport)
        self.ownership, self.on_failed = transport.ownership, transport.on_failed
        self._idle = asyncio.Event()
        self._idle.set()
        self._delivered: dict[TP, int] = {}
        self.ends: dict[TP, int] = {}
        """Where the watchdog last saw a source partition end; a fetch tells nothing of one that is not fetched."""
        self._fetched: dict[TP, int] = {}

    def _new_consumer_thread(self) -> _ChunkThread:
        return _ChunkThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float = _POLL_SECONDS) -> AsyncIterator[tuple[TP, Any]]:
        """Fetch, and yield one message for each run of at most CHUNK_RECORDS records of a partition."""
        epoch = self.ownership.epoch
        records, active = await self._fetch(min(timeout, _POLL_SECONDS))
        runs = {
            tp: run
            for tp, run in (records or {}).items()
            if active is None or tp in active or tp in self._buffered_partitions
        }
        if self.ownership.epoch == epoch:
            self._fetched.update((tp, run[-1].offset + 1) for tp, run in runs.items() if run)
        for tp, run in runs.items():
            for start in range(0, len(run), CHUNK_RECORDS):
                if not self.flow_active or self.ownership.epoch != epoch:
                    return  # read again from the position, which is sought before the flow is resumed
                self._delivered[tp] = run[min(start + CHUNK_RECORDS, len(run)) - 1].offset + 1
                yield tp, self._chunk(tp, run[start : start + CHUNK_RECORDS], epoch)

    async def _fetch(self, timeout: float) -> tuple[Mapping[TP, Any] | None, set[TP] | None]:
        if not self.flow_active:
            await self.wait(self.can_resume_flow.wait())
            return None, None  # the generation may be another now: begin again
        self._idle.clear()
        try:
            return await self._wait_next_records(timeout)
        finally:
            self._idle.set()

    def _get_active_partitions(self) -> set[TP]:
        """Return what Faust's fetch asks for: what is paused is left out, until an assignment makes it active again."""
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
        """Wait until no fetch is under way: what one brings that began before a seek must not be delivered after it."""
        await self._idle.wait()

    def delivered(self, tp: TP) -> int:
        """Return the offset after the last record handed on since the partition was taken up, 0 before there is any."""
        return self._delivered.get(tp, 0)

    def reach(self, tp: TP) -> Reach | None:
        """Return where what can be read of a partition ends, as far as the broker told, and how far it was fetched; None before that."""
        consumer = self._thread._consumer
        subscription = None if consumer is None else consumer._subscription.subscription
        if subscription is None or subscription.assignment is None or tp not in subscription.assignment.tps:
            return None
        state = subscription.assignment.state_value(tp)
        if state is None or not state.has_valid_position:
            return None
        stable = state.lso if state.lso is not None else state.highwater
        if stable is None and tp not in self.ends:
            return None
        return Reach(max(stable or 0, self.ends.get(tp, 0)), state.position, self._fetched.get(tp, 0))

    def unread(self, tp: TP) -> int:
        """Return how many offsets are on the broker, as far as it told, and not fetched; 0 before the first fetch."""
        reach = self.reach(tp)
        return 0 if reach is None else max(0, reach.end - reach.next)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Stop the flow, then let every partition flush and go, before Faust forgets what it had."""
        self.stop_flow()
        self._delivered.clear()
        self.ends.clear()
        self._fetched.clear()
        await self.ownership.on_revoked()
        await super().on_partitions_revoked(revoked)

    def _new_offset(self, tp: TP) -> int | None:
        """Return what may be committed to the group, for lag monitors: what a flush made durable. Nobody resumes from it."""
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        return self.ownership.durable(tp.topic, tp.partition)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Keep no gaps: a chunk's message stands for all offsets up to its own."""

    async def perform_seek(self) -> None:
        """Leave the place alone: recovery seeks to the positions, never to the group's offsets."""


class ChunkTransport(driver.Transport):
    """Faust's aiokafka transport with the chunk consumer, which gets what it works with from here."""

    Consumer: ClassVar[type[ChunkConsumer]] = ChunkConsumer

    def __init__(
        self, url: list[URL], app: Any, ownership: Ownership, on_failed: Callable[[BaseException], None]
    ) -> None:
        super().__init__(url, app)
        self.ownership, self.on_failed = ownership, on_failed
