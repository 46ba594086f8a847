"""CTR by days of a time zone over HTTP: the customer's or another, with the span before, sorted, as CSV, and refused."""

import csv
import io
from collections import Counter
from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tables.ctr.panes import Counts
from tables.ctr.window_keys import HOUR_MS, SCENARIO, WindowKey, scenario_key
from tables.ctr.window_sums import WindowRow
from tables.ctr.windows import GRANULARITY_MS, floor
from tests.support.lookups import CUSTOMER, Client, MemoryWorker, Start

BERLIN = ZoneInfo("Europe/Berlin")
MIDNIGHT = round(datetime(2023, 10, 28, tzinfo=BERLIN).timestamp()) * 1_000
"""The clock is set back in the night after."""
DAYS = "granularity=P1D&from=2023-10-28&to=2023-10-31"


def a_worker(zone: str = "Europe/Berlin") -> MemoryWorker:
    worker = MemoryWorker()
    customer = replace(CUSTOMER, rules=replace(CUSTOMER.rules, time_zone=ZoneInfo(zone)))
    worker.customers = {"00000": customer, "0": customer}
    return worker


def count(
    worker: MemoryWorker, hours: float, scenario: str = "home", without: str = "", **counted: int
) -> None:
    """Store what is counted in a minute after MIDNIGHT, with its hour and day. ``without`` names rows that are no longer stored."""
    rows = worker.rows.setdefault(worker.partition_of(scenario_key("00000", scenario)), [])
    for granularity in GRANULARITY_MS:
        key = WindowKey(
            "00000", scenario, SCENARIO, granularity, floor(MIDNIGHT + round(hours * HOUR_MS), granularity)
        )
        if granularity not in without:
            rows.append(WindowRow(key, Counts(**counted), 0, True))


async def answered(client: Client, query: str, customer: str = "00000") -> Any:
    response = await client.get(f"/v1/{customer}/ctr?{query}")
    assert response.status == 200, await response.text()
    return await response.json()


