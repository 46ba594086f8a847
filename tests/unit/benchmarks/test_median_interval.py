"""The interval of a median is that of the binomial distribution, and as narrow as its confidence allows."""

import random

import pytest
from scipy.stats import binom, quantile_test

from benchmarks.median_interval import MedianInterval, median_interval


def test_seven_pairs_have_all_of_them_between_the_ends() -> None:
    ratios = [1.02, 0.97, 1.05, 1.00, 1.01, 1.04, 0.99]
    assert median_interval(ratios) == MedianInterval(0.97, 1.05, 1 - 2 / 2**7)


@pytest.mark.parametrize("count", range(6))
def test_fewer_than_six_values_have_no_interval(count: int) -> None:
    assert median_interval([1.0] * count) is None


def test_six_values_have_one() -> None:
    assert median_interval(range(6)) == MedianInterval(0, 5, 1 - 2 / 2**6)


@pytest.mark.parametrize("count", range(6, 60))
def test_ranks_are_those_of_the_binomial_distribution(count: int) -> None:
    interval = median_interval(range(1, count + 1))
    assert interval is not None
    rank = int(interval.low)
    assert interval.high == count + 1 - rank
    assert interval.coverage == pytest.approx(1 - 2 * binom.cdf(rank - 1, count, 0.5))
    assert interval.coverage >= 0.95
    assert 1 - 2 * binom.cdf(rank, count, 0.5) < 0.95, "the next narrower one would do"


@pytest.mark.parametrize("count", [7, 8, 9, 15, 40])
def test_interval_is_that_of_scipy(count: int) -> None:
    draw = random.Random(count)
    values = [draw.lognormvariate(0.0, 0.2) for _ in range(count)]
    theirs = quantile_test(values, q=0.0, p=0.5).confidence_interval(0.95)
    ours = median_interval(values)
    assert ours is not None
    assert (ours.low, ours.high) == (theirs.low, theirs.high)


def test_interval_covers_the_median_of_a_skewed_distribution_as_often_as_it_says() -> None:
    draw = random.Random(1)
    samples = 4_000
    covered = 0
    for _ in range(samples):
        interval = median_interval([draw.expovariate(1.0) for _ in range(7)])
        assert interval is not None
        covered += interval.low <= 0.6931 <= interval.high
    assert covered / samples == pytest.approx(0.984, abs=0.008)
