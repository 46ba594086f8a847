"""CTR by item and by image over HTTP, from one worker and from two; and unique users."""

from typing import Any

import pytest

from tables.ctr.additions import Seen
from tables.ctr.item_columns import ItemColumns
from tables.ctr.item_counts import ItemCounts
from tables.ctr.item_windows import ItemWindow
from tables.ctr.panes import Counts
from tables.ctr.window_keys import (
    ALL_SCENARIOS,
    HOUR_MS,
    ITEM,
    ITEM_IMAGE,
    SCENARIO,
    VARIANT,
    WindowKey,
    scenario_key,
)
from tables.ctr.window_sums import WindowRow
from tests.support.lookups import DAY, NOW, Client, MemoryWorker, Start, two_workers

TODAY = NOW // DAY * DAY
SPAN = f"from={TODAY}&to={TODAY + 3 * HOUR_MS}"


def keep(
    worker: MemoryWorker,
    scenario: str,
    clicks: dict[str, tuple[int, int]],
    hour: int = 0,
    dimension: str = ITEM,
    rest: ItemCounts | None = None,
) -> None:
    """Store the (attributed clicks, showings) of items of type 1 in an hour of today, if the worker owns the scenario."""
    partition = worker.partition_of(scenario_key("00000", scenario))
    if partition not in worker.local:
        return
    columns = ItemColumns(
        {
            "attributed_clicks/1": {item: clicked for item, (clicked, _) in clicks.items()},
            "rendered/1": {item: shown for item, (_, shown) in clicks.items()},
        }
    )
    key = WindowKey("00000", scenario, dimension, "hour", TODAY + hour * HOUR_MS)
    worker.items.setdefault(partition, []).append((key, ItemWindow(NOW, columns, rest)))


async def answered(client: Client, query: str, status: int = 200) -> Any:
    response = await client.get(f"/v1/00000/ctr?{query}")
    assert response.status == status, await response.text()
    return await response.json()


RATES = {"best": (80, 100), "lucky": (1, 1), "worst": (1, 100), "unlucky": (0, 1), "middle": (30, 100)}


async def test_top_and_flop_items_are_those_of_all_workers(start: Start) -> None:
    one, here, other, _ = await two_workers(start)
    scenarios = [f"s{number}" for number in range(len(RATES))]
    for worker in (one, other):
        for scenario, (item, rate) in zip(scenarios, RATES.items(), strict=True):
            keep(worker, scenario, {item: rate})
    for sort, expected in (("top", ["1/best", "1/middle"]), ("flop", ["1/worst", "1/middle"])):
        answer = await answered(here, f"{SPAN}&by=item&sort={sort}&limit=2")
        assert [window["item"] for window in answer["windows"]] == expected
        assert (answer["left_out"], answer["total"]["rendered"]) == (3, 302)
        assert answer["items_bounded"] is False


async def test_hours_of_an_item_add_up_and_calls_are_null_with_a_reason(start: Start) -> None:
    worker = MemoryWorker()
    for hour in range(4):
        keep(worker, "home", {"7": (1, 10)}, hour)
    client = await start(worker)
    answer = await answered(client, f"{SPAN}&by=item&scenario=home")
    (window,) = answer["windows"]
    assert (window["item"], window["rendered"], window["attributed_clicks"]) == ("1/7", 30, 3)
    assert window["calls"] is None
    assert window["ctr_calls"]["reason"] == "a call has no item"
    hours = await answered(client, f"{SPAN}&by=item&granularity=PT1H&sort=top")
    assert sorted(window["start_ms"] for window in hours["windows"]) == [
        TODAY + hour * HOUR_MS for hour in range(3)
    ]
    assert {window["end_ms"] - window["start_ms"] for window in hours["windows"]} == {HOUR_MS}


async def test_span_is_widened_to_whole_hours(start: Start) -> None:
    worker = MemoryWorker()
    keep(worker, "home", {"7": (1, 10)}, 1)
    client = await start(worker)
    moment = TODAY + HOUR_MS + 600_000
    answer = await answered(client, f"from={moment}&to={moment + 60_000}&by=item")
    assert (answer["from_ms"], answer["to_ms"]) == (TODAY + HOUR_MS, TODAY + 2 * HOUR_MS)
    assert answer["windows"][0]["rendered"] == 10


async def test_what_has_no_place_is_one_window_more_and_in_the_total(start: Start) -> None:
    worker = MemoryWorker()
    keep(worker, "home", {"7": (1, 10)}, rest=ItemCounts(rendered=5, attributed_clicks=2))
    client = await start(worker)
    answer = await answered(client, f"{SPAN}&by=item&limit=1")
    assert [window["item"] for window in answer["windows"]] == ["1/7", None]
    assert (answer["items_bounded"], answer["total"]["rendered"]) == (True, 15)


