"""Accepted requests of the tracker API (docs/http-api.md), case by case, with the events that they become."""

from decimal import Decimal
from typing import Any

import pytest

from events.codec import decode, encode
from events.model import EVENTS, NO_PROFILE_USER
from events.topics import HISTORY, JOURNAL
from events.tracker import TRACKER_EVENTS, Accepted
from tests.support.tracker import RECEIVED_MS, RULES, event_of, report, rules

U = RULES.user("u")
ITEM = {"itemtype": 1, "item": "5"}

EVENT_CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    # name: (path and query after /api/00000/, event name, expected fields)
    "click": ("click/u/1/5", "click", ITEM),
    "click with category": ("click/u/1/5?categorypath=%2FCameras%2F", "click", {"categorypath": "Cameras"}),
    "click with an empty category": ("click/u/1/5?categorypath=%2F", "click", {"categorypath": None}),
    "click keeps free properties": (
        "click/u/1/5?title=a+b&url=https%3A%2F%2Fx&image=i&price=2,50&unitprice=1&pricebefore=x&rating=4.5",
        "click",
        {
            "properties": {
                "title": "a b",
                "url": "https://x",
                "image": "i",
                "price": "2,50",
                "unitprice": "1",
                "pricebefore": "x",
                "rating": "4.5",
            }
        },
    ),
    "clickrecommended": (
        "clickrecommended/u/1/5?scenario=also_bought&modelid=m&requestuuid=r",
        "clickrecommended",
        {**ITEM, "scenario": "also_bought", "modelid": "m", "request_id": "r"},
    ),
    "clickrecommended, modelId": ("clickrecommended/u/1/5?modelId=m", "clickrecommended", {"modelid": "m"}),
    "clickrecommended without scenario": ("clickrecommended/u/1/5", "clickrecommended", {"scenario": None}),
    "clickrecommended, scenario=undefined": (
        "clickrecommended/u/1/5?scenario=undefined",
        "clickrecommended",
        {"scenario": None},
    ),
    "follow": ("follow/u/1/5?scenario=s", "clickrecommended", {"scenario": "s"}),
    "consume": ("consume/u/3/452", "consume", {"itemtype": 3, "item": "452", "percentage": 100}),
    "consume 60 %": ("consume/u/1/5?percentage=60", "consume", {"percentage": 60}),
    "consume 0 %": ("consume/u/1/5?percentage=0", "consume", {"percentage": 0}),
    "consume, percentage=null": ("consume/u/1/5?percentage=null", "consume", {"percentage": 100}),
    "consume with stray parameters": (
        "consume/u/1/55&storeViewId=3&percentage=7?lang=de",
        "consume",
        {"item": "55", "store_view_id": "3", "percentage": 7, "lang": "de"},
    ),
    "buy": (
        "buy/u/1/5?quantity=2&fullprice=4.44EUR",
        "buy",
        {"quantity": 2, "price": Decimal("4.44"), "currency": "EUR"},
    ),
    "buy with the quantity of a database": ("buy/u/1/5?quantity=2.0000", "buy", {"quantity": 2}),
    "buy by weight": ("buy/u/1/5?quantity=0.5000", "buy", {"quantity": Decimal("0.5")}),
    "buy of a computed weight": (
        "buy/u/1/5?quantity=0.30000000000000004",
        "buy",
        {"quantity": Decimal("0.3")},
    ),
    "buy without price": ("buy/u/1/5", "buy", {"quantity": 1, "price": None, "currency": None}),
    "buy in yen": ("buy/u/1/5?fullprice=456JPY+", "buy", {"price": Decimal(456), "currency": "JPY"}),
    "buy in cents": ("buy/u/1/5?price=225", "buy", {"price": Decimal("2.25"), "currency": "EUR"}),
    "buy in cents of dollars": (
        "buy/u/1/5?price=225&currency=USD",
        "buy",
        {"price": Decimal("2.25"), "currency": "USD"},
    ),
    "fullprice wins over price": (
        "buy/u/1/5?price=1&fullprice=19EUR",
        "buy",
        {"price": Decimal(19), "properties": None},
    ),
    "owns": ("owns/u/1/5?fullprice=19.9EUR", "owns", {"price": Decimal("19.9"), "currency": "EUR"}),
    "basket": ("basket/u/1/5?categorypath=a%2Fb", "basket", {"categorypath": "a/b", "price": None}),
    "basket with a price": ("basket/u/1/5?price=2.5EUR", "basket", {"price": Decimal("2.5")}),
    "basket with an unreadable price": (
        "basket/u/1/5?price=2,50&currency=EUR",
        "basket",
        {"price": None, "properties": {"price": "2,50", "currency": "EUR"}},
    ),
    "deletefrombasket": ("deletefrombasket/u/1/5", "deletefrombasket", ITEM),
    "wishlist": ("wishlist/u/1/5?price=1.99EUR", "wishlist", {**ITEM, "price": Decimal("1.99")}),
    "wishlist in cents": ("wishlist/u/1/5?price=199", "wishlist", {"price": Decimal("1.99")}),
    "deletefromwishlist": ("deletefromwishlist/u/1/5", "deletefromwishlist", ITEM),
    "rendered": (
        "rendered/u/1/128,129,155?scenario=s&modelid=m&requestuuid=r&categorypath=c&image=k&row=0&rank=2",
        "rendered",
        {
            "items": ("128", "129", "155"),
            "scenario": "s",
            "modelid": "m",
            "request_id": "r",
            "categorypath": "c",
            "image": "k",
            "row": 0,
            "rank": 2,
        },
    ),
    "rendered, comma encoded": ("rendered/u/1/1%2C2", "rendered", {"items": ("1", "2")}),
    "rendered with gaps": ("rendered/u/1/1,,undefined,2,", "rendered", {"items": ("1", "2")}),
    "viewed": ("viewed/u/1/1,2?scenario=s", "viewed", {"items": ("1", "2"), "scenario": "s"}),
    "rate": ("rate/u/1/133?rating=5", "rate", {"rating": 5}),
    "rate 0": ("rate/u/1/133?rating=0", "rate", {"rating": 0}),
    "blacklist": ("blacklist/u/1/5", "blacklist", ITEM),
    "deletefromblacklist": ("deletefromblacklist/u/1/5", "deletefromblacklist", ITEM),
    "unblacklist": ("unblacklist/u/1/5", "deletefromblacklist", ITEM),
    "triggeropened": ("triggeropened/u?triggername=m", "triggeropened", {"user": U, "triggername": "m"}),
    "clicktriggered": ("clicktriggered/u/1/5?triggername=m", "clicktriggered", {**ITEM, "triggername": "m"}),
    "login": ("login/u/max", "login", {"target": RULES.user("max"), "is_junk_target": False}),
    "transfer": ("transfer/u/max", "login", {"target": RULES.user("max")}),
    "login to oneself": ("login/u/u", "login", {"target": U, "is_junk_target": False}),
    "string item": ("click/u/1/a%2Fb%20%C3%BC", "click", {"item": "a/b ü"}),
    "string item with an encoded ampersand": ("click/u/1/a%26b", "click", {"item": "a&b"}),
    "common parameters": (
        "click/u/1/5?eid=e1&variant=B&experiment=x&row=3&rank=4&lang=de&storeViewId=2&segments=1,2",
        "click",
        {
            "eid": "e1",
            "variant": "B",
            "experiment": "x",
            "row": 3,
            "rank": 4,
            "lang": "de",
            "store_view_id": "2",
            "segments": "1,2",
            "properties": None,
        },
    ),
    "absent values of every kind": (
        "click/u/1/5?lang=&variant=null&experiment=undefined&row=&x=&y=null",
        "click",
        {"lang": None, "variant": None, "experiment": None, "row": None, "properties": None},
    ),
    "jsonp is not a property": (
        "click/u/1/5?jsonp=f&jsonpCallback=f&x=1",
        "click",
        {"properties": {"x": "1"}},
    ),
    "the same value twice": ("consume/u/1/5?percentage=7&percentage=7", "consume", {"percentage": 7}),
    "unknown parameter twice": ("click/u/1/5?x=1&x=2", "click", {"properties": {"x": "2"}}),
    "unknown parameter twice, then absent": ("click/u/1/5?x=1&x=2&x=", "click", {"properties": {"x": "2"}}),
    "unknown parameter also as a stray": ("click/u/1/5&x=1?x=2", "click", {"properties": {"x": "2"}}),
    "lang twice": ("click/u/1/5?lang=en&lang=de", "click", {"lang": "de", "properties": None}),
    "lang also as a stray": ("click/u/1/5&lang=en?lang=de", "click", {"lang": "de"}),
    "store and segments twice": (
        "click/u/1/5?storeViewId=1&segments=a&storeViewId=2&segments=b",
        "click",
        {"store_view_id": "2", "segments": "b"},
    ),
    "encoded comma in the item": ("click/u/1/5%2C6", "click", {"item": "5,6"}),
    "encoded comma between items": ("rendered/u/1/5%2C6", "rendered", {"items": ("5", "6")}),
    "plus in a path is a plus": ("click/u/1/a+b", "click", {"item": "a+b"}),
    "leading zeros": ("consume/u/01/5?percentage=007", "consume", {"itemtype": 1, "percentage": 7}),
}


