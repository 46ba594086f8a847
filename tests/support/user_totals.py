"""Totals of one user, by the definition of each sum."""

from collections.abc import Mapping
from decimal import Context, Decimal

from tables.ctr.user_totals import RevenueTotals, UserTotals

WIDE = Context(prec=100)


def of_user(
    shown: int, clicks: int, calls: int, clicked_calls: int, purchases: int, revenue: Mapping[str, Decimal]
) -> UserTotals:
    money = {
        currency: RevenueTotals(amount, WIDE.multiply(amount, amount), WIDE.multiply(amount, calls))
        for currency, amount in revenue.items()
        if amount
    }
    return UserTotals(
        1,
        shown,
        shown**2,
        clicks,
        clicks**2,
        clicks * shown,
        calls,
        calls**2,
        clicked_calls,
        clicked_calls**2,
        clicked_calls * calls,
        purchases,
        purchases**2,
        purchases * clicks,
        money,
    )
