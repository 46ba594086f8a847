"""Answers over HTTP to events that are accepted, refused, or of unknown fate."""

import asyncio
import json
from typing import Any

import pytest

from app.collector.answers import GIF
from events.model import Buy, Click
from events.topics import HISTORY, JOURNAL
from tests.support.tracker import RULES

CLICK = "/api/00000/click/u/1/5"
BROWSER_IMAGE = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"


async def test_accepted_event_is_in_the_journal_under_its_users_key(collector: Any) -> None:
    response = await collector.get(CLICK)
    assert (response.status, await response.read()) == (204, b"")
    [(topic, key, _value, timestamp_ms)] = collector.sink.records
    [event] = collector.events()
    assert (topic, key) == (JOURNAL, f"00000|{RULES.user('u')}".encode())
    assert isinstance(event, Click)
    assert timestamp_ms == event.received_ms == event.time_ms


async def test_signed_import_goes_to_the_history(collector: Any) -> None:
    response = await collector.get(
        "/api/00000/buy/maxmustermann/1/11?fullprice=19.99EUR&overridetimestamp=2012-01-01T11%3A00%3A00&quantity=1"
        "&signature=d0026f017ae823f19530d93318c5a2f6"
    )
    assert response.status == 204
    [(topic, _, _, timestamp_ms)] = collector.sink.records
    assert topic == HISTORY
    # The record has the time of receipt, from which retention counts.
    assert timestamp_ms > 1_600_000_000_000


async def test_no_answer_before_the_acknowledgement(collector: Any) -> None:
    collector.sink.may_acknowledge.clear()
    asked = asyncio.create_task(collector.get(CLICK))
    while not collector.sink.waiting:
        await asyncio.sleep(0)
    await asyncio.sleep(0.02)
    assert not asked.done()
    collector.sink.may_acknowledge.set()
    assert (await asked).status == 204


@pytest.mark.parametrize("accept", [BROWSER_IMAGE, "image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"])
async def test_image_tag_gets_an_image(collector: Any, accept: str) -> None:
    response = await collector.get(CLICK, Accept=accept)
    assert (response.status, response.content_type, await response.read()) == (200, "image/gif", GIF)


@pytest.mark.parametrize("accept", ["*/*", "", "application/json"])
async def test_others_get_204(collector: Any, accept: str) -> None:
    assert (await collector.get(CLICK, Accept=accept)).status == 204


async def test_post_takes_a_form_body(collector: Any) -> None:
    response = await collector.ask(
        "POST", "/api/00000/buy/u/1/5?lang=de", data={"fullprice": "2.50EUR", "quantity": "4"}
    )
    assert response.status == 204
    [event] = collector.events()
    assert isinstance(event, Buy)
    assert (str(event.price), event.currency, event.quantity, event.lang) == ("2.50", "EUR", 4, "de")


@pytest.mark.parametrize("content_type", ["text/plain;charset=UTF-8", "application/x-www-form-urlencoded"])
async def test_beacons_are_read(collector: Any, content_type: str) -> None:
    response = await collector.ask(
        "POST", "/api/00000/consume/u/1/5", data=b"percentage=30", headers={"Content-Type": content_type}
    )
    assert response.status == 204
    assert collector.events()[0].percentage == 30


async def test_post_without_body_is_an_event(collector: Any) -> None:
    assert (await collector.ask("POST", CLICK)).status == 204
    assert len(collector.events()) == 1


async def test_post_never_gets_an_image(collector: Any) -> None:
    assert (await collector.ask("POST", CLICK, headers={"Accept": "image/*"})).status == 204


async def test_head_answers_as_get_and_records_nothing(collector: Any) -> None:
    assert (await collector.ask("HEAD", CLICK)).status == 204
    assert (await collector.ask("HEAD", CLICK, headers={"Accept": "image/*"})).status == 200
    assert (await collector.ask("HEAD", "/api/00000/click/u/x/5")).status == 400
    assert collector.sink.records == []


