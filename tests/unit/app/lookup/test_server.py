"""Lookups over HTTP: right answers from any worker, and no empty answer for missing data."""

import asyncio
import io
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from aiohttp.test_utils import unused_port
from prometheus_client import CollectorRegistry
from yarl import URL

from app.lookup.user_view import UserView
from tables.base.table_spec import Stretch
from tables.ctr.panes import Counts
from tables.ctr.window_keys import POSITION, SCENARIO, VARIANT, WindowKey, scenario_key
from tables.ctr.window_sums import WindowRow
from tests.support.lookups import (
    DAY,
    NOW,
    MemoryWorker,
    Start,
    a_shopper,
    shown,
    two_workers,
    url_of,
)

HOUR = 3_600_000


async def test_exclusions_have_the_form_of_the_specification(start: Start) -> None:
    worker = MemoryWorker()
    worker.know("max", a_shopper())
    client = await start(worker)
    response = await client.get("/v1/00000/users/max/exclusions?threshold=2&within=PT30M")
    assert response.status == 200
    assert await response.json() == {
        "known": True,
        "as_of_ms": NOW,
        "excluded": [
            {"item": "7", "itemtype": 1, "reasons": ["rendered"], "count": 2, "last_ms": NOW},
            {"item": "9", "itemtype": 1, "reasons": ["bought"], "count": 1, "last_ms": NOW},
        ],
    }
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("raw_user", ["a/b", "ä ö", "100%", "{x}", "a?b#c", "%2F", "Max", "..."])
async def test_a_user_id_arrives_percent_encoded_whatever_it_holds(start: Start, raw_user: str) -> None:
    worker = MemoryWorker()
    worker.know(raw_user, a_shopper())
    client = await start(worker)
    for path in ("", "/exclusions"):
        response = await client.get(URL(f"/v1/00000/users/{quote(raw_user, safe='')}{path}", encoded=True))
        assert (await response.json())["known"] is True


async def test_a_user_id_is_case_sensitive(start: Start) -> None:
    worker = MemoryWorker()
    worker.know("max", a_shopper())
    client = await start(worker)
    response = await client.get("/v1/00000/users/Max/exclusions")
    assert (await response.json())["known"] is False


async def test_a_filter_drops_and_a_rotation_does_not(start: Start) -> None:
    worker = MemoryWorker()
    worker.know("max", a_shopper())
    client = await start(worker)
    body: dict[str, Any] = {"candidates": ["1", "7", "9", "2"], "limit": 1}
    answer = await (await client.post("/v1/00000/users/max/filter", json=body)).json()
    assert (answer["kept"], [entry["item"] for entry in answer["dropped"]]) == (["1"], ["7", "9"])
    answer = await (await client.post("/v1/00000/users/max/filter", json=body | {"rotation": {}})).json()
    assert (answer["kept"], answer["dropped"]) == (["1", "7", "9", "2"], [])
    assert answer["factors"][0] == 1 > answer["factors"][1]


async def test_every_lookup_of_items_judges_only_the_item_type_that_it_names(start: Start) -> None:
    own = Stretch()
    shown(own, "7", at=NOW, itemtype=2)
    worker = MemoryWorker()
    worker.know("max", UserView(own))
    client = await start(worker)
    for itemtype, items in ((1, []), (2, ["7"])):
        path = f"/v1/00000/users/max/exclusions?threshold=1&itemtype={itemtype}"
        answer = await (await client.get(path)).json()
        assert [entry["item"] for entry in answer["excluded"]] == items
        body: dict[str, Any] = {"candidates": ["7"], "threshold": 1, "itemtype": itemtype}
        answer = await (await client.post("/v1/00000/users/max/filter", json=body)).json()
        assert [entry["item"] for entry in answer["dropped"]] == items
        body |= {"users": ["max"]}
        answer = await (await client.post("/v1/00000/filter", json=body)).json()
        assert [entry["item"] for entry in answer["results"][0]["dropped"]] == items
        body |= {"rotation": {}}
        answer = await (await client.post("/v1/00000/filter", json=body)).json()
        assert (answer["results"][0]["factors"] != [1.0]) == bool(items)


