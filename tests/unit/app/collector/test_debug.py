"""The parameter debug=1 gets JSON that says what was recorded, or why it was refused, and changes nothing of what is recorded."""

import json
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from events.codec import encode
from events.model import EventBase
from events.signature import sign
from events.target import build_target
from events.topics import HISTORY, JOURNAL
from events.tracker import TRACKER_EVENTS, TRACKER_PATHS
from tests.support.tracker import LICENSE_KEY, RULES
from tests.unit.app.collector.conftest import Running

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
IMAGE = {"Accept": "image/avif,image/webp,*/*;q=0.8"}


def timeless(event: EventBase) -> EventBase:
    return msgspec.structs.replace(event, time_ms=0, received_ms=0)


def record_of(event: EventBase) -> Any:
    return json.loads(encode(event))


def targets() -> list[str]:
    ids = {"user": "u", "source": "u", "target": "v", "itemtype": "1", "item": "5", "item[,item]": "5,6"}
    return [
        build_target(
            "00000",
            name,
            [ids[place.strip("{}")] for place in TRACKER_PATHS[name].split("/")],
            {
                "rating": "7",
                "lang": "de",
                "mine": "x",
                "scenario": "s",
                "quantity": "2",
                "fullprice": "2.50EUR",
            },
        )
        for name in TRACKER_EVENTS
    ]


@pytest.mark.parametrize("headers", [{}, IMAGE], ids=["plain", "image"])
@pytest.mark.parametrize("target", targets())
async def test_answer_is_the_record_and_the_same_is_recorded_without(
    collector: Running, target: str, headers: dict[str, str]
) -> None:
    plain = await collector.ask("GET", target, headers=headers)
    answer = await collector.ask("GET", f"{target}&debug=1", headers=headers)
    assert plain.status == (200 if headers else 204)
    assert (answer.status, answer.content_type) == (200, "application/json")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Cache-Control"] == "no-store"
    before, recorded = collector.events()
    assert await answer.json() == {"status": "accepted", "event": record_of(recorded), "topic": JOURNAL}
    assert timeless(recorded) == timeless(before)
    assert recorded.user == RULES.user("u")
    assert recorded.user in await answer.text()


@pytest.mark.parametrize("value", ["0", "true", "", "11"])
async def test_other_values_ask_nothing(collector: Running, value: str) -> None:
    answer = await collector.get(f"/api/00000/click/u/1/5?debug={value}")
    assert (answer.status, await answer.read()) == (204, b"")
    assert collector.events()[0].properties is None


async def test_form_may_ask_too(collector: Running) -> None:
    answer = await collector.ask("POST", "/api/00000/click/u/1/5", data={"debug": "1", "title": "t"})
    assert (await answer.json())["event"]["properties"] == {"title": "t"}
    refused = await collector.ask("POST", "/api/00000/click/u/1/5", data={"debug": "1", "row": "x"})
    assert (refused.status, (await refused.json())["code"]) == (400, "bad_number")


async def test_head_is_answered_as_ever(collector: Running) -> None:
    assert (await collector.ask("HEAD", "/api/00000/click/u/1/5?debug=1")).status == 204
    assert collector.events() == []


async def test_nothing_to_record_is_said(collector: Running) -> None:
    answer = await collector.get("/api/00000/rendered/u/1/?debug=1")
    assert (answer.status, await answer.json()) == (200, {"status": "accepted", "event": None})


async def test_what_was_left_out_is_said(collector: Running) -> None:
    answer = await collector.get("/api/00000/buy/u/1/5?debug=1&fullprice=NaNEUR&created=1700000000")
    assert (await answer.json())["left_out"] == ["clock_in_seconds", "price_unreadable"]


@pytest.mark.parametrize("headers", [{}, IMAGE, {"Accept": "application/problem+json"}])
async def test_refusal_says_why(collector: Running, headers: dict[str, str]) -> None:
    answer = await collector.ask("GET", "/api/00000/consume/u/1/5?percentage=101&debug=1", headers=headers)
    assert (answer.status, answer.content_type) == (400, "application/json")
    assert await answer.json() == {
        "status": "rejected",
        "code": "bad_percentage",
        "reason": "percentage '101' must be an integer from 0 to 100",
        "parameter": "percentage",
        "retry": False,
    }


@pytest.mark.parametrize(
    ("target", "status", "code"),
    [
        ("/api/00000/click/a%5Cb/1/5?debug=1", 400, "backslash_in_path"),
        ("/api/00000/click/u%zz/1/5?debug=1", 400, "malformed_encoding"),
        ("/api/00000/like/u/1/5?debug=1", 404, "unknown_event"),
        ("/api/nobody/click/u/1/5?debug=1", 404, "unknown_customer"),
        ("/api/locked/click/u/1/5?debug=1", 401, "unauthorized"),
    ],
)
async def test_refusal_before_parameters_are_read_says_why(
    collector: Running, target: str, status: int, code: str
) -> None:
    answer = await collector.get(target)
    assert (answer.status, (await answer.json())["code"]) == (status, code)
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)


