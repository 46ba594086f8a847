"""Differences and lifts compared with a test for each lift, and laws of swaps, scales and looks."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import norm

from app.experiments.confidence_sequences import tightest_at
from app.experiments.differences import (
    LEAST_CONTRIBUTORS,
    LEAST_USERS,
    Difference,
    difference,
    too_few,
    users_needed,
)
from app.experiments.user_sums import UserSums

BOUNDARY = tightest_at(10_000, 0.05)


@st.composite
def shares(draw: st.DrawFn) -> UserSums:
    users = draw(st.integers(100, 100_000))
    clicked = draw(st.integers(1, users - 1))
    return UserSums.per_user(users, clicked, clicked)


def compared(base: UserSums, other: UserSums) -> Difference:
    found = difference(base, other, BOUNDARY)
    assert found is not None
    return found


def test_a_difference_by_hand() -> None:
    """1,000 of 5,000 users against 1,150 of 5,000, by the formulas of a difference of two shares."""
    found = compared(UserSums.per_user(5_000, 1_000, 1_000), UserSums.per_user(5_000, 1_150, 1_150))
    error = math.sqrt(0.2 * 0.8 / 4_999 + 0.23 * 0.77 / 4_999)
    reach = 3.0347  # at 10,000 users: sqrt(growth + 1), with growth = 8.2095 = log(9.2095) + 2 log(20)
    assert math.log(9.2095) + 2 * math.log(20) == pytest.approx(8.2117, abs=0.001)
    assert found.absolute.value == pytest.approx(0.03)
    assert found.absolute.low == pytest.approx(0.03 - reach * error, abs=1e-5)
    assert found.absolute.high == pytest.approx(0.03 + reach * error, abs=1e-5)
    assert found.lift is not None
    assert found.lift.value == pytest.approx(0.15)


@given(shares(), shares())
def test_the_lift_holds_what_a_test_of_each_lift_does_not_reject(base: UserSums, other: UserSums) -> None:
    """At both ends of the interval, ``rate - (1 + lift) * base rate`` is at the boundary; inside it is nearer, outside farther."""
    found = compared(base, other)
    assume(found.lift is not None)
    assert found.lift is not None
    assert base.rate is not None
    assert other.rate is not None
    assert base.variance is not None
    assert other.variance is not None
    reach = BOUNDARY.standard_errors(found.users)

    def distance(lift: float) -> float:
        gap = other.rate - (1 + lift) * base.rate
        return abs(gap) / math.sqrt(other.variance + (1 + lift) ** 2 * base.variance)

    lift = found.lift
    assert distance(lift.high) == pytest.approx(reach, rel=1e-6)
    assert lift.low == -1 or distance(lift.low) == pytest.approx(reach, rel=1e-6)
    assert distance((lift.low + lift.value) / 2) <= reach * (1 + 1e-9)
    assert distance(lift.high + 0.01 * (1 + lift.high)) > reach


@given(shares(), shares())
def test_difference_lift_and_p_value_agree(base: UserSums, other: UserSums) -> None:
    found = compared(base, other)
    assert found.absolute.low <= found.absolute.value <= found.absolute.high
    excludes_0 = found.absolute.low > 0 or found.absolute.high < 0
    assert excludes_0 == (found.p_value <= 0.05) or found.p_value == pytest.approx(0.05)
    if found.lift is not None:
        assert found.lift.low <= found.lift.value <= found.lift.high
        nearest = min(abs(found.absolute.low), abs(found.absolute.high))
        assert excludes_0 == (found.lift.low > 0 or found.lift.high < 0) or nearest < 1e-9


@given(shares(), shares())
def test_swapped_variants_have_the_opposite_difference(base: UserSums, other: UserSums) -> None:
    one, swapped = compared(base, other), compared(other, base)
    assert swapped.absolute.low == pytest.approx(-one.absolute.high)
    assert swapped.p_value == pytest.approx(one.p_value)


@given(shares(), shares(), st.floats(0.001, 1_000))
def test_the_currency_changes_neither_lift_nor_p_value(base: UserSums, other: UserSums, scale: float) -> None:
    def scaled(sums: UserSums) -> UserSums:
        return UserSums.per_user(sums.users, sums.values * scale, sums.squared_values * scale**2)

    one, other_scale = compared(base, other), compared(scaled(base), scaled(other))
    assert other_scale.p_value == pytest.approx(one.p_value, rel=1e-3, abs=1e-12)
    assert (one.lift is None) == (other_scale.lift is None) or one.lift is None or one.lift.high > 1e3
    if one.lift is not None and other_scale.lift is not None and one.lift.high < 1e3:
        assert other_scale.lift.high == pytest.approx(one.lift.high, rel=1e-3)


def test_a_baseline_that_may_be_0_has_no_lift() -> None:
    found = compared(UserSums.per_user(1_000, 0, 0), UserSums.per_user(1_000, 50, 50))
    assert found.lift is None
    assert found.absolute.low > 0


@pytest.mark.parametrize(
    ("base", "other"),
    [
        (UserSums(), UserSums.per_user(100, 50, 50)),
        (UserSums.per_user(100, 50, 50), UserSums(users=3)),
        (UserSums.per_user(100, 100, 100), UserSums.per_user(100, 100, 100)),
        (UserSums.per_user(1, 1, 1), UserSums.per_user(100, 50, 50)),
    ],
)
def test_there_is_no_difference_without_rates_that_vary(base: UserSums, other: UserSums) -> None:
    assert difference(base, other, BOUNDARY) is None


# --- too few --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "other", "reason"),
    [
        ((99, 50), (1_000, 500), "99 of 100 users"),
        ((100, 50), (1_000, 500), None),
        ((1_000, 24), (1_000, 24), "results of about 24 of 25 users"),
        ((1_000, 25), (1_000, 25), None),
        ((1_000, 0), (1_000, 50), None),
        ((1_000, 0), (1_000, 49), "results of about 24 of 25 users"),
        ((1_000, 1_000), (1_000, 951), "results of about 24 of 25 users"),
    ],
)
def test_nothing_is_claimed_of_few_users(
    base: tuple[int, int], other: tuple[int, int], reason: str | None
) -> None:
    assert (LEAST_USERS, LEAST_CONTRIBUTORS) == (100, 25)
    sums, others = (UserSums.per_user(users, clicked, clicked) for users, clicked in (base, other))
    assert too_few(sums, sums + others) == reason


# --- sample size ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("power", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("gap", [0.1, 0.01, 0.001])
def test_with_the_users_needed_the_effect_is_found_so_often(gap: float, power: float) -> None:
    """The normal probability that an estimate around ``gap`` is beyond the boundary, just before and at the number."""
    users = users_needed(BOUNDARY, 0.8, gap, power)
    assert users is not None

    def found(users: int) -> float:
        return float(norm.sf(BOUNDARY.standard_errors(users) - gap / math.sqrt(0.8 / users)))

    assert found(users) >= power > found(users - 1)


@given(st.floats(1e-4, 1), st.floats(0.001, 100), st.floats(0.5, 0.99))
def test_a_smaller_effect_needs_more_users(gap: float, variance: float, power: float) -> None:
    few, many = users_needed(BOUNDARY, variance, gap, power), users_needed(BOUNDARY, variance, gap / 2, power)
    assert few is not None
    assert many is None or many > few


@pytest.mark.parametrize(("gap", "variance"), [(0, 1), (-0.1, 1), (0.1, 0), (1e-9, 1)])
def test_no_number_of_users_is_known(gap: float, variance: float) -> None:
    assert users_needed(BOUNDARY, variance, gap, 0.8) is None