async def test_a_user_page_is_json_and_pretty_on_request(start: Start) -> None:
    worker = MemoryWorker()
    worker.know("max", a_shopper())
    client = await start(worker)
    page = await (await client.get("/v1/00000/users/max?as_of_ms=5")).json()
    assert page["customer"] == "00000"
    assert page["user"].startswith("k1.")
    assert page["as_of_ms"] == 5
    text = await (await client.get("/v1/00000/users/max?pretty=1")).text()
    assert '\n  "known": true,' in text


async def test_any_worker_answers_for_any_user(start: Start) -> None:
    one, here, other, there = await two_workers(start)
    for number in range(20):
        raw_user = f"user {number}"
        one.know(raw_user, a_shopper())
        other.views = one.views
    for number in range(20):
        path = f"/v1/00000/users/{quote(f'user {number}')}"
        answers = [await (await client.get(f"{path}/exclusions")).json() for client in (here, there)]
        assert answers[0] == answers[1]
        assert answers[0]["known"] is True
        body = {"candidates": ["7", "8"]}
        kept = [
            (await (await client.post(f"{path}/filter", json=body)).json())["kept"]
            for client in (here, there)
        ]
        assert kept == [["8"], ["8"]]
    assert one.reads > 0
    assert other.reads > 0


async def test_many_users_are_filtered_by_their_owners_and_answered_in_order(start: Start) -> None:
    one, here, other, there = await two_workers(start)
    users = [f"u{number}" for number in range(40)]
    for number, user in enumerate(users):
        one.know(user, a_shopper(str(number)))
    other.views = one.views
    body = {"users": [*users, users[0]], "candidates": [str(number) for number in range(40)]}
    for client in (here, there):
        answer = await (await client.post("/v1/00000/filter", json=body)).json()
        assert answer["as_of_ms"] == NOW
        assert [result["user"] for result in answer["results"]] == [*users, users[0]]
        for number, result in enumerate(answer["results"][:-1]):
            # Every user bought "9".
            assert [entry["item"] for entry in result["dropped"]] == sorted({str(number), "9"}, key=int)
    assert one.reads + other.reads == 80


async def test_a_partition_that_is_restored_is_503_with_its_progress(start: Start) -> None:
    worker = MemoryWorker()
    partition = worker.know("max", a_shopper())
    worker.restoring = {partition: 0.25}
    client = await start(worker)
    for response in (
        await client.get("/v1/00000/users/max/exclusions"),
        await client.get("/v1/00000/users/max"),
        await client.post("/v1/00000/users/max/filter", json={"candidates": []}),
        await client.post("/v1/00000/filter", json={"candidates": [], "users": ["max"]}),
        await client.get("/v1/00000/ctr"),
    ):
        assert response.status == 503
        assert response.headers["Retry-After"] == "2"
        answer = await response.json()
        assert (answer["code"], answer["partition"], answer["progress"]) == ("unavailable", partition, 0.25)
        assert answer["sentence"] == f"partition {partition} is being restored (25% done); ask again in 2 s"


async def test_an_owners_503_is_passed_on(start: Start) -> None:
    one, here, other, _ = await two_workers(start)
    raw_user = next(f"u{n}" for n in range(99) if one.know(f"u{n}", a_shopper()) in other.local)
    other.restoring = dict.fromkeys(other.local)
    response = await here.get(f"/v1/00000/users/{raw_user}/exclusions")
    assert (response.status, response.headers["Retry-After"]) == (503, "2")
    assert "being restored" in (await response.json())["sentence"]
    body = {"candidates": [], "users": [f"u{n}" for n in range(20)]}
    assert (await here.post("/v1/00000/filter", json=body)).status == 503
    assert (await here.get("/v1/00000/ctr")).status == 503


