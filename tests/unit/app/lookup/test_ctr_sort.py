"""The first windows of an order are those that sorting all of them would give, and few impressions are at neither end."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.lookup.ctr_sort import FirstWindows
from tables.ctr.panes import Counts
from tables.ctr.rates import wilson
from tables.ctr.window_sums import WindowSum


def window(scenario: str, clicks: int, rendered: int) -> WindowSum:
    counts = Counts(rendered=rendered, attributed_clicks=clicks)
    return WindowSum(0, 1, scenario, None, None, None, counts, 0, False)


RATES = {"two of two": (2, 2), "90 of 100": (90, 100), "1 of 100": (1, 100), "none of one": (0, 1)}
UNSURE = {"never shown": (0, 0), "more clicks than shown": (3, 2)}


def names(sort: Any, limit: int, rates: dict[str, tuple[int, int]]) -> list[str]:
    first = FirstWindows(sort, limit)
    for name, (clicks, rendered) in rates.items():
        first.offer(window(name, clicks, rendered))
    assert first.left_out == max(0, len(rates) - limit)
    return [each.scenario for each in first.in_order()]


def test_few_impressions_are_at_neither_end() -> None:
    assert names("top", 4, RATES) == ["90 of 100", "two of two", "1 of 100", "none of one"]
    assert names("flop", 4, RATES) == ["1 of 100", "none of one", "90 of 100", "two of two"]
    assert names("top", 1, RATES) == ["90 of 100"]
    assert names("flop", 1, RATES) == ["1 of 100"]


@pytest.mark.parametrize("sort", ["top", "flop"])
def test_a_window_without_an_interval_comes_last(sort: str) -> None:
    assert names(sort, 9, UNSURE | RATES)[-2:] == ["more clicks than shown", "never shown"]


def test_without_a_sort_the_first_that_come_stay_in_their_order() -> None:
    assert names(None, 2, RATES) == ["two of two", "90 of 100"]


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=60),
    st.integers(1, 70),
    st.sampled_from(("top", "flop")),
)
def test_they_are_those_that_sorting_all_would_give(
    rates: list[tuple[int, int]], limit: int, sort: Any
) -> None:
    def place(rate: tuple[int, int]) -> tuple[bool, float, int]:
        interval = wilson(*rate)
        if interval is None:
            return True, 0, -rate[1]
        return False, -interval[0] if sort == "top" else interval[1], -rate[1]

    expected = sorted(range(len(rates)), key=lambda number: place(rates[number]))
    assert names(sort, limit, {str(number): rate for number, rate in enumerate(rates)}) == [
        str(number) for number in expected[:limit]
    ]
