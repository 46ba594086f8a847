"""The collector's sink: sends events to Kafka in batches, with one idempotent producer and one lane per partition.

While no broker answers, events go to the spool on disk. Without a spool, or when it is full, they are refused before the producer
gets any of them.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

import app.kafka.metadata_requests  # noqa: F401 - asking for a topic does not create it
from app.base.clock import SystemClock, monotonic_ms
from app.base.settings import Settings
from app.journal.broker_link import BrokerLink
from app.journal.lane import Lane
from app.journal.pending import Account, PendingEvent, PendingRequest
from app.journal.sink import NotTakenError, Outcome, SpoolCounts
from app.journal.spool import Spool
from app.journal.spool_format import SpoolTarget
from events.model import NO_PROFILE_USER, EventBase, user_key
from events.partitions import partition_of
from events.pseudonym import RECENT_USERS, journal_key
from events.topics import HISTORY, JOURNAL
from tables.declare import TOPICS

log = logging.getLogger(__name__)

_TICK_SECONDS: Final = 0.1
_START_SECONDS: Final = 2.0
_STOP_SECONDS: Final = 8.0  # shorter than supervisors wait before they kill a process


def expected_topics(settings: Settings) -> dict[str, int]:
    """Return every topic of the deployment with its required number of partitions."""
    return {topic.name: settings.partitions if topic.is_partitioned else 1 for topic in TOPICS}


class KafkaSink:
    """An EventSink on aiokafka.

    - ``topics``: every topic of the deployment with its number of partitions. ``needed``: those that the sink writes to.
    - ``linger_ms``: how long an event waits for others to share its request to Kafka.
    - ``ack_timeout_ms``: an event that Kafka has not acknowledged after this time ends with FateUnknownError.
    - ``stall_ms``: while an event waits for Kafka longer than this, others of its partition are spooled or refused.
    - ``max_pending``: how many events may wait for Kafka; more are refused.
    - ``spool_dir``: keeps at most ``spool_bytes`` of events while Kafka is away. None, or 0 bytes: no spool.
    - ``drain_per_second``: how many spooled events are sent per second at most.
    """

    def __init__(
        self,
        bootstrap: str,
        topics: Mapping[str, int],
        *,
        needed: tuple[str, ...] = (JOURNAL, HISTORY),
        linger_ms: int = 2,
        ack_timeout_ms: int = 10_000,
        stall_ms: int = 2_000,
        max_pending: int = 10_000,
        spool_dir: Path | None = None,
        spool_bytes: int = 0,
        drain_per_second: int = 20_000,
    ) -> None:
        self._topics, self._needed = topics, needed
        self._linger_ms, self._ack_timeout_ms, self._stall_ms = linger_ms, ack_timeout_ms, stall_ms
        self._max_pending, self._drain_per_second = max_pending, drain_per_second
        self._connection = BrokerLink(bootstrap, topics, needed, self._changed)
        self._spool = (
            Spool(spool_dir, spool_bytes, self._changed) if spool_dir is not None and spool_bytes else None
        )
        self._account = Account()
        self._lanes: dict[SpoolTarget, Lane] = {}
        self._is_started = self._is_stopping = False
        self._ticks: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._drained_until = 0.0
        self._placed = lru_cache(RECENT_USERS)(_placed)

    @classmethod
    def of(cls, settings: Settings) -> "KafkaSink":
        """Return a sink with the options of the settings."""
        return cls(
            settings.kafka,
            expected_topics(settings),
            linger_ms=settings.linger_ms,
            ack_timeout_ms=settings.ack_timeout_ms,
            stall_ms=settings.stall_ms,
            max_pending=settings.max_pending,
            spool_dir=settings.spool_dir or settings.data_dir / "spool",
            spool_bytes=settings.spool_bytes,
            drain_per_second=settings.drain_per_second,
        )

    async def start(self) -> None:
        """Start to connect, and wait until the spool is open, at most 2 seconds."""
        self._is_started = True
        self._connection.start()
        if self._spool is not None:
            self._spool.start()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_START_SECONDS):
                    await self._spool.opened()
        self._ticks = asyncio.create_task(self._tick(), name="kafka-deadlines")

    async def stop(self) -> None:
        """Refuse new events, wait at most 8 seconds for those in flight, then close."""
        if self._is_stopping:
            return
        self._is_stopping = True
        for lane in self._lanes.values():
            lane.is_ending = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await self._account.wait_idle()
        if self._account.waiting:
            log.error("stopped with %d events whose clients waited for an answer", self._account.waiting)
        for lane in self._lanes.values():
            lane.abandon()
        tasks = [*self._tasks, *([] if self._ticks is None else [self._ticks])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._spool is not None:
            await self._spool.close()
            if self._spool.counts.events:
                log.warning(
                    "%d events (%d bytes) stay in the spool in %s; the next collector there sends them",
                    self._spool.counts.events,
                    self._spool.counts.bytes,
                    self._spool.base,
                )
        await self._connection.stop()

    def problems(self) -> list[str]:
        """Return the reasons why events cannot be made durable now, a sentence each; empty if they can."""
        if not self._is_started:
            return ["the collector is starting"]
        if self._is_stopping:
            return ["the collector is stopping"]
        away = self.warnings()
        if not away:
            return []
        if self._connection.is_misfit:
            return self._connection.problems
        if self._spool is not None:
            refusal = self._spool.refusal()
            if refusal is None:
                return []
            if not self._connection.problems and self._spool.is_open and not self._is_held_up():
                return []  # Kafka takes all events, so the spool is not needed
            return [refusal, *(each for each in away if each != refusal)]
        return away

    def warnings(self) -> list[str]:
        """Return problems for the operator, a sentence each. The sink may still take events."""
        found = list(self._connection.problems)
        found += sorted(
            {lane.refusal for lane in self._lanes.values() if lane.refusal is not None} - set(found)
        )
        if self._spool is not None:
            refusal = self._spool.refusal()
            if refusal is not None:
                found.append(refusal)
            if self._spool.counts.quarantined:
                found.append(
                    f"{self._spool.counts.quarantined} damaged files are in the spool in {self._spool.base}: check the disk, and "
                    f"remove the files named .quarantined there when you no longer need them"
                )
        return found

    def spool_counts(self) -> SpoolCounts | None:
        """Return the counts of the spool; None without a spool."""
        return None if self._spool is None else self._spool.snapshot(SystemClock().now_ms())

    async def send(self, topic: str, event: EventBase) -> None:
        """Return when all in-sync replicas, or the spool, have the event; raise NotTakenError or FateUnknownError."""
        group = PendingRequest(1)
        self._take(topic, event, group, 0, monotonic_ms())
        await group.future
        outcome = group.outcomes[0]
        if outcome is not None:
            raise outcome

    async def send_many(self, events: Sequence[tuple[str, EventBase]]) -> list[Outcome]:
        """Send several events, and return their outcomes in order. Events of one partition keep their order."""
        if not events:
            return []
        group, now_ms = PendingRequest(len(events)), monotonic_ms()
        for index, (topic, event) in enumerate(events):
            self._take(topic, event, group, index, now_ms)
        await group.future
        return group.outcomes

    def _take(self, topic: str, event: EventBase, group: PendingRequest, index: int, now_ms: int) -> None:
        partitions = self._topics[topic]
        if event.user == NO_PROFILE_USER:
            key = journal_key(event, random.randrange(partitions))  # noqa: S311 - spreads load, hides nothing
            place = SpoolTarget(topic, partition_of(key, partitions))
        else:
            key, place = self._placed(topic, event.customer, event.user, partitions)
        entry = PendingEvent(event, key, now_ms, group, index, self._account)
        if not self._is_started or self._is_stopping:
            entry.settle(NotTakenError(self.problems()[0]))
        elif self._spool is not None and not self._spool.is_open:
            # It may hold older events of this partition, which must be sent first.
            entry.settle(NotTakenError(self._spool.refusal() or "the spool is being read"))
        elif self._account.waiting > self._max_pending:
            entry.settle(NotTakenError(f"{self._max_pending} events wait for Kafka already"))
        else:
            self._lane(place).add(entry)

    def _lane(self, place: SpoolTarget) -> Lane:
        lane = self._lanes.get(place)
        if lane is None:
            lane = self._lanes[place] = Lane(
                place,
                self._connection,
                self._spool,
                SystemClock(),
                linger_ms=self._linger_ms,
                ack_timeout_ms=self._ack_timeout_ms,
                stall_ms=self._stall_ms,
                limit=max(1, self._max_pending // 2),
                pace=self._pace,
            )
            self._tasks.append(asyncio.create_task(lane.run(), name=f"{place.topic}-{place.partition}"))
        return lane

    def _changed(self) -> None:
        """Wake the lanes after a change of the connection or the spool."""
        if self._is_stopping:
            return
        if self._spool is not None and self._spool.is_open:
            for place in self._spool.places():
                self._lane(place)
        for lane in self._lanes.values():
            if lane.refusal is not None:
                lane.tick(monotonic_ms(), frozenset())
            lane.wake()

    async def _pace(self, count: int) -> None:
        """Wait until ``count`` more events may be drained, so that draining leaves processor time for requests."""
        now = time.monotonic()
        start = max(now, self._drained_until)
        self._drained_until = start + count / self._drain_per_second
        if start > now:
            await asyncio.sleep(start - now)

    def _is_held_up(self) -> bool:
        return any(lane.refusal is not None for lane in self._lanes.values())

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            now_ms = monotonic_ms()
            silent = self._silent(now_ms)
            told = sum(lane.tick(now_ms, silent) for lane in self._lanes.values())
            if told:
                log.warning("answered 504, because Kafka did not acknowledge in time: %d events", told)

    def _silent(self, now_ms: int) -> frozenset[int]:
        """Return the brokers with a batch in flight that have acknowledged nothing for ``stall_ms``."""
        since: dict[int, int] = {}
        acknowledged: dict[int, int] = {}
        for lane in self._lanes.values():
            if lane.node is not None:
                acknowledged[lane.node] = max(acknowledged.get(lane.node, 0), lane.acknowledged_ms)
                if lane.sent_ms is not None:
                    since[lane.node] = min(since.get(lane.node, now_ms), lane.sent_ms)
        return frozenset(
            node
            for node, sent_ms in since.items()
            if now_ms - max(sent_ms, acknowledged[node]) > self._stall_ms
        )


def _placed(topic: str, customer: str, user: str, partitions: int) -> tuple[bytes, SpoolTarget]:
    """Return key and partition of a user's events."""
    key = user_key(customer, user)
    return key, SpoolTarget(topic, partition_of(key, partitions))
