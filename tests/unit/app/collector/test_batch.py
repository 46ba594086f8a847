"""A body of many events over HTTP: one result for each event, in order; limits for the whole body."""

import gzip
import io
import json
import zlib
from base64 import b64encode
from typing import Any

import aiohttp
import pytest

from app.journal.sink import FateUnknownError, NotTakenError, Outcome
from events.model import EventBase
from events.topics import HISTORY, JOURNAL
from tests.support.tracker import LICENSE_KEY, RULES

EVENTS = "/v1/00000/events"
ORIGIN = "https://shop.example"


def a_click(item: object = "5", user: object = "u", **more: object) -> dict[str, object]:
    return {"type": "click", "user": user, "item": item, **more}


async def post(collector: Any, target: str, body: bytes | object, **headers: str) -> aiohttp.ClientResponse:
    named = {"Content-Type": "application/json"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    response: aiohttp.ClientResponse = await collector.ask(
        "POST", target, data=io.BytesIO(data), headers=named
    )
    return response


def packed(body: bytes) -> bytes:
    return gzip.compress(body, mtime=0)  # no time stamp, because the bytes appear in the names of tests


def statuses(answer: dict[str, Any]) -> list[str]:
    return [result.get("code", result["status"]) for result in answer["results"]]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", json.dumps([a_click(n) for n in range(1, 4)])),
        ("application/x-ndjson", "\n".join(json.dumps(a_click(n)) for n in range(1, 4))),
        ("application/json; charset=utf-8", "\n".join(json.dumps(a_click(n)) for n in range(1, 4))),
        ("text/plain;charset=UTF-8", json.dumps([a_click(n) for n in range(1, 4)])),
        ("text/plain", "\n".join(json.dumps(a_click(n)) for n in range(1, 4)) + "\n"),
    ],
)
@pytest.mark.parametrize("is_packed", [False, True], ids=["plain", "gzip"])
async def test_every_form_of_a_batch_is_recorded_in_order(
    collector: Any, kind: str, body: str, is_packed: bool
) -> None:
    headers = {"Content_Type": kind} | ({"Content_Encoding": "gzip"} if is_packed else {})
    data = packed(body.encode()) if is_packed else body.encode()
    response = await post(collector, EVENTS, data, **headers)
    assert response.status == 200
    assert await response.json() == {
        "accepted": 3,
        "rejected": 0,
        "results": [{"status": "accepted"}] * 3,
    }
    assert [event.item for event in collector.events()] == ["1", "2", "3"]
    assert {event.user for event in collector.events()} == {RULES.user("u")}
    assert {record[0] for record in collector.sink.records} == {JOURNAL}


async def test_each_element_has_its_own_result(collector: Any) -> None:
    body = [a_click(), a_click(item=""), {"type": "rendered", "user": "u", "items": []}, 7, a_click(9)]
    response = await post(collector, EVENTS, body)
    assert response.status == 200
    answer = await response.json()
    assert statuses(answer) == ["accepted", "missing_item", "accepted", "bad_json", "accepted"]
    assert (answer["accepted"], answer["rejected"]) == (3, 2)
    assert answer["results"][1] == {
        "status": "rejected",
        "code": "missing_item",
        "reason": "item: the item id is required and must not be empty",
        "retry": False,
        "parameter": "item",
    }
    assert [event.item for event in collector.events()] == ["5", "9"]
    metrics = await (await collector.get("/metrics")).text()
    assert 'uptake_collector_accepted_total{event="click"} 2.0' in metrics
    assert 'uptake_collector_rejected_total{customer="00000",reason="missing_item"} 1.0' in metrics
    assert "uptake_collector_empty_total 1.0" in metrics


