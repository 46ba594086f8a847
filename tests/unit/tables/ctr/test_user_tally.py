"""The tally of experiments: one pane for each experiment, variant and minute, and none for what changes nothing."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tables.ctr.panes import Pane, Tally
from tables.ctr.scenario_names import OTHER_SCENARIO
from tables.ctr.user_totals import UserTotals, sum_of
from tables.ctr.window_keys import EXPERIMENT, WindowKey
from tests.support.builders import CUSTOMER, MINUTE_MS, NOW_MS
from tests.support.overlays import T0
from tests.support.user_totals import of_user

KEY = WindowKey(CUSTOMER, "experiment:list", EXPERIMENT, "minute", T0, "A")


def test_users_of_a_minute_are_one_pane() -> None:
    tally = Tally()
    tally.users.count(CUSTOMER, "list", "A", T0, 1, 3, 1)
    tally.users.count(CUSTOMER, "list", "A", T0 + MINUTE_MS - 1, 1, 3, 1)
    tally.users.count(CUSTOMER, "list", None, T0 + MINUTE_MS, 1)
    assert len(tally) == 2
    panes = tally.drain(lambda _: None, NOW_MS)
    assert len(tally) == 0
    assert {
        (key.scenario, key.variant, key.start_ms - T0): pane.counts.user_totals for key, pane in panes.items()
    } == {
        ("experiment:list", "A", 0): UserTotals(2, 6, 18, 2, 2, 6),
        ("experiment:list", None, MINUTE_MS): UserTotals(1),
    }


def test_pane_is_absolute_and_a_change_that_is_taken_back_is_no_pane() -> None:
    tally = Tally()
    tally.users.count(CUSTOMER, "list", "A", T0, 1, 3, 1)
    stored: dict[WindowKey, Pane] = tally.drain(lambda _: None, NOW_MS)
    tally.users.count(CUSTOMER, "list", "A", T0, 1, 3, 1)
    again = tally.drain(stored.get, NOW_MS)
    assert again[KEY].counts.user_totals == UserTotals(2, 6, 18, 2, 2, 6)
    assert again[KEY].version == 2
    tally.users.count(CUSTOMER, "list", "A", T0, 1, 3, 1)
    tally.users.count(CUSTOMER, "list", "A", T0, -1, 3, 1)
    assert tally.drain(stored.get, NOW_MS) == {}


def test_experiment_without_a_place_is_not_counted() -> None:
    tally = Tally()
    tally.users.count(CUSTOMER, "list", "A", T0, 1, 3, 1)
    assert tally.drain(lambda _: None, NOW_MS, lambda *_: OTHER_SCENARIO) == {}


USERS = st.tuples(
    st.sampled_from((1, -1)),
    st.integers(0, 9),
    st.integers(-2, 9),
    st.integers(0, 9),
    st.integers(-2, 9),
    st.integers(-2, 9),
    st.dictionaries(st.sampled_from(("EUR", "JPY")), st.decimals(-99, 10**15, places=2)),
)


@given(st.lists(USERS, max_size=6))
def test_totals_are_those_of_the_users_by_definition(users: list[Any]) -> None:
    tally, total = Tally(), None
    for times, *numbers in users:
        tally.users.count(CUSTOMER, "list", "A", T0, times, *numbers)
        total = sum_of(total, of_user(*numbers), times)
    found = [pane.counts.user_totals for pane in tally.drain(lambda _: None, NOW_MS).values()]
    assert found == ([] if total is None else [total])
