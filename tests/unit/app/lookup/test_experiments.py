"""Answers about experiments over HTTP: from all workers, as the contract of docs/experiments.md says."""

import gzip
import random
import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from multidict import MultiDict

from app.customers.customer import Customer
from app.customers.declared_experiments import DeclaredExperiment
from app.lookup.experiment_query import kept_end, read_experiment
from app.lookup.query_params import Params
from events.rules import Rules
from tables.ctr.panes import Counts
from tables.ctr.user_totals import UserTotals, sum_of
from tables.ctr.window_keys import EXPERIMENT, WindowKey, experiment_name, scenario_key
from tables.ctr.window_sums import WindowRow
from tests.support.builders import a_clickrecommended, a_rendered
from tests.support.lookups import CUSTOMER, DAY, MINUTE, NOW, Client, MemoryWorker, Start, two_workers
from tests.support.overlays import SpiedOverlay, fold_all
from tests.support.user_totals import of_user

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs" / "experiments.md").read_text()
HOUR = 60 * MINUTE
TODAY = NOW // DAY * DAY


def totals(users: int, shown: int, clicks: int, **fields: Any) -> UserTotals:
    """Return the totals of users who were each shown ``shown`` items; every second one clicked ``2 * clicks / users`` times."""
    total: UserTotals | None = None
    for number in range(users):
        own = 2 * clicks // users if number % 2 else 0
        total = sum_of(total, of_user(shown, own, 1, min(own, 1), 0, {}))
    assert total is not None
    return total


def put(
    worker: MemoryWorker,
    name: str,
    variant: str | None,
    user_totals: UserTotals,
    start_ms: int = TODAY - DAY,
    granularity: str = "day",
) -> None:
    key = WindowKey("00000", experiment_name(name), EXPERIMENT, granularity, start_ms, variant)
    partition = worker.partition_of(scenario_key("00000", key.scenario))
    if partition in worker.local:
        worker.rows.setdefault(partition, []).append(WindowRow(key, Counts(user_totals=user_totals)))


async def answered(client: Client, path: str = "", status: int = 200) -> Any:
    response = await client.get(f"/v1/00000/experiments{path}")
    assert response.status == status, await response.text()
    return await response.json()


def declare(worker: MemoryWorker, **experiments: DeclaredExperiment) -> None:
    worker.customers = {"00000": Customer(Rules("00000", "k1", b"s" * 32), experiments=experiments)}


async def test_better_variant_is_named_with_its_lift(start: Start) -> None:
    worker = MemoryWorker()
    put(worker, "list", "A", totals(1_000, 10, 500))
    put(worker, "list", "B", totals(1_000, 10, 1_000))
    answer = await answered(await start(worker), "/list")
    assert (answer["verdict"], answer["baseline"]) == ("better", "A")
    assert answer["sentence"].startswith("B is better than A by 100 % (")
    assert (answer["from_ms"], answer["to_ms"]) == (TODAY - DAY, kept_end(NOW, NOW))
    a, b = answer["variants"]
    assert (a["name"], a["users"], a["values"], a["weights"], a["rate"]) == ("A", 1_000, 500, 10_000, 0.05)
    assert b["low"] < 0.1 < b["high"]
    (difference,) = answer["differences"]
    assert difference["lift"]["low"] > 0.5
    assert difference["lift"]["value"] == pytest.approx(1.0)
    assert difference["p_value"] < 0.01
    assert answer["split"] == {
        "expected": [0.5, 0.5],
        "found": [0.5, 0.5],
        "p_value": 1.0,
        "users": 2_000,
        "of_several": 0,
    }


