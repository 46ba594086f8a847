"""Days of time zones: each begins when a calendar of the zone first shows it, however its clock is set."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from events.topics import DAY_MS
from tables.ctr.local_days import bounds_before, day_bounds, day_of, day_start
from tables.ctr.window_keys import HOUR_MS, MAX_TIME_MS
from tables.ctr.windows import MINUTE_MS

EPOCH = date(1970, 1, 1).toordinal()
BERLIN = ZoneInfo("Europe/Berlin")
APIA = ZoneInfo("Pacific/Apia")
ZONES = [
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",  # its clock is set by half an hour
    "Pacific/Apia",  # skipped 2011-12-30
    "America/Havana",  # its clock is set at midnight, so midnight occurs twice
    "America/Sao_Paulo",  # its clock was set at midnight, which then did not occur
    "America/St_Johns",  # until 2011 its clock was set at one minute past midnight
    "America/Toronto",
    "Etc/UTC",
]


def number(year: int, month: int, day: int) -> int:
    return date(year, month, day).toordinal() - EPOCH


def days_with_changes(zone: ZoneInfo) -> list[int]:
    """Return the days within which, or next to which, the zone sets its clock."""
    offsets = {
        day: datetime.fromtimestamp(day * 86_400, zone).utcoffset()
        for day in range(number(2005, 1, 1), number(2026, 1, 1))
    }
    changes = [day for day in offsets if offsets.get(day + 1, offsets[day]) != offsets[day]]
    return [day + near for day in changes for near in (-1, 0, 1)] or [number(2020, 1, 1)]


CHANGES = {name: days_with_changes(ZoneInfo(name)) for name in ZONES}


@st.composite
def zones_and_days(draw: st.DrawFn) -> tuple[ZoneInfo, int]:
    name = draw(st.sampled_from(ZONES))
    any_day = st.integers(number(1973, 1, 1), number(2037, 1, 1))
    return ZoneInfo(name), draw(st.sampled_from(CHANGES[name]) | any_day)


def first_minute(zone: ZoneInfo, day: int) -> int:
    """Return the first minute (ms) whose date in the zone is that day or later, found by looking at each minute."""
    wanted = date.fromordinal(EPOCH + day)
    start = datetime(wanted.year, wanted.month, wanted.day, tzinfo=UTC) - timedelta(hours=27)
    return next(
        round(moment.timestamp()) * 1_000
        for moment in (start + timedelta(minutes=minute) for minute in range(54 * 60))
        if moment.astimezone(zone).date() >= wanted
    )


@given(zones_and_days())
def test_a_day_begins_at_the_first_minute_that_the_calendar_shows_it(place: tuple[ZoneInfo, int]) -> None:
    zone, day = place
    assert day_start(zone, day) == first_minute(zone, day)


@given(zones_and_days(), st.integers(1, 15), st.integers(0, 20 * DAY_MS))
@example(
    (ZoneInfo("America/St_Johns"), number(2010, 11, 7)), 1, 2 * HOUR_MS + 45 * MINUTE_MS
)  # 23:15 for the second time
def test_bounds_hold_the_span_and_nothing_more(place: tuple[ZoneInfo, int], days: int, span_ms: int) -> None:
    zone, day = place
    from_ms = day * DAY_MS + span_ms % DAY_MS
    to_ms = from_ms + 1 + span_ms
    bounds = day_bounds(zone, days, from_ms, to_ms)
    assert bounds[0] <= from_ms < bounds[1]
    assert bounds[-2] < to_ms <= bounds[-1]
    assert all(start < end for start, end in pairwise(bounds))
    assert day_bounds(zone, days, bounds[0], bounds[-1]) == bounds


def test_days_have_23_and_25_hours_when_the_clock_is_set() -> None:
    for month, day, hours in ((3, 31, 23), (10, 27, 25)):
        noon_ms = round(datetime(2019, month, day, 12, tzinfo=BERLIN).timestamp()) * 1_000
        start_ms, end_ms = day_bounds(BERLIN, 1, noon_ms, noon_ms + 1)
        assert (end_ms - start_ms) / HOUR_MS == hours


@pytest.mark.parametrize("weeks", [1, 2])
def test_weeks_begin_on_monday(weeks: int) -> None:
    bounds = day_bounds(BERLIN, 7 * weeks, 1_553_000_000_000, 1_556_000_000_000)
    starts = [datetime.fromtimestamp(bound / 1_000, BERLIN) for bound in bounds]
    assert {(start.isoweekday(), start.hour, start.minute) for start in starts} == {(1, 0, 0)}
    lengths = {end_ms - start_ms for start_ms, end_ms in pairwise(bounds)}
    assert lengths == {weeks * 7 * DAY_MS, weeks * 7 * DAY_MS - HOUR_MS}, "the clock is set forward once"


def test_a_skipped_day_has_no_window() -> None:
    before, after = number(2011, 12, 29), number(2011, 12, 31)
    assert day_start(APIA, before + 1) == day_start(APIA, after)
    bounds = day_bounds(APIA, 1, day_start(APIA, before), day_start(APIA, after + 1))
    assert [day_of(APIA, bound) for bound in bounds] == [before, after, after + 1]
    pair = day_bounds(APIA, 2, day_start(APIA, before + 1), day_start(APIA, after))
    assert {end_ms - start_ms for start_ms, end_ms in pairwise(pair)} <= {DAY_MS, 2 * DAY_MS}


@given(zones_and_days(), st.integers(1, 15), st.integers(1, 9))
def test_the_bounds_before_are_of_as_many_windows_and_end_where_these_begin(
    place: tuple[ZoneInfo, int], days: int, count: int
) -> None:
    zone, day = place
    start_ms = day_start(zone, day)
    bounds = day_bounds(zone, days, start_ms, start_ms + count * days * DAY_MS)
    before = bounds_before(zone, days, bounds)
    assert before[-1] == bounds[0]
    if zone.key != "Pacific/Apia":
        assert len(before) == len(bounds)


def test_the_ends_of_time_have_bounds() -> None:
    for zone in (BERLIN, ZoneInfo("America/New_York"), ZoneInfo("Africa/Monrovia")):
        assert day_bounds(zone, 1, 0, 1)[0] == 0
        assert day_bounds(zone, 7, MAX_TIME_MS - 1, MAX_TIME_MS)[-1] >= MAX_TIME_MS
        assert bounds_before(zone, 7, day_bounds(zone, 7, 0, DAY_MS))[-1] == 0
        assert {bound % MINUTE_MS for bound in day_bounds(zone, 1, 0, 900 * DAY_MS)} == {0}