async def test_over_the_rate_keeps_its_retry_after(collector: Running) -> None:
    for _ in range(2):
        await collector.get("/api/limited/click/u/1/5")
    answer = await collector.get("/api/limited/click/u/1/5?debug=1")
    assert (answer.status, (await answer.json())["retry"]) == (429, True)
    assert int(answer.headers["Retry-After"]) >= 1


async def test_unknown_fate_may_be_sent_again_with_an_eid_only(collector: Running) -> None:
    collector.sink.loses_acknowledgements = True
    for eid, retry in (("", False), ("&eid=7", True)):
        answer = await collector.get(f"/api/00000/click/u/1/5?debug=1{eid}")
        assert (answer.status, (await answer.json())["retry"]) == (504, retry)


async def test_script_gets_it_as_well(collector: Running) -> None:
    answer = await collector.get("/api/00000/click/u/1/5?debug=1&jsonp=f")
    text = await answer.text()
    assert (answer.status, answer.content_type) == (200, "application/javascript")
    assert json.loads(text.removeprefix("/**/f(").removesuffix(");"))["event"]["item"] == "5"
    refused = await collector.get("/api/00000/click/u/1/5?debug=1&jsonp=f&row=x")
    assert (refused.status, (await refused.text())[:8]) == (400, '/**/f({"')


async def test_signature_does_not_cover_it(collector: Running) -> None:
    params = {"overridetimestamp": "2019-11-24T00:00:01", "quantity": "1"}
    params["signature"] = sign(("1", "5"), LICENSE_KEY, params)
    answer = await collector.get(build_target("00000", "buy", ("u", "1", "5"), {**params, "debug": "1"}))
    assert (answer.status, (await answer.json())["topic"]) == (200, HISTORY)


async def test_each_element_of_a_batch_is_shown(collector: Running) -> None:
    body = [
        {"type": "click", "user": "u", "item": "5", "title": "t"},
        {"type": "rendered", "user": "u", "items": []},
        {"type": "rate", "user": "u", "item": "5", "rating": 101},
    ]
    answer = await collector.ask("POST", "/v1/00000/events?debug=1", data=json.dumps(body), headers=JSON)
    told = await answer.json()
    (recorded,) = collector.events()
    assert told["results"] == [
        {"status": "accepted", "event": record_of(recorded), "topic": JOURNAL},
        {"status": "accepted", "event": None},
        {
            "status": "rejected",
            "code": "bad_rating",
            "reason": "rating '101' must be an integer from 0 to 100",
            "parameter": "rating",
            "retry": False,
        },
    ]
    assert (told["accepted"], told["rejected"]) == (2, 1)
    assert recorded.user == RULES.user("u")


async def test_single_element_is_shown(collector: Running) -> None:
    served = {"request_id": "r", "user": "u", "lists": [{"scenario": "top", "items": ["1"]}]}
    answer = await collector.ask(
        "POST", "/v1/00000/recommended?debug=1", data=json.dumps(served), headers=JSON
    )
    (recorded,) = collector.events()
    assert (answer.status, (await answer.json())["event"]) == (200, record_of(recorded))
    del served["request_id"]
    refused = await collector.ask(
        "POST", "/v1/00000/recommended?debug=1", data=json.dumps(served), headers=JSON
    )
    assert (refused.status, (await refused.json())["parameter"]) == (400, "request_id")


async def test_presentations_and_their_click_are_shown(collector: Running) -> None:
    data = [{"video_id": video, "track_id": 7, "row": 2, "rank": rank} for rank, video in enumerate((11, 12))]
    address = "/uitracking/users/presentationtracking?customer=00000&user=u"
    for query in ("", "&debug=1"):
        answer = await collector.ask(
            "POST", address + query, data=f"esn=null&data={quote(json.dumps(data))}", headers=FORM
        )
    plain, shown = collector.events()
    assert timeless(plain) == timeless(shown)
    results = (await answer.json())["results"]
    assert [result["event"] for result in results] == 2 * [record_of(shown)]
    answer = await collector.ask(
        "POST",
        "/uitracking/users/click?customer=00000&user=u&debug=1",
        data="url=" + quote("/watch/11?trackId=7&tctx=3,1,r"),
        headers=FORM,
    )
    assert (answer.status, (await answer.json())["event"]) == (200, record_of(collector.events()[-1]))
    assert collector.events()[-1].properties == {"tctx": "3,1,r"}
