"""Counters of one item, or of one item with one image, in an answer."""

from decimal import Decimal
from typing import Final

import msgspec

from tables.ctr.panes import Counts, earn


class ItemCounts(msgspec.Struct, array_like=True, gc=False):
    """The counters of tables/ctr/panes.py that an item has. A call has no item, so what counts calls is missing.

    They are stored as an array, so append new ones at the end. ``revenue`` None: no revenue.
    """

    rendered: int = 0
    viewed: int = 0
    clicks: int = 0
    attributed_clicks: int = 0
    consumed: int = 0
    basket: int = 0
    purchases: int = 0
    revenue: dict[str, Decimal] | None = None


ITEM_COUNTERS: Final = tuple(name for name in ItemCounts.__struct_fields__ if name != "revenue")
"""The names of the whole-number counters."""


def add_item(into: ItemCounts, other: ItemCounts) -> None:
    """Add ``other`` to ``into``, in place."""
    into.rendered += other.rendered
    into.viewed += other.viewed
    into.clicks += other.clicks
    into.attributed_clicks += other.attributed_clicks
    into.consumed += other.consumed
    into.basket += other.basket
    into.purchases += other.purchases
    if other.revenue:
        revenue = dict(into.revenue or ())
        for currency, amount in other.revenue.items():
            earn(revenue, currency, amount)
        into.revenue = revenue or None


def as_counts(counts: ItemCounts) -> Counts:
    """Return the counters as those of a window, with 0 in what an item does not have."""
    return Counts(
        rendered=counts.rendered,
        viewed=counts.viewed,
        clicks=counts.clicks,
        attributed_clicks=counts.attributed_clicks,
        consumed=counts.consumed,
        basket=counts.basket,
        purchases=counts.purchases,
        revenue=dict(counts.revenue or {}),
    )
