"""Refusals over HTTP: counted by customer, shown on the customer's page and in the log, without raw ids."""

import asyncio
import base64
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from app.collector.refused_requests import KEPT
from app.customers.customer import Customer
from app.customers.customer_registry import Customers
from events.rejections import CAUSES
from tests.support.odd_requests import odd_requests
from tests.support.tracker import rules
from tests.unit.app.collector.conftest import CUSTOMERS, Running

MARK = "marker0815"
JSON = {"Content-Type": "application/json"}
# The whole of 127.0.0.0/8 is this machine, but only 127.0.0.1 counts as loopback here.
ELSEWHERE = {"host": "127.0.0.2"}
KEYED = Customers(
    {
        "shop": Customer(rules(customer="shop", aliases=frozenset({"0"})), api_key="key-of-shop-00001"),
        "other": Customer(rules(customer="other"), api_key="key-of-other-0001"),
        "keyless": Customer(rules(customer="keyless")),
    }
)


async def page(collector: Running, customer: str = "00000") -> dict[str, Any]:
    answer = await collector.get(f"/v1/{customer}/refused")
    assert (answer.status, answer.content_type) == (200, "application/json")
    assert answer.headers["Cache-Control"] == "no-store"
    return dict(await answer.json())


async def counts(collector: Running) -> dict[str, float]:
    metrics = await (await collector.get("/metrics")).text()
    return {
        line.split(" ")[0].partition("_total")[2]: float(line.split(" ")[1])
        for line in metrics.splitlines()
        if line.startswith("uptake_collector_rejected_total{") and not line.endswith(" 0.0")
    }


async def test_refused_request_is_counted_and_shown_with_what_is_wrong(collector: Running) -> None:
    target = (
        "/api/00000/buy/secret-user/1/secret-item?quantity=0,5&fullprice=2.50EUR&title=secret&mine=secret"
    )
    answer = await collector.get(target, User_Agent="Mozilla/5.0 Firefox/128.0", X_Forwarded_For="192.0.2.7")
    assert answer.status == 400
    shown = await page(collector)
    (entry,) = shown.pop("last")
    assert abs(entry.pop("time_ms") - shown.pop("since_ms")) < 60_000
    assert shown == {"customer": "00000", "refused": {"bad_quantity": 1}, "recorded_without": {}}
    assert entry == {
        "method": "GET",
        "endpoint": "/api/{customer}/buy/{user}/{itemtype}/{item}",
        "segments": 3,
        "status": 400,
        "code": "bad_quantity",
        "sentence": CAUSES["bad_quantity"],
        "parameter": "quantity",
        "parameters": {"quantity": "0,5", "fullprice": "2.50EUR", "title": None},
        "other_parameters": 1,
        "agent": "Firefox",
    }
    assert await counts(collector) == {'{customer="00000",reason="bad_quantity"}': 1}


async def test_the_last_hundred_are_kept_newest_first(collector: Running) -> None:
    for number in range(KEPT + 20):
        await collector.get(f"/api/00000/consume/u/1/5?percentage={200 + number}")
    shown = await page(collector)
    assert shown["refused"] == {"bad_percentage": KEPT + 20}
    assert [entry["parameters"]["percentage"] for entry in shown["last"]] == [
        str(200 + number) for number in reversed(range(20, KEPT + 20))
    ]


async def test_form_is_looked_into(collector: Running) -> None:
    await collector.ask("POST", "/api/00000/consume/u/1/5", data={"percentage": "101", "lang": "de"})
    ((entry,)) = (await page(collector))["last"]
    assert (entry["method"], entry["parameters"]) == ("POST", {"percentage": "101", "lang": None})


async def test_alias_is_its_customer(start_collector: Callable[..., Any]) -> None:
    collector = await start_collector(KEYED)
    await collector.get("/api/0/click/u/x/5")
    assert (await page(collector, "shop"))["refused"] == {"bad_itemtype": 1}
    assert await page(collector, "0") == await page(collector, "shop")
    assert await counts(collector) == {'{customer="shop",reason="bad_itemtype"}': 1}


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("/api/00000/click/a%5Cb/1/5", "backslash_in_path"),
        ("/api/00000/cl%zzck/a/1/5", "malformed_encoding"),
        ("/api/00000", "unknown_path"),
        ("/v1/00000/eventlist", "unknown_path"),
        ("/cdn/v1/00000/tracking.js", "unknown_path"),
    ],
)
async def test_request_is_its_customers_even_if_its_path_cannot_be_read(
    collector: Running, target: str, code: str
) -> None:
    await collector.get(target)
    assert (await page(collector))["refused"] == {code: 1}


