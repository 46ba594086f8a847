"""What happens to the events of one partition: gathered while a batch is on its way, put into the spool when Kafka does not take them.

One order a partition, whatever happens. Events stand, oldest first: in the batch on its way, in the spool, in ``waiting``. A batch ends
before the next begins; while there is something in the spool, newer events go behind it, until its last records are being sent.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import Final

from app.base.clock import Clock, monotonic_ms
from app.journal.broker_link import BrokerLink, Link, LostError, NotHandedOnError
from app.journal.pending import PendingEvent
from app.journal.sink import FateUnknownError, NotTakenError
from app.journal.spool import Spool
from app.journal.spool_format import SpoolTarget
from app.journal.spool_segments import SpoolBatch

log = logging.getLogger(__name__)

_BATCH_RECORDS: Final = 5_000
_HANDOVER_RECORDS: Final = 2_000
"""So little left in the spool, and newer events wait in memory for it instead of going behind it."""
_RETRY_SECONDS: Final = 0.1
_WRITTEN_SECONDS: Final = 0.005


class Lane:
    """The events of one partition. ``refusal`` says why nothing can be handed on now; ``tick`` keeps it, from outside."""

    def __init__(
        self,
        place: SpoolTarget,
        connection: BrokerLink,
        spool: Spool | None,
        clock: Clock,
        *,
        linger_ms: int,
        ack_timeout_ms: int,
        stall_ms: int,
        limit: int,
        pace: Callable[[int], Awaitable[None]],
    ) -> None:
        self.place, self._connection, self._spool, self._clock = place, connection, spool, clock
        self._linger_ms, self._ack_timeout_ms, self._stall_ms = linger_ms, ack_timeout_ms, stall_ms
        self._limit, self._pace = limit, pace
        self.refusal: str | None = connection.refusal(place.topic)
        self._waiting: deque[PendingEvent] = deque()
        self._on_its_way: list[PendingEvent] = []
        self.sent_ms: int | None = None
        """Since when a batch is on its way, by the monotonic clock."""
        self.node: int | None = None
        """The broker to which it goes."""
        self.acknowledged_ms = 0
        self._is_last_of_spool = self._is_handing_on = False
        self._wake = asyncio.Event()
        self.is_ending = False

    # --- taking ---

    def add(self, entry: PendingEvent) -> None:
        """Take an event; it is settled here in the end."""
        if self._must_queue_up():
            self._keep_or_refuse(entry, "Kafka has other partitions")
        elif self.refusal is not None and not self._is_handing_on:
            self._divert(self.refusal)
            self._keep_or_refuse(entry, self.refusal)
        elif len(self._waiting) >= self._limit:
            entry.settle(
                NotTakenError(f"{len(self._waiting)} events of this partition wait for Kafka already")
            )
        else:
            self._waiting.append(entry)
            self._wake.set()

    def _must_queue_up(self) -> bool:
        return self._spool is not None and not self._is_last_of_spool and bool(self._spool.holds(self.place))

    def wake(self) -> None:
        """Something has changed that this lane may wait for."""
        self._wake.set()

    def tick(self, now_ms: int, silent: frozenset[int]) -> int:
        """Look at the clock: divert what waits too long, and tell clients that have waited too long; return to how many.

        ``silent``: the brokers that have acknowledged nothing for as long as an event may wait.
        """
        self.refusal = self._reason(now_ms, silent)
        if self.refusal is None:
            self._wake.set()
        elif not self._is_handing_on:
            self._divert(self.refusal)
        told = 0
        for entry in self._on_its_way:
            if not entry.is_settled and now_ms - entry.since_ms >= self._ack_timeout_ms:
                entry.settle(FateUnknownError("Kafka did not acknowledge in time"))
                told += 1
        return told

    def abandon(self) -> None:
        """The end: what is still here is settled as it stands."""
        if self._waiting:
            self._divert("the collector is stopping")
        for entry in self._on_its_way:
            if not entry.is_copied:
                entry.settle(FateUnknownError("the collector is stopping"))

    def _reason(self, now_ms: int, silent: frozenset[int]) -> str | None:
        reason = self._connection.refusal(self.place.topic)
        if reason is not None:
            return reason
        since_ms = self.sent_ms
        if self._waiting and (since_ms is None or self._waiting[0].since_ms < since_ms):
            since_ms = self._waiting[0].since_ms
        if since_ms is not None and now_ms - since_ms > self._stall_ms:
            return f"Kafka has acknowledged nothing of partition {self.place.partition} for {(now_ms - since_ms) / 1000:.0f} s"
        link = self._connection.link
        leader = None if link is None else link.leader(self.place)
        if leader is None and self._spool is not None and self._spool.holds(self.place):
            return f"partition {self.place.partition} of {self.place.topic} has no leader"
        if leader in silent:
            return "the broker of this partition acknowledges nothing"
        return None

    def _divert(self, reason: str) -> None:
        """Put what waits into the spool, in order, and a copy of what is on its way where it counts once: it may never arrive."""
        if self._spool is not None and self._spool.refusal() is None:
            for entry in self._on_its_way:
                if not entry.is_copied and not entry.is_settled and entry.event.eid is not None:
                    self._copy(entry)
        while self._waiting:
            self._keep_or_refuse(self._waiting.popleft(), reason)
        self._is_last_of_spool = False

    def _keep_or_refuse(self, entry: PendingEvent, reason: str) -> None:
        if self._spool is None or self._connection.is_misfit:
            entry.settle(NotTakenError(reason))
        else:
            self._keep(entry)

    def _keep(self, entry: PendingEvent) -> None:
        """Put an event of which nothing was handed on into the spool."""
        spool = self._spool
        assert spool is not None
        reason = spool.refusal()
        if reason is not None:
            entry.settle(NotTakenError(reason))
            return

        def done(error: OSError | None) -> None:
            entry.settle(
                None if error is None else NotTakenError(f"the spool cannot be written ({error.strerror})")
            )

        entry.identify()
        spool.add(self.place, entry.event.received_ms, entry.key, entry.value, done)

    def _copy(self, entry: PendingEvent) -> None:
        def done(error: OSError | None) -> None:
            if error is None:
                entry.settle(None)
            else:
                entry.is_copied = False

        assert self._spool is not None
        entry.is_copied = True
        self._spool.add(self.place, entry.event.received_ms, entry.key, entry.value, done)

    # --- sending ---

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            if self._spool is not None and self._spool.holds(self.place):
                await self._send_spooled(self._spool)
            elif self._waiting:
                await self._send_waiting()
            else:
                self._is_last_of_spool = False
                self._wake.clear()
                await self._wake.wait()

    def _link(self) -> Link | None:
        """Return the way to the partition's leader; None when there is none."""
        link = self._connection.link
        if link is None or self._connection.refusal(self.place.topic) is not None:
            return None
        if link.leader(self.place) is None:
            self._connection.look()
            return None
        return link

    async def _pause(self) -> None:
        """Wait for something to change, for a moment at least."""
        await asyncio.sleep(0.01)
        self._wake.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_RETRY_SECONDS):
                await self._wake.wait()

    async def _send_waiting(self) -> None:
        if self._linger_ms and self.acknowledged_ms + self._linger_ms < monotonic_ms():
            await asyncio.sleep(self._linger_ms / 1000)  # after a batch there is nothing to wait for
        link = self._link()
        if link is not None:
            await link.turn(self.place)
        if link is None or not self._waiting or (self._spool is not None and self._spool.holds(self.place)):
            if link is None:
                await self._pause()
            return
        # They stay in place until they are handed on. Meanwhile nobody may divert them: they would be in both places.
        entries = list(islice(self._waiting, _BATCH_RECORDS))
        self.node = link.leader(self.place)
        self._is_handing_on = True
        try:
            handed, ack = await link.hand_on(
                self.place,
                [(entry.event.received_ms, entry.key, entry.value) for entry in entries],
                self._stall_ms,
            )
        except NotHandedOnError:
            self._is_handing_on = False
            await self._pause()
            return
        self._is_handing_on = False
        for _ in range(handed):
            self._waiting.popleft()
        self._on_its_way = entries[:handed]
        self.sent_ms = monotonic_ms()
        try:
            await ack
        except LostError as error:
            self._connection.broke(link)
            if self._spool is not None and self._spool.refusal() is None:
                self._divert("the connection to Kafka is being renewed")
            for entry in self._on_its_way:
                if not entry.is_copied:
                    entry.settle(FateUnknownError(str(error)))
        else:
            for entry in self._on_its_way:
                entry.settle(None)
            self._acknowledged()
        self._on_its_way = []
        self.sent_ms = None

    async def _send_spooled(self, spool: Spool) -> None:
        link = self._link()
        if link is None or self.is_ending:
            await self._pause()
            return
        if self.refusal is None and spool.holds(self.place) <= _HANDOVER_RECORDS:
            self._is_last_of_spool = True
        try:
            chunk = await spool.read(self.place)
        except OSError as error:
            log.error("the spool cannot be read: %s", error)
            await asyncio.sleep(1)
            return
        if chunk is None:
            await spool.written()
            await asyncio.sleep(_WRITTEN_SECONDS)
            return
        await self._pace(chunk.count)
        if await self._deliver(link, chunk):
            spool.drained(chunk)

    async def _deliver(self, link: Link, chunk: SpoolBatch) -> bool:
        """Send a chunk; tell whether the broker has it all. What it has already is known by its ``eid``."""
        # The time of sending: records of the time of receipt may be older than what the topic keeps, or what an idempotent
        # producer is remembered by.
        now_ms = self._clock.now_ms()
        records = [(now_ms, record.key, record.value) for record in chunk.records]
        try:
            while records:
                self.sent_ms = monotonic_ms()
                self.node = link.leader(self.place)
                handed, ack = await link.hand_on(self.place, records, self._stall_ms)
                await ack
                del records[:handed]
                self._acknowledged()
        except NotHandedOnError:
            self.sent_ms = None
            await self._pause()
            return False
        except LostError:
            self._connection.broke(link)
            self.sent_ms = None
            await self._pause()
            return False
        self.sent_ms = None
        return True

    def _acknowledged(self) -> None:
        self.acknowledged_ms = monotonic_ms()
        self.refusal = self._connection.refusal(self.place.topic)
