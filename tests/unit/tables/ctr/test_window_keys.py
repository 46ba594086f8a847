"""Keys of panes and windows: distinct, ordered by time, and found by range."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import astuple, replace

from tables.ctr.window_keys import (
    DIMENSIONS,
    MAX_TIME_MS,
    PANE_MS,
    UNKNOWN_SCENARIO,
    WindowKey,
    after_scenario,
    customer_range,
    experiment_name,
    experiment_of,
    experiments_range,
    pane_start,
    range_of,
    scenario_key,
)

words = st.text(max_size=6) | st.sampled_from(("a\x1fb", "%1F", "%", "\x00", "a ", " ", "ä\ud800", "a%25"))
positions = st.none() | st.integers(0, 10**6)
keys = st.builds(
    WindowKey,
    words,
    words.filter(bool),
    st.sampled_from(DIMENSIONS),
    st.sampled_from(("minute", "hour", "day")),
    st.integers(0, MAX_TIME_MS),
    st.none() | words.filter(bool),
    positions,
    positions,
)


@given(keys)
def test_a_key_is_read_back_from_its_bytes(key: WindowKey) -> None:
    assert WindowKey.decode(key.encode()) == key


@given(keys, keys)
def test_two_keys_never_look_alike(one: WindowKey, other: WindowKey) -> None:
    assert (one.encode() == other.encode()) == (one == other)


@given(keys, keys, st.integers(0, MAX_TIME_MS), st.integers(0, MAX_TIME_MS))
def test_a_range_holds_exactly_the_rows_that_start_within_it(
    key: WindowKey, other: WindowKey, from_ms: int, to_ms: int
) -> None:
    low, high = range_of(key.customer, key.scenario, key.dimension, key.granularity, from_ms, to_ms)
    for candidate in (key, other, replace(key, start_ms=from_ms), replace(key, start_ms=to_ms)):
        is_same = astuple(candidate)[:4] == astuple(key)[:4]
        is_within = is_same and from_ms <= candidate.start_ms < to_ms
        assert (low <= candidate.encode() < high) == is_within


@given(keys, keys)
def test_a_customer_range_holds_exactly_its_rows(key: WindowKey, other: WindowKey) -> None:
    low, high = customer_range(key.customer)
    for candidate in (key, other):
        assert (low <= candidate.encode() < high) == (candidate.customer == key.customer)


@given(keys, keys)
def test_seeking_past_a_scenario_skips_all_of_it_and_nothing_else(key: WindowKey, other: WindowKey) -> None:
    other = replace(other, customer=key.customer)
    past = after_scenario(key.customer, key.scenario)
    assert key.encode() < past
    if other.scenario != key.scenario:
        assert (other.encode() < past) == (other.encode() < key.encode())


@given(keys, words)
def test_a_range_of_experiments_holds_all_of_a_customer_and_names_nothing_else(
    key: WindowKey, experiment: str
) -> None:
    name = experiment_name(experiment)
    assert experiment_of(name) == experiment
    low, high = experiments_range(key.customer)
    assert low <= replace(key, scenario=name).encode() < high
    is_within = low <= key.encode() < high
    assert is_within == (experiment_of(key.scenario) is not None)


def test_rows_of_a_range_lie_in_order_of_time() -> None:
    starts = [0, 60_000, 3_600_000, 1_700_000_000_000, MAX_TIME_MS]
    rows = [WindowKey("c", "s", "scenario", "minute", start).encode() for start in starts]
    assert rows == sorted(rows)


def test_an_absent_scenario_is_the_unknown_one() -> None:
    assert scenario_key("c", None) == scenario_key("c", "") == scenario_key("c", UNKNOWN_SCENARIO)


@pytest.mark.parametrize(
    ("time_ms", "start_ms"),
    [
        (0, 0),
        (59_999, 0),
        (60_000, 60_000),
        (-1, 0),
        (10**18, MAX_TIME_MS - MAX_TIME_MS % PANE_MS),
    ],
)
def test_a_pane_starts_at_its_minute_and_stays_within_what_a_key_can_order(
    time_ms: int, start_ms: int
) -> None:
    assert pane_start(time_ms) == start_ms


def test_bytes_that_are_no_key_are_refused() -> None:
    with pytest.raises(ValueError, match="unpack"):
        WindowKey.decode(b"c\x1fs")
