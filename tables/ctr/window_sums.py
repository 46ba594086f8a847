"""Sums of stored windows, for any span and any step of whole minutes.

Only minutes, hours and days are stored. Other windows, such as 5 minutes, 12 hours, an ISO week or a sliding span, are sums of them.
"""

from bisect import bisect_right
from collections.abc import Generator, Iterable, Iterator, Sequence, Set
from heapq import merge
from itertools import islice
from typing import Final, NamedTuple

import msgspec

from events.topics import DAY_MS
from tables.base.long_lists import used_up
from tables.ctr.panes import Counts, add
from tables.ctr.unique_users import UniqueUsers
from tables.ctr.window_keys import CUSTOMER, MAX_TIME_MS, POSITION, SCENARIO, VARIANT, WindowKey
from tables.ctr.windows import GRANULARITY_MS, MINUTE_MS

WEEK_MS: Final = 7 * DAY_MS
_MONDAY_MS: Final = 4 * DAY_MS  # 1970-01-05 was the first Monday
_COARSEST_FIRST: Final = tuple(reversed(GRANULARITY_MS))
_RUN: Final = 1_000  # places that are sorted at once


class _Place(msgspec.Struct, frozen=True, gc=False):
    """What a sum is for. A large answer has 100,000 of them, and of rows: none is an object of the garbage collector."""

    start_ms: int
    scenario: str
    variant: str | None
    row: int | None
    rank: int | None


class WindowRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One stored window, as lookups read it. In the partition that it comes from, windows that ended by ``over_ms`` are final.

    Between workers it is a JSON array.
    """

    key: WindowKey
    counts: Counts
    revision: int = 0
    is_final: bool = False
    over_ms: int = MAX_TIME_MS


class StoredSpan(NamedTuple):
    """A span ``[from_ms, to_ms)`` to read from the windows of one stored granularity."""

    granularity: str
    from_ms: int
    to_ms: int


class WindowSum(msgspec.Struct, gc=False):
    """The counts in ``[start_ms, end_ms)`` of one scenario, and of one variant and position if the caller asked for them."""

    start_ms: int
    end_ms: int
    scenario: str
    variant: str | None
    row: int | None
    rank: int | None
    counts: Counts
    revision: int
    is_final: bool
    item: str | None = None
    image: str | None = None
    users: UniqueUsers | None = None
    clickers: UniqueUsers | None = None


def dimension_of(by: Set[str]) -> str:
    """Return the stored dimension for ``by``, a subset of ``variant`` and ``position`` (row x rank), or ``customer``."""
    if "customer" in by:
        return CUSTOMER
    if "position" in by:
        return POSITION
    return VARIANT if "variant" in by else SCENARIO


def step_start(time_ms: int, step_ms: int) -> int:
    """Return the start of the window of ``step_ms`` that holds a time. Whole weeks begin on Monday, other steps count from 1970."""
    origin_ms = _MONDAY_MS if step_ms % WEEK_MS == 0 else 0
    return time_ms - (time_ms - origin_ms) % step_ms


def step_end(time_ms: int, step_ms: int) -> int:
    """Return the first start of a window of ``step_ms`` at or after a time."""
    start_ms = step_start(time_ms, step_ms)
    return start_ms if start_ms == time_ms else start_ms + step_ms


def segments(from_ms: int, to_ms: int, step_ms: int | None = None) -> list[StoredSpan]:
    """Return the stored spans that cover a span, in order of time, each of the coarsest windows that fit.

    With a step, the span is widened to whole steps, otherwise to whole minutes.
    """
    unit_ms = step_ms or MINUTE_MS
    start_ms = max(0, step_start(from_ms, unit_ms))
    stop_ms = step_end(min(to_ms, MAX_TIME_MS), unit_ms)
    if step_ms is None:
        return cover(start_ms, stop_ms)
    fitting = next(name for name in _COARSEST_FIRST if step_ms % GRANULARITY_MS[name] == 0)
    return [StoredSpan(fitting, start_ms, stop_ms)] if start_ms < stop_ms else []


def sum_windows(
    rows: Iterable[WindowRow], by: Set[str], from_ms: int, to_ms: int, step_ms: int | None, as_of_ms: int
) -> list[WindowSum]:
    """Return the sums of rows of one dimension, for each step, scenario, variant and position.

    ``rows`` are those of ``segments``, in any order. Without a step, one sum spans the whole time. Without ``variant`` in ``by``, a sum
    is over all variants. A sum is final if all of its rows are final, and its end is not after ``as_of_ms`` or any row's ``over_ms``.
    Its revision is the sum of theirs. The result is ordered by start, scenario, variant, row and rank; absent values come first.
    """
    sums = WindowSums(by, from_ms, to_ms, step_ms, as_of_ms)
    for row in rows:
        sums.add(row)
    return sums.ordered()


class WindowSums:
    """The sums of ``sum_windows``, built row by row, so that a caller can pause between two rows."""

    def __init__(
        self,
        by: Set[str],
        from_ms: int,
        to_ms: int,
        step_ms: int | None,
        as_of_ms: int,
        bounds: Sequence[int] = (),
    ) -> None:
        """With ``bounds`` a window lasts from one bound to the next, whatever the step."""
        self._by, self._from_ms, self._to_ms = by, from_ms, to_ms
        self._step_ms, self._as_of_ms, self._bounds = step_ms, as_of_ms, bounds
        self._sums: dict[_Place, WindowSum] = {}

    def __len__(self) -> int:
        """Return the number of sums."""
        return len(self._sums)

    def add(self, window: WindowRow) -> None:
        """Add a stored window to its sum."""
        key, step_ms = window.key, self._step_ms
        if self._bounds:
            at = bisect_right(self._bounds, key.start_ms)
            start_ms, end_ms = self._bounds[at - 1], self._bounds[at]
        elif step_ms is None:
            start_ms, end_ms = step_start(self._from_ms, MINUTE_MS), step_end(self._to_ms, MINUTE_MS)
        else:
            start_ms = step_start(key.start_ms, step_ms)
            end_ms = start_ms + step_ms
        variant = key.variant if "variant" in self._by else None
        place = _Place(start_ms, key.scenario, variant, key.row, key.rank)
        found = self._sums.get(place)
        if found is None:
            is_over = end_ms <= self._as_of_ms
            found = self._sums[place] = WindowSum(
                start_ms, end_ms, key.scenario, variant, key.row, key.rank, Counts(), 0, is_over
            )
        add(found.counts, window.counts)
        found.revision += window.revision
        found.is_final = found.is_final and window.is_final and end_ms <= window.over_ms

    def ordered(self) -> list[WindowSum]:
        """Return the sums by start, scenario, variant, row and rank."""
        return [self._sums[place] for place in sorted(self._sums, key=_order)]

    def in_order(self) -> Generator[None, None, Iterator[WindowSum]]:
        """Return ``ordered`` in steps, as an iterator that frees each sum after it. It uses the sums up."""
        rest, runs = iter(self._sums), list[list[_Place]]()
        while run := sorted(islice(rest, _RUN), key=_order):
            runs.append(run)
            yield
        # The merge keeps all runs to its end. To free 100,000 places then would take 30 ms.
        return (self._sums.pop(place) for place in merge(*map(used_up, runs), key=_order))


def total(windows: Iterable[WindowSum]) -> Counts:
    """Return the counts of all windows together."""
    counts = Counts()
    for window in windows:
        add(counts, window.counts)
    return counts


def cover(start_ms: int, stop_ms: int, coarsest_first: tuple[str, ...] = _COARSEST_FIRST) -> list[StoredSpan]:
    """Return the stored spans of whole minutes that make up a span, in order of time, each of the coarsest windows that fit."""
    if start_ms >= stop_ms:
        return []
    granularity, *finer = coarsest_first
    size_ms = GRANULARITY_MS[granularity]
    inner_start_ms = step_end(start_ms, size_ms)
    inner_stop_ms = step_start(stop_ms, size_ms)
    if inner_start_ms >= inner_stop_ms:
        return cover(start_ms, stop_ms, tuple(finer))
    return [
        *cover(start_ms, inner_start_ms, tuple(finer)),
        StoredSpan(granularity, inner_start_ms, inner_stop_ms),
        *cover(inner_stop_ms, stop_ms, tuple(finer)),
    ]


def _order(place: _Place) -> tuple[int, str, str, int, int]:
    row = -1 if place.row is None else place.row
    rank = -1 if place.rank is None else place.rank
    return place.start_ms, place.scenario, place.variant or "", row, rank
