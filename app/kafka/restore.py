"""How a partition is taken up: fence its former owner, open its store, and catch up with the changelogs' committed end.

Our own, because Faust's recovery reads uncommitted records one by one, waits for the offset of a last record that a log ending in a
commit marker never shows, and resumes from the group's offsets instead of the position (docs/decisions/0002).
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from agents.partition import Partition, PartitionLimits, read_source_ids
from agents.ports import Clock, Feed, PartitionLostError
from agents.progress import Announcer
from app.kafka.outbox import KafkaOutbox
from app.kafka.topic_ids import TopicRecreatedError, read_topic_ids, recreated
from events.topics import DELETE_RETENTION_MS, POSITIONS, SOURCES
from tables.declare import CHANGELOGS, POSITIONS_TABLE, STORED
from tables.store import RocksStore, StoreFormatError, StoreMemory, last_written_ms, wipe

log = logging.getLogger(__name__)

POLL_MS: Final = 200
POLL_RECORDS: Final = 20_000
PROGRESS_SECONDS: Final = 2.0
_LAST_KEY: Final = b"\xff" * 32  # above every key of ours
_TABLES: Final = {topic: table for table, topic in CHANGELOGS.items()}


@dataclass(slots=True)
class RestoreProgress:
    """How far a restore is: records still to be read, read so far, and when it began (monotonic seconds)."""

    total: int = 0
    done: int = 0
    started: float = field(default_factory=time.monotonic)

    @property
    def rate(self) -> float:
        """Records per second so far."""
        return self.done / max(time.monotonic() - self.started, 1e-6)

    @property
    def seconds_left(self) -> float | None:
        """Estimate of the time left, None before there is any."""
        return (self.total - self.done) / self.rate if self.done else None


@dataclass(slots=True)
class Restorer:
    """Opens partitions. One a worker."""

    bootstrap: str
    app_id: str
    state_dir: Path
    memory: StoreMemory
    clock: Clock
    feed: Feed
    limits: PartitionLimits
    transaction_timeout_ms: int
    on_lost: Callable[[PartitionLostError], None]
    on_failed: Callable[[BaseException], None]
    progress: RestoreProgress | None = None

    async def open(self, numbers: Iterable[int], epoch: int) -> list[Partition]:
        """Return the partitions, caught up and ready to fold from their positions. Everything is released when it fails."""
        numbers = sorted(numbers)
        outboxes = await self._fence(numbers)
        stores: dict[int, RocksStore] = {}
        try:
            ids = await read_topic_ids(self.bootstrap, [*SOURCES, *CHANGELOGS.values()])
            for number in numbers:
                stores[number] = self._open_store(number, ids)
                await asyncio.sleep(0)
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
        """Start the producers before anything is read: from then on no former owner can add to what we read."""
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

    def _path(self, number: int) -> Path:
        return self.state_dir / str(number)

    def _open_store(self, number: int, ids: Mapping[str, str]) -> RocksStore:
        path = self._path(number)
        written_ms = last_written_ms(path)
        if written_ms is not None and self.clock.now_ms() - written_ms > DELETE_RETENTION_MS:
            log.warning(
                "the state of partition %d is older than the changelogs keep tombstones: it is rebuilt",
                number,
            )
            wipe(path)
        try:
            store = RocksStore(path, STORED, self.memory)
        except StoreFormatError as error:
            if error.found > error.expected:
                raise  # somebody went back to an older version, which may not read the changelogs either
            log.warning("the state of partition %d is rebuilt: %s", number, error)
            wipe(path)
            store = RocksStore(path, STORED, self.memory)
        changelogs = {topic: ids[topic] for topic in CHANGELOGS.values() if topic in ids}
        known = store.topic_ids()
        gone = recreated(known, changelogs, CHANGELOGS.values())
        if POSITIONS in gone and len(gone) < len(known):
            # without its position, whatever the journal still holds would count again; where all are new, so it must
            store.close()
            raise TopicRecreatedError(number, gone, "Nobody would know what the other tables have counted.")
        if gone:
            log.warning(
                "the state of partition %d came from a former %s, which was recreated: it is rebuilt",
                number,
                ", ".join(gone),
            )
            store.close()
            wipe(path)
            store, known = RocksStore(path, STORED, self.memory), {}
        if known != known | changelogs:
            store.write_topic_ids(known | changelogs)
        return store

    async def _catch_up(self, stores: dict[int, RocksStore]) -> None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap,
            client_id=f"{self.app_id}-restore",
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=4 * 1_048_576,
            fetch_max_wait_ms=100,
        )
        await consumer.start()
        try:
            ends = await self._seek(consumer, stores)
            await self._read(consumer, stores, ends)
        finally:
            await consumer.stop()

    async def _seek(
        self, consumer: AIOKafkaConsumer, stores: dict[int, RocksStore]
    ) -> dict[TopicPartition, int]:
        """Assign what is behind, from where each store is; return where each changelog ends (exclusive, committed)."""
        everything = [TopicPartition(topic, number) for number in stores for topic in CHANGELOGS.values()]
        consumer.assign(
            everything
        )  # makes the topics known at once: asked one by one, each costs a retry of 100 ms
        consumer.pause(*everything)
        begins = await consumer.beginning_offsets(everything)
        ends = await consumer.end_offsets(everything)
        starts: dict[TopicPartition, int] = {}
        for number in list(stores):
            changelogs = [tp for tp in everything if tp.partition == number]
            known, ids = stores[number].offsets(), stores[number].topic_ids()
            ahead = [tp for tp in changelogs if known.get(tp.topic, 0) > ends[tp]]
            if ahead:
                log.warning(
                    "the state of partition %d is ahead of %s, which must have been recreated: it is rebuilt",
                    number,
                    ahead[0].topic,
                )
                stores[number].close()
                wipe(self._path(number))
                stores[number] = RocksStore(self._path(number), STORED, self.memory)
                stores[number].write_topic_ids(ids)
                known = {}
            starts.update({tp: max(known.get(tp.topic, 0), begins[tp]) for tp in changelogs})
        behind = {tp: ends[tp] for tp in everything if starts[tp] < ends[tp]}
        for tp in (
            behind
        ):  # not a second assign(): aiokafka 0.14 loses the cancellation of a stop() that follows one
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
        spoke = time.monotonic()
        while remaining:
            fetched = await consumer.getmany(timeout_ms=POLL_MS, max_records=POLL_RECORDS)
            for tp, records in fetched.items():
                stores[tp.partition].write(
                    {_TABLES[tp.topic]: [(record.key, record.value) for record in records]},
                    {tp.topic: records[-1].offset + 1},
                )
            for tp, end in list(remaining.items()):
                position = await consumer.position(tp)  # passes over commit markers, which no record shows
                progress.done += position - read_from[tp]
                read_from[tp] = position
                if position >= end:
                    stores[tp.partition].write({}, {tp.topic: position})
                    del remaining[tp]
                    consumer.pause(tp)
            if time.monotonic() - spoke > PROGRESS_SECONDS:
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


def _check_sources(number: int, store: RocksStore, ids: Mapping[str, str]) -> dict[str, str]:
    """Return the ids of the source topics that the partition's position is of; TopicRecreatedError when it is of former ones."""
    row = store.get(POSITIONS_TABLE, b"%d" % number)
    known = read_source_ids(store, number)
    gone = recreated(known, ids, [] if row is None else msgspec.json.decode(row, type=dict[str, int]))
    if gone:
        raise TopicRecreatedError(number, gone, "The position that was reached is one of the former topic.")
    return known | {topic: ids[topic] for topic in SOURCES if topic in ids}


def check_position(partition: Partition) -> None:
    """Raise TopicRecreatedError when a partition has rows and no position: whatever its sources still hold would count again."""
    if partition.positions:
        return
    for table in STORED:
        if next(partition.store.scan(table, b"", _LAST_KEY), None) is not None:
            raise TopicRecreatedError(
                partition.number,
                [POSITIONS],
                f"{CHANGELOGS[table]} has rows, and nobody knows what they count.",
            )
