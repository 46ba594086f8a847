"""The order of one partition's events: in flight, in the spool, waiting. Pure: no I/O, no clock.

The oldest events are in the batch in flight, then come those in the spool, then those that wait in memory. A batch ends before the
next one begins. While the spool holds events of the partition, newer events go behind them, until only a few are left there.
"""

from collections import deque
from itertools import islice
from typing import Final, Generic, Literal, NamedTuple, Protocol, TypeVar

_BATCH_RECORDS: Final = 5_000
_HANDOVER_RECORDS: Final = 2_000
"""With this many records or fewer in the spool, newer events wait in memory instead of going behind them."""

Admission = Literal["waits", "follows", "diverts", "full"]
"""Where a new event goes.

``waits``: it waits in memory. ``follows``: into the spool, behind older events. ``diverts``: into the spool, after all that waits.
``full``: nowhere, because too many events wait.
"""
Source = Literal["spool", "waiting"]
"""Where the next batch comes from."""


class _OrderedEvent(Protocol):
    """What the order needs to know of an event."""

    since_ms: int
    is_settled: bool
    """Whether its client has an answer."""
    is_copied: bool
    """Whether the spool has a copy, or is about to have one."""

    @property
    def has_eid(self) -> bool:
        """Whether the event counts once, however often it is sent."""
        ...


_E = TypeVar("_E", bound=_OrderedEvent)


class Diverted(NamedTuple, Generic[_E]):
    """Events that go into the spool, oldest first: ``copies`` of events in flight, then the events ``moved`` out of memory."""

    copies: list[_E]
    moved: list[_E]


class LaneOrder(Generic[_E]):
    """Keeps the events of one partition in order. At most ``limit`` of them wait.

    ``spooled`` is always the number of events that the spool holds of this partition; 0 without a spool.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: deque[_E] = deque()
        self._in_flight: list[_E] = []
        self._is_handing_on = False
        self._is_spool_ending = False

    def add(self, event: _E, spooled: int, *, is_refused: bool) -> Admission:
        """Say where a new event goes, and keep it if it waits. ``is_refused``: Kafka takes nothing of this partition now."""
        if spooled and not self._is_spool_ending:
            return "follows"
        if is_refused and not self._is_handing_on:
            return "diverts"
        if len(self._waiting) >= self._limit:
            return "full"
        self._waiting.append(event)
        return "waits"

    @property
    def waiting(self) -> int:
        """The number of events that wait in memory."""
        return len(self._waiting)

    @property
    def waiting_since_ms(self) -> int | None:
        """The time at which the oldest waiting event came; None if none waits."""
        return self._waiting[0].since_ms if self._waiting else None

    def next_source(self, spooled: int) -> Source | None:
        """Return where the next batch comes from; None if there is nothing to send."""
        if spooled:
            return "spool"
        if self._waiting:
            return "waiting"
        self._is_spool_ending = False
        return None

    # --- the batch ---

    def begin_batch(self, spooled: int) -> list[_E]:
        """Return the events to hand on next; none if the spool comes first. They keep waiting until ``handed_on``.

        Until then ``can_divert`` is false.
        """
        if spooled or not self._waiting:
            return []
        self._is_handing_on = True
        return list(islice(self._waiting, _BATCH_RECORDS))

    def handed_on(self, count: int) -> None:
        """Move the first ``count`` events of the batch from memory into flight; 0 if the producer took none."""
        self._is_handing_on = False
        self._in_flight = [self._waiting.popleft() for _ in range(count)]

    def end_batch(self) -> list[_E]:
        """Return the events of the batch that was in flight; now none is."""
        ended, self._in_flight = self._in_flight, []
        return ended

    def overdue(self, now_ms: int, timeout_ms: int) -> list[_E]:
        """Return the events in flight whose clients have waited for an answer for ``timeout_ms``."""
        return [
            event
            for event in self._in_flight
            if not event.is_settled and now_ms - event.since_ms >= timeout_ms
        ]

    # --- the spool ---

    @property
    def can_divert(self) -> bool:
        """Whether waiting events may go into the spool. Not during a hand-over: they would be in flight and in the spool."""
        return not self._is_handing_on

    def divert(self, *, with_copies: bool) -> Diverted[_E]:
        """Return what goes into the spool now, and keep none of it waiting.

        An event in flight may never arrive, so the spool gets a copy of it. An event without ``eid`` is never copied: both copies
        would count.
        """
        copies = (
            [event for event in self.uncopied() if event.has_eid and not event.is_settled]
            if with_copies
            else []
        )
        moved = list(self._waiting)
        self._waiting.clear()
        self._is_spool_ending = False
        return Diverted(copies, moved)

    def uncopied(self) -> list[_E]:
        """Return the events in flight of which the spool has no copy."""
        return [event for event in self._in_flight if not event.is_copied]

    def begin_spooled(self, spooled: int) -> None:
        """Note that a batch from the spool is sent. If it is one of the last, newer events wait in memory for it to end.

        Otherwise a lane under load would never leave the spool.
        """
        if spooled <= _HANDOVER_RECORDS:
            self._is_spool_ending = True
