"""Windows of local days are the sums of what an independent calendar puts into them, or are refused."""

from collections import Counter
from datetime import date, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.topics import DAY_MS
from tables.ctr.local_days import LocalSteps, day_bounds
from tables.ctr.local_windows import LocalReading
from tables.ctr.panes import Counts
from tables.ctr.window_keys import HOUR_MS, MAX_TIME_MS, SCENARIO, WindowKey
from tables.ctr.window_sums import WindowRow, WindowSum, WindowSums
from tables.ctr.windows import GRANULARITY_MS, MINUTE_MS, floor

ZONES = [
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Apia",
]
CHANGES = [
    "2019-03-31",
    "2019-10-27",
    "2019-03-10",
    "2019-11-03",
    "2019-04-07",
    "2019-10-06",
    "2011-12-30",
    "2020-02-29",
]
"""Days on which the clocks of the zones are set; one that a zone skipped; and a leap day."""
EPOCH = date(1970, 1, 1).toordinal()
KOLKATA = ZoneInfo("Asia/Kolkata")
BERLIN = ZoneInfo("Europe/Berlin")


def stored(minutes: dict[int, int]) -> list[WindowRow]:
    """Return the rows of all granularities for these clicks per minute (ms)."""
    sums = Counter[tuple[str, int]]()
    for minute_ms, clicks in minutes.items():
        for granularity in GRANULARITY_MS:
            sums[granularity, floor(minute_ms, granularity)] += clicks
    return [
        WindowRow(WindowKey("c", "s", SCENARIO, granularity, start_ms), Counts(clicks=clicks), 1, True)
        for (granularity, start_ms), clicks in sums.items()
    ]


def read(rows: list[WindowRow], reading: LocalReading) -> list[WindowRow]:
    """Return what a partition reads for the segments: each of them, in their order."""
    return [
        row
        for granularity, from_ms, to_ms in reading.segments
        for row in rows
        if row.key.granularity == granularity and from_ms <= row.key.start_ms < to_ms
    ]


def summed(rows: list[WindowRow], steps: LocalSteps) -> tuple[list[WindowSum], str | None]:
    reading = LocalReading(steps)
    sums = WindowSums(frozenset(), steps.bounds[0], steps.bounds[-1], DAY_MS, MAX_TIME_MS, steps.bounds)
    for row in read(rows, reading):
        if reading.takes(row):
            sums.add(row)
    return sums.ordered(), reading.missing()


def window_of(zone: ZoneInfo, days: int, time_ms: int) -> int:
    """Return the number of the window of days that an independent calendar puts a time into."""
    ordinal = datetime.fromtimestamp(time_ms / 1_000, zone).date().toordinal()
    return (ordinal - (1 if days % 7 == 0 else EPOCH)) // days  # ordinal 1 was a Monday


@st.composite
def cases(draw: st.DrawFn) -> tuple[ZoneInfo, int, dict[int, int], int, int]:
    zone = ZoneInfo(draw(st.sampled_from(ZONES)))
    days = draw(st.sampled_from([1, 2, 7, 14]))
    middle = (date.fromisoformat(draw(st.sampled_from(CHANGES))).toordinal() - EPOCH) * DAY_MS
    near = st.integers(-3 * 1_440, 4 * 1_440) | st.integers(-30 * 1_440, 30 * 1_440)
    edges = day_bounds(zone, days, middle - 2 * DAY_MS, middle + 2 * DAY_MS)
    at_edges = st.builds(
        lambda edge, minute: edge + minute * MINUTE_MS, st.sampled_from(edges), st.integers(-61, 61)
    )
    times = near.map(lambda minute: middle + minute * MINUTE_MS) | at_edges
    minutes = draw(st.dictionaries(times, st.integers(1, 9), min_size=1, max_size=30))
    from_ms = middle + draw(st.integers(-20 * 1_440, 0)) * MINUTE_MS
    to_ms = middle + draw(st.integers(1, 20 * 1_440)) * MINUTE_MS
    return zone, days, minutes, from_ms, to_ms


@given(cases(), st.integers(0, 60) | st.integers(0, 1_000))
def test_windows_equal_what_a_calendar_puts_into_them(
    case: tuple[ZoneInfo, int, dict[int, int], int, int], age_days: int
) -> None:
    zone, days, minutes, from_ms, to_ms = case
    steps = LocalSteps(day_bounds(zone, days, from_ms, to_ms), to_ms + age_days * DAY_MS)
    windows, missing = summed(stored(minutes), steps)
    assert missing is None
    expected = Counter[int]()
    for minute_ms, clicks in minutes.items():
        if (
            window_of(zone, days, from_ms)
            <= window_of(zone, days, minute_ms)
            <= window_of(zone, days, to_ms - 1)
        ):
            expected[window_of(zone, days, minute_ms)] += clicks
    assert {window_of(zone, days, window.start_ms): window.counts.clicks for window in windows} == expected
    assert {(window.start_ms, window.end_ms) for window in windows} <= set(pairwise(steps.bounds))