async def test_answer_has_the_fields_of_the_page(start: Start) -> None:
    worker = MemoryWorker()
    put(worker, "new-list", "A", totals(200, 10, 100))
    put(worker, "new-list", "B", totals(200, 10, 100))
    client = await start(worker)
    answer = await answered(client, "/new-list?steps=1")
    (block,) = re.findall(r"^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    names = set(re.findall(r'"(\w+)":', block))
    assert set(re.findall(r"'(\w+)':", repr(answer))) == names | {"sequence", "end_ms"}
    listed = (await answered(client))["experiments"][0]
    assert set(listed) == {
        *("name", "declared", "metric", "variants", "users", "first_ms", "last_ms", "verdict", "sentence")
    }
    for name in (*names, *listed):
        assert name in PAGE


async def test_users_of_several_variants_make_the_split_wrong(start: Start) -> None:
    worker = MemoryWorker()
    put(worker, "list", "A", totals(500, 10, 250))
    put(worker, "list", "B", totals(500, 10, 500))
    put(worker, "list", None, UserTotals(300))
    client = await start(worker)
    answer = await answered(client, "/list")
    assert (answer["verdict"], answer["of_several"]) == ("split_wrong", 300)
    assert "300 of 1,300 users (23 %)" in answer["sentence"]
    assert (await answered(client))["experiments"][0]["users"] == 1_300


async def test_declared_variants_have_their_order_weights_and_plan(start: Start) -> None:
    worker = MemoryWorker()
    declare(
        worker,
        list=DeclaredExperiment({"old": 9, "new": 1}, "ctr_calls", 2_000, 0.5, 0.01),
        later=DeclaredExperiment({"A": 1, "B": 1}),
    )
    put(worker, "list", "new", totals(100, 10, 50))
    put(worker, "list", "old", totals(900, 10, 450))
    put(worker, "list", "typo", totals(3, 10, 0))
    client = await start(worker)
    answer = await answered(client, "/list")
    assert (answer["declared"], answer["metric"], answer["baseline"]) == (True, "ctr_calls", "old")
    assert answer["split"]["expected"] == [0.9, 0.1]
    assert answer["undeclared_variants"] == {"typo": 3}
    assert (await answered(client, "/later"))["sentence"] == "Too early: B has 0 of 100 users."
    listed = await answered(client)
    assert [(each["name"], each["declared"], each["users"]) for each in listed["experiments"]] == [
        ("list", True, 1_003),
        ("later", True, 0),
    ]


async def test_experiments_are_collected_from_all_workers(start: Start) -> None:
    one, here, other, there = await two_workers(start)
    names = [f"e{number}" for number in range(12)]
    for name in names:
        for worker in (one, other):
            put(worker, name, "A", totals(10, 10, 5))
            put(worker, name, "B", totals(10, 10, 5))
    assert all(worker.rows for worker in (one, other))
    for client in (here, there):
        assert {each["name"] for each in (await answered(client))["experiments"]} == set(names)
        for name in names:
            assert [each["users"] for each in (await answered(client, f"/{name}"))["variants"]] == [10, 10]


async def test_sequence_has_all_that_happened_until_each_hour(start: Start) -> None:
    worker = MemoryWorker()
    hours = [TODAY - 2 * HOUR + number * HOUR for number in range(4)]
    for start_ms in hours:
        for variant, clicks in (("A", 50), ("B", 100)):
            put(worker, "list", variant, totals(100, 10, clicks), start_ms, "hour")
    for variant, clicks in (("A", 100), ("B", 200)):
        put(worker, "list", variant, totals(200, 10, clicks))  # the day of the first two hours
    client = await start(worker)
    answer = await answered(client, "/list?steps=1")
    steps = answer["sequence"]
    # The day begins before the hours: nothing is known of its first 22.
    assert [step["end_ms"] for step in steps[-4:]] == [start_ms + HOUR for start_ms in hours]
    lifts = [step["differences"][0]["lift"] for step in steps[-4:]]
    assert lifts[-1] == answer["differences"][0]["lift"]
    widths = [lift["high"] - lift["low"] for lift in lifts if lift is not None]
    assert len(widths) >= 2
    assert widths == sorted(widths, reverse=True)
    later = (await answered(client, f"/list?steps=1&from={hours[2]}"))["sequence"]
    assert later == steps[-2:]


async def test_totals_end_where_windows_are_kept(start: Start) -> None:
    worker = MemoryWorker()
    put(worker, "list", "A", totals(10, 10, 5), TODAY - 2 * DAY)
    put(worker, "list", "A", totals(10, 10, 5), TODAY - DAY)
    client = await start(worker)
    answer = await answered(client, f"/list?to={TODAY - DAY}")
    assert (answer["to_ms"], answer["variants"][0]["users"]) == (TODAY - DAY, 10)
    assert kept_end(NOW - 1, NOW) % MINUTE == 0
    assert kept_end(NOW - 20 * DAY + 1, NOW) % HOUR == 0
    assert kept_end(NOW - 500 * DAY, NOW) % DAY == 0


async def test_sequence_of_an_experiment_that_ended_long_ago_has_its_days(start: Start) -> None:
    worker = MemoryWorker()
    for days in range(3):
        for variant in "AB":
            put(worker, "list", variant, totals(100, 10, 50), TODAY - (600 - days) * DAY)
    steps = (await answered(await start(worker), "/list?steps=1"))["sequence"]
    assert [step["end_ms"] for step in steps] == [TODAY - (599 - days) * DAY for days in range(3)]


async def test_long_sequence_has_at_most_200_steps(start: Start) -> None:
    worker = MemoryWorker()
    for days in (1, 600):
        put(worker, "list", "A", totals(10, 10, 5), TODAY - days * DAY)
        put(worker, "list", "B", totals(10, 10, 5), TODAY - days * DAY)
    steps = (await answered(await start(worker), "/list?steps=1"))["sequence"]
    assert 100 < len(steps) <= 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nothing", 404),
        ("/list?metric=clicks", 400),
        ("/list?currency=EURO", 400),
        ("/list?from=2024-01-01", 400),
        ("/list?span=PT1H", 400),
        ("?steps=1", 400),
    ],
)
async def test_what_cannot_be_answered_says_why(start: Start, path: str, status: int) -> None:
    answer = await answered(await start(MemoryWorker()), path, status)
    assert len(answer["sentence"]) > 10


