"""Sums of stored windows over any span and step: each minute counts once, read from the coarsest windows that fit."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.topics import DAY_MS
from tables.ctr.panes import Counts
from tables.ctr.window_keys import HOUR_MS, MAX_TIME_MS, POSITION, SCENARIO, VARIANT, WindowKey
from tables.ctr.window_sums import (
    WEEK_MS,
    StoredSpan,
    WindowRow,
    WindowSums,
    dimension_of,
    segments,
    step_end,
    step_start,
    sum_windows,
    total,
)
from tables.ctr.windows import GRANULARITY_MS, MINUTE_MS, floor

MONDAY = int(datetime(2019, 11, 25, tzinfo=UTC).timestamp() * 1_000)
STEPS = [5 * MINUTE_MS, 15 * MINUTE_MS, HOUR_MS, 12 * HOUR_MS, DAY_MS, WEEK_MS, 7 * MINUTE_MS]
times = st.integers(0, 40 * DAY_MS)


def stored(minutes: dict[int, int]) -> list[WindowRow]:
    """Return the rows of all granularities for these clicks per minute."""
    sums: dict[tuple[str, int], int] = {}
    for minute, clicks in minutes.items():
        for granularity in GRANULARITY_MS:
            place = granularity, floor(minute * MINUTE_MS, granularity)
            sums[place] = sums.get(place, 0) + clicks
    return [
        WindowRow(WindowKey("c", "s", SCENARIO, granularity, start_ms), Counts(clicks=clicks))
        for (granularity, start_ms), clicks in sums.items()
    ]


def read(rows: list[WindowRow], spans: list[StoredSpan]) -> list[WindowRow]:
    return [
        row
        for granularity, from_ms, to_ms in spans
        for row in rows
        if row.key.granularity == granularity and from_ms <= row.key.start_ms < to_ms
    ]


@given(times, times)
def test_segments_cover_each_minute_of_a_span_once_and_in_order(from_ms: int, to_ms: int) -> None:
    spans = segments(from_ms, to_ms)
    if from_ms >= step_end(to_ms, MINUTE_MS):
        assert spans == []
        return
    bounds = [bound for span in spans for bound in (span.from_ms, span.to_ms)]
    assert bounds[1:-1:2] == bounds[2::2]
    if spans:
        assert (bounds[0], bounds[-1]) == (floor(from_ms, "minute"), step_end(to_ms, MINUTE_MS))
    for span in spans:
        size_ms = GRANULARITY_MS[span.granularity]
        assert span.from_ms % size_ms == span.to_ms % size_ms == 0
        assert span.from_ms < span.to_ms


def test_a_long_span_is_read_from_days_with_finer_edges() -> None:
    spans = segments(HOUR_MS - 90_000, 3 * DAY_MS + 2 * HOUR_MS)
    assert [span.granularity for span in spans] == ["minute", "hour", "day", "hour"]


@pytest.mark.parametrize(
    ("step_ms", "granularity"),
    [(5 * MINUTE_MS, "minute"), (HOUR_MS, "hour"), (12 * HOUR_MS, "hour"), (DAY_MS, "day"), (WEEK_MS, "day")],
)
def test_a_step_is_read_from_the_coarsest_windows_that_divide_it(step_ms: int, granularity: str) -> None:
    assert [span.granularity for span in segments(MONDAY, MONDAY + 3 * step_ms, step_ms)] == [granularity]


def test_a_week_begins_on_monday() -> None:
    sunday_ms = MONDAY + 6 * DAY_MS
    assert step_start(sunday_ms, WEEK_MS) == MONDAY
    assert step_start(MONDAY - 1, WEEK_MS) == MONDAY - WEEK_MS


def test_a_day_begins_at_midnight_utc() -> None:
    assert step_start(MONDAY + HOUR_MS, DAY_MS) == MONDAY


@given(
    st.dictionaries(st.integers(0, 15 * 1_440), st.integers(1, 9), max_size=20),
    times,
    st.integers(1, 10 * DAY_MS),
    st.none() | st.sampled_from(STEPS),
)
def test_sums_equal_the_minutes_they_cover(
    minutes: dict[int, int], from_ms: int, span_ms: int, step_ms: int | None
) -> None:
    to_ms = from_ms + span_ms
    spans = segments(from_ms, to_ms, step_ms)
    windows = sum_windows(read(stored(minutes), spans), frozenset(), from_ms, to_ms, step_ms, 0)
    for window in windows:
        covered = [
            n for minute, n in minutes.items() if window.start_ms <= minute * MINUTE_MS < window.end_ms
        ]
        assert window.counts.clicks == sum(covered) > 0
    start_ms, stop_ms = spans[0].from_ms, spans[-1].to_ms
    assert start_ms <= from_ms < to_ms <= stop_ms
    within = [n for minute, n in minutes.items() if start_ms <= minute * MINUTE_MS < stop_ms]
    assert total(windows).clicks == sum(within)


def a_row(
    variant: str | None, row: int | None, rank: int | None, scenario: str = "s", **window: int
) -> WindowRow:
    key = WindowKey("c", scenario, POSITION, "hour", MONDAY, variant, row, rank)
    is_final, over_ms = bool(window.get("is_final", 1)), window.get("over_ms", MAX_TIME_MS)
    return WindowRow(key, Counts(rendered=1), window.get("revision", 0), is_final, over_ms)


def test_variants_are_summed_unless_they_are_asked_for() -> None:
    rows = [a_row("A", 0, 0), a_row("B", 0, 0), a_row("A", 0, 1)]

    def places(by: set[str]) -> list[tuple[str | None, int | None, int | None, int]]:
        sums = sum_windows(rows, by, MONDAY, MONDAY + HOUR_MS, HOUR_MS, 0)
        return [(one.variant, one.row, one.rank, one.counts.rendered) for one in sums]

    assert places({"position"}) == [(None, 0, 0, 2), (None, 0, 1, 1)]
    assert places({"position", "variant"}) == [("A", 0, 0, 1), ("A", 0, 1, 1), ("B", 0, 0, 1)]


def test_scenarios_are_never_mixed_and_what_is_absent_comes_first() -> None:
    rows = [a_row(None, 1, 0, "t"), a_row(None, None, None), a_row(None, 0, 0)]
    sums = sum_windows(rows, {"position"}, MONDAY, MONDAY + HOUR_MS, HOUR_MS, 0)
    assert [(one.scenario, one.row) for one in sums] == [("s", None), ("s", 0), ("t", 1)]


@pytest.mark.parametrize(
    ("rows", "as_of_ms", "is_final"),
    [
        ([{}], 0, True),
        ([{}], -1, False),
        ([{}, {"is_final": 0}], 0, False),
        ([{}, {"over_ms": MONDAY + HOUR_MS}], 0, True),
        ([{}, {"over_ms": MONDAY + HOUR_MS - 1}], 0, False),  # missing minutes may still arrive
    ],
)
def test_a_sum_is_final_when_its_rows_are_and_its_end_is_over(
    rows: list[dict[str, int]], as_of_ms: int, is_final: bool
) -> None:
    given = [a_row("A", None, None, **each) for each in rows]
    [window] = sum_windows(given, set(), MONDAY, MONDAY + HOUR_MS, HOUR_MS, MONDAY + HOUR_MS + as_of_ms)
    assert window.is_final is is_final


def test_revisions_of_a_sum_add_up() -> None:
    rows = [a_row("A", 0, 0, revision=2), a_row("B", 0, 0, revision=3)]
    [window] = sum_windows(rows, {"position"}, MONDAY, MONDAY + HOUR_MS, None, 0)
    assert window.revision == 5


@pytest.mark.parametrize(
    ("by", "dimension"),
    [
        (set(), SCENARIO),
        ({"variant"}, VARIANT),
        ({"position"}, POSITION),
        ({"variant", "position"}, POSITION),
    ],
)
def test_each_question_has_its_stored_dimension(by: set[str], dimension: str) -> None:
    assert dimension_of(by) == dimension


@pytest.mark.parametrize("count", [0, 1, 999, 1_000, 1_001, 3_500])
def test_sums_in_order_are_those_of_all_at_once_in_steps(count: int) -> None:
    def filled() -> WindowSums:
        sums = WindowSums({"variant"}, 0, DAY_MS, HOUR_MS, MAX_TIME_MS)
        for number in range(count):
            start_ms, variant = number * 7 % 24 * HOUR_MS, ("a", None, "b")[number % 3]
            key = WindowKey("c", f"s{number * 31 % count}", VARIANT, "hour", start_ms, variant)
            sums.add(WindowRow(key, Counts(clicks=1), 0, True))
        return sums

    steps, taken = filled().in_order(), 0
    while True:
        try:
            next(steps)
        except StopIteration as done:
            found = list(done.value)
            break
        taken += 1
    assert found == filled().ordered()
    assert len(found) == count
    assert taken >= count // 1_000
