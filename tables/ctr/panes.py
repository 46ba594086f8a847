"""Panes, the counts of one partition in one minute, and the tally that becomes panes at a flush.

Table ``panes``. Key: WindowKey bytes. Value: Pane. Expires: 7 days after its last event was received. A repeated event counts again;
the table ``seen`` stops it before.
"""

from collections import defaultdict
from collections.abc import Callable, Container, Mapping
from decimal import Decimal
from typing import Final

import msgspec

from events.money import EXACT
from tables.base.table_spec import TableSpec
from tables.ctr.user_tally import UserTally
from tables.ctr.user_totals import UserTotals, sum_of
from tables.ctr.window_keys import (
    PANE_GRANULARITY,
    PANE_MS,
    POSITION,
    SCENARIO,
    UNKNOWN_SCENARIO,
    VARIANT,
    WindowKey,
    pane_start,
)

PANE_KEEP_MS: Final = 7 * 86_400_000  # by received time, as everywhere
MAX_AMOUNT: Final = Decimal(10) ** 15
_NOTHING: Final = Decimal(0)


class Counts(msgspec.Struct, array_like=True, gc=False):
    """The counters of a pane or window (docs/topics-and-tables.md). They are stored as an array, so append new ones at the end.

    ``rendered`` and ``viewed`` count items. ``attributed_clicks`` are in the pane of their impression. ``revenue`` is per currency.
    ``user_totals`` is of experiments only (tables/ctr/user_totals.py).
    """

    calls: int = 0
    rendered: int = 0
    viewed: int = 0
    clicks: int = 0
    attributed_clicks: int = 0
    consumed: int = 0
    basket: int = 0
    purchases: int = 0
    revenue: dict[str, Decimal] = msgspec.field(default_factory=dict)
    clicked_calls: int = 0
    unlabelled_impressions: int = 0
    bots: int = 0
    user_totals: UserTotals | None = None


COUNTERS: Final = tuple(name for name in Counts.__struct_fields__ if name not in ("revenue", "user_totals"))
"""The names of the whole-number counters."""


def add(into: Counts, other: Counts) -> None:
    """Add ``other`` to ``into``, in place."""
    into.calls += other.calls
    into.rendered += other.rendered
    into.viewed += other.viewed
    into.clicks += other.clicks
    into.attributed_clicks += other.attributed_clicks
    into.consumed += other.consumed
    into.basket += other.basket
    into.purchases += other.purchases
    into.clicked_calls += other.clicked_calls
    into.unlabelled_impressions += other.unlabelled_impressions
    into.bots += other.bots
    for currency, amount in other.revenue.items():
        earn(into.revenue, currency, amount)
    if other.user_totals is not None:
        into.user_totals = sum_of(into.user_totals, other.user_totals)


def earn(revenue: dict[str, Decimal], currency: str, amount: Decimal) -> None:
    """Add an amount, which may take back what was counted before. A currency without revenue is left out."""
    earned = EXACT.add(revenue.get(currency, _NOTHING), amount)
    if earned:
        revenue[currency] = earned
    else:
        revenue.pop(currency, None)


def subtract(a: Counts, b: Counts) -> Counts:
    """Return a - b as new counts, without currencies whose difference is zero."""
    revenue = dict(a.revenue)
    for currency, amount in b.revenue.items():
        revenue[currency] = EXACT.subtract(revenue.get(currency, _NOTHING), amount)
    return Counts(
        calls=a.calls - b.calls,
        rendered=a.rendered - b.rendered,
        viewed=a.viewed - b.viewed,
        clicks=a.clicks - b.clicks,
        attributed_clicks=a.attributed_clicks - b.attributed_clicks,
        consumed=a.consumed - b.consumed,
        basket=a.basket - b.basket,
        purchases=a.purchases - b.purchases,
        clicked_calls=a.clicked_calls - b.clicked_calls,
        unlabelled_impressions=a.unlabelled_impressions - b.unlabelled_impressions,
        bots=a.bots - b.bots,
        revenue={currency: amount for currency, amount in revenue.items() if amount},
        user_totals=a.user_totals if b.user_totals is None else sum_of(a.user_totals, b.user_totals, -1),
    )


def is_zero(counts: Counts) -> bool:
    """Tell whether nothing was counted."""
    return not (
        counts.rendered
        or counts.calls
        or counts.viewed
        or counts.clicks
        or counts.attributed_clicks
        or counts.consumed
        or counts.basket
        or counts.purchases
        or counts.clicked_calls
        or counts.unlabelled_impressions
        or counts.bots
        or any(counts.revenue.values())
        or counts.user_totals is not None
    )


def is_amount(amount: Decimal) -> bool:
    """Tell whether an amount is a possible price: finite, and so small that sums of it stay exact."""
    return amount.is_finite() and abs(amount) <= MAX_AMOUNT


class Pane(msgspec.Struct, array_like=True, gc=False):
    """The absolute counts of this partition in one minute, since ``epoch_ms``.

    ``version`` grows with each flush that changes the pane. ``epoch_ms`` is the received time at which the pane was created. An
    expired pane that is created again starts from zero in a new epoch. The merge then adds its counts instead of replacing the former
    ones. ``is_history`` is true while only events of the history lane were counted.
    """

    counts: Counts = msgspec.field(default_factory=Counts)
    version: int = 0
    received_ms: int = 0
    epoch_ms: int = 0
    is_history: bool = False


def _has_expired(pane: Pane, received_ms: int) -> bool:
    """Tell whether the pane has expired when events received at ``received_ms`` are folded."""
    return received_ms - pane.received_ms > PANE_KEEP_MS