async def test_address_that_is_too_long_is_its_customers(collector: Running) -> None:
    answer = await collector.raw(
        b"GET /api/00000/click/u/1/5?title=" + b"x" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    assert b" 414 " in answer.partition(b"\r\n")[0]
    assert (await page(collector))["refused"] == {"uri_too_long": 1}
    assert await counts(collector) == {'{customer="00000",reason="uri_too_long"}': 1}


@pytest.mark.parametrize(
    "target", ["/api/nobody/click/u/1/5", "/nobody", "/api/", "/v1", "/", "/cdn/v1/nobody/tracking.js"]
)
async def test_others_are_counted_as_unknown_and_add_no_label(collector: Running, target: str) -> None:
    await collector.get(target)
    (label,) = await counts(collector)
    assert label.startswith('{customer="unknown",reason="unknown_')


async def test_unforeseen_error_is_shown(collector: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_record: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(collector.sink, "send", fail)
    assert (await collector.get("/api/00000/click/u/1/5")).status == 500
    assert (await page(collector))["refused"] == {"internal": 1}


async def test_elements_of_a_body_are_one_entry_for_each_code(collector: Running) -> None:
    body = [
        {"type": "rate", "user": "u", "item": "5", "rating": 101, "mine": 1},
        {"type": "click", "user": "u", "item": "5"},
        {"type": "rate", "user": "u", "item": "5", "rating": "4.5"},
        {"type": "click", "user": "u"},
        5,
    ]
    answer = await collector.ask("POST", "/v1/00000/events", data=json.dumps(body), headers=JSON)
    assert (await answer.json())["rejected"] == 4
    shown = await page(collector)
    assert shown["refused"] == {"bad_rating": 2, "missing_item": 1, "bad_json": 1}
    last = {entry["code"]: entry for entry in shown["last"]}
    assert len(shown["last"]) == 3
    assert {code: entry["elements"] for code, entry in last.items()} == shown["refused"]
    assert last["bad_rating"]["endpoint"] == "/v1/{customer}/events"
    assert last["bad_rating"]["parameters"] == {"type": None, "user": None, "item": None, "rating": "101"}
    assert last["bad_rating"]["other_parameters"] == 1
    assert await counts(collector) == {
        f'{{customer="00000",reason="{code}"}}': number for code, number in shown["refused"].items()
    }


async def test_price_that_could_not_be_read_is_counted_for_its_customer(collector: Running) -> None:
    assert (await collector.get("/api/00000/buy/u/1/5?fullprice=NaNEUR")).status == 204
    shown = await page(collector)
    assert (shown["recorded_without"], shown["refused"]) == ({"price_unreadable": 1}, {})


async def test_customers_see_their_own(collector: Running) -> None:
    await collector.get("/api/strict/clickrecommended/u/1/5")
    assert (await page(collector))["last"] == []
    assert [entry["code"] for entry in (await page(collector, "strict"))["last"]] == ["missing_scenario"]


async def test_over_the_rate_is_shown(collector: Running) -> None:
    for _ in range(5):
        await collector.get("/api/limited/click/u/1/5")
    assert (await page(collector, "limited"))["refused"] == {"rate_limited": 3}


# --- access ---------------------------------------------------------------------------------------------------------------------------


async def test_off_loopback_the_page_needs_the_customers_key(start_collector: Callable[..., Any]) -> None:
    collector = await start_collector(KEYED, **ELSEWHERE, admin_key="key-of-operators")

    async def status(customer: str, authorization: str) -> int:
        answer = await collector.get(f"/v1/{customer}/refused", Authorization=authorization)
        assert (answer.status == 401) == answer.headers.get("WWW-Authenticate", "").startswith("Bearer ")
        return int(answer.status)

    assert await status("shop", "Bearer key-of-shop-00001") == 200
    assert await status("0", "Bearer key-of-shop-00001") == 200
    for customer, authorization in (
        ("shop", ""),
        ("shop", "Bearer key-of-other-0001"),
        ("shop", "Bearer key-of-operators"),
        ("shop", "Basic key-of-shop-00001"),
        ("keyless", "Bearer "),
        ("keyless", "Bearer None"),
        ("nobody", "Bearer key-of-shop-00001"),
    ):
        assert await status(customer, authorization) == 401
    assert await counts_with_key(collector) == {'{customer="unknown",reason="unauthorized"}': 7}


async def counts_with_key(collector: Running) -> dict[str, float]:
    answer = await collector.get("/metrics", Authorization="Bearer key-of-operators")
    return {
        line.split(" ")[0].partition("_total")[2]: float(line.split(" ")[1])
        for line in (await answer.text()).splitlines()
        if line.startswith("uptake_collector_rejected_total{") and not line.endswith(" 0.0")
    }


async def test_on_loopback_the_page_is_open_and_unknown_customers_have_none(collector: Running) -> None:
    assert (await collector.get("/v1/00000/refused")).status == 200
    assert (await collector.get("/v1/00000/refused/")).status == 200
    assert (await collector.get("/v1/nobody/refused")).status == 404
    head = await collector.ask("HEAD", "/v1/00000/refused")
    assert (head.status, await head.read()) == (200, b"")
    post = await collector.ask("POST", "/v1/00000/refused")
    assert (post.status, post.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "path", ["/v1/refused", "/v1//refused", "/v1/a/b/refused", "/refused", "/v1/refused/"]
)
async def test_path_without_a_customer_is_no_such_page(
    start_collector: Callable[..., Any], path: str
) -> None:
    collector = await start_collector(Customers({"refused": Customer(rules(customer="refused"))}))
    answer = await collector.get(path, Accept="application/problem+json")
    assert (answer.status, (await answer.json())["code"]) == (404, "unknown_path")


async def test_no_page_of_another_origin_may_read_it(collector: Running) -> None:
    answer = await collector.get("/v1/00000/refused", Origin="https://elsewhere.example")
    assert "Access-Control-Allow-Origin" not in answer.headers


# --- what must not be seen ------------------------------------------------------------------------------------------------------------


def marked_requests() -> list[tuple[str, str, dict[str, Any]]]:
    """Return requests that are refused, with the marker wherever a client could write an id, a signature or a key."""
    basic = "Basic " + base64.b64encode(f"locked:{MARK}".encode()).decode()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    elements: list[object] = [
        {"type": MARK, "user": MARK, "item": MARK},
        {"type": "rate", "user": MARK, "item": MARK, "rating": MARK},
        {"type": "click", "user": MARK, "item": [MARK], MARK: MARK},
        {"type": "login", "user": MARK, "target": f"{MARK}\x01"},
        {"type": "click", "user": MARK, "item": MARK, "time_ms": 1_600_000_000_000},
        {"type": "click", "user": MARK, "item": MARK, "customer": MARK},
        MARK,
    ]
    twice = f'{{"type":"click","user":"{MARK}","{MARK}":1,"{MARK}":2}}'
    return [
        ("GET", f"/api/00000/click/{MARK}/x/{MARK}", {}),
        ("GET", f"/api/00000/click/{MARK}/1", {}),
        ("GET", f"/api/00000/click/1/{MARK}", {}),
        ("GET", f"/api/00000/{MARK}/{MARK}/1/5", {}),
        ("GET", f"/api/00000/click/{MARK}/1/5/{MARK}/{MARK}", {}),
        ("GET", f"/api/00000/click/{MARK}%zz/1/5", {}),
        ("GET", f"/api/00000/click/{MARK}%5C/1/5", {}),
        ("GET", f"/api/00000/click/{MARK}%0A/1/5", {}),
        ("GET", f"/api/00000/login/{MARK}/{MARK}%0A", {}),
        ("GET", f"/api/00000/consume/{MARK}/1/5?percentage={MARK}", {}),
        ("GET", f"/api/00000/consume/{MARK}/1/5?percentage=5&percentage={MARK}", {}),
        ("GET", f"/api/00000/click/u/1/5?row={MARK}&{MARK}={MARK}", {}),
        ("GET", f"/api/00000/click/u/1/5?{MARK}=%zz", {}),
        ("GET", f"/api/00000/click/u/1/5?eid=1&eid={MARK}", {}),
        ("GET", f"/api/00000/click/u/1/5?jsonp={MARK}(1)", {}),
        (
            "GET",
            f"/api/00000/buy/{MARK}/1/{MARK}?overridetimestamp=2012-01-01T11:00:00&signature={MARK}",
            {},
        ),
        ("GET", f"/api/strict/buy/{MARK}/1/{MARK}?fullprice={MARK}", {}),
        ("GET", f"/api/locked/click/{MARK}/1/5", {"Authorization": basic}),
        ("GET", f"/api/{MARK}/click/{MARK}/1/5", {}),
        ("GET", f"/{MARK}", {}),
        ("GET", f"/v1/00000/{MARK}", {}),
        ("GET", f"/v1/{MARK}/refused", {}),
        ("GET", f"/cdn/v1/00000/{MARK}.js", {}),
        ("PUT", f"/api/00000/click/{MARK}/1/5", {}),
        (MARK.upper(), f"/api/00000/click/{MARK}/1/5", {}),
        ("POST", f"/api/00000/click/{MARK}/1/5", {"Content-Type": MARK, "body": MARK}),
        ("POST", f"/api/00000/consume/{MARK}/1/5", {**form, "body": f"percentage={MARK}&{MARK}={MARK}"}),
        ("POST", f"/v1/00000/events?{MARK}=1&{MARK}=2", {**JSON, "body": "[]"}),
        ("POST", "/v1/00000/events", {**JSON, "body": MARK}),
        ("POST", "/v1/00000/events", {**JSON, "body": json.dumps(elements)}),
        ("POST", "/v1/00000/events", {**JSON, "body": f"[{twice}]"}),
        ("POST", "/v1/00000/recommended", {**JSON, "body": json.dumps({"user": MARK, "lists": MARK})}),
        ("POST", "/v1/00000/playback", {**JSON, "body": json.dumps({"user": MARK, "item": MARK, "state": MARK})}),
        (
            "POST",
            f"/uitracking/users/presentationtracking?customer=00000&user={MARK}",
            {**form, "body": f'esn={MARK}&data=[{{"video_id":"{MARK}","rank":"{MARK}","{MARK}":1}}]'},
        ),
        ("POST", f"/uitracking/users/presentationtracking?customer={MARK}", {**form, "body": "data=[]"}),
        (
            "POST",
            "/uitracking/users/click?customer=00000",
            {**form, "body": f"url=/watch/{MARK}&user={MARK}&item=other"},
        ),
    ]  # fmt: skip


async def test_marker_is_on_no_page_and_in_no_log_line(
    collector: Running, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "app")
    codes = set()
    for method, target, headers in marked_requests():
        own = {
            "User-Agent": f"{MARK}/1.0",
            "Cookie": f"uptake_user={MARK}",
            "X-Forwarded-For": f"192.0.2.1, {MARK}",
        }
        body = headers.pop("body", None)
        answer = await collector.ask(
            method, target, data=body, headers={**own, **headers, "Referer": f"https://x.example/{MARK}"}
        )
        told = await answer.text()
        assert answer.status >= 400 or '"rejected"' in told, (method, target, told)
        codes.add(answer.status)
    for _, request in odd_requests(f"/api/00000/click/{MARK}/x/5".encode(), MARK.encode()):
        await asyncio.wait_for(collector.raw(request), 20)
    pages = [await (await collector.get(f"/v1/{customer}/refused")).text() for customer in CUSTOMERS]
    metrics = await (await collector.get("/metrics")).text()
    assert codes >= {200, 400, 401, 404, 405}
    assert sum(len(json.loads(shown)["last"]) for shown in pages) >= 30
    assert [text for text in (*pages, metrics) if MARK in text.lower() or "192.0.2" in text] == []
    assert "bad_percentage" in caplog.text
    assert MARK not in caplog.text.lower()
    assert "127.0.0.1" not in "".join(pages)


async def test_log_has_a_line_for_each_customer_and_reason_and_counts_the_rest_at_the_end(
    start_collector: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    collector = await start_collector()
    for _ in range(7):
        await collector.get("/api/00000/consume/u/1/5?percentage=101")
    await collector.get("/api/strict/consume/u/1/5?percentage=101")
    await collector.get("/api/nobody/consume/u/1/5?percentage=101")

    def lines() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.name.endswith("refused_requests")]

    def line(customer: str, number: int, code: str) -> str:
        return f"customer {customer}: {number} requests or elements refused since the last such line: {code}, {CAUSES[code]}"

    first = [
        line("00000", 1, "bad_percentage"),
        line("strict", 1, "bad_percentage"),
        line("unknown", 1, "unknown_customer"),
    ]
    assert lines() == first
    collector.stop.set()
    await collector.ended
    assert lines() == [*first, line("00000", 6, "bad_percentage")]


async def test_memory_of_customers_that_are_gone_is_freed(start_collector: Callable[..., Any]) -> None:
    customers = Customers({"one": Customer(rules(customer="one"))})
    collector = await start_collector(customers)
    await collector.get("/api/one/click/u/x/5")
    customers._replace({"two": Customer(rules(customer="two"))})
    await collector.get("/api/two/click/u/x/5")
    customers._replace({"one": Customer(rules(customer="one"))})
    assert (await page(collector, "one"))["last"] == []