@pytest.mark.parametrize("owner", [None, "dead"])
async def test_no_owner_or_a_dead_one_is_503(start: Start, owner: str | None) -> None:
    worker = MemoryWorker(local=set())
    if owner:
        worker.owners = dict.fromkeys(range(4), f"http://127.0.0.1:{unused_port()}")
    client = await start(worker)
    for response in (
        await client.get("/v1/00000/users/max/exclusions"),
        await client.post("/v1/00000/filter", json={"candidates": [], "users": ["max"]}),
        await client.get("/v1/00000/ctr?scenario=home"),
    ):
        assert response.status == 503
        assert int(response.headers["Retry-After"]) > 0
        assert ("does not answer" if owner else "no worker owns") in (await response.json())["sentence"]


async def test_an_owner_that_hangs_is_503_after_the_time_out(start: Start) -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # until the other side gives up
        writer.close()
        has_given_up.set()

    has_given_up = asyncio.Event()
    silent = await asyncio.start_server(never, "127.0.0.1", 0)
    worker = MemoryWorker(local=set())
    worker.owners = dict.fromkeys(range(4), f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}")
    client = await start(worker, timeout_s=0.2)
    response = await client.get("/v1/00000/users/max")
    assert response.status == 503
    assert "does not answer" in (await response.json())["sentence"]
    await has_given_up.wait()
    silent.close()
    await silent.wait_closed()


async def test_a_request_is_passed_on_once_even_when_the_maps_disagree(start: Start) -> None:
    one, here, other, there = await two_workers(start)
    one.local, other.local = set(), set()
    one.owners = dict.fromkeys(range(4), url_of(there))
    other.owners = dict.fromkeys(range(4), url_of(here))
    response = await here.get("/v1/00000/users/max")
    assert response.status == 503
    assert "not at this worker any more" in (await response.json())["sentence"]


def a_row(worker: MemoryWorker, key: WindowKey, **counted: int) -> int:
    """Store a window in the partition that merges its scenario; return the partition."""
    partition = worker.partition_of(scenario_key(key.customer, key.scenario))
    worker.rows.setdefault(partition, []).append(WindowRow(key, Counts(**counted), 0, True))
    return partition


