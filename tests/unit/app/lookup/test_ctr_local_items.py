"""Items and unique users by days of a time zone, over HTTP and two workers; and what is refused because it is kept by hour."""

from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tables.ctr.additions import Seen
from tables.ctr.item_columns import ItemColumns
from tables.ctr.item_windows import ItemWindow
from tables.ctr.panes import Counts
from tables.ctr.window_keys import HOUR_MS, ITEM, SCENARIO, WindowKey, scenario_key
from tables.ctr.window_sums import WindowRow
from tables.ctr.windows import floor
from tests.support.lookups import CUSTOMER, NOW, OTHER, Client, MemoryWorker, Start, two_workers

BERLIN = ZoneInfo("Europe/Berlin")
MIDNIGHT = round(datetime(2023, 10, 28, tzinfo=BERLIN).timestamp()) * 1_000
"""The clock is set back in the night after."""
DAYS = "granularity=P1D&from=2023-10-28&to=2023-10-31"


def count(worker: MemoryWorker, scenario: str, hours: int, shown: dict[str, int], *users: str) -> None:
    """Store what is shown to users in an hour after MIDNIGHT, if the worker has the partition of the scenario."""
    partition = worker.partition_of(scenario_key("00000", scenario))
    if partition not in worker.local:
        return
    start_ms = MIDNIGHT + hours * HOUR_MS
    items = ItemColumns()
    items.add_column("rendered/1", dict(shown))
    key = WindowKey("00000", scenario, ITEM, "hour", start_ms)
    worker.items.setdefault(partition, []).append((key, ItemWindow(NOW, items)))
    for granularity in ("hour", "day"):
        key = WindowKey("00000", scenario, SCENARIO, granularity, floor(start_ms, granularity))
        worker.rows.setdefault(partition, []).append(
            WindowRow(key, Counts(rendered=sum(shown.values())), 0, True)
        )
    key = WindowKey("00000", scenario, SCENARIO, "hour", start_ms)
    worker.seen.setdefault(partition, []).append((key, {"": Seen(set(users), set(users[:1]))}))


async def counted(start: Start) -> Client:
    """Return a client of one of two workers, which have counted a few hours of three local days."""
    one, here, other, _ = await two_workers(start)
    customer = replace(CUSTOMER, rules=replace(CUSTOMER.rules, time_zone=BERLIN))
    for worker in (one, other):
        worker.customers = {"00000": customer, "shop 2": OTHER}
        for scenario in ("home", "cart"):
            count(worker, scenario, 0, {"7": 1}, "a")
            count(worker, scenario, 24, {"7": 2, "8": 1}, "a", "b")
            count(worker, scenario, 48, {"7": 4}, "b", "c")
            count(worker, scenario, 49, {"8": 8}, "d")
    return here


async def answered(client: Client, query: str) -> Any:
    response = await client.get(f"/v1/00000/ctr?{query}")
    assert response.status == 200, await response.text()
    return await response.json()


async def test_items_are_counted_by_local_day(start: Start) -> None:
    answer = await answered(await counted(start), f"{DAYS}&by=item&scenario=home&previous=1")
    found = {
        (
            (window["start_ms"] - MIDNIGHT) // HOUR_MS,
            (window["end_ms"] - MIDNIGHT) // HOUR_MS,
            window["item"],
        ): window["rendered"]
        for window in answer["windows"]
    }
    assert found == {(0, 24, "1/7"): 1, (24, 49, "1/7"): 6, (24, 49, "1/8"): 1, (49, 73, "1/8"): 8}
    assert (answer["from_ms"], answer["to_ms"]) == (MIDNIGHT, MIDNIGHT + 73 * HOUR_MS)
    assert answer["previous"]["to_ms"] == MIDNIGHT


async def test_users_are_counted_by_local_day(start: Start) -> None:
    answer = await answered(await counted(start), f"{DAYS}&users=1")
    users = {
        ((window["start_ms"] - MIDNIGHT) // HOUR_MS, window["scenario"]): window["users"]["value"]
        for window in answer["windows"]
    }
    expected = {0: 1, 24: 3, 49: 1}
    assert users == {(day, scenario): n for day, n in expected.items() for scenario in ("home", "cart")}


@pytest.mark.parametrize("form", ["by=item", "users=1"])
async def test_days_that_begin_within_an_hour_are_refused(start: Start, form: str) -> None:
    client = await counted(start)
    response = await client.get(f"/v1/00000/ctr?{DAYS}&{form}&time_zone=Asia/Kolkata")
    answer = await response.json()
    assert (response.status, answer["parameter"]) == (400, "time_zone"), answer
    assert "time_zone=UTC" in answer["sentence"]


async def test_old_items_are_known_by_days_of_utc_only(start: Start) -> None:
    client = await counted(start)
    old = "granularity=P1D&from=2023-09-28&to=2023-09-30&by=item"
    response = await client.get(f"/v1/00000/ctr?{old}")
    assert (response.status, (await response.json())["parameter"]) == (400, "time_zone")
    assert (await client.get(f"/v1/00000/ctr?{old}&time_zone=UTC")).status == 200