async def test_days_are_those_of_the_customer_unless_another_zone_is_asked_for(start: Start) -> None:
    worker = a_worker()
    for hours in (0, 23, 24, 48, 49, 72):
        count(worker, hours, rendered=1)
    client = await start(worker)
    answer = await answered(client, DAYS)
    assert answer["time_zone"] == "Europe/Berlin"
    assert (answer["from_ms"], answer["to_ms"]) == (MIDNIGHT, MIDNIGHT + 73 * HOUR_MS)
    lengths = [(window["end_ms"] - window["start_ms"]) // HOUR_MS for window in answer["windows"]]
    assert lengths == [24, 25, 24]
    assert [window["rendered"] for window in answer["windows"]] == [2, 2, 2]
    in_utc = await answered(client, f"{DAYS}&time_zone=UTC")
    assert (in_utc["time_zone"], in_utc["from_ms"]) == ("UTC", MIDNIGHT + 2 * HOUR_MS)
    assert [window["rendered"] for window in in_utc["windows"]] == [2, 2, 1]


async def test_weeks_begin_on_the_monday_of_the_zone(start: Start) -> None:
    worker = a_worker()
    for hours in (0, 24, 48, 49, 72):
        count(worker, hours, rendered=1)
    answer = await answered(await start(worker), "granularity=P1W&from=2023-10-28&to=2023-10-31")
    assert [window["rendered"] for window in answer["windows"]] == [3, 2]
    assert answer["windows"][1]["start_ms"] == MIDNIGHT + 49 * HOUR_MS
    assert answer["windows"][1]["end_ms"] - answer["windows"][0]["start_ms"] == (14 * 24 + 1) * HOUR_MS


async def test_other_windows_and_times_without_an_offset(start: Start) -> None:
    worker = a_worker()
    for hours in (-1, 0, 1):
        count(worker, hours, rendered=1)
    client = await start(worker)
    answer = await answered(client, "granularity=PT1H&from=2023-10-28T00:00&to=2023-10-28T02:00")
    assert [window["start_ms"] for window in answer["windows"]] == [MIDNIGHT, MIDNIGHT + HOUR_MS]
    assert answer["time_zone"] == "Europe/Berlin"
    whole = await answered(client, "from=2023-10-28T00:00:00%2B02:00&to=2023-10-29")
    assert whole["total"]["rendered"] == 2


async def test_the_days_before_are_as_many(start: Start) -> None:
    worker = a_worker()
    for hours, rendered in ((-1, 100), (0, 1), (24, 2), (48, 3), (49, 4), (73, 100)):
        count(worker, hours, rendered=rendered)
    client = await start(worker)
    answer = await answered(client, "granularity=P1D&from=2023-10-30&to=2023-10-31&previous=1")
    assert [window["rendered"] for window in answer["windows"]] == [4]
    assert [window["rendered"] for window in answer["previous_windows"]] == [5]
    before = answer["previous"]
    assert (before["from_ms"], before["to_ms"]) == (MIDNIGHT + 24 * HOUR_MS, MIDNIGHT + 49 * HOUR_MS)
    assert answer["change"]["rendered"] == -1


async def test_the_best_days_come_first(start: Start) -> None:
    worker = a_worker()
    for hours, clicks in ((0, 1), (24, 9), (49, 5)):
        count(worker, hours, rendered=100, attributed_clicks=clicks)
    answer = await answered(await start(worker), f"{DAYS}&sort=top&limit=2")
    assert [window["attributed_clicks"] for window in answer["windows"]] == [9, 5]
    assert answer["left_out"] == 1


async def test_a_spreadsheet_has_the_local_start(start: Start) -> None:
    worker = a_worker()
    count(worker, 0, rendered=1)
    count(worker, 49, rendered=1)
    client = await start(worker)
    response = await client.get(f"/v1/00000/ctr?{DAYS}", headers={"Accept": "text/csv"})
    lines = list(csv.DictReader(io.StringIO(await response.text())))
    assert [line["start_local"] for line in lines] == [
        "2023-10-28T00:00:00+02:00",
        "2023-10-30T00:00:00+01:00",
    ]


@pytest.mark.parametrize(
    ("zone", "without", "status"),
    [
        ("Europe/Berlin", "minute", 200),
        ("Europe/Berlin", "hour", 400),
        ("UTC", "minute hour", 200),
        ("Asia/Kolkata", "", 200),
        ("Asia/Kolkata", "minute", 400),
    ],
)
async def test_days_that_cannot_be_made_any_more_are_refused(
    start: Start, zone: str, without: str, status: int
) -> None:
    worker = a_worker()
    count(worker, 20.25, without=without, rendered=1)  # 18:15 UTC, and 23:45 in Kolkata
    count(worker, 20.75, without=without, rendered=2)
    client = await start(worker)
    response = await client.get(f"/v1/00000/ctr?{DAYS}&time_zone={zone}")
    answer = await response.json()
    assert response.status == status, answer
    if status == 400:
        assert (answer["code"], answer["parameter"]) == ("bad_parameter", "time_zone")
        assert "granularity=PT1H" in answer["sentence"]
        assert "time_zone=UTC" in answer["sentence"]
    elif zone == "Asia/Kolkata":
        assert [window["rendered"] for window in answer["windows"]] == [1, 2]
    else:
        assert answer["total"]["rendered"] == 3


async def test_an_alias_finds_the_windows_of_its_customer(start: Start) -> None:
    worker = a_worker()
    count(worker, 0, rendered=3)
    client = await start(worker)
    answer = await answered(client, DAYS, customer="0")
    assert (answer["customer"], answer["total"]["rendered"]) == ("00000", 3)
    async with client.get(f"/v1/0/ctr/stream?{DAYS}") as stream:
        while not (line := await stream.content.readline()).startswith(b"data: "):
            pass
    assert b'"rendered":3' in line
    assert b'"time_zone":"Europe/Berlin"' in line


async def test_a_long_span_of_hours_is_read_in_parts(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer of 46 days has 46 windows, so it is not refused for the hours that they are made of."""
    monkeypatch.setattr("app.lookup.ctr.MAX_ROWS", 480)
    worker = a_worker()
    for hours in range(-40 * 24 + 2, 10 * 24 + 2):
        count(worker, hours, without="minute day", rendered=1)
    for days in range(-40, 10):
        count(worker, 24 * days + 2, without="minute hour", rendered=24)
    client = await start(worker)
    answer = await answered(client, "granularity=P1D&from=2023-09-20&to=2023-11-05")
    days = Counter(window["rendered"] for window in answer["windows"])
    assert days == {24: 45, 25: 1}
    monkeypatch.setattr("app.lookup.ctr.MAX_ROWS", 415)
    assert (await client.get("/v1/00000/ctr?granularity=P1D&from=2023-10-15&to=2023-10-17")).status == 200
    refused = await client.get("/v1/00000/ctr?granularity=P1D&from=2023-09-20&to=2023-11-05")
    assert (refused.status, (await refused.json())["parameter"]) == (400, "from")


async def test_stale_parts_mark_the_answer(start: Start) -> None:
    worker = a_worker()
    count(worker, 0, rendered=1)
    worker.stale = dict.fromkeys(range(4), 8_000)
    client = await start(worker)
    answer = await answered(client, "granularity=P1D&from=2023-09-20&to=2023-11-05")
    assert answer["stale_ms"] == 8_000
    assert (await client.get(f"/v1/00000/ctr?{DAYS}&max_stale_ms=7000")).status == 503