async def test_too_many_windows_are_refused_and_not_cut(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = MemoryWorker()
    for name in ("one", "two"):
        for variant in "AB":
            put(worker, name, variant, totals(10, 10, 5))
    client = await start(worker)
    monkeypatch.setattr("app.lookup.experiments.MAX_ROWS", 3)
    assert "ask for one of them by its name" in (await answered(client, "", 400))["sentence"]
    assert (await answered(client, "/one"))["split"]["users"] == 20


async def test_experiments_need_the_key(start: Start) -> None:
    client = await start(MemoryWorker(), api_key_of=lambda _: "a key of the customer")
    for path in ("", "/list"):
        assert (await answered(client, path, 401))["code"] == "unauthorized"


async def test_stale_answer_is_marked_and_may_be_refused(start: Start) -> None:
    worker = MemoryWorker()
    worker.stale = dict.fromkeys(range(4), 5_000)
    put(worker, "list", "A", totals(10, 10, 5))
    client = await start(worker)
    assert (await answered(client))["stale_ms"] == (await answered(client, "/list"))["stale_ms"] == 5_000
    await answered(client, "/list?max_stale_ms=1000", 503)


def folded(worker: MemoryWorker, *events: Any) -> None:
    """Fold events as a partition does, and store what it tallied as if it was of yesterday."""
    overlay = SpiedOverlay()
    fold_all(overlay, *events)
    for key, pane in overlay.tally.drain(lambda _: None, NOW).items():
        if key.dimension == EXPERIMENT:
            assert pane.counts.user_totals is not None
            put(worker, key.scenario.removeprefix("experiment:"), key.variant, pane.counts.user_totals)


async def test_open_bandit_data_has_a_wrong_split(start: Start) -> None:
    """Both policies ran at the same time, and most visitors saw both."""
    worker, events = MemoryWorker(), []
    for policy in ("bts", "random"):
        with gzip.open(ROOT / "data" / "obd" / f"{policy}_women.csv.gz", "rt") as file:
            next(file)
            for line in file:
                time_ms, user, item, _, _ = line.split(",")
                said = {"experiment": "policies", "variant": policy, "user": f"k1.{user}"}
                events.append(a_rendered(items=(item,), time_ms=int(time_ms), **said))
    folded(worker, *events)
    answer = await answered(await start(worker), "/policies")
    assert answer["verdict"] == "split_wrong"
    assert "saw more than one variant" in answer["sentence"]


async def test_generated_users_have_a_good_split_and_the_true_lift(start: Start) -> None:
    chooser, worker, events = random.Random(5), MemoryWorker(), []
    for number in range(1_500):
        user, variant = f"k1.{number}", chooser.choice("AB")
        rate = chooser.betavariate(2, 18) * (1.5 if variant == "B" else 1)
        for page in range(chooser.randint(1, 6)):
            at = NOW - DAY + page * HOUR
            said = {"user": user, "request_id": f"r{page}"}
            events.append(a_rendered(time_ms=at, experiment="new", variant=variant, **said))
            events += [
                a_clickrecommended(item=item, time_ms=at + 1, **said)
                for item in "12"
                if chooser.random() < rate
            ]
    folded(worker, *events)
    answer = await answered(await start(worker), "/new")
    assert (answer["verdict"], answer["of_several"]) == ("better", 0)
    lift = answer["differences"][0]["lift"]
    assert lift["low"] < 0.5 < lift["high"]


def test_times_without_an_offset_are_in_the_zone_of_the_customer() -> None:
    customer = replace(CUSTOMER, rules=replace(CUSTOMER.rules, time_zone=ZoneInfo("Europe/Berlin")))
    query = read_experiment(Params(MultiDict({"from": "2023-11-10", "to": "2023-11-11"})), customer, NOW)
    assert (query.from_ms, query.to_ms) == tuple(
        round(datetime(2023, 11, day, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()) * 1_000
        for day in (10, 11)
    )
