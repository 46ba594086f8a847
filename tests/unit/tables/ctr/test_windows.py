"""Partials merge into exact minute, hour and day windows, in any order and with repeats."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.topics import DAY_MS
from tables.ctr.panes import COUNTERS, Counts, add, is_zero, subtract
from tables.ctr.partials import Partial
from tables.ctr.window_keys import HOUR_MS, SCENARIO, VARIANT, WindowKey
from tables.ctr.windows import (
    WINDOW_KEEP_MS,
    WindowState,
    add_delta,
    at,
    close,
    decode_record,
    encode_record,
    end_ms,
    floor,
    has_expired,
    is_over,
    merge_partial,
)

T = 1_699_999_200_000  # the start of an hour


def a_partial(
    version: int = 1, start_ms: int = T, epoch_ms: int = 0, received_ms: int = T, **counted: int
) -> Partial:
    return Partial(SCENARIO, start_ms, None, None, None, version, epoch_ms, received_ms, Counts(**counted))


def a_key(granularity: str = "minute", start_ms: int = T) -> WindowKey:
    return WindowKey("c", "s", SCENARIO, granularity, start_ms)


def test_a_newer_partial_replaces_what_its_partition_said() -> None:
    state, delta = merge_partial(None, 0, a_partial(1, clicks=3))
    assert delta.clicks == 3
    state, delta = merge_partial(state, 0, a_partial(2, clicks=5))
    assert delta.clicks == 2
    assert state.counts.clicks == 5


@pytest.mark.parametrize("version", [1, 2])
def test_an_older_or_equal_partial_adds_nothing(version: int) -> None:
    state, _ = merge_partial(None, 0, a_partial(2, clicks=5))
    state, delta = merge_partial(state, 0, a_partial(version, clicks=9))
    assert is_zero(delta)
    assert state.counts.clicks == 5


def test_partitions_are_summed() -> None:
    state, _ = merge_partial(None, 0, a_partial(7, clicks=5))
    state, _ = merge_partial(state, 1, a_partial(1, clicks=2))
    assert state.counts.clicks == 7


def test_a_pane_made_anew_is_added_to_what_the_old_one_had_counted() -> None:
    state, _ = merge_partial(None, 0, a_partial(9, epoch_ms=1, clicks=5))
    state, delta = merge_partial(state, 0, a_partial(1, epoch_ms=2, clicks=1))
    assert (delta.clicks, state.counts.clicks) == (1, 6)
    state, delta = merge_partial(state, 0, a_partial(9, epoch_ms=1, clicks=5))
    assert is_zero(delta)


minutes = st.lists(st.integers(0, 3_000), min_size=1, max_size=3, unique=True)


@st.composite
def histories(draw: st.DrawFn) -> tuple[dict[tuple[int, int], Counts], list[tuple[int, Partial]]]:
    """Draw growing panes of several partitions and minutes: their last counts, and their partials shuffled and repeated."""
    last: dict[tuple[int, int], Counts] = {}
    sent: list[tuple[int, Partial]] = []
    for minute in draw(minutes):
        for partition in draw(st.sets(st.integers(0, 2), min_size=1)):
            counts = Counts()
            for version in range(1, draw(st.integers(1, 4)) + 1):
                more = Counts(**{draw(st.sampled_from(COUNTERS)): draw(st.integers(0, 9))})
                if draw(st.booleans()):
                    more.revenue["EUR"] = draw(st.decimals(0, 99, places=2))
                add(counts, more)
                absolute = subtract(counts, Counts())
                start_ms = T + minute * 60_000
                sent.append(
                    (partition, Partial(SCENARIO, start_ms, None, None, None, version, 0, T, absolute))
                )
            last[partition, minute] = counts
    repeated = draw(st.lists(st.sampled_from(sent), max_size=6))
    return last, draw(st.permutations(sent + repeated))


@given(histories())
def test_any_order_and_repetition_of_partials_gives_the_sum_in_minutes_hours_and_days(
    history: tuple[dict[tuple[int, int], Counts], list[tuple[int, Partial]]],
) -> None:
    last, arrivals = history
    rows: dict[WindowKey, WindowState] = {}
    for partition, partial in arrivals:
        key = a_key(start_ms=partial.start_ms)
        rows[key], delta = merge_partial(rows.get(key), partition, partial)
        for granularity in ("hour", "day"):
            larger = at(key, granularity)
            rows[larger] = add_delta(rows.get(larger), delta, partial.received_ms)
    expected: dict[WindowKey, Counts] = {}
    for (_, minute), counts in last.items():
        for granularity in ("minute", "hour", "day"):
            start_ms = floor(T + minute * 60_000, granularity)
            add(expected.setdefault(a_key(granularity, start_ms), Counts()), counts)
    found = {key: state.counts for key, state in rows.items()}
    assert {key: subtract(counts, Counts()) for key, counts in found.items()} == {
        key: subtract(counts, Counts()) for key, counts in expected.items()
    }


@pytest.mark.parametrize(
    ("granularity", "start_ms", "stop_ms"),
    [
        ("minute", T, T + 60_000),
        ("hour", T, T + HOUR_MS),
        ("day", T // DAY_MS * DAY_MS, (T // DAY_MS + 1) * DAY_MS),
    ],
)
def test_a_minute_counts_in_the_hour_and_day_that_hold_it(
    granularity: str, start_ms: int, stop_ms: int
) -> None:
    larger = at(a_key(), granularity)
    assert (larger.start_ms, end_ms(larger), larger.granularity) == (start_ms, stop_ms, granularity)


def test_a_window_is_over_when_the_watermark_passes_its_end_and_grace() -> None:
    over_ms = T + 60_000 + 600_000
    assert (is_over(a_key(), over_ms - 1, 600_000), is_over(a_key(), over_ms, 600_000)) == (False, True)
    assert (is_over(a_key("hour"), over_ms, 0), is_over(a_key("hour"), T + HOUR_MS, 0)) == (False, True)


def test_a_window_closes_once() -> None:
    state = WindowState(Counts(clicks=1))
    assert close(state)
    assert not close(state)
    assert (state.is_final, state.revision) == (True, 0)


def test_late_click_revises_its_window() -> None:
    state, _ = merge_partial(None, 0, a_partial(1, clicks=1))
    state, _ = merge_partial(state, 0, a_partial(2, clicks=2))
    assert state.revision == 0
    close(state)
    state, _ = merge_partial(state, 0, a_partial(3, clicks=3))
    assert (state.revision, state.is_final, state.counts.clicks) == (1, True, 3)
    state, _ = merge_partial(state, 0, a_partial(3, clicks=3))
    assert state.revision == 1


@pytest.mark.parametrize("granularity", ["minute", "hour", "day"])
def test_a_window_is_kept_by_received_time(granularity: str) -> None:
    state, _ = merge_partial(None, 0, a_partial(start_ms=0, received_ms=T, clicks=1))
    assert not has_expired(state, granularity, T + WINDOW_KEEP_MS[granularity])
    assert has_expired(state, granularity, T + WINDOW_KEEP_MS[granularity] + 1)


def test_states_come_back_from_the_store() -> None:
    state, _ = merge_partial(None, 5, a_partial(2, clicks=3))
    add(state.counts, Counts(revenue={"EUR": Decimal("1.10")}))
    raw = msgspec.msgpack.encode(state)
    assert msgspec.msgpack.decode(raw, type=WindowState) == state


def test_a_window_record_is_json_with_counters_rates_and_bounds() -> None:
    key = WindowKey("c", "s", VARIANT, "hour", T, "A")
    state = WindowState(Counts(rendered=10, attributed_clicks=3, revenue={"EUR": Decimal("1.20")}), 2, True)
    raw = encode_record(key, state)
    assert msgspec.json.decode(raw) == {
        "customer": "c",
        "dimension": "scenario.variant",
        "granularity": "hour",
        "scenario": "s",
        "variant": "A",
        "row": None,
        "rank": None,
        "start_ms": T,
        "end_ms": T + HOUR_MS,
        "calls": 0,
        "rendered": 10,
        "viewed": 0,
        "clicks": 0,
        "attributed_clicks": 3,
        "consumed": 0,
        "basket": 0,
        "purchases": 0,
        "revenue": {"EUR": "1.20"},
        "ctr_rendered": {
            "value": 0.3,
            "numerator": 3,
            "denominator": 10,
            "low": pytest.approx(0.10779, abs=1e-5),
            "high": pytest.approx(0.60322, abs=1e-5),
        },
        "ctr_calls": {
            "value": None,
            "numerator": 0,
            "denominator": 0,
            "low": None,
            "high": None,
            "reason": "calls is 0",
        },
        "revision": 2,
        "final": True,
        "v": 1,
        "clicked_calls": 0,
        "unlabelled_impressions": 0,
        "clicks_per_call": {
            "value": None,
            "numerator": 0,
            "denominator": 0,
            "low": None,
            "high": None,
            "reason": "calls is 0",
        },
        "bots": 0,
    }
    assert decode_record(raw).revenue == {"EUR": Decimal("1.20")}


def test_record_has_every_counter() -> None:
    counts = Counts(**{name: number for number, name in enumerate(COUNTERS, 1)})
    record = decode_record(encode_record(WindowKey("c", "s", SCENARIO, "minute", 0), WindowState(counts)))
    assert {name: getattr(record, name) for name in COUNTERS} == {
        name: getattr(counts, name) for name in COUNTERS
    }
