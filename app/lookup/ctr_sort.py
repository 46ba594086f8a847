"""The first windows of an order, found without sorting all of them."""

from collections.abc import Iterator
from heapq import heappush, heappushpop
from math import inf
from typing import Generic, Protocol, TypeVar

from app.lookup.ctr_query import Sort
from tables.ctr.rates import wilson

_Rank = tuple[float, float]


class _Clicked(Protocol):
    """Counters of clicks on what was shown."""

    @property
    def rendered(self) -> int: ...

    @property
    def attributed_clicks(self) -> int: ...


class _Counted(Protocol):
    """A window that has such counters."""

    @property
    def counts(self) -> _Clicked: ...


_W = TypeVar("_W", bound=_Counted)


class FirstWindows(Generic[_W]):
    """At most ``limit`` windows, the first by ``sort``. Each window costs little, so that a caller can pause between two.

    ``top`` begins with the highest lower bound of ``ctr_rendered``, ``flop`` with the lowest upper bound: a rate of few impressions
    is at neither end. Windows without an interval come last. None: the windows stay in the order in which they are offered.
    """

    def __init__(self, sort: Sort | None, limit: int) -> None:
        self._sort, self._limit = sort, limit
        self._offered = 0
        self.left_out = 0
        """The number of windows that were offered and not kept."""
        self._kept: list[tuple[_Rank, int, _W]] = []  # a heap whose first entry is the last of the order

    def offer(self, window: _W) -> None:
        """Keep a window if it is among the first."""
        self._offered += 1
        entry = (self._rank(window), -self._offered, window)
        if len(self._kept) < self._limit:
            heappush(self._kept, entry)
        else:
            heappushpop(self._kept, entry)
            self.left_out += 1

    def in_order(self) -> Iterator[_W]:
        """Yield the windows that were kept, the first one first, and let go of each."""
        self._kept.sort()  # no two entries have the same rank and number, so windows are never compared
        while self._kept:
            yield self._kept.pop()[2]

    def _rank(self, window: _W) -> _Rank:
        """Return a number that is greater for what comes earlier. Of equal bounds, the one with more impressions comes earlier."""
        if self._sort is None:
            return 0.0, 0.0
        rendered = window.counts.rendered
        interval = wilson(window.counts.attributed_clicks, rendered)
        if interval is None:
            return -inf, rendered
        return (interval[0] if self._sort == "top" else -interval[1]), rendered
