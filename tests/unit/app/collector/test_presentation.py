"""A video page reports what its carousels showed and what was clicked, word for word as shipped pages do, and as JSON."""

import json
from base64 import b64encode
from typing import Any
from urllib.parse import quote

import pytest

from app.customers.customer import Customer
from app.customers.customer_registry import Customers
from events.model import NO_PROFILE_USER, ClickRecommended, Rendered
from tests.support.tracker import RULES, rules

SHOWN = "/uitracking/users/presentationtracking?customer=00000"
CLICKED = "/uitracking/users/click?customer=00000"
FORM = "application/x-www-form-urlencoded"

# The body that a browser sent: neither percent-encoded nor on one line.
SEED = """esn=null&country=GB&application_name=MERCHWEB&application_v=1.2&data=[
{"time":1340138780754,"request_id":"4fc...019","video_id":70095139,"track_id":50000085,"row":0,"rank":6,"location":"WATCHNOW"},
{"time":1340138780754,"request_id":"4fc...019","video_id":60020817,"track_id":50000085,"row":0,"rank":7,"location":"WATCHNOW"},
{"time":1340138780754,"request_id":"4fc...019","video_id":70139996,"track_id":50000085,"row":0,"rank":8,"location":"WATCHNOW"},
{"time":1340138780754,"request_id":"4fc...019","video_id":70213047,"track_id":50000085,"row":0,"rank":9,"location":"WATCHNOW"},
{"time":1340138780754,"request_id":"4fc...019","video_id":70102778,"track_id":50000085,"row":0,"rank":0,"location":"WATCHNOW"},
{"time":1340138780754,"request_id":"4fc...019","video_id":70105820,"track_id":50000085,"row":0,"rank":1,"location":"WATCHNOW"}]"""
DATA = SEED.partition("&data=")[2]
PAGE = {"country": "GB", "application_name": "MERCHWEB", "application_v": "1.2"}
TRACKS = Customers(
    {
        "00000": Customer(rules(scenarios_of_tracks={"50000085": "popular"})),
        "other": Customer(rules(customer="other")),
    }
)


def shown(video: object = 1, rank: object = 0, **more: object) -> dict[str, object]:
    return {"video_id": video, "track_id": 7, "row": 2, "rank": rank, "request_id": "r", "time": 5, **more}


async def post(collector: Any, target: str, body: object, kind: str = FORM, **headers: str) -> Any:
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await collector.ask("POST", target, data=data, headers={"Content-Type": kind} | named)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (SEED, FORM),
        (SEED, "text/plain;charset=UTF-8"),
        (SEED + "\n", FORM),
        (SEED.replace("\n", "\r\n"), FORM),
        ("data=" + DATA + "&" + SEED.partition("&data=")[0], FORM),
        (SEED.partition("data=")[0] + "data=" + quote(DATA), FORM),
        (SEED.partition("data=")[0] + "data=" + quote(DATA, safe="[]:,"), FORM),
        (json.dumps({"esn": None, **PAGE, "data": json.loads(DATA)}), "application/json"),
        (json.dumps({"esn": "null", **PAGE, "data": DATA}), "text/plain"),
    ],
    ids=["seed", "beacon", "ending", "crlf", "data first", "encoded", "half encoded", "json", "json beacon"],
)
async def test_presentation_of_the_seed_is_recorded_in_every_form(
    collector: Any, body: str, kind: str
) -> None:
    response = await post(collector, SHOWN, body, kind)
    assert response.status in (200, 204)
    events = collector.events()
    assert [(event.items, event.row, event.rank) for event in events] == [
        (("70095139", "60020817", "70139996", "70213047"), 0, 6),
        (("70102778", "70105820"), 0, 0),
    ]
    for event in events:
        assert isinstance(event, Rendered)
        assert event.user == NO_PROFILE_USER
        assert event.scenario == "50000085"
        assert event.request_id == "4fc...019"
        assert event.properties == {"location": "WATCHNOW", **PAGE}
        assert event.created_ms == 1_340_138_780_754
        assert event.time_ms == event.received_ms  # without ``sent``, the client's clock corrects nothing


