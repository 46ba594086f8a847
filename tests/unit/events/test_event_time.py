"""The time of an event: the signed override, or else the client's corrected clock, or else the time of receipt."""

from datetime import UTC, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.event_time import (
    MAX_SKEW_MS,
    event_time,
    format_override,
    is_in_seconds,
    parse_override,
    settle_times,
)

NOW_MS = 1_700_000_000_000


@pytest.mark.parametrize(
    ("created_ms", "sent_ms", "override_ms", "expected"),
    [
        (None, None, None, (NOW_MS, False)),
        (NOW_MS - 5, None, None, (NOW_MS, False)),
        (None, NOW_MS - 5, None, (NOW_MS, False)),
        (NOW_MS - 5000, NOW_MS - 2000, None, (NOW_MS - 3000, False)),
        (5000, 9000, None, (NOW_MS - 4000, False)),  # a clock of 1970 still measures durations
        (NOW_MS + 9000, NOW_MS + 9000, None, (NOW_MS, False)),  # a clock ahead; created when sent
        (NOW_MS, NOW_MS - 1, None, (NOW_MS, True)),  # created after it was sent
        (0, MAX_SKEW_MS, None, (NOW_MS - MAX_SKEW_MS, False)),
        (0, MAX_SKEW_MS + 1, None, (NOW_MS - MAX_SKEW_MS, True)),
        (1, 2, 77, (77, False)),
    ],
)
def test_event_time(
    created_ms: int | None, sent_ms: int | None, override_ms: int | None, expected: tuple[int, bool]
) -> None:
    assert event_time(NOW_MS, created_ms=created_ms, sent_ms=sent_ms, override_ms=override_ms) == expected


@given(st.integers(0, 10**15), st.integers(0, 10**15))
def test_no_clock_leaves_the_day_before_receipt(created_ms: int, sent_ms: int) -> None:
    time_ms, is_clamped = event_time(NOW_MS, created_ms=created_ms, sent_ms=sent_ms)
    assert NOW_MS - MAX_SKEW_MS <= time_ms <= NOW_MS
    assert is_clamped == (time_ms != created_ms + NOW_MS - sent_ms)


@pytest.mark.parametrize(
    ("text", "zone", "expected_ms"),
    [
        ("1970-01-01T00:00:00", UTC, 0),
        ("2012-01-01T11:00:00", UTC, 1_325_415_600_000),
        ("2012-01-01T11:00:00", ZoneInfo("Europe/Berlin"), 1_325_412_000_000),
        ("2012-07-01T11:00:00", ZoneInfo("Europe/Berlin"), 1_341_133_200_000),
        ("2012-02-29T00:00:00", UTC, 1_330_473_600_000),
        ("2020-10-25T02:30:00", ZoneInfo("Europe/Berlin"), 1_603_585_800_000),  # the first of two such times
    ],
)
def test_override_is_wall_time_of_the_customers_zone(text: str, zone: tzinfo, expected_ms: int) -> None:
    assert parse_override(text, zone) == expected_ms


@pytest.mark.parametrize(
    "text",
    [
        "2012-02-30T11:00:00",
        "2011-02-29T11:00:00",
        "2012-13-01T11:00:00",
        "2012-01-01T24:00:00",
        "2012-01-01T11:00:60",
        "2012-01-01 11:00:00",
        "2012-01-01T11:00",
        "2012-01-01T11:00:00Z",
        "2012-01-01T11:00:00\n",
        "0000-01-01T11:00:00",
        "0001-01-01T00:00:00",
        "1969-12-31T23:59:59",
        "٢٠١٢-01-01T11:00:00",
        "1325415600000",
        "",
    ],
)
def test_what_is_no_time_is_none(text: str) -> None:
    assert parse_override(text, UTC) is None


@pytest.mark.parametrize("hours", [-14, 0, 14])
def test_the_ends_of_the_calendar_are_no_crash(hours: int) -> None:
    zone = timezone(timedelta(hours=hours))
    for text in ("0001-01-01T00:00:00", "9999-12-31T23:59:59"):
        assert parse_override(text, zone) is None or text.startswith("9999")


@given(st.integers(0, 4_000_000_000))
def test_a_formatted_time_is_read_back(seconds: int) -> None:
    assert parse_override(format_override(seconds * 1000 + 999, UTC), UTC) == seconds * 1000


SKEW_MS = 300_000


@pytest.mark.parametrize(
    ("time_ms", "received_ms", "max_age_ms", "expected"),
    [
        (NOW_MS - 5, NOW_MS - 2, MAX_SKEW_MS, (NOW_MS - 5, NOW_MS - 2, False)),
        (0, NOW_MS - 2, MAX_SKEW_MS, (NOW_MS - 2, NOW_MS - 2, False)),  # no event time
        (0, 0, MAX_SKEW_MS, (NOW_MS, NOW_MS, False)),  # neither: the broker's time
        (NOW_MS - 5, 0, MAX_SKEW_MS, (NOW_MS - 5, NOW_MS, False)),
        (NOW_MS - 1, NOW_MS - 2, MAX_SKEW_MS, (NOW_MS - 2, NOW_MS - 2, True)),  # after its receipt
        (NOW_MS - MAX_SKEW_MS, NOW_MS, MAX_SKEW_MS, (NOW_MS - MAX_SKEW_MS, NOW_MS, False)),
        (NOW_MS - MAX_SKEW_MS - 1, NOW_MS, MAX_SKEW_MS, (NOW_MS - MAX_SKEW_MS, NOW_MS, True)),
        (1, NOW_MS, None, (1, NOW_MS, False)),  # a signed import may be of any time
        (NOW_MS, NOW_MS + SKEW_MS, MAX_SKEW_MS, (NOW_MS, NOW_MS + SKEW_MS, False)),
        (NOW_MS, NOW_MS + SKEW_MS + 1, MAX_SKEW_MS, (NOW_MS, NOW_MS, False)),  # a collector ahead
        (NOW_MS + 9, NOW_MS + SKEW_MS + 1, None, (NOW_MS, NOW_MS, True)),
        (-5, NOW_MS, MAX_SKEW_MS, (NOW_MS - MAX_SKEW_MS, NOW_MS, True)),
    ],
)
def test_worker_settles_the_times_of_a_record(
    time_ms: int, received_ms: int, max_age_ms: int | None, expected: tuple[int, int, bool]
) -> None:
    assert settle_times(time_ms, received_ms, NOW_MS, max_age_ms) == expected


@given(st.integers(-(10**15), 10**15), st.integers(0, 10**15), st.integers(1, 10**14))
def test_settled_times_are_bounded_and_settling_again_changes_nothing(
    time_ms: int, received_ms: int, appended_ms: int
) -> None:
    settled_ms, taken_ms, _ = settle_times(time_ms, received_ms, appended_ms, MAX_SKEW_MS)
    assert taken_ms <= appended_ms + SKEW_MS
    assert taken_ms - MAX_SKEW_MS <= settled_ms <= taken_ms
    if settled_ms != 0:
        assert settle_times(settled_ms, taken_ms, appended_ms, MAX_SKEW_MS) == (settled_ms, taken_ms, False)


@pytest.mark.parametrize(
    ("time_ms", "expected"),
    [(0, False), (946_684_799, False), (946_684_800, True), (4_102_444_799, True), (4_102_444_800, False)],
)
def test_time_that_can_only_be_in_seconds_is_recognised(time_ms: int, expected: bool) -> None:
    assert is_in_seconds(time_ms) is expected
