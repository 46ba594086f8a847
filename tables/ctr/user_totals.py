"""Totals over the users of an experiment's variant: how many they are, and sums, squares and products of what each did.

A partition sends what its users change in them. When a user's number grows from a to b, the sum of squares grows by b² - a². So the
sums of all partitions are exact, and each user counts once. docs/decisions/0023 has the reasons.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from events.money import EXACT

_MOST: Final = 10**17
_MOST_REVENUE: Final = Decimal(10) ** 40
"""In one minute of one partition: the squares of all revenue that a pane takes are less."""


class RevenueTotals(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Sums of users' revenue in one currency, of its squares, and of its products with the users' calls: exact decimals."""

    revenue: Decimal = Decimal(0)
    squared: Decimal = Decimal(0)
    by_calls: Decimal = Decimal(0)


class UserTotals(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Sums over users. ``shown`` sums the items shown to each, ``shown_squared`` the squares, ``clicks_by_shown`` the products."""

    users: int = 0
    shown: int = 0
    shown_squared: int = 0
    clicks: int = 0
    clicks_squared: int = 0
    clicks_by_shown: int = 0
    calls: int = 0
    calls_squared: int = 0
    clicked_calls: int = 0
    clicked_calls_squared: int = 0
    clicked_calls_by_calls: int = 0
    purchases: int = 0
    purchases_squared: int = 0
    purchases_by_clicks: int = 0
    revenue: dict[str, RevenueTotals] = msgspec.field(default_factory=dict)
    """Currency -> its sums. A currency whose sums are all 0 is left out."""


NUMBERS: Final = len(UserTotals.__struct_fields__) - 1
"""How many whole numbers there are, before the revenue."""
_NO_REVENUE: Final = RevenueTotals()


def revenue_of(revenue: Mapping[str, Decimal], calls: int) -> dict[str, RevenueTotals]:
    """Return the totals of one user's revenue, by currency."""
    return {
        currency: RevenueTotals(
            amount, EXACT.multiply(amount, amount), EXACT.multiply(amount, Decimal(calls))
        )
        for currency, amount in revenue.items()
        if amount
    }


def sum_of(a: UserTotals | None, b: UserTotals | None, times: int = 1) -> UserTotals | None:
    """Return a + times * b, or None if all of it is 0. None is 0."""
    a, b = a or UserTotals(), b or UserTotals()
    ours, others = msgspec.structs.astuple(a), msgspec.structs.astuple(b)
    numbers = [x + times * y for x, y in zip(ours[:NUMBERS], others[:NUMBERS], strict=True)]
    revenue = a.revenue
    if b.revenue:
        revenue = dict(revenue)
        for currency, money in b.revenue.items():
            earned = _plus(revenue.get(currency, _NO_REVENUE), money, Decimal(times))
            if any(msgspec.structs.astuple(earned)):
                revenue[currency] = earned
            else:
                revenue.pop(currency, None)
    fields: list[Any] = [*numbers, revenue]
    return UserTotals(*fields) if any(fields) else None


def _plus(a: RevenueTotals, b: RevenueTotals, times: Decimal) -> RevenueTotals:
    ours, others = msgspec.structs.astuple(a), msgspec.structs.astuple(b)
    return RevenueTotals(*[EXACT.add(x, EXACT.multiply(times, y)) for x, y in zip(ours, others, strict=True)])


def are_storable(totals: UserTotals) -> bool:
    """Tell whether all numbers are so small that sums of them can be stored."""
    numbers = msgspec.structs.astuple(totals)[:NUMBERS]
    money = [amount for revenue in totals.revenue.values() for amount in msgspec.structs.astuple(revenue)]
    return all(abs(number) <= _MOST for number in numbers) and all(
        amount.is_finite() and abs(amount) <= _MOST_REVENUE for amount in money
    )