async def test_form_is_answered_204_and_json_with_a_result_an_item(collector: Any) -> None:
    assert (await post(collector, SHOWN, SEED)).status == 204
    response = await post(collector, SHOWN, SEED, Accept="application/json")
    assert response.status == 200
    answer = await response.json()
    assert (answer["accepted"], len(answer["results"])) == (6, 6)


@pytest.mark.parametrize("kind", [FORM, "application/json"])
async def test_bad_item_does_not_cost_the_good_ones(collector: Any, kind: str) -> None:
    data = [shown(1, 0), shown("", 1), shown(3, -1), shown(4, 1), shown(5, 2), 7, shown(6, 3)]
    body = f"data={json.dumps(data)}" if kind == FORM else {"data": data}
    response = await post(collector, SHOWN, body, kind)
    assert response.status == 200
    answer = await response.json()
    codes = [result.get("code", "accepted") for result in answer["results"]]
    assert codes == ["accepted", "missing_item", "bad_number", "accepted", "accepted", "bad_json", "accepted"]
    assert [(event.items, event.rank) for event in collector.events()] == [
        (("1",), 0),
        (("4", "5"), 1),
        (("6",), 3),
    ]


async def test_presentation_with_nothing_good_in_it_is_refused(collector: Any) -> None:
    assert (await post(collector, SHOWN, f"data={json.dumps([shown('')])}")).status == 400
    for body in ("esn=null", "data=", "data=x", "data=[", "data=[{]", "data=%ZZ"):
        assert (await post(collector, SHOWN, body)).status == 400, body
    assert (await post(collector, SHOWN, {"data": {}}, "application/json")).status == 400
    assert (await post(collector, SHOWN, "[", "application/json")).status == 400
    assert (await post(collector, SHOWN, "data=[]", "application/xml")).status == 400
    assert (await post(collector, SHOWN, "data=[]")).status == 204
    assert collector.sink.records == []


async def test_only_items_that_follow_each_other_are_one_event(collector: Any) -> None:
    data = [shown(1, 0, image_key="a"), shown(2, 1, image_key="b"), shown(3, 2, image_key="b", row=3)]
    data += [shown(4, 5), shown(5, 6, time=6), shown(6, 7, time=6, eid="e"), shown(7, 9), shown(8)]
    await post(collector, SHOWN, {"data": data}, "application/json")
    assert [event.items for event in collector.events()] == [(str(n),) for n in range(1, 9)]
    assert [event.image for event in collector.events()][:3] == ["a", "b", "b"]
    assert collector.events()[5].eid == "e"


async def test_clock_of_the_page_counts_when_it_also_says_when_it_sent(collector: Any) -> None:
    body = {"sent": 10_000, "data": [shown(1, 0, time=4_000)]}
    await post(collector, SHOWN, body, "application/json")
    (event,) = collector.events()
    assert event.time_ms == event.received_ms - 6_000


async def test_tracks_have_the_scenario_that_the_customer_names(start_collector: Any) -> None:
    collector = await start_collector(TRACKS, default_customer="other")
    await post(collector, SHOWN, SEED)
    await post(collector, SHOWN.partition("?")[0], SEED)
    names = [(event.customer, event.scenario) for event in collector.events()]
    assert names[::2] == [("00000", "popular"), ("other", "50000085")]


# --- who and whose ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "esn", "headers", "user"),
    [
        ("", "null", {}, None),
        ("", "", {}, None),
        ("", "NFCDCH-1", {}, "NFCDCH-1"),
        ("", "NFCDCH-1", {"Cookie": "uptake_user=jan%40home; x=y"}, "jan@home"),
        ("", "null", {"Cookie": "uptake_user=undefined"}, None),
        ("&user=u", "NFCDCH-1", {"Cookie": "uptake_user=jan"}, "u"),
    ],
)
async def test_user_is_named_or_in_the_cookie_or_the_device(
    collector: Any, query: str, esn: str, headers: dict[str, str], user: str | None
) -> None:
    body = SEED.replace("esn=null", f"esn={esn}")
    assert (await post(collector, SHOWN + query, body, **headers)).status == 204
    expected = NO_PROFILE_USER if user is None else RULES.user(user)
    assert {event.user for event in collector.events()} == {expected}


