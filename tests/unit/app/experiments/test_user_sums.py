"""Rates and their variances from sums, compared with numpy and with the values of single users."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.experiments.user_sums import UserSums

USER = st.tuples(st.integers(0, 40), st.integers(1, 100))
PRICES = st.floats(0, 1_000, allow_nan=False).map(lambda price: round(price, 2))


@given(st.lists(st.integers(0, 50), min_size=2, max_size=60))
def test_the_variance_of_a_rate_per_user_is_that_of_a_mean(values: list[int]) -> None:
    sums = UserSums.per_user(len(values), sum(values), sum(value * value for value in values))
    assert sums.rate == pytest.approx(np.mean(values))
    assert sums.variance == pytest.approx(np.var(values, ddof=1) / len(values))


@given(st.lists(PRICES, min_size=2, max_size=60))
def test_sums_of_users_with_weight_1_are_those_per_user(prices: list[float]) -> None:
    one = UserSums.of((price, 1) for price in prices)
    other = UserSums.per_user(len(prices), sum(prices), sum(price * price for price in prices))
    assert (one.users, one.values, one.products) == (other.users, pytest.approx(other.values), one.values)
    assert one.variance == pytest.approx(other.variance)


@given(st.lists(USER, min_size=2, max_size=60))
def test_the_variance_of_a_ratio_is_that_of_linearised_users(users: list[tuple[int, int]]) -> None:
    """The same by another way: numpy's variance of each user's contribution instead of sums of squares."""
    sums = UserSums.of(users)
    values, weights = np.array(users, dtype=float).T
    rate = values.sum() / weights.sum()
    linearised = (values - rate * weights) / weights.mean()
    assert sums.rate == pytest.approx(rate)
    assert sums.variance == pytest.approx(np.var(linearised, ddof=1) / len(users), abs=1e-15)


def test_the_variance_of_a_ratio_is_what_resampled_users_show() -> None:
    """The bootstrap resamples whole users, and knows nothing of the delta method."""
    random = np.random.default_rng(7)
    shown = random.integers(1, 101, 2_000)
    clicks = random.binomial(shown, random.beta(1, 20, 2_000))
    chosen = random.integers(0, 2_000, (2_000, 2_000))
    resampled = clicks[chosen].sum(axis=1) / shown[chosen].sum(axis=1)
    sums = UserSums.of(zip(clicks.tolist(), shown.tolist(), strict=True))
    assert sums.variance is not None
    assert math.sqrt(sums.variance) == pytest.approx(resampled.std(), rel=0.06)
    impressions_apart = math.sqrt(sums.rate * (1 - sums.rate) / shown.sum())  # type: ignore[operator]
    assert math.sqrt(sums.variance) > 1.5 * impressions_apart


@given(st.lists(USER, max_size=40), st.lists(USER, max_size=40))
def test_sums_of_partitions_add_up(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    assert UserSums.of(one) + UserSums.of(other) == UserSums.of(one + other)


@given(st.lists(st.booleans(), min_size=1, max_size=200))
def test_contributors_of_a_share_are_the_smaller_side(clicked: list[bool]) -> None:
    sums = UserSums.per_user(len(clicked), sum(clicked), sum(clicked))
    assert sums.contributors == min(sum(clicked), len(clicked) - sum(clicked))


@given(st.lists(PRICES, min_size=1, max_size=60))
def test_contributors_are_at_most_the_users_with_a_value(prices: list[float]) -> None:
    assert UserSums.of((price, 1) for price in prices).contributors <= sum(map(bool, prices)) * (1 + 1e-9)


def test_one_large_buyer_is_about_one_contributor() -> None:
    prices = [10_000.0] + [1.0] * 99
    assert UserSums.of((price, 1) for price in prices).contributors == pytest.approx(1.02, abs=0.001)


@pytest.mark.parametrize(
    ("sums", "rate"), [(UserSums(), None), (UserSums.per_user(1, 1, 1), 1.0), (UserSums(users=3), None)]
)
def test_there_is_no_variance_without_two_users_and_a_weight(sums: UserSums, rate: float | None) -> None:
    assert (sums.rate, sums.variance) == (rate, None)
