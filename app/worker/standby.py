"""How does a worker keep copies of partitions that others own: it reads their changelogs all the time into stores of its own.

A copy has the form of the owner's store, so whoever takes the partition up goes on from it, in seconds. Until then lookups that allow
it are answered from the copy, with how old may be what it lacks (app/worker/freshness.py).
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from agents.positions import read_positions
from app.base.clock import Clock
from app.kafka.stopping import stop_within
from app.kafka.topic_ids import read_topic_ids
from app.worker.changelogs import TABLE_OF, assign_changelogs, changelog_consumer, starts_and_ends
from app.worker.freshness import Freshness, Round
from app.worker.stores import Stores
from events.topics import SOURCES
from tables.store import Change, RocksStore

log = logging.getLogger(__name__)

_POLL_MS: Final = 200
_POLL_RECORDS: Final = 500  # written without a turn for lookups: about a millisecond
_FETCH_BYTES: Final = 131_072  # a changelog partition: some 14 of them a copy may wait in memory
_ROUND_SECONDS: Final = 1.0
_TOUCH_SECONDS: Final = (
    600.0  # a quiet copy is written so often, or it would look older than tombstones are kept
)
_MAX_PAUSE_SECONDS: Final = 10.0
_STOP_SECONDS: Final = 2.0


class _ReadBackwardsError(Exception):
    """A changelog is shorter than what was read of it: it was made again."""


@dataclass(slots=True)
class _Copy:
    """One copy: its store, up to where each changelog was read, and how many records it was behind when that was last asked."""

    store: RocksStore
    read: dict[str, int] = field(default_factory=dict)
    lag: int | None = None
    touched: float = field(default_factory=time.monotonic)


class Standbys:
    """The copies of one worker. ``turn_to`` says which; everything else goes by itself."""

    def __init__(
        self,
        bootstrap: str,
        app_id: str,
        stores: Stores,
        clock: Clock,
        on_failed: Callable[[BaseException], None],
    ) -> None:
        """``on_failed`` is told, once, of what cannot be gone on from: it must end the worker."""
        self._bootstrap, self._app_id, self._stores = bootstrap, app_id, stores
        self._clock, self._on_failed = clock, on_failed
        self._copies: dict[int, _Copy] = {}
        self._wanted: frozenset[int] = frozenset()
        self._following: asyncio.Task[None] | None = None

    async def turn_to(self, wanted: Iterable[int], owned: Iterable[int]) -> None:
        """Keep copies of ``wanted`` from now on. What is ``owned`` stays readable until its owner opens it, and is not written.

        Nothing of the former copies is written once this returns; the new ones are opened and read in the background.
        """
        owned = frozenset(owned)
        wanted = frozenset(wanted) - owned
        must_turn = wanted != self._wanted or bool(owned & self._copies.keys()) or self._is_idle
        if must_turn:
            await self._stop_following()
            self._copies = {number: copy for number, copy in self._copies.items() if number in wanted}
            self._wanted = wanted
        self._release(self._stores.freshness.keys() - wanted - owned)
        if must_turn and wanted:
            self._following = asyncio.get_running_loop().create_task(self._follow())

    def forget(self, numbers: Iterable[int]) -> None:
        """Note that these are open as partitions now: nobody may take them for copies any more."""
        for number in numbers:
            self._stores.freshness.pop(number, None)

    def reading(self, number: int) -> tuple[RocksStore, int] | None:
        """Return a copy to read, and how old may be what it lacks (ms); None when there is none, or that is not known."""
        store, freshness = self._stores.opened(number), self._stores.freshness.get(number)
        if store is None or freshness is None or freshness.complete_ms is None:
            return None
        return store, max(0, self._clock.now_ms() - freshness.complete_ms)

    def status(self) -> dict[str, Any]:
        """Return, per copy, ``lag`` (changelog records not read, None before it is known) and ``stale_ms``, as JSON."""
        found: dict[str, Any] = {}
        for number in sorted(self._wanted):
            copy, reading = self._copies.get(number), self.reading(number)
            found[str(number)] = {
                "lag": None if copy is None else copy.lag,
                "stale_ms": None if reading is None else reading[1],
            }
        return found

    async def close(self) -> None:
        """Stop reading and release all copies."""
        await self.turn_to((), ())
        self._release(set(self._stores.freshness))

    def _release(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self._stores.close(number)
            self._stores.freshness.pop(number, None)

    @property
    def _is_idle(self) -> bool:
        return bool(self._wanted) and (self._following is None or self._following.done())

    async def _stop_following(self) -> None:
        task, self._following = self._following, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    # --- reading ------------------------------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        pause = 0.5
        while True:
            started = time.monotonic()
            try:
                await self._read_on()
            except (KafkaError, OSError, AssertionError, _ReadBackwardsError) as error:
                # aiokafka asserts that it knows a broker; one that has just woken up may name none
                if time.monotonic() - started > 2 * _MAX_PAUSE_SECONDS:
                    pause = 0.5
                log.warning("standby copies cannot be read, trying again in %.1f s: %r", pause, error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _MAX_PAUSE_SECONDS)
            except Exception as error:  # noqa: BLE001 - a task's error is seen by nobody; this ends the worker
                self._on_failed(error)
                return

    async def _read_on(self) -> None:
        """Open the copies, and read their changelogs until something fails."""
        ids = await read_topic_ids(self._bootstrap, TABLE_OF)
        for number in sorted(self._wanted):
            self._copies[number] = _Copy(self._stores.open(number, ids))
            self._stores.freshness.setdefault(number, Freshness())
            await asyncio.sleep(0)
        consumer = changelog_consumer(self._bootstrap, f"{self._app_id}-standby", _FETCH_BYTES)
        try:
            await consumer.start()
            everything = assign_changelogs(consumer, self._copies, SOURCES)
            consumer.pause(*everything)
            held = {number: copy.store for number, copy in self._copies.items()}
            starts, ends = await starts_and_ends(consumer, held, self._stores)
            for number, store in held.items():
                if self._copies[number].store is not store:
                    self._copies[number] = _Copy(store)
                    self._stores.freshness[number] = Freshness()
            for tp, start in starts.items():
                self._copies[tp.partition].read[tp.topic] = start
                consumer.seek(tp, start)
                consumer.resume(tp)
            log.info(
                "standby for partitions %s: %d records behind",
                ", ".join(map(str, sorted(held))),
                sum(max(0, end - starts[tp]) for tp, end in ends.items()),
            )
            await self._tail(consumer)
        finally:
            await stop_within(consumer, _STOP_SECONDS)

    async def _tail(self, consumer: AIOKafkaConsumer) -> None:
        next_round = 0.0
        looking: dict[TopicPartition, int] = {}
        while True:
            fetched = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_POLL_RECORDS)
            for tp in [tp for tp in fetched if tp.topic in SOURCES]:
                first = fetched.pop(tp)[0]
                consumer.pause(tp)
                if looking.pop(tp, None) is not None:
                    self._stores.freshness[tp.partition].found(tp.topic, first.offset, first.timestamp)
            self._write(fetched)
            for number, copy in self._copies.items():
                for topic in copy.read:
                    await self._note(consumer, TopicPartition(topic, number), copy)
                self._touch(copy)
                self._stores.freshness[number].read(copy.read)
            if time.monotonic() >= next_round:
                next_round = time.monotonic() + _ROUND_SECONDS
                ends = await self._ask(consumer)
                await self._look(consumer, looking, ends)
            await asyncio.sleep(0)

    def _write(self, fetched: dict[TopicPartition, list[Any]]) -> None:
        changes: dict[int, dict[str, list[Change]]] = {}
        offsets: dict[int, dict[str, int]] = {}
        for tp, records in fetched.items():
            rows = [(record.key, record.value) for record in records]
            changes.setdefault(tp.partition, {})[TABLE_OF[tp.topic]] = rows
            offsets.setdefault(tp.partition, {})[tp.topic] = records[-1].offset + 1
        for number, tables in changes.items():
            self._copies[number].store.write(tables, offsets[number])

    async def _note(self, consumer: AIOKafkaConsumer, tp: TopicPartition, copy: _Copy) -> None:
        position = await consumer.position(tp)  # passes over commit markers, which no record shows
        if position < copy.read[tp.topic]:
            raise _ReadBackwardsError(f"{tp.topic} partition {tp.partition} went back to {position}")
        copy.read[tp.topic] = position

    def _touch(self, copy: _Copy) -> None:
        if time.monotonic() - copy.touched > _TOUCH_SECONDS:
            copy.touched = time.monotonic()
            copy.store.write({}, copy.read)

    async def _ask(self, consumer: AIOKafkaConsumer) -> dict[TopicPartition, int]:
        """Ask where everything ends now, and let each copy's freshness know."""
        positions = {number: read_positions(copy.store, number) for number, copy in self._copies.items()}
        asked_ms = self._clock.now_ms()
        ends: dict[TopicPartition, int] = await consumer.end_offsets(consumer.assignment())
        for number, copy in self._copies.items():
            changelogs = {topic: ends[TopicPartition(topic, number)] for topic in TABLE_OF}
            sources = {topic: ends[TopicPartition(topic, number)] for topic in SOURCES}
            copy.lag = sum(max(0, end - copy.read[topic]) for topic, end in changelogs.items())
            self._stores.freshness[number].ask(Round(asked_ms, positions[number], changelogs, sources))
        return ends

    async def _look(
        self, consumer: AIOKafkaConsumer, looking: dict[TopicPartition, int], ends: dict[TopicPartition, int]
    ) -> None:
        """Look whether records or only commit markers are left in sources that stand still: a fetch tells, and nothing else does."""
        for tp, end in list(looking.items()):
            if await consumer.position(tp) >= end:
                self._stores.freshness[tp.partition].found_none(tp.topic, end)
                consumer.pause(tp)
                del looking[tp]
        for number in self._copies:
            for topic, start in self._stores.freshness[number].doubts().items():
                tp = TopicPartition(topic, number)
                if tp not in looking:
                    looking[tp] = ends[tp]
                    consumer.seek(tp, start)
                    consumer.resume(tp)