async def test_customer_is_named_by_the_address_or_the_credentials_or_the_host(start_collector: Any) -> None:
    path = "/uitracking/users/presentationtracking"
    collector = await start_collector()
    assert (await post(collector, path, SEED)).status == 404
    assert (await post(collector, path + "?customer=nobody", SEED)).status == 404
    basic = "Basic " + b64encode(b"strict:any").decode()
    assert (await post(collector, path, SEED, Authorization=basic)).status == 204
    assert {event.customer for event in collector.events()} == {"strict"}
    locked = await post(collector, path, SEED, Authorization="Basic " + b64encode(b"locked:wrong").decode())
    assert locked.status == 401


async def test_page_of_another_origin_may_ask_before_it_names_the_customer(collector: Any) -> None:
    asked = {"Origin": "https://tv.example", "Access-Control-Request-Headers": "content-type"}
    for target in (SHOWN, SHOWN.partition("?")[0]):
        response = await collector.ask("OPTIONS", target, headers=asked)
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Methods"] == "POST, OPTIONS"
    assert (await collector.get(SHOWN)).status == 405


# --- clicks ----------------------------------------------------------------------------------------------------------------------

ADDRESS = "/watch/70095139?trackId=50000085&tctx=1,7,4fc...019"


@pytest.mark.parametrize(
    ("target", "body", "kind"),
    [
        (CLICKED, f"url={ADDRESS}", FORM),
        (CLICKED, f"url={quote(ADDRESS, safe='')}", FORM),
        (CLICKED, ADDRESS, "text/plain"),
        (CLICKED, f"https://tv.example/gb{ADDRESS}#top", "text/plain"),
        (f"{CLICKED}&url={quote(ADDRESS, safe='')}", "", FORM),
        (CLICKED, "video_id=70095139&trackId=50000085&tctx=1%2C7%2C4fc...019", FORM),
        (CLICKED, json.dumps({"url": ADDRESS}), "application/json"),
        (
            CLICKED,
            json.dumps({"video_id": 70095139, "track_id": 50000085, "tctx": "1,7,4fc...019"}),
            "text/plain",
        ),
    ],
)
async def test_click_on_a_carousel_joins_by_its_request_and_keeps_its_context(
    collector: Any, target: str, body: str, kind: str
) -> None:
    assert (await post(collector, target, body, kind)).status == 204
    (event,) = collector.events()
    assert isinstance(event, ClickRecommended)
    assert (event.item, event.scenario, event.request_id) == ("70095139", "50000085", "4fc...019")
    assert (event.row, event.rank) == (None, None)  # tctx counts from 1, presentations from 0
    assert event.properties == {"tctx": "1,7,4fc...019"}


async def test_click_says_who_and_when(collector: Any) -> None:
    body = {"url": ADDRESS, "user": "u", "time": 1_000, "sent": 3_000, "eid": "e", "country": "GB"}
    assert (await post(collector, CLICKED, body, "application/json")).status == 204
    (event,) = collector.events()
    assert event.user == RULES.user("u")
    assert event.time_ms == event.received_ms - 2_000
    assert (event.eid, event.properties) == ("e", {"country": "GB", "tctx": "1,7,4fc...019"})


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("url=/browse", FORM),
        ("", FORM),
        ("[]", "application/json"),
        ("[1]", "application/json"),
        ("url=%FF", FORM),
        (json.dumps({"url": 5}), "application/json"),
        (json.dumps({"video_id": {}}), "application/json"),
    ],
)
async def test_click_on_nothing_is_refused(collector: Any, body: str, kind: str) -> None:
    assert (await post(collector, CLICKED, body, kind)).status == 400
    assert collector.sink.records == []


