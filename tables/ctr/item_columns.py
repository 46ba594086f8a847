"""Counts of many items, one dictionary for each counter: almost all items were only shown, and adding two dictionaries is cheap.

A column is named ``{counter}/{itemtype}``, as in ``rendered/1``, and maps an item (or an item, IMAGE_SEPARATOR and an image) to a number.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Final

import msgspec

from events.model import Currency
from tables.ctr.item_counts import ITEM_COUNTERS, ItemCounts
from tables.ctr.panes import MAX_AMOUNT, earn

IMAGE_SEPARATOR: Final = "\x1f"
"""Stands between an item and its image."""
SHOWN: Final = "rendered"
_MAX_REVENUE: Final = MAX_AMOUNT * 1_000_000
_COLUMN: Final = rf"^({'|'.join(ITEM_COUNTERS)})/[0-9]{{1,10}}\Z"

_ColumnName = Annotated[str, msgspec.Meta(pattern=_COLUMN)]
_ItemName = Annotated[str, msgspec.Meta(max_length=600)]
_Number = Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]
"""A count. It is below 0 in a difference: a login can move what another partition counted."""
_Columns = dict[_ColumnName, dict[_ItemName, _Number]]


class ItemColumns(msgspec.Struct, array_like=True, gc=False):
    """Counts by column, and revenue by ``{itemtype}/{item}`` and currency."""

    counts: _Columns = msgspec.field(default_factory=dict)
    revenue: dict[_ItemName, dict[Currency, Decimal]] = msgspec.field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of values."""
        return sum(map(len, self.counts.values())) + len(self.revenue)

    def earn(self, name: str, currency: str, amount: Decimal) -> None:
        """Add revenue, which may take back what was counted before. A currency without revenue is left out."""
        revenue = self.revenue.setdefault(name, {})
        earn(revenue, currency, amount)
        if not revenue:
            del self.revenue[name]

    def add(self, other: "ItemColumns") -> None:
        """Add all counts of ``other``, in place."""
        for column, added in other.counts.items():
            self.add_column(column, added)
        for name, revenue in other.revenue.items():
            for currency, amount in revenue.items():
                self.earn(name, currency, amount)

    def add_column(self, column: str, added: Mapping[str, int]) -> None:
        """Add the counts of some items to a column."""
        into = self.counts.get(column)
        if into is None:
            self.counts[column] = dict(added)
            return
        get = into.get
        for item, times in added.items():
            into[item] = get(item, 0) + times

    def is_possible(self) -> bool:
        """Tell whether sums of the revenue stay exact. Any producer may write to the topic that it comes from."""
        return all(
            amount.is_finite() and abs(amount) <= _MAX_REVENUE
            for revenue in self.revenue.values()
            for amount in revenue.values()
        )

    def by_item(self) -> Iterator[tuple[str, ItemCounts]]:
        """Yield ``{itemtype}/{item}`` and the counts of each item that has any."""
        by_type: dict[str, dict[str, dict[str, int]]] = {}
        for column, counts in self.counts.items():
            counter, _, itemtype = column.partition("/")
            by_type.setdefault(itemtype, {})[counter] = counts
        for itemtype, columns in by_type.items():
            for item in dict.fromkeys(item for column in columns.values() for item in column):
                name = f"{itemtype}/{item}"
                found = {counter: column[item] for counter, column in columns.items() if column.get(item)}
                revenue = self.revenue.get(name)
                if found or revenue:
                    yield name, ItemCounts(**found, revenue=revenue)
