"""Windows between any bounds, such as the days of a time zone: what is read for them, and whether all of it is still stored.

A window is the sum of the days (UTC), hours and minutes that fit in it. A bound within a stored day or hour splits it: its hours or
minutes are read instead. They are not kept as long. So of what is a week old, the split day or hour is read too, and must be their sum.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from events.topics import DAY_MS
from tables.ctr.local_days import LocalSteps
from tables.ctr.panes import COUNTERS, Counts, add
from tables.ctr.window_keys import PANE_GRANULARITY
from tables.ctr.window_sums import StoredSpan, WindowRow, cover, step_end
from tables.ctr.windows import GRANULARITY_MS, floor

_COARSER: Final = {PANE_GRANULARITY: "hour", "hour": "day"}
_SURE_MS: Final = 7 * DAY_MS
"""What is not older has all its minutes and hours: a minute is kept for 8 days after its last event was received."""
_Stored = tuple[str, int]  # granularity and start


class LocalReading:
    """What is read for the windows of ``steps``. Offer each row that was read to ``takes``, then ask ``missing``."""

    def __init__(self, steps: LocalSteps) -> None:
        self._bounds = steps.bounds
        self._split: dict[_Stored, Counts] = {}
        self._parts: dict[_Stored, Counts] = defaultdict(Counts)
        self.segments = self._segments(steps)
        """The stored spans to read, in this order. Of a day or hour that is split, its own row comes before its parts: in between,
        events may be counted, and the parts must not lack them."""

    def takes(self, row: WindowRow) -> bool:
        """Return whether a row is part of a window."""
        key = row.key
        whole = self._whole(key.granularity, key.start_ms)
        if whole in self._split:
            add(self._parts[whole], row.counts)
        split = self._split.get((key.granularity, key.start_ms))
        if split is not None:
            add(split, row.counts)
            return False
        return self._bounds[0] <= key.start_ms < self._bounds[-1]

    def missing(self) -> str | None:
        """Return the granularity of which rows are no longer stored that the windows need; None if they are complete."""
        for whole, counts in self._split.items():
            parts = self._parts[whole]
            if any(getattr(parts, name) < getattr(counts, name) for name in COUNTERS):
                return PANE_GRANULARITY if whole[0] == "hour" else "hour"
        return None

    def _segments(self, steps: LocalSteps) -> list[StoredSpan]:
        found: dict[str, list[tuple[int, int]]] = {name: [] for name in reversed(GRANULARITY_MS)}
        for start_ms, end_ms in pairwise(steps.bounds):
            for granularity, from_ms, to_ms in cover(start_ms, end_ms):
                found[granularity].append((from_ms, to_ms))
        # Whole days are old or not: of an old day that is split, the hours that are split must be known as such.
        old_ms = step_end(steps.now_ms - _SURE_MS, DAY_MS)
        for granularity in (PANE_GRANULARITY, "hour"):
            coarser = _COARSER[granularity]
            size_ms = GRANULARITY_MS[coarser]
            for from_ms, to_ms in list(found[granularity]):
                for whole_ms in range(floor(from_ms, coarser), min(to_ms, old_ms), size_ms):
                    self._split[coarser, whole_ms] = Counts()
                    found[granularity].append((whole_ms, whole_ms + size_ms))
                    found[coarser].append((whole_ms, whole_ms + size_ms))
        return [
            StoredSpan(granularity, from_ms, to_ms)
            for granularity, spans in found.items()
            for from_ms, to_ms in _joined(spans)
        ]

    @staticmethod
    def _whole(granularity: str, start_ms: int) -> _Stored | None:
        coarser = _COARSER.get(granularity)
        return None if coarser is None else (coarser, floor(start_ms, coarser))


def window_at(bounds: Sequence[int], time_ms: int) -> tuple[int, int]:
    """Return the start and end of the window that holds a time within the bounds."""
    at = bisect_right(bounds, time_ms)
    return bounds[at - 1], bounds[at]


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the spans in order, with those that touch or overlap as one."""
    joined: list[tuple[int, int]] = []
    for from_ms, to_ms in sorted(spans):
        if joined and from_ms <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(to_ms, joined[-1][1])
        else:
            joined.append((from_ms, to_ms))
    return joined