@given(cases(), st.sampled_from(["minute", "hour"]), st.floats(0, 1))
def test_windows_are_right_or_refused_when_old_rows_are_gone(
    case: tuple[ZoneInfo, int, dict[int, int], int, int], granularity: str, share: float
) -> None:
    zone, days, minutes, from_ms, to_ms = case
    steps = LocalSteps(day_bounds(zone, days, from_ms, to_ms), to_ms + 30 * DAY_MS)
    rows = stored(minutes)
    gone_ms = from_ms + (to_ms - from_ms) * share
    left = [row for row in rows if row.key.granularity != granularity or row.key.start_ms >= gone_ms]
    windows, missing = summed(left, steps)
    if missing is None:
        assert windows == summed(rows, steps)[0]
    else:
        assert missing == granularity
        assert len(left) < len(rows)


def test_a_day_of_a_zone_of_whole_hours_is_read_from_hours() -> None:
    start_ms = round(datetime(2019, 10, 27, tzinfo=BERLIN).timestamp()) * 1_000
    young = LocalReading(LocalSteps(day_bounds(BERLIN, 1, start_ms, start_ms + 1), start_ms))
    assert young.segments == [("hour", start_ms, start_ms + 25 * HOUR_MS)]
    old = LocalReading(LocalSteps(day_bounds(BERLIN, 1, start_ms, start_ms + 1), start_ms + 99 * DAY_MS))
    day_ms = floor(start_ms, "day")
    assert old.segments == [("day", day_ms, day_ms + 2 * DAY_MS), ("hour", day_ms, day_ms + 2 * DAY_MS)]


def test_a_week_is_read_from_days_with_hours_at_its_ends() -> None:
    start_ms = round(datetime(2019, 11, 25, tzinfo=BERLIN).timestamp()) * 1_000
    reading = LocalReading(LocalSteps(day_bounds(BERLIN, 7, start_ms, start_ms + 1), start_ms))
    monday_ms = start_ms + HOUR_MS
    assert reading.segments == [
        ("day", monday_ms, monday_ms + 6 * DAY_MS),
        ("hour", start_ms, monday_ms),
        ("hour", monday_ms + 6 * DAY_MS, start_ms + 7 * DAY_MS),
    ]


@pytest.mark.parametrize(("age_days", "missing"), [(0, None), (6, None), (10, "minute")])
def test_half_hours_are_refused_once_their_minutes_are_gone(age_days: int, missing: str | None) -> None:
    start_ms = round(datetime(2019, 11, 25, tzinfo=KOLKATA).timestamp()) * 1_000
    steps = LocalSteps(day_bounds(KOLKATA, 1, start_ms, start_ms + 1), start_ms + age_days * DAY_MS)
    hours = [row for row in stored({start_ms - MINUTE_MS: 3, start_ms: 4}) if row.key.granularity != "minute"]
    assert summed(hours, steps)[1] == missing
    assert summed(stored({start_ms - MINUTE_MS: 3, start_ms: 4}), steps)[0][0].counts.clicks == 4


def test_events_that_are_counted_while_a_split_hour_is_read_do_not_refuse_it() -> None:
    start_ms = round(datetime(2019, 11, 25, tzinfo=KOLKATA).timestamp()) * 1_000
    steps = LocalSteps(day_bounds(KOLKATA, 1, start_ms, start_ms + 1), start_ms + 99 * DAY_MS)
    reading = LocalReading(steps)
    names = [span.granularity for span in reading.segments]
    assert names == sorted(names, key=["day", "hour", "minute"].index), (
        "what is split is read before its parts"
    )
    early, late = stored({start_ms: 4}), stored({start_ms: 5})
    for row in [row for row in early if row.key.granularity != "minute"] + [
        row for row in late if row.key.granularity == "minute"
    ]:
        reading.takes(row)
    assert reading.missing() is None


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Kolkata", "America/St_Johns"])
def test_windows_are_the_same_at_any_age(zone: str) -> None:
    start_ms = round(datetime(2019, 11, 25, tzinfo=ZoneInfo(zone)).timestamp()) * 1_000
    bounds = day_bounds(ZoneInfo(zone), 1, start_ms, start_ms + 3 * DAY_MS)
    minutes = dict.fromkeys(range(start_ms - DAY_MS, start_ms + 4 * DAY_MS, 15 * MINUTE_MS), 1)
    rows = stored(minutes)
    for half_hours in range(0, 24 * 48, 5):
        windows, missing = summed(rows, LocalSteps(bounds, start_ms + half_hours * HOUR_MS // 2))
        assert ([window.counts.clicks for window in windows], missing) == ([96, 96, 96], None)