def an_hour(scenario: str, dimension: str = SCENARIO, at: int = 0, **place: Any) -> WindowKey:
    return WindowKey("00000", scenario, dimension, "hour", NOW // DAY * DAY + at * HOUR, **place)


async def test_ctr_has_the_form_of_the_specification(start: Start) -> None:
    worker = MemoryWorker()
    key = an_hour("home")
    a_row(worker, key, rendered=10, attributed_clicks=3, clicks=4)
    client = await start(worker)
    query = f"scenario=home&granularity=PT1H&from={key.start_ms}&to={key.start_ms + DAY}"
    answer = await (await client.get(f"/v1/00000/ctr?{query}")).json()
    counters = {
        "calls": 0,
        "rendered": 10,
        "viewed": 0,
        "clicks": 4,
        "attributed_clicks": 3,
        "consumed": 0,
        "basket": 0,
        "purchases": 0,
        "revenue": {},
        "ctr_rendered": {
            "value": 0.3,
            "numerator": 3,
            "denominator": 10,
            "low": pytest.approx(0.10779, abs=1e-5),
            "high": pytest.approx(0.60322, abs=1e-5),
        },
        "ctr_calls": {
            "value": None,
            "numerator": 0,
            "denominator": 0,
            "low": None,
            "high": None,
            "reason": "calls is 0",
        },
        "clicks_per_call": {
            "value": None,
            "numerator": 4,
            "denominator": 0,
            "low": None,
            "high": None,
            "reason": "calls is 0",
        },
        "clicked_calls": 0,
        "unlabelled_impressions": 0,
        "bots": 0,
    }
    assert answer == {
        "customer": "00000",
        "scenario": "home",
        "from_ms": key.start_ms,
        "to_ms": key.start_ms + DAY,
        "step_ms": HOUR,
        "time_zone": "UTC",
        "by": [],
        "as_of_ms": NOW,
        "windows": [
            {
                "start_ms": key.start_ms,
                "end_ms": key.start_ms + HOUR,
                "scenario": "home",
                **counters,
                "final": True,
                "revision": 0,
            }
        ],
        "total": counters,
    }


async def test_ctr_of_all_scenarios_is_gathered_from_all_workers(start: Start) -> None:
    one, here, other, there = await two_workers(start)
    for number in range(12):
        for worker in (one, other):
            partition = worker.partition_of(scenario_key("00000", f"s{number}"))
            if partition in worker.local:
                a_row(worker, an_hour(f"s{number}"), rendered=1)
    for client in (here, there):
        path = f"/v1/00000/ctr?granularity=P1D&from={NOW - DAY}&to={NOW + DAY}"
        with_step = await (await client.get(path)).json()
        assert with_step["windows"] == []  # days are read from day windows, and this test stores none
        whole = f"/v1/00000/ctr?from={NOW // DAY * DAY}&to={NOW // DAY * DAY + 2 * HOUR}"
        answer = await (await client.get(whole)).json()
        assert [window["scenario"] for window in answer["windows"]] == sorted(f"s{n}" for n in range(12))
        assert answer["total"]["rendered"] == 12
        for number in range(12):
            [window] = (await (await client.get(f"{whole}&scenario=s{number}")).json())["windows"]
            assert window["rendered"] == 1


async def test_ctr_by_position_and_variant_shows_the_places(start: Start) -> None:
    worker = MemoryWorker()
    for variant, rank in (("A", 0), ("A", 1), ("B", 0)):
        a_row(worker, an_hour("home", POSITION, variant=variant, row=0, rank=rank), rendered=1)
    for variant in ("A", "B"):
        a_row(worker, an_hour("home", VARIANT, variant=variant), rendered=2)
    client = await start(worker)
    path = f"/v1/00000/ctr?granularity=PT1H&from={NOW // DAY * DAY}&to={NOW // DAY * DAY + HOUR}&by="

    async def places(by: str) -> list[tuple[Any, ...]]:
        windows = (await (await client.get(path + by)).json())["windows"]
        return [
            tuple(window.get(name, "-") for name in ("variant", "row", "rank", "rendered"))
            for window in windows
        ]

    assert await places("position") == [("-", 0, 0, 2), ("-", 0, 1, 1)]
    assert await places("variant") == [("A", "-", "-", 2), ("B", "-", "-", 2)]
    assert await places("variant,position") == [("A", 0, 0, 1), ("A", 0, 1, 1), ("B", 0, 0, 1)]


async def test_one_customer_sees_nothing_of_another(start: Start) -> None:
    worker = MemoryWorker()
    worker.know("max", a_shopper())
    a_row(worker, an_hour("home"), rendered=1)
    client = await start(worker)
    assert (await (await client.get("/v1/shop%202/users/max")).json())["known"] is False
    assert (await (await client.get(f"/v1/shop%202/ctr?from=0&to={2 * NOW}")).json())["windows"] == []


async def test_windows_of_a_customer_whose_id_must_be_encoded_are_gathered_too(start: Start) -> None:
    one, here, other, _ = await two_workers(start)
    for worker in (one, other):
        for number in range(12):
            key = msgspec.structs.replace(an_hour(f"s{number}"), customer="shop 2")
            if worker.partition_of(scenario_key("shop 2", f"s{number}")) in worker.local:
                a_row(worker, key, rendered=1)
    whole = f"/v1/shop%202/ctr?from={NOW // DAY * DAY}&to={NOW // DAY * DAY + 2 * HOUR}"
    assert (await (await here.get(whole)).json())["total"]["rendered"] == 12


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nobody/users/u", 404, "unknown_customer"),
        ("GET", "/v1/0/users/u", 404, "unknown_customer"),
        ("GET", "/v1/00000/users/u/other", 404, "unknown_path"),
        ("GET", "/v1/00000/users//exclusions", 404, "unknown_path"),
        ("GET", "/", 404, "unknown_path"),
        ("GET", "/v1/00000/users/u/filter", 405, "method_not_allowed"),
        ("POST", "/v1/00000/ctr", 405, "method_not_allowed"),
        ("GET", "/v1/00000/users/u/exclusions?threshold=x", 400, "bad_parameter"),
        ("GET", "/v1/00000/users/u/exclusions?colour=red", 400, "bad_parameter"),
        ("GET", "/v1/00000/users/u?pretty=yes", 400, "bad_parameter"),
        ("GET", "/v1/00000/users/%FF", 400, "malformed_encoding"),
        ("GET", "/v1/00000/users/%00", 400, "bad_user"),
        ("GET", "/v1/00000/users/" + "x" * 1_025, 400, "user_too_long"),
        ("GET", "/v1/00000/ctr?granularity=1h", 400, "bad_parameter"),
        ("POST", "/v1/00000/users/u/filter", 400, "bad_body"),
        ("POST", "/v1/00000/filter", 400, "bad_body"),
        ("POST", "/v1/00000/ctr/rows", 400, "bad_body"),
        ("GET", "/v1/status?x=1", 400, "bad_parameter"),
    ],
)
async def test_every_error_has_a_code_and_a_sentence(
    start: Start, method: str, path: str, status: int, code: str
) -> None:
    client = await start(MemoryWorker())
    response = await client.request(method, URL(path, encoded=True))
    answer = await response.json()
    assert (response.status, answer["code"]) == (status, code)
    assert len(answer["sentence"]) > 10