@pytest.mark.parametrize("context", ["", "1", "1,2", ",,", "x" * 600, "1,2," + "r" * 300])
async def test_context_that_is_none_is_no_error_unless_its_request_is_too_long(
    collector: Any, context: str
) -> None:
    response = await post(collector, CLICKED, f"url=/watch/5?tctx={context}")
    assert response.status == (400 if "r" in context else 204)


WATCH = "url=/watch/5%3FtrackId=7%26tctx=1,7,r"


@pytest.mark.parametrize(
    ("target", "body"),
    [
        (CLICKED, f"{WATCH}&user=a&user=b"),
        (CLICKED + "&user=a", f"{WATCH}&user=b"),
        (CLICKED + "&user=a&user=b", WATCH),
        (CLICKED + "&customer=other", WATCH),
        (CLICKED, f"{WATCH}&customer=other"),
        (CLICKED, f"{WATCH}&eid=a&eid=b"),
        (CLICKED, f"{WATCH}&trackId=8"),
        (CLICKED, f"{WATCH}&video_id=6"),
        (CLICKED, "video_id=5&video=6&track_id=7"),
        (CLICKED, "video_id=5&trackId=7&track_id=8"),
        (CLICKED, "video_id=5&trackId=7&request_id=a&requestuuid=b"),
        (CLICKED, "video_id=5&trackId=7&time=1&created=2"),
        (CLICKED, "/watch/5?trackId=7&trackId=8"),
        (CLICKED, {"url": "/watch/5?trackId=7", "track_id": 8}),
        (CLICKED + "&user=a", {"url": "/watch/5?trackId=7", "user": "b"}),
        (CLICKED.replace("customer=00000", "customer=00000&customer=other"), WATCH),
        (SHOWN, f"user=a&user=b&data={DATA}"),
        (SHOWN, f"esn=a&esn=b&data={DATA}"),
        (SHOWN, "data=%5B%5D&data=%5B1%5D"),
        (SHOWN + "&user=a", f"user=b&data={DATA}"),
        (SHOWN + "&experiment=a", {"experiment": "b", "data": json.loads(DATA)}),
    ],
)
async def test_parameter_with_two_values_is_refused(collector: Any, target: str, body: object) -> None:
    kind = FORM if isinstance(body, str) else "application/json"
    response = await post(collector, target, body, kind, Accept="application/problem+json")
    assert (response.status, (await response.json())["code"]) == (400, "duplicate_parameter")
    assert collector.sink.records == []


@pytest.mark.parametrize(
    ("target", "body"),
    [
        (CLICKED, f"{WATCH}&user=a&user=a"),
        (CLICKED + "&user=a", f"{WATCH}&user=null"),
        (CLICKED + "&user=null", f"{WATCH}&user=a"),
        (CLICKED, f"{WATCH}&user=a&video_id=5&trackId=7"),
        (CLICKED + "&user=a&lang=de", f"{WATCH}&lang=en&title=x&title=y"),
        (CLICKED + "&user=a", {"url": "/watch/5?trackId=7&time=30&scenario=page", "time": 9, "item": 5}),
    ],
)
async def test_parameter_given_again_is_accepted_if_it_has_one_value_or_is_a_property(
    collector: Any, target: str, body: object
) -> None:
    kind = FORM if isinstance(body, str) else "application/json"
    assert (await post(collector, target, body, kind)).status == 204
    (event,) = collector.events()
    assert (event.user, event.item, event.scenario) == (RULES.user("a"), "5", "7")


async def test_clock_of_a_page_in_seconds_is_ignored_and_counted_once_an_event(collector: Any) -> None:
    seconds = [{**shown(n, n), "time": 1_700_000_000} for n in range(1, 4)]
    assert (await post(collector, SHOWN, f"data={json.dumps(seconds)}")).status == 204
    (event,) = collector.events()
    assert (event.items, event.created_ms) == (("1", "2", "3"), None)
    page = await (await collector.get("/metrics")).text()
    assert "uptake_collector_ignored_clocks_total 1.0" in page.splitlines()
