"""Items that a user bought or owns, with quantity and exact revenue: a reason for exclusion.

Key: user. Value: item -> quantity in whole units and millionths, orders, revenue per currency (decimal, stored as text), whether it is
owned, when first and last.
Expires: beyond 2,000 items, the items that the log touched longest ago. A repeated event counts again, because purchase logs contain
equal rows that are real. If it carries an eid, the table ``seen`` stops it before.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

import msgspec

from events.model import Buy, Owns
from events.money import EXACT, revenue_of
from events.quantity import MILLION, in_parts, of_parts
from tables.base.table_spec import TableSpec
from tables.user.items import drop_oldest, item_key


class Purchase(msgspec.Struct, array_like=True, gc=False):
    """One item: units and money of its orders, and whether an ``owns`` event reported it. Event times are over both kinds.

    A worker of a former version reads the whole units only.
    """

    whole: int
    revenue: dict[str, Decimal]
    first_ms: int
    last_ms: int
    owned: bool = False
    orders: int = 0
    millionths: int = 0

    @property
    def quantity(self) -> int | Decimal:
        """The units, in their shortest form."""
        return of_parts(self.whole, self.millionths)


class PurchasesState(msgspec.Struct, array_like=True, gc=False):
    """A user's purchases: item key -> Purchase, in touch order, the latest last."""

    items: dict[str, Purchase] = msgspec.field(default_factory=dict)


def buy(state: PurchasesState | None, event: Buy) -> PurchasesState:
    """Add an order: its quantity, and quantity x price in its currency. Without a price it has no revenue."""
    revenue: dict[str, Decimal] = {}
    if event.price is not None and event.currency is not None:
        _add(revenue, event.currency, revenue_of(event.price, event.quantity))
    quantity = event.quantity
    whole, millionths = (quantity, 0) if isinstance(quantity, int) else in_parts(quantity)
    purchase = Purchase(whole, revenue, event.time_ms, event.time_ms, False, 1, millionths)
    return _put(state, item_key(event.itemtype, event.item), purchase)


def own(state: PurchasesState | None, event: Owns) -> PurchasesState:
    """Mark the item as owned, without an order, a quantity or revenue."""
    purchase = Purchase(0, {}, event.time_ms, event.time_ms, True, 0)
    return _put(state, item_key(event.itemtype, event.item), purchase)


def merge(into: PurchasesState | None, other: PurchasesState) -> PurchasesState:
    """Merge a row that a login moved: sum quantities, orders and revenue. ``other`` is used up."""
    if into is None:
        return other
    for key, moved in other.items.items():
        _put(into, key, moved)
    return into


def _put(state: PurchasesState | None, key: str, more: Purchase) -> PurchasesState:
    if state is None:
        return PurchasesState({key: more})
    items = state.items
    known = items.pop(key, None)
    if known is not None:
        more.whole += known.whole
        more.millionths += known.millionths
        if more.millionths >= MILLION:
            more.whole, more.millionths = more.whole + 1, more.millionths - MILLION
        for currency, amount in known.revenue.items():
            _add(more.revenue, currency, amount)
        more.first_ms = min(more.first_ms, known.first_ms)
        more.last_ms = max(more.last_ms, known.last_ms)
        more.owned = more.owned or known.owned
        more.orders += known.orders
    items[key] = more
    drop_oldest(items)
    return state


def units(purchases: Iterable[Purchase]) -> int | Decimal:
    """Return the units of purchases together, in their shortest form."""
    whole = millionths = 0
    for purchase in purchases:
        whole += purchase.whole
        millionths += purchase.millionths
    return of_parts(whole, millionths) if millionths else whole


def _add(revenue: dict[str, Decimal], currency: str, amount: Decimal) -> None:
    """Add an amount, unless the sum would not be finite: producers other than the collector may write any price."""
    total = EXACT.add(revenue[currency], amount) if currency in revenue else amount
    if total.is_finite():
        revenue[currency] = total


TABLE: Final = TableSpec(
    "purchases",
    PurchasesState,
    key="user",
    value="item -> quantity in whole units and millionths, orders, exact revenue per currency, owned, first and last",
    expiry="beyond 2,000 items",
    merge=merge,
    memory_per_row=355,
    memory_per_byte=11.2,
)
