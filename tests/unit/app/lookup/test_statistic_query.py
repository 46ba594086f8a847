"""Questions of the statistics API: what shipped clients send is taken, and everything else is refused with a sentence."""

from datetime import UTC, datetime, tzinfo
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from multidict import MultiDict

from app.lookup.query_params import Params
from app.lookup.statistic_query import check_groups, read_summary
from events.rejections import RefusedError
from tables.ctr.window_keys import HOUR_MS
from tests.support.lookups import NOW

BERLIN = ZoneInfo("Europe/Berlin")
WEEK = {"from_date_time": "2019-10-24T00:00:00", "to_date_time": "2019-10-31T00:00:00", "granularity": "P1D"}


def bounds(zone: tzinfo = UTC, **given: str) -> list[int]:
    params = Params(MultiDict({**WEEK, **{name.replace("__", "-"): value for name, value in given.items()}}))
    query = read_summary(params, NOW, zone)
    params.done()
    assert query.local is not None
    assert query.scenario is None
    return list(query.local.bounds)


def at(text: str, zone: tzinfo = UTC) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()) * 1_000


@pytest.mark.parametrize("groups", ["REVENUE,RECOS,EVENTS", "EVENTS,RECOS,REVENUE", "RECOS"])
def test_groups_are_taken_in_any_order(groups: str) -> None:
    check_groups(groups)


@pytest.mark.parametrize("groups", ["", "revenue", "REVENUE,", "REVENUE,RECOCALLS", "REVENUE;RECOS"])
def test_other_groups_are_refused(groups: str) -> None:
    with pytest.raises(RefusedError) as refused:
        check_groups(groups)
    assert "REVENUE, RECOS, EVENTS" in refused.value.rejection.sentence


def test_days_are_those_of_the_customer_and_begin_where_the_span_does() -> None:
    days = bounds(BERLIN)
    assert (days[0], days[-1]) == (at("2019-10-24", BERLIN), at("2019-10-31", BERLIN))
    assert [(end - start) // HOUR_MS for start, end in pairwise(days)] == [24, 24, 24, 25, 24, 24, 24]
    assert bounds(BERLIN, granularity="P1W") == [days[0], days[-1]], "a week from Thursday on"
    assert bounds(BERLIN, granularity="P30D") == [days[0], at("2019-11-23", BERLIN)]


def test_hours_have_one_length_whatever_the_clock_shows() -> None:
    halves = bounds(BERLIN, granularity="PT12H")
    assert {end - start for start, end in pairwise(halves)} == {12 * HOUR_MS}
    assert halves[-2] < at("2019-10-31", BERLIN) <= halves[-1]
    assert len(bounds(granularity="PT1H")) == 7 * 24 + 1


def test_what_shipped_clients_send_is_taken() -> None:
    given = {"from_date_time": "2020-10-10T12:00:00+00:00", "to_date_time": "2020-10-12T12:00:00 00:00"}
    assert bounds(BERLIN, **given, granularity="PT1H", no__realm="")[::48] == [
        at("2020-10-10T12:00"),
        at("2020-10-12T12:00"),
    ]


def test_a_skipped_day_has_no_span() -> None:
    days = bounds(
        ZoneInfo("Pacific/Apia"), from_date_time="2011-12-29T00:00:00", to_date_time="2012-01-01T00:00:00"
    )
    assert [(end - start) // HOUR_MS for start, end in pairwise(days)] == [24, 24]


@pytest.mark.parametrize(
    "given",
    [
        {"granularity": ""},
        {"granularity": "PT30M"},
        {"granularity": "day"},
        {"granularity": "P1M"},
        {"from_date_time": ""},
        {"to_date_time": "tomorrow"},
        {"to_date_time": "2019-10-24T00:00:00"},
        {"from_date_time": "1990-01-01T00:00:00", "granularity": "PT1H"},
        {"scenario": "home"},
    ],
)
def test_anything_else_is_refused_with_a_sentence(given: dict[str, str]) -> None:
    with pytest.raises(RefusedError) as refused:
        bounds(**given)
    assert refused.value.rejection.status == 400
    assert refused.value.rejection.sentence


def test_the_longest_answer_has_1000_spans() -> None:
    end = datetime.fromtimestamp(at("2019-10-24") / 1_000 + 1_000 * 3_600, UTC).isoformat()
    assert len(bounds(granularity="PT1H", to_date_time=end)) == 1_001
    with pytest.raises(RefusedError):
        bounds(granularity="PT1H", to_date_time=end.replace(":00:00", ":00:01"))
