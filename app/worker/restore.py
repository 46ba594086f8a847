"""Opens partitions: fences the former owner, opens the store, and catches up with the end of the changelogs.

It replaces Faust's recovery (docs/decisions/0002-one-transaction-a-flush.md), which has three faults:

- It reads uncommitted records, one by one.
- It waits for the offset of the last record, which it never sees in a log that ends in a commit marker.
- It resumes from the group's offsets instead of the position.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from agents.announcements import Announcer
from agents.partition import Partition
from agents.partition_limits import PartitionLimits
from agents.ports import Feed, PartitionLostError
from agents.positions import read_positions, read_source_ids
from app.kafka.background_tasks import while_alive
from app.kafka.clients import AIOKafkaConsumer
from app.kafka.open_transactions import LONG_OPEN_MS, describe, find_open_transactions, is_of_worker
from app.kafka.stopping import stop_within
from app.kafka.topic_ids import TopicRecreatedError, read_topic_ids, recreated
from app.worker.changelogs import TABLE_OF, assign_changelogs, changelog_consumer, starts_and_ends
from app.worker.outbox import KafkaOutbox
from app.worker.stores import Stores
from events.topics import POSITIONS, SOURCES
from tables.declare import CHANGELOGS, STORED
from tables.store import RocksStore

log = logging.getLogger(__name__)

_POLL_MS: Final = 200
_POLL_RECORDS: Final = 20_000
_FETCH_BYTES: Final = 4 * 1_048_576
_PROGRESS_SECONDS: Final = 2.0
_STOP_SECONDS: Final = 2.0
_LAST_KEY: Final = b"\xff" * 32  # greater than every key


@dataclass(slots=True)
class RestoreProgress:
    """Progress of a restore: all records to read, records read so far, and when it began (monotonic seconds)."""

    total: int = 0
    done: int = 0
    started: float = field(default_factory=time.monotonic)
    blocked: str | None = None
    """Why nothing can be read at the moment, as a sentence for an operator."""

    @property
    def rate(self) -> float:
        """Records per second so far."""
        return self.done / max(time.monotonic() - self.started, 1e-6)

    @property
    def seconds_left(self) -> float | None:
        """Estimate of the time left; None until a record was read."""
        return (self.total - self.done) / self.rate if self.done else None


@dataclass(slots=True)
class Restorer:
    """Opens partitions. A worker has one restorer."""

    bootstrap: str
    app_id: str
    stores: Stores
    feed: Feed
    limits: PartitionLimits
    transaction_timeout_ms: int
    on_lost: Callable[[PartitionLostError], None]
    on_failed: Callable[[BaseException], None]
    progress: RestoreProgress | None = None

    async def open(self, numbers: Iterable[int], epoch: int) -> list[Partition]:
        """Return the partitions, caught up and ready to fold from their positions. On failure everything is released.

        Partitions that must be rebuilt after damage take long, and are left out if there are others. Open them afterwards.
        Raise TopicRecreatedError if a source topic or ``uptake.positions`` was recreated.
        """
        numbers = sorted(numbers)
        outboxes = await self._fence(numbers)
        stores: dict[int, RocksStore] = {}
        try:
            ids = await read_topic_ids(self.bootstrap, [*SOURCES, *CHANGELOGS.values()])
            for number in numbers:
                stores[number] = self.stores.open(number, ids)
                await asyncio.sleep(0)
            later = [number for number in numbers if self.stores.is_rebuilding(number)]
            if len(later) < len(numbers):
                for number in later:
                    stores.pop(number).close()
                    await outboxes.pop(number).close()
                numbers = sorted(stores)
            await self._catch_up(stores)
            sources = {number: _check_sources(number, store, ids) for number, store in stores.items()}
            return [
                Partition(
                    number,
                    epoch,
                    stores[number],
                    outboxes[number],
                    Announcer(
                        number,
                        self.limits.partitions,
                        self.feed,
                        self.limits.caught_up_ms,
                        self.limits.flush_interval_ms,
                    ),
                    self.limits,
                    self.on_lost,
                    self.on_failed,
                    sources[number],
                )
                for number in numbers
            ]
        except BaseException:
            for store in stores.values():
                store.close()
            await asyncio.gather(*(outbox.close() for outbox in outboxes.values()))
            raise
        finally:
            self.progress = None

    async def _fence(self, numbers: list[int]) -> dict[int, KafkaOutbox]:
        """Start the producers before anything is read: from then on no former owner can write to the changelogs."""
        starts = [
            asyncio.ensure_future(
                KafkaOutbox.start(self.bootstrap, self.app_id, number, self.transaction_timeout_ms)
            )
            for number in numbers
        ]
        try:
            started = await asyncio.gather(*starts)
        except BaseException:
            for start in starts:
                start.cancel()
            for outcome in await asyncio.gather(*starts, return_exceptions=True):
                if isinstance(outcome, KafkaOutbox):
                    await outcome.close()
            raise
        return dict(zip(numbers, started, strict=True))

    async def _catch_up(self, stores: dict[int, RocksStore]) -> None:
        consumer = changelog_consumer(self.bootstrap, f"{self.app_id}-restore", _FETCH_BYTES)
        try:
            await while_alive(consumer, self._catch_up_with(consumer, stores))
        finally:
            await stop_within(consumer, _STOP_SECONDS)

    async def _catch_up_with(self, consumer: AIOKafkaConsumer, stores: dict[int, RocksStore]) -> None:
        await consumer.start()
        ends = await self._seek(consumer, stores)
        await self._read(consumer, stores, ends)

    async def _seek(
        self, consumer: AIOKafkaConsumer, stores: dict[int, RocksStore]
    ) -> dict[TopicPartition, int]:
        """Seek to where each store is; return the end (exclusive) of each changelog that the store is behind."""
        everything = assign_changelogs(consumer, stores)
        consumer.pause(*everything)
        starts, ends = await starts_and_ends(self.bootstrap, consumer, stores, self.stores)
        behind = {tp: ends[tp] for tp in everything if starts[tp] < ends[tp]}
        for tp in behind:
            consumer.seek(tp, starts[tp])
            consumer.resume(tp)
        self.progress = RestoreProgress(total=sum(end - starts[tp] for tp, end in behind.items()))
        return behind

    async def _read(
        self,
        consumer: AIOKafkaConsumer,
        stores: dict[int, RocksStore],
        ends: dict[TopicPartition, int],
    ) -> None:
        progress = self.progress
        assert progress is not None
        remaining = dict(ends)
        read_from = {tp: await consumer.position(tp) for tp in ends}
        spoke = moved = time.monotonic()
        while remaining:
            before = progress.done
            fetched = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_POLL_RECORDS)
            for tp, records in fetched.items():
                stores[tp.partition].write(
                    {TABLE_OF[tp.topic]: [(record.key, record.value) for record in records]},
                    {tp.topic: records[-1].offset + 1},
                )
            for tp, end in list(remaining.items()):
                # The position also passes commit markers, which getmany() does not return.
                position = await consumer.position(tp)
                progress.done += position - read_from[tp]
                read_from[tp] = position
                if position >= end:
                    stores[tp.partition].write({}, {tp.topic: position})
                    del remaining[tp]
                    consumer.pause(tp)
            if progress.done > before:
                moved, progress.blocked = time.monotonic(), None
            elif time.monotonic() - moved > LONG_OPEN_MS / 1000:
                moved = time.monotonic()
                await self._say_what_blocks(progress, remaining)
            if time.monotonic() - spoke > _PROGRESS_SECONDS:
                spoke = time.monotonic()
                left = progress.seconds_left
                log.info(
                    "restoring: %d of %d records, %d a second, %s left",
                    progress.done,
                    progress.total,
                    progress.rate,
                    "time unknown" if left is None else f"{left:.0f} s",
                )
        if progress.done:
            log.info("restored %d records from the changelogs, %d a second", progress.done, progress.rate)

    async def _say_what_blocks(self, progress: RestoreProgress, remaining: Iterable[TopicPartition]) -> None:
        """Log which open transaction hides the rows that are left, if one does."""
        try:
            found = await find_open_transactions(self.bootstrap, remaining)
        except (KafkaError, OSError, AssertionError, TimeoutError) as error:
            log.warning("the broker does not say which transactions are open: %r", error)
            return
        foreign = [each for each in found if not is_of_worker(each, self.app_id)]
        if foreign:
            progress.blocked = f"the restore waits: {describe(self.bootstrap, foreign[0])}"
            log.error("%s", progress.blocked)


def _check_sources(number: int, store: RocksStore, ids: Mapping[str, str]) -> dict[str, str]:
    """Return the ids of the source topics. Raise TopicRecreatedError if the partition's position belongs to a former topic."""
    known = read_source_ids(store, number)
    gone = recreated(known, ids, read_positions(store, number))
    if gone:
        raise TopicRecreatedError(number, gone, "The position belongs to the former topic.")
    return known | {topic: ids[topic] for topic in SOURCES if topic in ids}


def check_position(partition: Partition) -> None:
    """Raise TopicRecreatedError if a partition has rows but no position: all records in its sources would count again."""
    if partition.positions:
        return
    for table in STORED:
        if next(partition.store.scan(table, b"", _LAST_KEY), None) is not None:
            raise TopicRecreatedError(
                partition.number,
                [POSITIONS],
                f"{CHANGELOGS[table]} has rows, and no position says what they count.",
            )