async def test_preflight_is_answered_and_records_nothing(collector: Any) -> None:
    response = await collector.ask(
        "OPTIONS",
        CLICK,
        headers={"Origin": "https://a.example", "Access-Control-Request-Headers": "authorization"},
    )
    assert response.status == 204
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert "POST" in response.headers["Access-Control-Allow-Methods"]
    assert "Authorization" in response.headers["Access-Control-Allow-Headers"]
    assert collector.sink.records == []


@pytest.mark.parametrize("target", [CLICK, "/api/00000/click/u/x/5", "/api/nobody/click/u/1/5", "/nothing"])
async def test_every_answer_is_uncached_unsniffed_and_readable_across_origins(
    collector: Any, target: str
) -> None:
    headers = (await collector.get(target)).headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("parameter", ["jsonp", "jsonpCallback", "jsonpcallback"])
async def test_jsonp_wraps_the_answer(collector: Any, parameter: str) -> None:
    response = await collector.get(f"{CLICK}?{parameter}=a.b$_1")
    assert (response.status, response.content_type) == (200, "application/javascript")
    assert await response.text() == '/**/a.b$_1({"status":204});'
    assert collector.events()[0].properties is None


async def test_jsonp_wraps_a_rejection_and_keeps_its_status(collector: Any) -> None:
    response = await collector.get("/api/00000/click/u/1/5?row=x&jsonp=f")
    text = await response.text()
    assert response.status == 400
    assert text.startswith("/**/f({")
    assert json.loads(text[6:-2])["code"] == "bad_number"


@pytest.mark.parametrize(
    "name", ["alert(1)", "a b", "1a", "a-b", "%3Cscript%3E", "f%0A", "f" * 65, "%C3%BC", "f;x", "."]
)
async def test_jsonp_name_cannot_carry_script(collector: Any, name: str) -> None:
    response = await collector.get(f"{CLICK}?jsonp={name}")
    assert response.status == 400
    assert "script>" not in await response.text()
    assert collector.sink.records == []


async def test_rejection_is_a_sentence(collector: Any) -> None:
    response = await collector.get("/api/00000/consume/u/1/5?percentage=101")
    assert (response.status, response.content_type) == (400, "text/plain")
    assert await response.text() == "percentage '101' must be an integer from 0 to 100\n"


async def test_rejection_is_a_problem_document_when_asked(collector: Any) -> None:
    response = await collector.get(
        "/api/00000/consume/u/1/5?percentage=101", Accept="application/problem+json"
    )
    assert response.content_type == "application/problem+json"
    assert await response.json(content_type=None) == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "percentage '101' must be an integer from 0 to 100",
        "code": "bad_percentage",
        "parameter": "percentage",
        "value": "101",
    }


async def test_empty_item_list_is_accepted_and_nothing_recorded(collector: Any) -> None:
    assert (await collector.get("/api/00000/rendered/u/1/")).status == 204
    assert collector.sink.records == []
    assert "uptake_collector_empty_total 1.0" in await (await collector.get("/metrics")).text()


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/api/0/click/u/1/5", 404),
        ("/api/00001/click/u/1/5", 404),
        ("/api//click/u/1/5", 404),
        ("/api/00000/like/u/1/5", 404),
        ("/apis/00000/click/u/1/5", 404),
        ("/", 404),
        ("/favicon.png", 404),
        ("/api/strict/clickrecommended/u/1/5", 400),
    ],
)
async def test_refused_requests_record_nothing(collector: Any, target: str, status: int) -> None:
    assert (await collector.get(target)).status == status
    assert collector.sink.records == []


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
async def test_other_methods_are_405(collector: Any, method: str) -> None:
    response = await collector.ask(method, CLICK)
    assert response.status == 405
    assert "GET" in response.headers["Allow"]
    assert collector.sink.records == []


async def test_basic_credentials_are_accepted(collector: Any) -> None:
    assert (await collector.get(CLICK, Authorization="Basic MDAwMDA6eA==")).status == 204