async def test_a_body_of_more_than_a_megabyte_is_413(start: Start) -> None:
    client = await start(MemoryWorker())
    response = await client.post("/v1/00000/users/u/filter", data=io.BytesIO(b" " * 1_100_000))
    assert (response.status, (await response.json())["code"]) == (413, "body_too_large")


async def test_with_a_key_every_lookup_needs_it_and_hops_carry_it(start: Start) -> None:
    one, other = MemoryWorker(local={0, 1}), MemoryWorker(local={2, 3})
    keys = {"00000": "secret", "shop 2": "other"}
    here, there = await start(one, api_key_of=keys.get), await start(other, api_key_of=keys.get)
    one.owners = dict.fromkeys((2, 3), url_of(there))
    paths = [f"/v1/00000/users/u{n}" for n in range(8)] + ["/v1/00000/ctr"]
    for path in paths:
        assert (await here.get(path, headers={"Authorization": "Bearer secret"})).status == 200
        for wrong in ("Bearer other", "Bearer ", "Basic secret", "Bearer secrét", ""):
            response = await here.get(path, headers={"Authorization": wrong})
            assert (response.status, (await response.json())["code"]) == (401, "unauthorized")
    unknown = await here.get("/v1/nobody/ctr", headers={"Authorization": "Bearer secret"})
    assert unknown.status == 401
    assert (await here.get("/health/live")).status == 200


async def test_a_customer_without_a_key_is_closed_when_keys_are_needed(start: Start) -> None:
    client = await start(MemoryWorker(), api_key_of=lambda customer: None)
    assert (await client.get("/v1/00000/ctr", headers={"Authorization": "Bearer "})).status == 401


async def test_health_says_whether_to_send_lookups_here(start: Start) -> None:
    worker = MemoryWorker()
    client = await start(worker)
    assert (await client.get("/health/ready")).status == 200
    worker.is_ready = False
    assert (await client.get("/health/ready")).status == 503
    assert (await client.get("/health/live")).status == 200
    assert (await (await client.get("/v1/status?pretty=1")).json())["ready"] is False


async def test_metrics_count_lookups_by_route_and_status(start: Start) -> None:
    client = await start(MemoryWorker(), registry=CollectorRegistry())
    await client.get("/v1/00000/users/u")
    await client.get("/v1/nobody/users/u")
    text = await (await client.get("/metrics")).text()
    route = "/v1/{customer}/users/{user}"
    assert f'uptake_lookup_seconds_count{{route="{route}",status="200"}} 1.0' in text
    assert f'uptake_lookup_seconds_count{{route="{route}",status="404"}} 1.0' in text