def _name_of(_customer: str, scenario: str | None) -> str:
    return scenario or UNKNOWN_SCENARIO


_POSITIONS: Final = "position"
"""A dimension that a customer can switch off; those of items are in tables/ctr/item_tally.py."""

_NameOf = Callable[[str, str | None], str]
# counter or currency, customer, scenario, variant, time // PANE_MS, row, rank of the first item, number of items
# (0: the event is not about items)
_Place = tuple[str, str, str | None, str | None, int, int | None, int | None, int]


class Tally:
    """The counts of a partition since its last flush, before they become panes.

    ``count`` is one dictionary operation per event, whatever its number of items and dimensions. ``drain`` does the rest, once for each
    distinct place. To drop the tally is to drop the counts that were not flushed.
    """

    def __init__(self, switched_off: Mapping[str, Container[str]] | None = None) -> None:
        """``switched_off``: the dimensions that a customer does not count. The caller may change it at any time."""
        self._switched_off: Mapping[str, Container[str]] = {} if switched_off is None else switched_off
        self._counted: defaultdict[_Place, int] = defaultdict(int)
        self._revenue: defaultdict[_Place, Decimal] = defaultdict(Decimal)
        self.users = UserTally()

    def __len__(self) -> int:
        """Return the number of distinct places. The next drain changes about three rows for each."""
        return len(self._counted) + len(self._revenue) + len(self.users)

    def count(
        self,
        counter: str,
        customer: str,
        scenario: str | None,
        variant: str | None,
        time_ms: int,
        row: int | None = None,
        rank: int | None = None,
        items: int = 1,
        times: int = 1,
    ) -> None:
        """Count an event about ``items`` successive ranks, the first at ``rank``, in the pane of ``time_ms``.

        ``counter`` is one of COUNTERS. Scenario and variant get ``items``, and each position gets 1. Without a rank, all items count
        at the position (row, None). With ``items=0`` (a recommendation call), scenario and variant get 1, and no position counts.
        ``times`` repeats the event; below 0 it takes back what was counted, here or in another partition.
        """
        self._counted[counter, customer, scenario, variant, time_ms // PANE_MS, row, rank, items] += times

    def add_revenue(
        self,
        customer: str,
        scenario: str | None,
        variant: str | None,
        time_ms: int,
        currency: str,
        amount: Decimal,
        row: int | None = None,
        rank: int | None = None,
    ) -> None:
        """Add the exact revenue of one item to the pane of ``time_ms``.

        Ignore an amount that is not a possible price. A producer other than the collector may write 1E+999999, and all other amounts
        would be lost in the sum.
        """
        if not is_amount(amount):
            return
        place = (currency, customer, scenario, variant, time_ms // PANE_MS, row, rank, 1)
        self._revenue[place] = EXACT.add(self._revenue[place], amount)

    def drain(
        self, load: Callable[[WindowKey], Pane | None], received_ms: int, name_of: _NameOf = _name_of
    ) -> dict[WindowKey, Pane]:
        """Return the panes that changed since the last drain, with absolute counts, and empty the tally.

        ``load`` returns a stored pane, which is changed, or None. ``received_ms`` is when the newest folded event was received. An
        expired pane, swept or not, is created again. ``name_of`` returns the name that a customer's scenario counts under. It is asked in
        the order in which the log first named the scenarios.
        """
        counted, self._counted = self._counted, defaultdict(int)
        revenue, self._revenue = self._revenue, defaultdict(Decimal)
        changed: dict[WindowKey, Pane] = {}

        def counts_of(key: WindowKey) -> Counts:
            pane = changed.get(key)
            if pane is None:
                pane = load(key)
                if pane is None or _has_expired(pane, received_ms):
                    pane = Pane(epoch_ms=received_ms)
                pane.version += 1
                pane.received_ms = max(pane.received_ms, received_ms)
                changed[key] = pane
            return pane.counts

        for place, times in counted.items():
            for key, amount in self._panes_of(place, name_of(place[1], place[2])):
                counts = counts_of(key)
                setattr(counts, place[0], getattr(counts, place[0]) + amount * times)
        for place, money in revenue.items():
            for key, _ in self._panes_of(place, name_of(place[1], place[2])):
                earn(counts_of(key).revenue, place[0], money)
        for key, totals in self.users.drain(name_of):
            counts = counts_of(key)
            counts.user_totals = sum_of(counts.user_totals, totals)
        return changed

    def _panes_of(self, place: _Place, scenario: str) -> list[tuple[WindowKey, int]]:
        """Return the panes that a place counts in under a scenario's name, each with the amount to add per event."""
        _, customer, _, variant, minute, row, rank, items = place
        variant = variant or None
        start_ms = pane_start(minute * PANE_MS)
        total = items or 1
        switched_off = self._switched_off.get(customer, ())
        panes = [
            (WindowKey(customer, scenario, SCENARIO, PANE_GRANULARITY, start_ms), total),
            (WindowKey(customer, scenario, VARIANT, PANE_GRANULARITY, start_ms, variant), total),
        ]
        if items and _POSITIONS not in switched_off:
            by_rank = [(None, items)] if rank is None else [(rank + i, 1) for i in range(items)]
            panes += [
                (
                    WindowKey(customer, scenario, POSITION, PANE_GRANULARITY, start_ms, variant, row, at),
                    amount,
                )
                for at, amount in by_rank
            ]
        return panes


TABLE: Final = TableSpec(
    "panes",
    Pane,
    key="a minute",
    value="what this partition counted in it, with version and epoch",
    expiry="after 7 days",
    is_user_table=False,
    has_expired=lambda _key, pane, now_ms: _has_expired(pane, now_ms),
    memory_per_row=155,
    memory_per_byte=8,
)