@pytest.mark.parametrize("case", EVENT_CASES)
def test_request_becomes_its_event(case: str) -> None:
    path, name, expected = EVENT_CASES[case]
    event = event_of(f"/api/00000/{path}")
    assert type(event) is EVENTS[name]
    assert {field: getattr(event, field) for field in expected} == expected
    assert (event.customer, event.user, event.received_ms, event.time_ms) == (
        "00000",
        U,
        RECEIVED_MS,
        RECEIVED_MS,
    )
    assert decode(encode(event)) == event


def test_every_event_of_the_table_is_read_and_no_other() -> None:
    assert set(TRACKER_EVENTS) == set(EVENTS) - {"recommended", "playback"}
    assert {name for _, name, _ in EVENT_CASES.values()} == set(TRACKER_EVENTS)


@pytest.mark.parametrize("prefix", ["api", "ebl", "news"])
def test_prefixes_are_equal(prefix: str) -> None:
    assert event_of(f"/{prefix}/00000/click/u/1/5") == event_of("/api/00000/click/u/1/5")


def test_form_body_adds_parameters() -> None:
    event = event_of("/api/00000/consume/u/1/5?lang=de", body="percentage=40&variant=A+B%21")
    assert (event.lang, event.variant, event.percentage) == ("de", "A B!", 40)  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", ["rendered/u/1/", "rendered/u/1", "viewed/u/1/,", "rendered/u/1/undefined"])