async def test_bad_line_is_refused_alone(collector: Any) -> None:
    body = b'{"type":"click","user":"u","item":"1"}\n{"type":\n{"type":"click","user":"u","item":"2"}'
    response = await post(collector, EVENTS, body, Content_Type="application/x-ndjson")
    assert statuses(await response.json()) == ["accepted", "bad_json", "accepted"]
    assert len(collector.sink.records) == 2


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"[", {}, 400, "bad_json"),
        (b"", {}, 400, "bad_json"),
        (b'[{"type":"click","user":"u","item":"\\ud800"}]', {}, 400, "bad_json"),
        (b"[" * 10_000 + b"]" * 10_000, {}, 400, "bad_json"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, {}, 400, "bad_json"),
        (b"[]", {"Content_Type": "application/xml"}, 400, "bad_body"),
        (b"[]", {"Content_Type": "application/x-www-form-urlencoded"}, 400, "bad_body"),
        (b"[]", {"Content_Encoding": "br"}, 400, "bad_body"),
        (b"[]", {"Content_Encoding": "gzip, gzip"}, 400, "bad_body"),
        (b"[]", {"Content_Encoding": "gzip"}, 400, "bad_body"),
        (packed(b"[]" * 99)[:-5], {"Content_Encoding": "gzip"}, 400, "bad_body"),
        (packed(b"[]") + b"x", {"Content_Encoding": "gzip"}, 400, "bad_body"),
        (zlib.compress(b"[]"), {"Content_Encoding": "gzip"}, 400, "bad_body"),
        (packed(b" " * 100_000_000), {"Content_Encoding": "gzip"}, 413, "body_too_large"),
        (packed(b" " * 3_000_000) * 2, {"Content_Encoding": "gzip"}, 413, "body_too_large"),
        (b" " * 1_048_577, {}, 413, "body_too_large"),
        (b"[" + b"1," * 5_000 + b"1]", {}, 413, "too_many_elements"),
        (b"\n" * 5_001, {"Content_Type": "application/x-ndjson"}, 413, "too_many_elements"),
    ],
    ids=lambda value: str(value)[:50],
)
async def test_body_that_cannot_be_read_is_refused_as_a_whole(
    collector: Any, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    response = await post(collector, EVENTS, body, Accept="application/problem+json", **headers)
    assert response.status == status
    assert (await response.json())["code"] == code
    assert collector.sink.records == []


async def test_parameter_with_two_values_in_the_query_is_refused(collector: Any) -> None:
    response = await post(collector, EVENTS + "?a=1&a=2", [a_click()])
    assert (response.status, collector.sink.records) == (400, [])
    assert (await post(collector, EVENTS + "?a=1&b=2&a=1", [a_click()])).status == 200


async def test_clocks_in_seconds_are_ignored_and_counted_and_a_time_in_seconds_is_refused(
    collector: Any,
) -> None:
    batch = [
        a_click(1, created=1_700_000_000, sent=1_700_000_009),
        a_click(2, created_ms=1_700_000_000),
        a_click(3, created=5, sent=6),
        a_click(4, time_ms=1_700_000_000),
        a_click(5, time_ms=946_684_799),
    ]
    basic = "Basic " + b64encode(f"00000:{LICENSE_KEY}".encode()).decode()
    answer = await (await post(collector, EVENTS, batch, Authorization=basic)).json()
    assert statuses(answer) == ["accepted", "accepted", "accepted", "bad_timestamp", "accepted"]
    assert "milliseconds" in answer["results"][3]["reason"]
    assert [event.created_ms for event in collector.events() if event.item != "5"] == [None, None, 5]
    page = await (await collector.get("/metrics")).text()
    assert "uptake_collector_ignored_clocks_total 2.0" in page.splitlines()


async def test_members_of_gzip_are_one_body(collector: Any) -> None:
    body = packed(b"[" + json.dumps(a_click()).encode()) + packed(b"]")
    response = await post(collector, EVENTS, body, Content_Encoding="gzip")
    assert (await response.json())["accepted"] == 1


async def test_limits_are_settings(start_collector: Any) -> None:
    collector = await start_collector(max_batch_bytes=100, max_unpacked_bytes=200, max_batch_elements=1)
    assert (await post(collector, EVENTS, [a_click()])).status == 200
    assert (await post(collector, EVENTS, [a_click()] * 2)).status == 413
    assert (await post(collector, EVENTS, b" " * 101)).status == 413
    body = packed(b" " * 201)
    assert (await post(collector, EVENTS, body, Content_Encoding="gzip")).status == 413


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", EVENTS, 405),
        ("HEAD", EVENTS, 405),
        ("PUT", EVENTS, 405),
        ("POST", "/v1/nobody/events", 404),
        ("POST", "/v1/00000/nothing", 404),
        ("POST", "/v1/00000/events//", 404),
        ("POST", "/v2/00000/events", 404),
        ("POST", "/v1/00000%5C/events", 400),
    ],
)
async def test_other_paths_and_methods_are_not_taken(
    collector: Any, method: str, target: str, status: int
) -> None:
    response = await collector.ask(method, target, data=b"[]" if method in ("POST", "PUT") else None)
    assert response.status == status
    if status == 405:
        assert response.headers["Allow"] == "POST, OPTIONS"


