"""The first windows of an order, found without sorting all of them."""

from heapq import heappush, heappushpop
from math import inf

from app.lookup.ctr_query import Sort
from tables.ctr.rates import wilson
from tables.ctr.window_sums import WindowSum

_Rank = tuple[float, float]


class FirstWindows:
    """At most ``limit`` windows, the first by ``sort``. Each window costs little, so that a caller can pause between two.

    ``top`` begins with the highest lower bound of ``ctr_rendered``, ``flop`` with the lowest upper bound: a rate of few impressions
    is at neither end. Windows without an interval come last. None: the windows stay in the order in which they are offered.
    """

    def __init__(self, sort: Sort | None, limit: int) -> None:
        self._sort, self._limit = sort, limit
        self._offered = 0
        self._kept: list[
            tuple[_Rank, int, WindowSum]
        ] = []  # a heap whose first entry is the last of the order

    @property
    def left_out(self) -> int:
        """The number of windows that were offered and not kept."""
        return self._offered - len(self._kept)

    def offer(self, window: WindowSum) -> None:
        """Keep a window if it is among the first."""
        self._offered += 1
        entry = (self._rank(window), -self._offered, window)
        if len(self._kept) < self._limit:
            heappush(self._kept, entry)
        else:
            heappushpop(self._kept, entry)

    def in_order(self) -> list[WindowSum]:
        """Return the windows that were kept, the first one first."""
        return [window for _, _, window in sorted(self._kept, key=lambda entry: entry[:2], reverse=True)]

    def _rank(self, window: WindowSum) -> _Rank:
        """Return a number that is greater for what comes earlier. Of equal bounds, the one with more impressions comes earlier."""
        if self._sort is None:
            return 0.0, 0.0
        rendered = window.counts.rendered
        interval = wilson(window.counts.attributed_clicks, rendered)
        if interval is None:
            return -inf, rendered
        return (interval[0] if self._sort == "top" else -interval[1]), rendered
