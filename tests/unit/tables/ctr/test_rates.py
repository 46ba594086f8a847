"""Rates and their intervals compared with scipy, and cases without a rate."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from tables.ctr.panes import Counts
from tables.ctr.rates import rate, rate_change, rates, wilson


@given(st.data(), st.integers(1, 100_000), st.sampled_from((0.8, 0.95, 0.99)))
def test_the_interval_is_the_one_scipy_gives(data: st.DataObject, n: int, confidence: float) -> None:
    successes = data.draw(st.integers(0, n))
    expected = binomtest(successes, n).proportion_ci(confidence, method="wilson")
    assert wilson(successes, n, confidence) == pytest.approx((expected.low, expected.high), abs=1e-12)


@given(st.data(), st.integers(1, 10**9))
def test_the_interval_holds_the_rate_and_stays_a_share(data: st.DataObject, n: int) -> None:
    successes = data.draw(st.integers(0, n))
    interval = wilson(successes, n)
    assert interval is not None
    low, high = interval
    assert 0 <= low <= successes / n <= high <= 1


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (3, 2), (-1, 5), (1, -1)])
def test_there_is_no_interval_where_there_is_no_share(successes: int, n: int) -> None:
    assert wilson(successes, n) is None


def test_a_rate_carries_its_numbers() -> None:
    both = rates(Counts(rendered=200, attributed_clicks=5, clicks=99, calls=50, clicked_calls=9))
    assert (both["ctr_rendered"].value, both["ctr_rendered"].numerator, both["ctr_rendered"].denominator) == (
        0.025,
        5,
        200,
    )
    assert (both["ctr_calls"].value, both["ctr_calls"].numerator, both["ctr_calls"].denominator) == (
        0.18,
        9,
        50,
    )
    assert both["ctr_rendered"].reason is None
    assert both["ctr_calls"].low is not None
    per_call = both["clicks_per_call"]
    assert (per_call.value, per_call.numerator, per_call.low) == (1.98, 99, None)
    assert per_call.reason == "a ratio has no interval"


def test_a_zero_denominator_gives_null_and_a_reason() -> None:
    for name in ("ctr_calls", "clicks_per_call"):
        rate = rates(Counts(clicks=3))[name]
        assert (rate.value, rate.low, rate.high, rate.reason) == (None, None, None, "calls is 0")


def test_null_of_a_scenario_that_only_clicks_name_has_its_cause() -> None:
    rate = rates(Counts(clicks=3, unlabelled_impressions=2))["ctr_rendered"]
    assert (rate.value, rate.reason) == (None, "rendered is 0; clicked items were shown without a scenario")


@pytest.mark.parametrize(
    ("counts", "name", "reason"),
    [
        (Counts(rendered=2, attributed_clicks=3), "ctr_rendered", "attributed_clicks exceeds rendered"),
        (Counts(calls=2, clicked_calls=3), "ctr_calls", "clicked_calls exceeds calls"),
        (Counts(rendered=2, attributed_clicks=-1), "ctr_rendered", "attributed_clicks is below 0"),
        (Counts(calls=2, clicked_calls=-1), "ctr_calls", "clicked_calls is below 0"),
    ],
)
def test_what_is_no_share_has_its_numbers_and_no_value(counts: Counts, name: str, reason: str) -> None:
    rate = rates(counts)[name]
    assert (rate.value, rate.low, rate.high, rate.reason) == (None, None, None, reason)
    assert rate.numerator in (counts.attributed_clicks, counts.clicked_calls)
    assert rate.denominator == 2


@pytest.mark.parametrize(
    ("now", "before", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((0, 10), (0, 10), -0.2775, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ],
)
def test_the_interval_of_a_change_is_that_of_newcombes_table_ii(
    now: tuple[int, int], before: tuple[int, int], low: float, high: float
) -> None:
    """The published values of method 10 (Newcombe 1998)."""
    change = rate_change(rate(*now, "a", "b"), rate(*before, "a", "b"))
    assert (change.low, change.high) == pytest.approx((low, high), abs=6e-5)
    assert change.difference == pytest.approx(now[0] / now[1] - before[0] / before[1])


def test_a_change_that_does_not_exist_says_why() -> None:
    some, none, odd = rate(3, 10, "a", "b"), rate(0, 0, "a", "b"), rate(3, 2, "a", "b")
    assert rate_change(some, none).reason == "the span before has no rate"
    assert rate_change(none, some).reason == "this span has no rate"
    assert rate_change(odd, some).reason == "this span has no rate"
    assert rate_change(some, rate(0, 10, "a", "b")).relative is None
    assert rate_change(some, some).relative == 0