async def test_page_of_another_origin_may_post_json(collector: Any) -> None:
    preflight = await collector.ask(
        "OPTIONS",
        "/v1/strict/events",
        headers={
            "Origin": ORIGIN,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type,content-encoding",
        },
    )
    assert preflight.status == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert preflight.headers["Access-Control-Allow-Methods"] == "POST, OPTIONS"
    allowed = preflight.headers["Access-Control-Allow-Headers"].lower()
    assert {"content-type", "content-encoding"} <= set(allowed.split(", "))
    response = await post(collector, "/v1/strict/events", [a_click()], Origin=ORIGIN)
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert response.headers["Cache-Control"] == "no-store"
    assert collector.events()[0].customer == "strict"


async def test_times_of_the_past_need_the_license_key(collector: Any) -> None:
    body = [a_click(time_ms=1_325_415_600_000), a_click()]
    for password, expected in (("wrong", "unauthorized"), (LICENSE_KEY, "accepted")):
        credentials = "Basic " + b64encode(f"00000:{password}".encode()).decode()
        response = await post(collector, EVENTS, body, Authorization=credentials)
        assert statuses(await response.json()) == [expected, "accepted"]
    assert [record[0] for record in collector.sink.records] == [JOURNAL, HISTORY, JOURNAL]
    assert [event.time_ms for event in collector.events()].index(1_325_415_600_000) == 1


async def test_batch_is_charged_as_its_events(collector: Any) -> None:
    body = [a_click()] * 3
    assert (await post(collector, "/v1/limited/events", body)).status == 200
    response = await post(collector, "/v1/limited/events", body)
    assert response.status == 429
    assert int(response.headers["Retry-After"]) >= 1
    assert len(collector.sink.records) == 3


