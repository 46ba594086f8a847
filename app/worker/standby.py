"""Keeps copies of partitions that other workers own, by reading their changelogs continuously.

A copy is a store in the owner's format, so this worker can open the partition from it within seconds.
Until then the copy answers lookups that allow older answers, and states how old they are (app/worker/freshness.py).
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from agents.positions import read_positions
from app.base.clock import Clock
from app.kafka.background_tasks import while_alive
from app.kafka.clients import AIOKafkaConsumer
from app.kafka.stopping import stop_within
from app.kafka.topic_ids import read_topic_ids
from app.worker.changelogs import (
    TABLE_OF,
    assign_changelogs,
    changelog_consumer,
    starts_and_ends,
    watermark_reader,
)
from app.worker.freshness import Freshness, Round
from app.worker.stores import Stores
from events.topics import SOURCES
from tables.store import Change, RocksStore, StoreDamageError

log = logging.getLogger(__name__)

_POLL_MS: Final = 200
_POLL_RECORDS: Final = 500  # written in one go, while lookups wait: about a millisecond
_FETCH_BYTES: Final = 131_072  # per changelog partition; about 14 of them per copy may wait in memory
_ROUND_SECONDS: Final = 1.0
# A quiet copy is written this often; otherwise it would seem older than tombstones are kept.
_TOUCH_SECONDS: Final = 600.0
_MAX_PAUSE_SECONDS: Final = 10.0
_STOP_SECONDS: Final = 2.0

_Ask = Callable[[], Awaitable[dict[TopicPartition, int]]]


class _ReadBackwardsError(Exception):
    """A changelog is shorter than what was read of it: it was recreated."""


@dataclass(slots=True)
class _Copy:
    """One copy: its store, the offset up to which each changelog was read, and the lag in records when last asked."""

    store: RocksStore
    read: dict[str, int] = field(default_factory=dict)
    lag: int | None = None
    touched: float = field(default_factory=time.monotonic)


class Standbys:
    """The copies of one worker. ``set_copies`` sets which partitions; everything else runs in the background."""

    def __init__(
        self,
        bootstrap: str,
        app_id: str,
        stores: Stores,
        clock: Clock,
        on_failed: Callable[[BaseException], None],
    ) -> None:
        """``on_failed`` is called once, with an error that retries cannot solve. It must end the worker."""
        self._bootstrap, self._app_id, self._stores = bootstrap, app_id, stores
        self._clock, self._on_failed = clock, on_failed
        self._copies: dict[int, _Copy] = {}
        self._wanted: frozenset[int] = frozenset()
        self._following: asyncio.Task[None] | None = None

    async def set_copies(self, wanted: Iterable[int], owned: Iterable[int]) -> None:
        """Keep copies of ``wanted`` from now on. Copies of ``owned`` partitions stay readable until these are opened.

        When this returns, nothing writes to the former copies any more, nor to those of ``owned`` partitions.
        The new copies are opened and read in the background.
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
        """Stop using these copies: they are open as partitions now."""
        for number in numbers:
            self._stores.freshness.pop(number, None)

    def reading(self, number: int) -> tuple[RocksStore, int] | None:
        """Return a copy to read, and the age (ms) up to which it may lack events.

        None if there is no copy, or its age is unknown.
        """
        store, freshness = self._stores.opened(number), self._stores.freshness.get(number)
        if store is None or freshness is None or freshness.complete_ms is None or store.damage is not None:
            return None
        return store, max(0, self._clock.now_ms() - freshness.complete_ms)

    def status(self) -> dict[str, Any]:
        """Return ``lag`` and ``stale_ms`` of each copy, for JSON; None while unknown.

        ``lag`` is the number of changelog records that the copy has not read.
        """
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
        await self.set_copies((), ())
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
            except (KafkaError, OSError, AssertionError, _ReadBackwardsError, StoreDamageError) as error:
                # aiokafka asserts that it knows a broker; a broker that was frozen may not name one for a moment
                if time.monotonic() - started > 2 * _MAX_PAUSE_SECONDS:
                    pause = 0.5
                log.warning("standby copies cannot be read, trying again in %.1f s: %r", pause, error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _MAX_PAUSE_SECONDS)
            except Exception as error:  # noqa: BLE001 - an error of a task would go unnoticed; this ends the worker
                self._on_failed(error)
                return

    async def _read_on(self) -> None:
        """Open the copies, and read their changelogs until an error occurs."""
        ids = await read_topic_ids(self._bootstrap, TABLE_OF)
        for number in sorted(self._wanted):
            self._copies[number] = _Copy(self._stores.open(number, ids))
            self._stores.freshness.setdefault(number, Freshness())
            await asyncio.sleep(0)
        consumer = changelog_consumer(self._bootstrap, f"{self._app_id}-standby", _FETCH_BYTES)
        try:
            await while_alive(consumer, self._read_with(consumer))
        finally:
            await stop_within(consumer, _STOP_SECONDS)

    async def _read_with(self, consumer: AIOKafkaConsumer) -> None:
        await consumer.start()
        everything = assign_changelogs(consumer, self._copies, SOURCES)
        consumer.pause(*everything)
        held = {number: copy.store for number, copy in self._copies.items()}
        starts, ends = await starts_and_ends(self._bootstrap, consumer, held, self._stores)
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
        async with watermark_reader(self._bootstrap, everything) as ask:
            await self._tail(consumer, ask)

    async def _tail(self, consumer: AIOKafkaConsumer, ask: _Ask) -> None:
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
                if copy.store.damage is not None:
                    raise StoreDamageError(copy.store.path, copy.store.damage.reason)  # a lookup found it
                for topic in copy.read:
                    await self._note(consumer, TopicPartition(topic, number), copy)
                self._touch(copy)
                self._stores.freshness[number].read(copy.read)
            if time.monotonic() >= next_round:
                next_round = time.monotonic() + _ROUND_SECONDS
                ends = await self._ask(ask)
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
        # The position also passes commit markers, which getmany() does not return.
        position = await consumer.position(tp)
        if position < copy.read[tp.topic]:
            raise _ReadBackwardsError(f"{tp.topic} partition {tp.partition} went back to {position}")
        copy.read[tp.topic] = position

    def _touch(self, copy: _Copy) -> None:
        if time.monotonic() - copy.touched > _TOUCH_SECONDS:
            copy.touched = time.monotonic()
            copy.store.write({}, copy.read)

    async def _ask(self, ask: _Ask) -> dict[TopicPartition, int]:
        """Ask the broker where all topics end now, and pass the ends to each copy's freshness.

        These are high watermarks. A copy may lack what an open transaction hides: events in a source, rows in a changelog.
        """
        positions = {number: read_positions(copy.store, number) for number, copy in self._copies.items()}
        asked_ms = self._clock.now_ms()
        ends = await ask()
        for number, copy in self._copies.items():
            changelogs = {topic: ends[TopicPartition(topic, number)] for topic in TABLE_OF}
            sources = {topic: ends[TopicPartition(topic, number)] for topic in SOURCES}
            copy.lag = sum(max(0, end - copy.read[topic]) for topic, end in changelogs.items())
            self._stores.freshness[number].ask(Round(asked_ms, positions[number], changelogs, sources))
        return ends

    async def _look(
        self, consumer: AIOKafkaConsumer, looking: dict[TopicPartition, int], ends: dict[TopicPartition, int]
    ) -> None:
        """Find out whether records or only commit markers are left in quiet sources. Only a fetch shows this."""
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