def test_empty_item_list_is_nothing_to_record(path: str) -> None:
    assert report(f"/api/00000/{path}") is None


@pytest.mark.parametrize("user", ["not_defined", "undefined", "null"])
def test_nobody_keeps_the_event_without_a_profile(user: str) -> None:
    event = event_of(f"/api/00000/click/{user}/1/5")
    assert (event.user, event.previous_user) == (NO_PROFILE_USER, None)


@pytest.mark.parametrize("target", ["0", "undefined", "null", "not_defined"])
def test_login_to_junk_is_recorded_and_marked(target: str) -> None:
    event = event_of(f"/api/00000/login/u/{target}")
    assert (event.user, event.target, event.is_junk_target) == (U, NO_PROFILE_USER, True)  # type: ignore[attr-defined]


def test_user_ids_are_case_sensitive_and_never_carried_raw() -> None:
    raw = "Js79009234YU7"
    record = encode(event_of(f"/api/00000/login/{raw}/maxmustermann"))
    assert raw.encode() not in record
    assert b"maxmustermann" not in record
    assert (
        event_of(f"/api/00000/click/{raw}/1/5").user != event_of(f"/api/00000/click/{raw.lower()}/1/5").user
    )


def test_percent_encoded_slash_stays_within_the_user() -> None:
    assert event_of("/api/00000/click/a%2Fb/1/5").user == RULES.user("a/b")


def test_events_carry_both_pseudonyms_while_a_key_rotates() -> None:
    rotating = rules(
        key_id="k2", pseudonym_key=b"n" * 32, previous_key_id="k1", previous_pseudonym_key=b"s" * 32
    )
    event = event_of("/api/00000/click/u/1/5", rules=rotating)
    assert event.user.startswith("k2.")
    assert event.previous_user == U


def test_created_and_sent_correct_the_clients_clock() -> None:
    event = event_of("/api/00000/click/u/1/5?created=1000&sent=4000")
    assert (event.time_ms, event.is_clamped) == (RECEIVED_MS - 3000, False)
    assert (event.created_ms, event.sent_ms) == (1000, 4000)


def test_a_clock_from_the_future_is_clamped() -> None:
    event = event_of("/api/00000/click/u/1/5?created=4102444800000&sent=0")
    assert (event.time_ms, event.is_clamped) == (RECEIVED_MS, True)


def test_live_events_and_signed_imports_go_to_their_topics() -> None:
    signed = (
        "/api/00000/buy/maxmustermann/1/11?fullprice=19.99EUR&overridetimestamp=2012-01-01T11%3A00%3A00&quantity=1"
        "&signature=d0026f017ae823f19530d93318c5a2f6"
    )
    live, history = report("/api/00000/click/u/1/5"), report(signed)
    assert isinstance(live, Accepted)
    assert isinstance(history, Accepted)
    assert (live.topic, history.topic) == (JOURNAL, HISTORY)
    assert history.event.time_ms == 1_325_415_600_000
    assert history.event.received_ms == RECEIVED_MS


def test_properties_are_bounded_and_never_an_error() -> None:
    long = "&".join(f"p{index}=" + "v" * 600 for index in range(100))
    properties = event_of(f"/api/00000/click/u/1/5?{'n' * 100}=1&{long}").properties
    assert properties is not None
    assert len(properties) == 32
    assert max(map(len, properties)) == 64
    assert max(map(len, properties.values())) == 512


@pytest.mark.parametrize("event", ["rendered", "viewed"])
def test_impression_without_scenario_carries_the_customers(event: str) -> None:
    named = rules(scenario_of_unlabelled="all")
    cases = ((f"/api/00000/{event}/u/1/5", "all"), (f"/api/00000/{event}/u/1/5?scenario=home", None))
    for url, fallback in cases:
        shown: Any = event_of(url, rules=named)
        assert shown.fallback_scenario == fallback
        assert decode(encode(shown)) == shown
        unnamed: Any = event_of(url)
        assert unnamed.fallback_scenario is None
    clicked: Any = event_of("/api/00000/clickrecommended/u/1/5", rules=named)
    assert clicked.scenario is None, "a click counts as it was sent"