class Choosy:
    """Decides by an event's item: taken, not taken, or of unknown fate."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    async def __call__(self, events: Any) -> list[Outcome]:
        return [await self._one(*each) for each in events]

    async def _one(self, topic: str, event: EventBase) -> Outcome:
        item = getattr(event, "item", "")
        if item == "away":
            return NotTakenError("Kafka is away")
        if item == "lost":
            return FateUnknownError("no answer")
        await self._inner.send(topic, event)
        return None


async def test_results_say_what_may_be_sent_again(collector: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector.sink, "send_many", Choosy(collector.sink))
    body = [a_click("away"), a_click("lost"), a_click("lost", eid="e"), a_click(""), a_click("5")]
    response = await post(collector, EVENTS, body)
    assert response.status == 200
    answer = await response.json()
    assert statuses(answer) == ["unavailable", "fate_unknown", "fate_unknown", "missing_item", "accepted"]
    assert [result.get("retry") for result in answer["results"]] == [True, False, True, False, None]
    assert (answer["accepted"], answer["rejected"]) == (1, 4)


@pytest.mark.parametrize("body", [[a_click()], [a_click(), a_click("")]], ids=["all good", "one bad"])
async def test_batch_of_which_nothing_could_be_taken_is_503(collector: Any, body: object) -> None:
    collector.sink.refusal = "Kafka is away"
    response = await post(collector, EVENTS, body)
    assert response.status == 503
    assert response.headers["Retry-After"] == "1"
    assert statuses(await response.json())[0] == "unavailable"


async def test_empty_batch_is_no_failure(collector: Any) -> None:
    response = await post(collector, EVENTS, [])
    assert response.status == 200
    assert await response.json() == {"accepted": 0, "rejected": 0, "results": []}


# --- recommended -----------------------------------------------------------------------------------------------------------------

SERVED = {
    "request_id": "4fc",
    "user": "u",
    "session": "s",
    "lists": [{"scenario": "top", "row": 0, "items": [1, 2], "variant": "B"}],
}


async def test_served_lists_are_recorded(collector: Any) -> None:
    response = await post(collector, "/v1/00000/recommended", SERVED)
    assert response.status == 204
    (event,) = collector.events()
    assert event.request_id == "4fc"
    assert event.session == "s"
    assert event.user == RULES.user("u")
    assert event.lists[0].items == ("1", "2")


async def test_single_list_is_refused_with_a_status(collector: Any) -> None:
    response = await post(collector, "/v1/00000/recommended", {"user": "u"})
    assert response.status == 400
    assert "request_id" in await response.text()
    collector.sink.refusal = "Kafka is away"
    assert (await post(collector, "/v1/00000/recommended", SERVED)).status == 503


async def test_many_served_lists_have_a_result_each(collector: Any) -> None:
    response = await post(collector, "/v1/00000/recommended", [SERVED, {"user": "u"}, a_click()])
    assert response.status == 200
    assert statuses(await response.json()) == ["accepted", "bad_parameter", "unknown_event"]


# --- playback --------------------------------------------------------------------------------------------------------------------

BEAT = {
    "user": "u",
    "item": 7,
    "session": "s",
    "state": "playing",
    "position_ms": 1_000,
    "duration_ms": 100_000,
    "rate": 1.5,
    "created": 1_700_000_000_000,
    "credits_ms": 90_000,
}


async def test_heartbeat_of_a_player_is_recorded(collector: Any) -> None:
    assert (await post(collector, "/v1/00000/playback", BEAT)).status == 204
    (event,) = collector.events()
    assert (event.item, event.session, event.state, event.position_ms) == ("7", "s", "playing", 1_000)
    assert (event.duration_ms, event.rate, event.credits_ms) == (100_000, 1.5, 90_000)
    assert event.created_ms == 1_700_000_000_000
    assert event.properties is None


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"user": ""}, "missing_user"),
        ({"item": None}, "missing_item"),
        ({"session": ""}, "bad_parameter"),
        ({"state": "rewinding"}, "bad_parameter"),
        ({"state": ["playing"]}, "bad_parameter"),
        ({"position_ms": -1}, "bad_number"),
        ({"position_ms": 1.5}, "bad_number"),
        ({"duration_ms": 0}, "bad_number"),
        ({"duration_ms": None}, "bad_parameter"),
        ({"duration_ms": 10**12}, "bad_number"),
        ({"rate": "1"}, "bad_number"),
        ({"rate": 1e300}, "bad_number"),
        ({"rate": 10**400}, "bad_number"),
        ({"type": "click"}, "unknown_event"),
    ],
)
async def test_heartbeat_that_cannot_be_is_refused(
    collector: Any, change: dict[str, object], code: str
) -> None:
    response = await post(collector, "/v1/00000/playback", [BEAT | change, BEAT])
    assert statuses(await response.json()) == [code, "accepted"]
