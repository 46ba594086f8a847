"""Query parameters of CTR lookups: valid values, defaults, and the answers to everything else."""

from datetime import UTC, datetime, tzinfo
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from multidict import MultiDict

from app.lookup.ctr_query import CtrQuery, read_ctr
from app.lookup.query_params import Params
from events.rejections import RefusedError
from tests.support.lookups import DAY, MINUTE, NOW

SECONDS = [946_684_800, 1_574_553_600, 4_102_444_799]
"""The first, one, and the last value that can only be seconds."""
MILLISECONDS = [0, 5, 946_684_799, 4_102_444_800]
"""Small values, and the neighbours of those that can only be seconds."""


def ctr(zone: tzinfo = UTC, **query: str) -> CtrQuery:
    return read_ctr(Params(MultiDict({name.rstrip("_"): value for name, value in query.items()})), NOW, zone)


@pytest.mark.parametrize("seconds", SECONDS)
def test_a_time_in_seconds_is_refused_with_its_unit(seconds: int) -> None:
    for name in ("as_of_ms", "from_", "to"):
        with pytest.raises(RefusedError) as refused:
            ctr(**{name: str(seconds)})
        assert refused.value.rejection.code == "bad_parameter"
        assert "milliseconds" in refused.value.rejection.sentence
        assert f"{seconds}000" in refused.value.rejection.sentence


@pytest.mark.parametrize("time_ms", MILLISECONDS)
def test_a_small_time_in_milliseconds_is_valid(time_ms: int) -> None:
    assert ctr(from_=str(time_ms)).from_ms == time_ms
    assert ctr(from_="1970-01-20", to="1970-01-25").from_ms == 19 * 86_400_000, "a date has no unit"


def test_a_span_ends_now() -> None:
    query = ctr(span="PT15M")
    assert (query.from_ms, query.to_ms, query.as_of_ms) == (NOW - 15 * MINUTE, NOW, NOW)
    past = NOW - DAY
    query = ctr(span="P1D", as_of_ms=str(past))
    assert (query.from_ms, query.to_ms) == (past - DAY, past)
    assert ctr(span="P1W", as_of_ms="5").from_ms == 0


def test_ctr_is_that_of_the_last_day_in_one_window_unless_it_is_asked_otherwise() -> None:
    assert ctr() == CtrQuery(None, NOW - DAY, NOW, None, frozenset(), NOW)


@pytest.mark.parametrize(
    "text",
    [
        "2019-11-24T00:00:00Z",
        "2019-11-24",
        "20191124",
        "2019-11-24T01:00:00+01:00",
        "2019-11-24T01:00:00 01:00",
        "1574553600000",
    ],
)
def test_a_time_is_iso_or_milliseconds(text: str) -> None:
    expected = datetime(2019, 11, 24, tzinfo=UTC).timestamp() * 1_000
    assert ctr(from_=text, to="2019-11-25").from_ms == expected


def test_ctr_takes_steps_and_places() -> None:
    query = ctr(scenario="home", granularity="P1W", by="variant,position")
    assert (query.scenario, query.step_ms, query.by) == ("home", 7 * DAY, {"variant", "position"})


def test_a_sorted_answer_has_a_limit() -> None:
    assert [(query.sort, query.limit) for query in (ctr(), ctr(sort="top"), ctr(sort="flop", limit="7"))] == [
        (None, None),
        ("top", 100),
        ("flop", 7),
    ]
    assert (ctr(limit="9").limit, ctr(previous="1").has_previous, ctr(previous="0").has_previous) == (
        9,
        True,
        False,
    )


@pytest.mark.parametrize(
    "query",
    [
        {"granularity": "PT30S"},
        {"granularity": "hour"},
        {"span": "PT30S"},
        {"span": "day"},
        {"span": "PT1H", "from_": "2019-11-24"},
        {"span": "PT1H", "to": "2019-11-24"},
        {"span": "P90D", "granularity": "PT1M"},
        {"from_": "yesterday"},
        {"from_": "2019-02-30"},
        {"from_": "2019-11-24", "to": "2019-11-24"},
        {"from_": "2100-01-01"},
        {"to": "9" * 40},
        {"from_": "0001-01-01"},
        {"by": "item,colour"},
        {"sort": "rate"},
        {"sort": "top", "limit": "0"},
        {"limit": "1001"},
        {"previous": "yes"},
        {"granularity": "PT1M", "from_": "2019-01-01", "to": "2019-02-01"},
        {"time_zone": "Mars/Olympus"},
        {"time_zone": "../../etc/passwd"},
        {"time_zone": "Europe/Berlin", "granularity": "P1D", "from_": "2015-01-01", "to": "2019-01-01"},
    ],
)
def test_a_wrong_question_about_ctr_is_refused_with_a_sentence(query: dict[str, str]) -> None:
    with pytest.raises(RefusedError) as refused:
        ctr(**query)
    assert refused.value.rejection.code == "bad_parameter"


def test_ctr_as_of_a_time_leaves_out_what_began_later() -> None:
    past = NOW - 3 * 86_400_000
    asked = ctr(as_of_ms=str(past))
    assert (asked.from_ms, asked.to_ms, asked.as_of_ms) == (past - 86_400_000, past, past)
    assert ctr(as_of_ms=str(past), from_="0", to=str(NOW)).to_ms == past
    assert ctr(as_of_ms=str(past), from_="0", to=str(past - 60_000)).to_ms == past - 60_000


@pytest.mark.parametrize(
    ("granularity", "time_zone", "hours"),
    [
        ("P1D", "", [24, 25, 24]),
        ("P1D", "America/New_York", [24, 24, 24]),
        ("P1D", "UTC", None),
        ("PT12H", "", None),
        ("PT1H", "Asia/Kolkata", None),
    ],
)
def test_whole_days_are_those_of_a_zone(granularity: str, time_zone: str, hours: list[int] | None) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    query = ctr(berlin, granularity=granularity, time_zone=time_zone, from_="2019-10-26", to="2019-10-29")
    assert str(query.zone) == (time_zone or "Europe/Berlin")
    midnight = datetime(2019, 10, 26, tzinfo=query.zone)
    assert query.from_ms == midnight.timestamp() * 1_000, "a time without an offset is one of the zone"
    bounds = None if query.local is None else query.local.bounds
    lengths = None if bounds is None else [(end - start) // 3_600_000 for start, end in pairwise(bounds)]
    assert lengths == hours


def test_the_customer_in_utc_has_stored_days() -> None:
    assert ctr(granularity="P1D").local is None
    assert ctr(ZoneInfo("Europe/Berlin"), granularity="P1D", time_zone="UTC").zone is UTC
