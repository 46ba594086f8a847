"""As of when a worker has folded all that its source partitions hold.

It may fold more slowly than events come, and an open transaction hides their end from committed readers.

Pure: it receives the ends that a leader reported and when (monotonic ms), and returns ages. Everything that was there when the
high watermark was at an offset is folded once the worker has folded up to that offset.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from events.topics import JOURNAL, TRANSFERS

_MAX_REPORTS: Final = 64
DATED: Final = (JOURNAL, TRANSFERS)
"""Topics whose waiting records make answers old. What a history import or another worker's counts wait for does not."""


class Opaque(NamedTuple):
    """A source partition whose hidden records are older than what this worker has seen. They begin at ``offset``."""

    topic: str
    partition: int
    offset: int


@dataclass(slots=True)
class _End:
    """Reports (seen_ms, high watermark) whose records are not all read; all that was there at ``complete_ms`` is."""

    topic: str
    stable: int = 0
    reports: deque[tuple[int, int]] = field(default_factory=deque)
    complete_ms: int | None = None

    @property
    def is_hidden(self) -> bool:
        """Whether committed readers cannot reach what the oldest of these reports saw."""
        return bool(self.reports) and self.stable < self.reports[0][1]

    def add(self, seen_ms: int, high_watermark: int) -> None:
        """Add a report; when there are many, it replaces the newest."""
        if self.reports and high_watermark < self.reports[-1][1]:
            self.reports.clear()  # the log lost its end with its leader
        if len(self.reports) >= _MAX_REPORTS:
            self.reports.pop()
        self.reports.append((seen_ms, high_watermark))

    def settle(self, read: int) -> None:
        """Drop the reports up to which everything was read."""
        while self.reports and self.reports[0][1] <= read:
            self.complete_ms = self.reports.popleft()[0]


class Visibility:
    """Tracks what a worker has not read of its source partitions, where that is more than the last moments. Several threads use it."""

    def __init__(self, folded: Callable[[str, int], int]) -> None:
        """``folded`` returns the offset up to which the worker has folded a topic of a partition, 0 while the partition is not open."""
        self.folded = folded
        self._lock = threading.Lock()
        self._ends: dict[int, dict[str, _End]] = {}
        self._behind: dict[int, list[_End]] = {}
        """The ends of each partition with reports. It has no entry where all is folded, so a lookup pays one look into it."""

    def heard(
        self,
        topic: str,
        partition: int,
        seen_ms: int,
        stable: int,
        high_watermark: int,
        *,
        is_opening: bool = False,
    ) -> None:
        """Note where a leader said at ``seen_ms`` that a partition ends: for committed readers, and for itself.

        Once something is hidden or waits, the partition is behind until the worker has folded it. ``is_opening``: it is behind in any
        case.
        """
        folded = self.folded(topic, partition)
        with self._lock:
            ends = self._ends.setdefault(partition, {})
            end = ends.get(topic)
            if end is None:
                end = ends[topic] = _End(topic)
            end.stable = stable
            if is_opening:  # what was fetched before is not folded
                end.reports.clear()
                end.complete_ms = None
            else:
                end.settle(folded)
            waits = topic in DATED and folded < high_watermark
            if not (end.reports or is_opening or waits) and stable >= high_watermark:
                end.complete_ms = seen_ms
            else:
                end.add(seen_ms, high_watermark)
            self._note_behind(partition)

    def began(self, place: Opaque, began_ms: int) -> None:
        """Note that the transaction that hides records from ``place`` on began at ``began_ms``."""
        with self._lock:
            end = self._ends.get(place.partition, {}).get(place.topic)
            if end is not None and end.complete_ms is None and end.stable == place.offset:
                end.complete_ms = began_ms

    def opaque(self, now_ms: int, least_ms: int) -> list[Opaque]:
        """Return the places of which only the broker knows for how long they hide records, for ``least_ms`` at least."""
        with self._lock:
            return [
                Opaque(end.topic, partition, end.stable)
                for partition, ends in self._behind.items()
                for end in ends
                if end.is_hidden and end.complete_ms is None and now_ms - end.reports[0][0] >= least_ms
            ]

    def behind_ms(
        self, now_ms: int, partition: int, age_ms: Callable[[str], int | None] = lambda _: None
    ) -> int | None:
        """Return for how long events may have been unread: 0 if none is, None if that is not known.

        ``age_ms`` returns how old the record is with which the worker goes on in a topic, or an earlier one: for a backlog that was
        there at the opening.
        """
        if partition not in self._behind:
            return 0
        oldest_ms = dated = 0
        with self._lock:
            for end in self._behind.get(partition, ()):
                end.settle(self.folded(end.topic, partition))
                if end.reports and end.complete_ms is None and not end.is_hidden:
                    waits_ms = age_ms(end.topic)
                    if waits_ms is not None:
                        oldest_ms = max(oldest_ms, waits_ms)
                        dated += 1
            ends = self._note_behind(partition)
            known = [end.complete_ms for end in ends if end.complete_ms is not None]
        if len(known) + dated < len(ends):
            return None
        return max(0, oldest_ms, now_ms - min(known, default=now_ms))

    def forget(self) -> None:
        """Forget all partitions: those of a new generation of the group may have been elsewhere meanwhile."""
        with self._lock:
            self._ends = {}
            self._behind = {}

    def _note_behind(self, partition: int) -> list[_End]:
        behind = [end for end in self._ends[partition].values() if end.reports]
        rest = {number: ends for number, ends in self._behind.items() if number != partition}
        self._behind = rest | {partition: behind} if behind else rest
        return behind
