"""The forms of a CTR answer over HTTP: sorted and cut, as CSV, with the span before, and by position."""

import csv
import io
from typing import Any

import pytest

from tables.ctr.panes import Counts
from tables.ctr.window_keys import POSITION, SCENARIO, WindowKey, scenario_key
from tables.ctr.window_sums import WindowRow
from tests.support.lookups import DAY, NOW, Client, MemoryWorker, Start, two_workers

HOUR = 3_600_000
TODAY = NOW // DAY * DAY
SPAN = f"granularity=PT1H&from={TODAY}&to={TODAY + 2 * HOUR}"


def count(
    worker: MemoryWorker,
    scenario: str,
    hour: int = 0,
    dimension: str = SCENARIO,
    place: Any = None,
    **counted: int,
) -> int:
    """Store an hour of today in the partition of its scenario, and return the partition."""
    key = WindowKey("00000", scenario, dimension, "hour", TODAY + hour * HOUR, **place or {})
    partition = worker.partition_of(scenario_key("00000", scenario))
    worker.rows.setdefault(partition, []).append(WindowRow(key, Counts(**counted), 0, True))
    return partition


async def answered(client: Client, query: str) -> Any:
    response = await client.get(f"/v1/00000/ctr?{query}")
    assert response.status == 200, await response.text()
    return await response.json()


async def test_top_and_flop_are_found_over_all_workers_and_the_total_is_of_all(start: Start) -> None:
    one, here, other, _ = await two_workers(start)
    rates = {"best": (80, 100), "lucky": (1, 1), "worst": (1, 100), "unlucky": (0, 1), "middle": (30, 100)}
    for scenario, (clicks, rendered) in rates.items():
        for worker in (one, other):
            if worker.partition_of(scenario_key("00000", scenario)) in worker.local:
                count(worker, scenario, attributed_clicks=clicks, rendered=rendered)
    for sort, expected in (("top", ["best", "middle"]), ("flop", ["worst", "middle"])):
        answer = await answered(here, f"{SPAN}&sort={sort}&limit=2")
        assert [window["scenario"] for window in answer["windows"]] == expected
        assert (answer["left_out"], answer["total"]["rendered"]) == (3, 302)
    answer = await answered(here, SPAN)
    assert ("left_out" in answer, len(answer["windows"])) == (False, 5)


async def test_the_span_before_stands_beside_with_the_change(start: Start) -> None:
    worker = MemoryWorker()
    for hour, (clicks, rendered) in enumerate([(7, 100), (8, 100), (9, 100), (10, 100)], -2):
        count(worker, "home", hour, attributed_clicks=clicks, rendered=rendered)
    count(worker, "home", -3, rendered=1_000)
    client = await start(worker)
    answer = await answered(client, f"{SPAN}&previous=1")
    assert [window["attributed_clicks"] for window in answer["windows"]] == [9, 10]
    assert [window["attributed_clicks"] for window in answer["previous_windows"]] == [7, 8]
    before = answer["previous"]
    assert (before["from_ms"], before["to_ms"]) == (TODAY - 2 * HOUR, TODAY)
    assert (before["total"]["rendered"], before["total"]["attributed_clicks"]) == (200, 15)
    change = answer["change"]
    assert (change["rendered"], change["attributed_clicks"]) == (0, 4)
    rate = change["ctr_rendered"]
    assert (rate["difference"], rate["relative"]) == pytest.approx((0.02, 4 / 15))
    assert rate["low"] < 0 < rate["difference"] < rate["high"]
    assert "has no rate" in change["ctr_calls"]["reason"]
    without = await answered(client, SPAN)
    assert {**without, "as_of_ms": 0} == {
        name: 0 if name == "as_of_ms" else value
        for name, value in answer.items()
        if name not in ("previous", "previous_windows", "change")
    }


async def test_pretty_answer_with_the_span_before_is_the_same_json(start: Start) -> None:
    worker = MemoryWorker()
    for hour in (-1, 0, 1):
        count(worker, "home", hour, rendered=10)
    client = await start(worker)
    plain = await answered(client, f"{SPAN}&previous=1")
    text = await (await client.get(f"/v1/00000/ctr?{SPAN}&previous=1&pretty=1")).text()
    assert await answered(client, f"{SPAN}&previous=1&pretty=1") == plain
    assert '\n  "previous_windows": [\n    {\n      "start_ms"' in text


async def test_an_old_span_before_marks_the_answer(start: Start) -> None:
    worker = MemoryWorker()
    partition = count(worker, "home", rendered=10)
    worker.stale = {partition: 8_000}
    assert (await answered(await start(worker), f"{SPAN}&previous=1"))["stale_ms"] == 8_000


async def test_calls_have_no_position(start: Start) -> None:
    worker = MemoryWorker()
    count(worker, "home", dimension=POSITION, place={"row": 0, "rank": 1}, rendered=4, attributed_clicks=1)
    answer = await answered(await start(worker), f"{SPAN}&by=position&previous=1")
    for counts in (*answer["windows"], answer["total"], answer["previous"]["total"]):
        for name in ("calls", "clicked_calls", "unlabelled_impressions", "bots"):
            assert counts[name] is None
        for name in ("ctr_calls", "clicks_per_call"):
            assert counts[name] == {
                "value": None,
                "numerator": None,
                "denominator": None,
                "low": None,
                "high": None,
                "reason": "a call has no position",
            }
    assert answer["windows"][0]["ctr_rendered"]["value"] == 0.25
    assert answer["change"]["calls"] is None


async def test_csv_is_the_answer_for_a_spreadsheet(start: Start) -> None:
    worker = MemoryWorker()
    partition = count(worker, "home", rendered=10, attributed_clicks=3)
    count(worker, "=cmd", 1, rendered=5)
    worker.stale = {partition: 8_000}
    client = await start(worker)
    response = await client.get(f"/v1/00000/ctr?{SPAN}", headers={"Accept": "text/csv"})
    assert response.content_type == "text/csv"
    assert (response.headers["Uptake-Stale-Ms"], response.headers["Vary"]) == ("8000", "Accept")
    lines = list(csv.DictReader(io.StringIO(await response.text(), newline="")))
    assert [(line["scenario"], line["rendered"], line["stale_ms"]) for line in lines] == [
        ("home", "10", "8000"),
        ("'=cmd", "5", "8000"),
    ]
    response = await client.get(f"/v1/00000/ctr?{SPAN}&sort=top&limit=1", headers={"Accept": "text/csv"})
    assert len((await response.text()).splitlines()) == 2
    response = await client.get(f"/v1/00000/ctr?{SPAN}&previous=1", headers={"Accept": "text/csv"})
    assert (response.status, (await response.json())["parameter"]) == (400, "previous")


async def test_csv_of_nothing_is_its_header(start: Start) -> None:
    client = await start(MemoryWorker())
    text = await (await client.get("/v1/00000/ctr", headers={"Accept": "text/csv"})).text()
    assert text.startswith("start_utc,end_utc,start_ms,end_ms,scenario,calls,")
    assert text.count("\r\n") == 1
