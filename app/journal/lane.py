"""Takes one partition's events to Kafka, one batch at a time, or into the spool while Kafka does not take them.

The order of the events is kept by lane_order.py.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from app.base.clock import Clock, monotonic_ms
from app.journal.broker_link import BrokerLink, Link, LostError, NotHandedOnError
from app.journal.lane_order import LaneOrder
from app.journal.pending import PendingEvent
from app.journal.sink import FateUnknownError, NotTakenError
from app.journal.spool import Spool
from app.journal.spool_format import SpoolTarget
from app.journal.spool_intake import SpoolIntake
from app.journal.spool_queue import SpooledCount
from app.journal.spool_segments import SpoolBatch

log = logging.getLogger(__name__)

_RETRY_SECONDS: Final = 0.1
_WRITTEN_SECONDS: Final = 0.005


class Lane:
    """The events of one partition. ``refusal`` says why nothing can be handed on now; the sink renews it by ``tick``."""

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
        self._pace = pace
        self._order: LaneOrder[PendingEvent] = LaneOrder(limit)
        self._intake = SpoolIntake(place, connection, spool)
        self._spooled = SpooledCount() if spool is None else spool.partition(place)
        self.refusal: str | None = connection.refusal(place.topic)
        self.sent_ms: int | None = None
        """The time at which the batch in flight was sent, by the monotonic clock; None if none is in flight."""
        self.node: int | None = None
        """The broker to which batches go."""
        self.acknowledged_ms = 0
        self._wake = asyncio.Event()
        self.is_ending = False

    # --- taking ---

    def add(self, entry: PendingEvent) -> None:
        """Take an event. The lane settles it in the end."""
        refusal = self.refusal
        admission = self._order.add(entry, self._spooled.held, is_refused=refusal is not None)
        if admission == "waits":
            self._wake.set()
        elif admission == "follows":
            self._intake.keep(entry, "Kafka has other partitions")
        elif admission == "diverts":
            assert refusal is not None
            self._divert(refusal)
            self._intake.keep(entry, refusal)
        else:
            entry.settle(
                NotTakenError(f"{self._order.waiting} events of this partition wait for Kafka already")
            )

    def wake(self) -> None:
        """Look again: something has changed that this lane may wait for."""
        self._wake.set()

    def tick(self, now_ms: int, silent: frozenset[int]) -> int:
        """Divert what waits too long, and answer the clients that have waited too long; return how many were answered.

        ``silent``: the brokers that have acknowledged nothing for as long as an event may wait.
        """
        self.refusal = self._reason(now_ms, silent)
        if self.refusal is None:
            self._wake.set()
        elif self._order.can_divert:
            self._divert(self.refusal)
        overdue = self._order.overdue(now_ms, self._ack_timeout_ms)
        for entry in overdue:
            entry.settle(FateUnknownError("Kafka did not acknowledge in time"))
        return len(overdue)

    def abandon(self) -> None:
        """Settle what is left, because the collector stops."""
        if self._order.waiting:
            self._divert("the collector is stopping")
        for entry in self._order.uncopied():
            entry.settle(FateUnknownError("the collector is stopping"))

    def _reason(self, now_ms: int, silent: frozenset[int]) -> str | None:
        reason = self._connection.refusal(self.place.topic)
        if reason is not None:
            return reason
        times = [each for each in (self.sent_ms, self._order.waiting_since_ms) if each is not None]
        if times and now_ms - min(times) > self._stall_ms:
            return f"Kafka has acknowledged nothing of partition {self.place.partition} for {(now_ms - min(times)) / 1000:.0f} s"
        link = self._connection.link
        leader = None if link is None else link.leader(self.place)
        if leader is None and self._spooled.held:
            return f"partition {self.place.partition} of {self.place.topic} has no leader"
        if leader in silent:
            return "the broker of this partition acknowledges nothing"
        return None

    def _divert(self, reason: str) -> None:
        """Put what waits into the spool, in order, behind a copy of what is in flight if the spool can take one."""
        diverted = self._order.divert(with_copies=self._intake.is_taking)
        for entry in diverted.copies:
            self._intake.copy(entry)
        for entry in diverted.moved:
            self._intake.keep(entry, reason)

    # --- sending ---

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            source = self._order.next_source(self._spooled.held)
            if source == "spool":
                await self._send_spooled()
            elif source == "waiting":
                await self._send_waiting()
            else:
                self._wake.clear()
                await self._wake.wait()

    def _link(self) -> Link | None:
        """Return the link to Kafka; None if it is refused or the partition has no leader."""
        link = self._connection.link
        if link is None or self._connection.refusal(self.place.topic) is not None:
            return None
        if link.leader(self.place) is None:
            self._connection.look()
            return None
        return link

    async def _pause(self) -> None:
        """Wait briefly for something to change."""
        await asyncio.sleep(0.01)
        self._wake.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_RETRY_SECONDS):
                await self._wake.wait()

    async def _send_waiting(self) -> None:
        if self._linger_ms and self.acknowledged_ms + self._linger_ms < monotonic_ms():
            await asyncio.sleep(self._linger_ms / 1000)  # after a batch there is nothing to wait for
        link = self._link()
        if link is None:
            await self._pause()
            return
        await link.turn(self.place)
        entries = self._order.begin_batch(self._spooled.held)
        if not entries:
            return
        self.node = link.leader(self.place)
        try:
            handed, ack = await link.hand_on(
                self.place,
                [(entry.event.received_ms, entry.key, entry.value) for entry in entries],
                self._stall_ms,
            )
        except NotHandedOnError:
            self._order.handed_on(0)
            await self._pause()
            return
        self._order.handed_on(handed)
        self.sent_ms = monotonic_ms()
        try:
            await ack
        except LostError as error:
            self._connection.broke(link)
            if self._intake.is_taking:
                self._divert("the connection to Kafka is being renewed")
            for entry in self._order.uncopied():
                entry.settle(FateUnknownError(str(error)))
            for entry in self._order.end_batch():
                entry.is_lost = True
        else:
            for entry in self._order.end_batch():
                entry.settle(None)
            self._acknowledged()
        self.sent_ms = None

    async def _send_spooled(self) -> None:
        spool = self._spool
        assert spool is not None
        link = self._link()
        if link is None or self.is_ending:
            await self._pause()
            return
        if self.refusal is None:
            self._order.begin_spooled(self._spooled.held)
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
        """Send a batch from the spool; return whether the broker has all of it. By its ``eid`` a record counts once."""
        # The time of sending, not of receipt: Kafka may expire a record by its time, and it forgets by the same time what an
        # idempotent producer wrote.
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
