"""Totals over users add up exactly, whatever the order, and what leaves takes back all that it brought."""

import random
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tables.ctr import partials
from tables.ctr.panes import Counts, Pane
from tables.ctr.user_totals import RevenueTotals, UserTotals, are_storable, sum_of
from tables.ctr.window_keys import EXPERIMENT, WindowKey, experiment_name
from tests.support.user_totals import of_user

numbers = st.integers(-1_000_000, 1_000_000)
amounts = st.decimals(-(10**15), 10**15, places=6)
users = st.builds(
    of_user,
    numbers,
    numbers,
    numbers,
    numbers,
    numbers,
    st.dictionaries(st.sampled_from(("EUR", "JPY", "USD")), amounts, max_size=3),
)


@given(st.lists(users, max_size=8), st.integers(0, 100))
def test_sum_does_not_depend_on_the_order_and_ends_at_nothing(each: list[UserTotals], seed: int) -> None:
    total: UserTotals | None = None
    for user in each:
        total = sum_of(total, user)
    shuffled = random.Random(seed).sample(each, len(each))
    other: UserTotals | None = None
    for user in shuffled:
        other = sum_of(other, user)
    assert total == other
    for user in shuffled:
        total = sum_of(total, user, -1)
    assert total is None


@given(users, users)
def test_change_of_a_user_is_the_difference_of_its_totals(before: UserTotals, after: UserTotals) -> None:
    change = sum_of(after, before, -1)
    assert sum_of(before, change) == after


def test_partial_with_totals_that_cannot_be_stored_is_refused() -> None:
    for totals, is_refused in ((UserTotals(5), False), (UserTotals(10**18), True)):
        key = WindowKey("c", experiment_name("e"), EXPERIMENT, "minute", 0, "A")
        ((_, raw),) = partials.records({key: Pane(Counts(user_totals=totals))}, 0)
        if is_refused:
            with pytest.raises(msgspec.ValidationError, match="total over users"):
                partials.decode(raw)
        else:
            assert partials.decode(raw).panes[0].counts.user_totals == totals


def test_user_has_squares_and_products() -> None:
    found = of_user(5, 2, 4, 3, 6, {"EUR": Decimal("1.50"), "JPY": Decimal(0)})
    assert msgspec.structs.astuple(found) == (
        *(1, 5, 25, 2, 4, 10, 4, 16, 3, 9, 12, 6, 36, 12),
        {"EUR": RevenueTotals(Decimal("1.50"), Decimal("2.2500"), Decimal("6.00"))},
    )


@pytest.mark.parametrize(
    ("totals", "is_storable"),
    [
        (of_user(10**6, 10**6, 10**6, 10**6, 10**6, {"EUR": Decimal(10**15)}), True),
        (UserTotals(shown_squared=10**18), False),
        (UserTotals(users=-(10**18)), False),
        (UserTotals(revenue={"EUR": RevenueTotals(Decimal("Infinity"))}), False),
        (UserTotals(revenue={"EUR": RevenueTotals(squared=Decimal("1E+41"))}), False),
    ],
)
def test_numbers_that_cannot_be_stored_are_known(totals: Any, is_storable: bool) -> None:
    assert are_storable(totals) is is_storable
