"""The statistics summary over HTTP: spans of all scenarios in the format of its clients, null for what is not counted."""

from dataclasses import replace
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tables.ctr.panes import Counts
from tables.ctr.window_keys import HOUR_MS, SCENARIO, WindowKey, scenario_key
from tables.ctr.window_sums import WindowRow
from tables.ctr.windows import floor
from tests.support.lookups import CUSTOMER, OTHER, Client, MemoryWorker, Start, two_workers

MIDNIGHT = 1_698_444_000_000
"""2023-10-28 in Berlin; the clock is set back in the night after."""
BERLIN = replace(CUSTOMER, rules=replace(CUSTOMER.rules, time_zone=ZoneInfo("Europe/Berlin")))
SPAN = "from_date_time=2023-10-28T00:00:00&to_date_time=2023-10-31T00:00:00"
FIELDS = {
    "timespanBegin",
    "timespanDuration",
    "recommendationCalls",
    "deliveredRecommendations",
    "renderedEvents",
    "clickedRecommended",
    "purchasedRecommended",
    "purchasedRecommendedFresh",
    "revenue",
    "revenueFresh",
    "clickEvents",
    "purchaseEvents",
    "consumeEvents",
    "rateEvents",
    "blacklistEvents",
    "basketEvents",
}
"""What the shipped clients read."""


def count(worker: MemoryWorker, scenario: str, hour: int, **counted: Any) -> None:
    """Store an hour after MIDNIGHT and its day, in the partition of the scenario if the worker has it."""
    partition = worker.partition_of(scenario_key("00000", scenario))
    if partition in worker.local:
        for granularity in ("hour", "day"):
            start_ms = floor(MIDNIGHT + hour * HOUR_MS, granularity)
            key = WindowKey("00000", scenario, SCENARIO, granularity, start_ms)
            worker.rows.setdefault(partition, []).append(WindowRow(key, Counts(**counted)))


async def summary(
    client: Client, query: str, groups: str = "REVENUE,RECOS,EVENTS", prefix: str = "api"
) -> Any:
    response = await client.get(f"/{prefix}/v4/00000/statistic/summary/{groups}?{query}")
    assert response.status == 200, await response.text()
    return await response.json()


async def test_spans_are_sums_of_all_scenarios_and_workers(start: Start) -> None:
    one, here, other, _ = await two_workers(start)
    for worker in (one, other):
        worker.customers = {"00000": BERLIN, "shop 2": OTHER}
        for scenario in ("home", "cart", "search", "detail"):
            count(worker, scenario, 0, calls=2, rendered=20, clicks=3, attributed_clicks=2, purchases=1)
            count(worker, scenario, 48, calls=1)
            count(worker, scenario, 49, calls=7)
    found = await summary(here, f"{SPAN}&granularity=P1D")
    assert [span["timespanBegin"] for span in found] == [
        "2023-10-28T00:00:00.000",
        "2023-10-29T00:00:00.000",
        "2023-10-30T00:00:00.000",
    ]
    assert [span["recommendationCalls"] for span in found] == [8, 4, 28], "the second day has 25 hours"
    first = found[0]
    assert set(first) == FIELDS
    assert (first["renderedEvents"], first["clickedRecommended"], first["purchasedRecommended"]) == (
        80,
        12,
        4,
    )
    assert first["clickEvents"] is None
    assert first["timespanDuration"] == "P1D"


async def test_revenue_is_in_the_currency_of_the_customer_and_says_what_it_leaves_out(start: Start) -> None:
    worker = MemoryWorker()
    count(worker, "home", 2, revenue={"EUR": Decimal("89.00"), "USD": Decimal(5)})
    count(worker, "home", 60, revenue={"EUR": Decimal("0.5")})
    found = await summary(await start(worker), f"{SPAN}&granularity=P1D", "EVENTS,RECOS,REVENUE", "ebl")
    assert [(span["revenue"], span.get("otherCurrencies")) for span in found] == [
        (89.0, ["USD"]),
        (0.0, None),
        (0.5, None),
    ]


async def test_an_old_partition_marks_the_answer(start: Start) -> None:
    worker = MemoryWorker()
    count(worker, "home", 0, calls=1)
    worker.stale = dict.fromkeys(range(4), 8_000)
    client = await start(worker)
    response = await client.get(f"/api/v4/00000/statistic/summary/RECOS?{SPAN}&granularity=PT1H")
    assert (response.status, response.headers["Uptake-Stale-Ms"]) == (200, "8000")
    assert len(await response.json()) == 72


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (f"00000/statistic/summary/RECOCALLS?{SPAN}&granularity=P1D", 400),
        (f"00000/statistic/summary/RECOS?{SPAN}", 400),
        (f"00000/statistic/summary/RECOS?{SPAN}&granularity=P1D&scenario=home", 400),
        (f"nobody/statistic/summary/RECOS?{SPAN}&granularity=P1D", 404),
        (f"00000/statistic/details?{SPAN}&granularity=P1D", 404),
    ],
)
async def test_what_is_not_answered_is_refused(start: Start, target: str, status: int) -> None:
    response = await (await start(MemoryWorker())).get(f"/api/v4/{target}")
    assert response.status == status
    assert (await response.json())["sentence"]


async def test_the_summary_needs_the_key_of_the_customer(start: Start) -> None:
    client = await start(MemoryWorker(), api_key_of=lambda name: f"key of {name}")
    path = f"/api/v4/00000/statistic/summary/RECOS?{SPAN}&granularity=P1D"
    assert (await client.get(path)).status == 401
    assert (await client.get(path, headers={"Authorization": "Bearer key of shop 2"})).status == 401
    assert (await client.get(path, headers={"Authorization": "Bearer key of 00000"})).status == 200


async def test_an_alias_finds_the_windows_of_its_customer(start: Start) -> None:
    worker = MemoryWorker()
    worker.customers = {"00000": CUSTOMER, "0": CUSTOMER}
    count(worker, "home", 2, calls=3)
    client = await start(worker)
    response = await client.get(f"/api/v4/0/statistic/summary/RECOS?{SPAN}&granularity=P30D")
    assert [span["recommendationCalls"] for span in await response.json()] == [3]


async def test_hours_that_are_no_longer_stored_are_refused(start: Start) -> None:
    worker = MemoryWorker()
    count(worker, "home", 2, calls=3)
    partition, rows = next(iter(worker.rows.items()))
    worker.rows[partition] = [row for row in rows if row.key.granularity == "day"]
    client = await start(worker)
    path = f"/api/v4/00000/statistic/summary/RECOS?{SPAN}&granularity=PT12H"
    assert (await client.get(path)).status == 400
    assert (await client.get(path.replace("PT12H", "P1D"))).status == 200, "days of UTC are stored"