async def test_images_stand_beside_their_item_also_in_csv(start: Start) -> None:
    worker = MemoryWorker()
    keep(worker, "home", {"7\x1fa.jpg": (4, 10), "7\x1fb.jpg": (1, 10)}, dimension=ITEM_IMAGE)
    client = await start(worker)
    answer = await answered(client, f"{SPAN}&by=item,image")
    assert [(window["item"], window["image"]) for window in answer["windows"]] == [
        ("1/7", "a.jpg"),
        ("1/7", "b.jpg"),
    ]
    response = await client.get(f"/v1/00000/ctr?{SPAN}&by=item,image", headers={"Accept": "text/csv"})
    head, first, *_ = (await response.text()).split("\r\n")
    row = dict(zip(head.split(","), first.split(","), strict=True))
    assert (row["item"], row["image"], row["rendered"]) == ("1/7", "a.jpg", "10")


async def test_previous_span_of_items(start: Start) -> None:
    worker = MemoryWorker()
    keep(worker, "home", {"7": (1, 10)}, 1)
    keep(worker, "home", {"7": (5, 10)}, 2)
    client = await start(worker)
    query = f"from={TODAY + 2 * HOUR_MS}&to={TODAY + 3 * HOUR_MS}&by=item&previous=1"
    answer = await answered(client, query)
    assert answer["previous"]["total"]["attributed_clicks"] == 1
    assert answer["change"]["attributed_clicks"] == 4


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("by=item,variant", "by"),
        ("by=image", "by"),
        ("by=item&granularity=PT5M", "granularity"),
        ("by=item&users=1", "users"),
        ("by=position&users=1", "users"),
        ("users=1&granularity=PT1M", "granularity"),
        ("by=customer&scenario=home", "scenario"),
        (f"by=item&granularity=PT1H&from={TODAY - 90 * DAY}&to={TODAY - 80 * DAY}", "granularity"),
    ],
)
async def test_what_is_not_kept_is_refused_with_a_sentence(start: Start, query: str, field: str) -> None:
    client = await start(MemoryWorker())
    answer = await answered(client, query, 400)
    assert answer["parameter"] == field, answer


async def test_items_of_long_ago_are_read_by_whole_days(start: Start) -> None:
    client = await start(MemoryWorker())
    answer = await answered(client, f"by=item&from={TODAY - 90 * DAY + 5}&to={TODAY + 5}")
    assert (answer["from_ms"], answer["to_ms"]) == (TODAY - 90 * DAY, TODAY + HOUR_MS)


def marks(*numbers: int) -> set[str]:
    return {f"{number:012d}" for number in numbers}


async def test_users_are_distinct_over_hours_variants_and_workers(start: Start) -> None:
    one, here, other, _ = await two_workers(start)
    for worker in (one, other):
        for scenario in ("home", "mail"):
            partition = worker.partition_of(scenario_key("00000", scenario))
            if partition not in worker.local:
                continue
            for hour, users in enumerate((marks(1, 2), marks(2, 3))):
                key = WindowKey("00000", scenario, SCENARIO, "hour", TODAY + hour * HOUR_MS)
                seen = {"a": Seen(users, marks(2)), "": Seen(marks(9), set())}
                worker.seen.setdefault(partition, []).append((key, seen))
                for dimension, variant in ((SCENARIO, None), (VARIANT, "a")):
                    row = WindowKey("00000", scenario, dimension, "hour", TODAY + hour * HOUR_MS, variant)
                    worker.rows.setdefault(partition, []).append(WindowRow(row, Counts(rendered=2)))
    plain = await answered(here, SPAN)
    assert all("users" not in window for window in plain["windows"])
    answer = await answered(here, f"{SPAN}&users=1")
    assert {window["scenario"]: window["users"] for window in answer["windows"]} == {
        name: {"value": 4, "low": 4, "high": 4} for name in ("home", "mail")
    }
    by_variant = await answered(here, f"{SPAN}&users=1&by=variant&scenario=home")
    (window,) = by_variant["windows"]
    assert (window["users"]["value"], window["clickers"]["value"]) == (3, 1)
    hours = await answered(here, f"{SPAN}&users=1&granularity=PT1H&scenario=home")
    assert [window["users"]["value"] for window in hours["windows"]] == [3, 3]


async def test_totals_of_the_customer_have_no_scenario(start: Start) -> None:
    worker = MemoryWorker()
    for scenario, hour in (("home", 0), ("mail", 0), ("mail", 1)):
        key = WindowKey("00000", scenario, SCENARIO, "hour", TODAY + hour * HOUR_MS)
        partition = worker.partition_of(scenario_key("00000", scenario))
        row = WindowRow(key, Counts(rendered=7), 1, is_final=True)
        worker.rows.setdefault(partition, []).append(row)
    partition = worker.partition_of(scenario_key("00000", ALL_SCENARIOS))
    seen = {"": Seen(marks(1, 2, 3), marks(1))}
    worker.seen[partition] = [(WindowKey("00000", ALL_SCENARIOS, SCENARIO, "hour", TODAY), seen)]
    client = await start(worker)
    answer = await answered(client, f"{SPAN}&by=customer&users=1&granularity=PT1H")
    first, second = answer["windows"]
    assert "scenario" not in first
    assert (first["rendered"], first["users"]["value"], first["revision"], first["final"]) == (14, 3, 2, True)
    assert (second["rendered"], second["users"]["value"]) == (7, 0)
