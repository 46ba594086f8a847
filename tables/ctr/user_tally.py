"""Tally of experiments: what the users of a partition change in the totals of variants until the next flush."""

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from tables.ctr.user_totals import NUMBERS, UserTotals, revenue_of, sum_of
from tables.ctr.window_keys import (
    EXPERIMENT,
    PANE_GRANULARITY,
    PANE_MS,
    WindowKey,
    experiment_name,
    experiment_of,
    pane_start,
)

_Place = tuple[str, str, str | None, int]  # customer, experiment, variant, time // PANE_MS


class UserTally:
    """The changes of totals since the last drain, by experiment, variant and minute."""

    def __init__(self) -> None:
        self._numbers: dict[_Place, list[int]] = {}
        self._revenue: dict[_Place, UserTotals | None] = {}

    def __len__(self) -> int:
        """Return the number of distinct places."""
        return len(self._numbers)

    def count(
        self,
        customer: str,
        experiment: str,
        variant: str | None,
        time_ms: int,
        times: int,
        shown: int = 0,
        clicks: int = 0,
        calls: int = 0,
        clicked_calls: int = 0,
        purchases: int = 0,
        revenue: Mapping[str, Decimal] | None = None,
    ) -> None:
        """Add one user with these numbers to the totals of a variant, or take it back (``times`` -1). Variant None: users of several."""
        place = (customer, experiment, variant, time_ms // PANE_MS)
        sums = self._numbers.get(place)
        if sums is None:
            sums = self._numbers[place] = [0] * NUMBERS
        sums[0] += times  # in the order of UserTotals; most numbers of most users are 0
        if shown:
            sums[1] += times * shown
            sums[2] += times * shown * shown
        if clicks:
            sums[3] += times * clicks
            sums[4] += times * clicks * clicks
            sums[5] += times * clicks * shown
            sums[13] += times * purchases * clicks
        if calls:
            sums[6] += times * calls
            sums[7] += times * calls * calls
            sums[10] += times * clicked_calls * calls
        if clicked_calls:
            sums[8] += times * clicked_calls
            sums[9] += times * clicked_calls * clicked_calls
        if purchases:
            sums[11] += times * purchases
            sums[12] += times * purchases * purchases
        if revenue:
            earned = UserTotals(revenue=revenue_of(revenue, calls))
            self._revenue[place] = sum_of(self._revenue.get(place), earned, times)

    def drain(self, name_of: Callable[[str, str | None], str]) -> Iterator[tuple[WindowKey, UserTotals]]:
        """Yield each pane with what changes in it, and empty the tally.

        ``name_of`` returns the name that an experiment counts under, as if it was a scenario. If there are so many names that it has
        no place, the experiment is not counted.
        """
        numbers, self._numbers = self._numbers, {}
        revenue, self._revenue = self._revenue, {}
        for place, sums in numbers.items():
            fields: list[Any] = sums
            totals = sum_of(UserTotals(*fields), revenue.get(place))
            if totals is None:
                continue
            customer, experiment, variant, minute = place
            name = name_of(customer, experiment_name(experiment))
            if experiment_of(name) is not None:
                start_ms = pane_start(minute * PANE_MS)
                yield WindowKey(customer, name, EXPERIMENT, PANE_GRANULARITY, start_ms, variant), totals