async def test_sink_that_takes_nothing_is_503_with_retry_after(collector: Any) -> None:
    collector.sink.refusal = "Kafka at 127.0.0.1:1 does not answer"
    response = await collector.get(CLICK)
    assert (response.status, response.headers["Retry-After"]) == (503, "1")
    assert "nothing was recorded: Kafka at 127.0.0.1:1 does not answer" in await response.text()
    assert collector.sink.records == []


async def test_lost_acknowledgement_is_504(collector: Any) -> None:
    collector.sink.loses_acknowledgements = True
    response = await collector.get(CLICK)
    assert response.status == 504
    assert "Retry-After" not in response.headers


async def test_unforeseen_error_is_500_without_details_and_without_ids_in_the_log(
    collector: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    message = "cannot encode secret-user"

    async def fail(*_record: object) -> None:
        raise RuntimeError(message)

    monkeypatch.setattr(collector.sink, "send", fail)
    response = await collector.get("/api/00000/click/secret-user/1/5")
    text = await response.text()
    assert response.status == 500
    assert "Traceback" not in text
    assert "RuntimeError" not in text
    assert "RuntimeError" in caplog.text
    assert "dispatch.py" in caplog.text
    assert "secret-user" not in caplog.text


async def test_no_log_line_above_debug_holds_a_user_id(
    collector: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for target in (
        "click/secret-user/1/5",
        "click/secret-user/x/5",
        "click/secret-user%/1/5",
        "login/secret-user/x",
    ):
        await collector.get(f"/api/00000/{target}")
    await collector.raw(b"GET /api/00000/click/secret-user\x00/1/5 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert "secret-user" not in caplog.text


async def test_ready_says_what_is_wrong(collector: Any) -> None:
    ready = await collector.get("/health/ready")
    assert (ready.status, await ready.json()) == (
        200,
        {"ready": True, "problems": [], "warnings": [], "spool": None},
    )
    collector.sink.refusal = "no broker"
    ready = await collector.get("/health/ready")
    assert (ready.status, await ready.json()) == (
        503,
        {"ready": False, "problems": ["no broker"], "warnings": [], "spool": None},
    )
    assert (await collector.get("/health/live")).status == 200


async def test_metrics_count_by_event_and_by_code(collector: Any) -> None:
    for target in ("click/u/1/5", "follow/u/1/5", "click/u/x/5", "click/u/1/5?created=9&sent=1", "x/u/1/5"):
        await collector.get(f"/api/00000/{target}")
    page = await (await collector.get("/metrics")).text()
    for line in (
        'uptake_collector_accepted_total{event="click"} 2.0',
        'uptake_collector_accepted_total{event="clickrecommended"} 1.0',
        'uptake_collector_accepted_total{event="buy"} 0.0',
        'uptake_collector_rejected_total{customer="00000",reason="bad_itemtype"} 1.0',
        'uptake_collector_rejected_total{customer="00000",reason="unknown_event"} 1.0',
        "uptake_collector_clamped_total 1.0",
        "uptake_collector_request_seconds_count 3.0",
    ):
        assert line in page.splitlines()


@pytest.mark.parametrize(
    "clocks", ["created=1700000000&sent=1700000001", "created=1700000000", "sent=1700000000"]
)
async def test_clock_in_seconds_is_ignored_and_counted(collector: Any, clocks: str) -> None:
    assert (await collector.get(f"/api/00000/click/u/1/5?{clocks}&title=t")).status == 204
    (event,) = collector.events()
    assert (event.created_ms, event.sent_ms, event.properties) == (None, None, {"title": "t"})
    assert (event.time_ms, event.is_clamped) == (event.received_ms, False)
    page = await (await collector.get("/metrics")).text()
    assert "uptake_collector_ignored_clocks_total 1.0" in page.splitlines()


async def test_user_not_defined_is_nobody(collector: Any) -> None:
    await collector.get("/api/00000/click/not_defined/1/5")
    assert {event.user for event in collector.events()} == {"~"}
