"""A JSON element becomes the same event as a request of the tracker paths, or is refused for the same reason."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from events import json_kinds
from events.codec import MAX_RECORD_BYTES, decode, encode
from events.json_bodies import is_plain
from events.json_events import Reader
from events.model import EVENTS, NO_PROFILE_USER, Recommended, RecommendedList, Rendered
from events.rejections import STATUS, Rejection
from events.signature import ABSENT
from events.tracker import Accepted
from events.wire_values import MAX_ITEMS_CHARS
from tests.support.tracker import RECEIVED_MS, RULES, report, rules

DAY_MS = 86_400_000


def read(element: Any, **options: Any) -> Any:
    """Return the event, the Rejection or None that an element becomes."""
    of = options.pop("rules", RULES)
    outcome = Reader(of, RECEIVED_MS, **options).read(element)
    return outcome.event if isinstance(outcome, Accepted) else outcome


def code(element: Any, **options: Any) -> str:
    refused = read(element, **options)
    assert isinstance(refused, Rejection), refused
    assert refused.code in STATUS
    return refused.code


CLICK = {"type": "click", "user": "u", "item": "5"}
RENDERED = {"type": "rendered", "user": "u", "items": ["5"]}

SAME: list[tuple[dict[str, Any], str]] = [
    (CLICK, "click/u/1/5"),
    (CLICK | {"itemtype": 3, "item": 7, "categorypath": "/Cameras/"}, "click/u/3/7?categorypath=/Cameras/"),
    (CLICK | {"user": 17, "lang": "de", "segments": "a,b"}, "click/17/1/5?lang=de&segments=a,b"),
    (CLICK | {"user": "not_defined", "storeViewId": "3"}, "click/not_defined/1/5?storeViewId=3"),
    (CLICK | {"user": None}, "click/null/1/5"),
    (CLICK | {"eid": "e-1", "title": "Fish"}, "click/u/1/5?eid=e-1&title=Fish"),
    (CLICK | {"url": "", "image": None, "x": "undefined"}, "click/u/1/5?url=&image=null&x=undefined"),
    (
        CLICK | {"created_ms": RECEIVED_MS - 5_000, "sent_ms": RECEIVED_MS - 1_000},
        f"click/u/1/5?created={RECEIVED_MS - 5_000}&sent={RECEIVED_MS - 1_000}",
    ),
    (
        CLICK | {"created": RECEIVED_MS - 3 * DAY_MS, "sent": str(RECEIVED_MS)},
        f"click/u/1/5?created={RECEIVED_MS - 3 * DAY_MS}&sent={RECEIVED_MS}",
    ),
    (
        {"type": "clickrecommended", "user": "u", "item": "5", "scenario": "s", "request_id": "r"},
        "clickrecommended/u/1/5?scenario=s&requestuuid=r",
    ),
    (
        {"type": "follow", "user": "u", "item": "5", "modelId": "m", "row": 2, "rank": "3"},
        "follow/u/1/5?modelId=m&row=2&rank=3",
    ),
    ({"type": "consume", "user": "u", "item": "5"}, "consume/u/1/5"),
    ({"type": "consume", "user": "u", "item": "5", "percentage": 30}, "consume/u/1/5?percentage=30"),
    (
        {"type": "buy", "user": "u", "item": "5", "quantity": 2, "price": "2.50", "currency": "EUR"},
        "buy/u/1/5?quantity=2&fullprice=2.50EUR",
    ),
    ({"type": "owns", "user": "u", "item": "5", "fullprice": "456JPY"}, "owns/u/1/5?fullprice=456JPY"),
    ({"type": "buy", "user": "u", "item": "5", "currency": "EUR"}, "buy/u/1/5?currency=EUR"),
    (
        {"type": "basket", "user": "u", "item": "5", "price": 3, "currency": "EUR"},
        "basket/u/1/5?fullprice=3EUR",
    ),
    ({"type": "deletefrombasket", "user": "u", "item": "5"}, "deletefrombasket/u/1/5"),
    (
        {"type": "wishlist", "user": "u", "item": "5", "price": "9.9", "currency": "EUR"},
        "wishlist/u/1/5?price=9.9EUR",
    ),
    ({"type": "deletefromwishlist", "user": "u", "item": "5"}, "deletefromwishlist/u/1/5"),
    (
        {"type": "rendered", "user": "u", "items": ["5", 6, "", None, "7"], "image": "a.jpg", "variant": "B"},
        "rendered/u/1/5,6,,7?image=a.jpg&variant=B",
    ),
    ({"type": "rendered", "user": "u", "items": []}, "rendered/u/1/"),
    (
        {"type": "viewed", "user": "u", "items": ["5"], "scenario": "s", "experiment": "e"},
        "viewed/u/1/5?scenario=s&experiment=e",
    ),
    ({"type": "rate", "user": "u", "item": "5", "rating": 0}, "rate/u/1/5?rating=0"),
    ({"type": "blacklist", "user": "u", "item": "5"}, "blacklist/u/1/5"),
    ({"type": "unblacklist", "user": "u", "item": "5"}, "deletefromblacklist/u/1/5"),
    ({"type": "login", "user": "u", "target": "v"}, "login/u/v"),
    ({"type": "transfer", "user": "u", "target": "null"}, "login/u/null"),
    ({"type": "login", "user": "u", "target": None}, "login/u/null"),
    ({"type": "login", "user": "u", "target": 0}, "login/u/0"),
    ({"type": "buy", "user": "u", "item": "5", "quantity": "2.0000"}, "buy/u/1/5?quantity=2"),
    ({"type": "buy", "user": "u", "item": "5", "quantity": 2.0}, "buy/u/1/5?quantity=2.0000"),
    ({"type": "buy", "user": "u", "item": "5", "quantity": 2.5}, "buy/u/1/5?quantity=2.5"),
    ({"type": "buy", "user": "u", "item": "5", "quantity": "0.1"}, "buy/u/1/5?quantity=0.1"),
    ({"type": "buy", "user": "u", "item": "5", "quantity": 0.1}, "buy/u/1/5?quantity=0.100"),
    ({"type": "buy", "user": "u", "item": "5", "quantity": 0.1 + 0.2}, "buy/u/1/5?quantity=0.3"),
    ({"type": "buy", "user": "u", "item": "5", "quantity": 1e-6}, "buy/u/1/5?quantity=0.000001"),
    # refused:
    ({"type": "buy", "user": "u", "item": "5", "quantity": -0.5}, "buy/u/1/5?quantity=-0.5"),
    ({"type": "buy", "user": "u", "item": "5", "quantity": 1e-7}, "buy/u/1/5?quantity=0.0000001"),
    ({"type": "buy", "user": "u", "item": "5", "quantity": 1e300}, f"buy/u/1/5?quantity=1{'0' * 300}"),
    ({"type": "buy", "user": "u", "item": "5", "quantity": "1,5"}, "buy/u/1/5?quantity=1,5"),
    ({"type": "buy", "user": "u", "item": "5", "quantity": "2."}, "buy/u/1/5?quantity=2."),
    ({"type": "buy", "user": "u", "item": "5", "quantity": 0.0}, "buy/u/1/5?quantity=0.000"),
    ({"type": "buy", "user": "u", "item": "5", "quantity": "2.0.0"}, "buy/u/1/5?quantity=2.0.0"),
    (CLICK | {"row": "2.0"}, "click/u/1/5?row=2.0"),
    (CLICK | {"row": 2.0}, "click/u/1/5?row=2.0"),
    (CLICK | {"user": ""}, "click//1/5"),
    (CLICK | {"user": "x" * 1_025}, f"click/{'x' * 1_025}/1/5"),
    (CLICK | {"user": "a\nb"}, "click/a%0Ab/1/5"),
    (CLICK | {"itemtype": 0}, "click/u/0/5"),
    (CLICK | {"itemtype": 38}, "click/u/38/5"),
    (CLICK | {"itemtype": 2_147_483_648}, "click/u/2147483648/5"),
    (CLICK | {"itemtype": -1}, "click/u/-1/5"),
    (CLICK | {"item": "null"}, "click/u/1/null"),
    (CLICK | {"item": "x" * 257}, f"click/u/1/{'x' * 257}"),
    (CLICK | {"item": "a\tb"}, "click/u/1/a%09b"),
    (CLICK | {"eid": "x" * 257}, f"click/u/1/5?eid={'x' * 257}"),
    (CLICK | {"lang": "a\u2028b"}, "click/u/1/5?lang=a%E2%80%A8b"),
    (CLICK | {"row": -1}, "click/u/1/5?row=-1"),
    (CLICK | {"rank": 1_000_001}, "click/u/1/5?rank=1000001"),
    (CLICK | {"created": "1e3"}, "click/u/1/5?created=1e3"),
    ({"type": "consume", "user": "u", "item": "5", "percentage": 101}, "consume/u/1/5?percentage=101"),
    ({"type": "rate", "user": "u", "item": "5", "rating": -1}, "rate/u/1/5?rating=-1"),
    ({"type": "rate", "user": "u", "item": "5"}, "rate/u/1/5"),
    ({"type": "buy", "user": "u", "item": "5", "quantity": 0}, "buy/u/1/5?quantity=0"),
    ({"type": "buy", "user": "u", "item": "5", "fullprice": "NaNEUR"}, "buy/u/1/5?fullprice=NaNEUR"),
    ({"type": "buy", "user": "u", "item": "5", "fullprice": "1.99EUX"}, "buy/u/1/5?fullprice=1.99EUX"),
    ({"type": "rendered", "user": "u", "items": ["5"] * 1_001}, f"rendered/u/1/{'5,' * 1_000}5"),
    ({"type": "login", "user": "u", "target": ""}, "login/u/"),
    ({"type": "nothing", "user": "u"}, "nothing/u"),
]


@pytest.mark.parametrize(("element", "request_after"), SAME, ids=lambda value: str(value)[:60])
def test_element_is_read_as_the_tracker_request_is(element: dict[str, Any], request_after: str) -> None:
    by_tracker = report(f"/api/00000/{request_after}")
    by_element = read(element)
    if isinstance(by_tracker, Rejection):
        assert isinstance(by_element, Rejection)
        assert by_element.code == by_tracker.code
    else:
        assert by_element == (None if by_tracker is None else by_tracker.event)
        assert by_element is None or decode(encode(by_element)) == by_element


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        (None, "bad_json"),
        ([], "bad_json"),
        ("click", "bad_json"),
        ({}, "unknown_event"),
        ({"type": 5}, "unknown_event"),
        ({"type": None, "user": "u"}, "unknown_event"),
        ({"type": ["click"], "user": "u"}, "unknown_event"),
        ({"type": "click", "item": "5"}, "missing_user"),
        (CLICK | {"user": True}, "bad_user"),
        (CLICK | {"user": 1.5}, "bad_user"),
        (CLICK | {"user": {}}, "bad_user"),
        (CLICK | {"user": 10**400}, "bad_user"),
        (CLICK | {"item": 5.0}, "bad_item"),
        (CLICK | {"item": 10**30}, "bad_item"),
        (CLICK | {"item": ["5"]}, "bad_item"),
        (CLICK | {"itemtype": 1.0}, "bad_itemtype"),
        (CLICK | {"itemtype": True}, "bad_itemtype"),
        (CLICK | {"row": 10**30}, "bad_number"),
        (CLICK | {"row": 1.5}, "bad_number"),
        (CLICK | {"row": True}, "bad_number"),
        (CLICK | {"lang": {"a": 1}}, "bad_parameter"),
        (CLICK | {"properties": "x"}, "bad_parameter"),
        (CLICK | {"v": 2}, "bad_parameter"),
        (CLICK | {"created": 1, "created_ms": 2}, "duplicate_parameter"),
        (CLICK | {"customer": "strict"}, "forbidden"),
        (CLICK | {"customer": 0}, "forbidden"),
        (CLICK | {"time_ms": RECEIVED_MS - 1}, "unauthorized"),
        (RENDERED | {"items": "5,6"}, "bad_item"),
        (RENDERED | {"items": [["5"]]}, "bad_item"),
        ({"type": "rendered", "user": "u"}, "missing_item"),
        (RENDERED | {"items": ["x" * 256] * 300}, "too_many_items"),
        ({"type": "recommended", "user": "u"}, "bad_parameter"),
        ({"type": "recommended", "user": "u", "request_id": "r", "lists": [{}]}, "bad_parameter"),
        ({"type": "recommended", "user": "u", "request_id": "r", "lists": [[]] * 201}, "bad_parameter"),
        (
            {"type": "recommended", "user": "u", "request_id": "r", "lists": [{"items": ["x" * 256] * 300}]},
            "too_many_items",
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_element_of_a_wrong_form_is_refused(element: Any, expected: str) -> None:
    assert code(element) == expected


@pytest.mark.parametrize("name", ["received_ms", "is_clamped", "previous_user", "is_junk_target"])
def test_fields_that_the_collector_sets_are_not_taken(name: str) -> None:
    assert code(CLICK | {name: "1"}) == "bad_parameter"


def test_unknown_fields_are_kept_as_bounded_properties() -> None:
    event = read(
        CLICK | {"properties": {"a": "1"}, "b": 2.5, "c": True, "d": {"e": [1]}, "f" * 99: "g" * 999}
    )
    assert event.properties == {"a": "1", "b": "2.5", "c": "true", "d": '{"e":[1]}', "f" * 64: "g" * 512}
    assert len(read(CLICK | {f"p{n}": n for n in range(100)}).properties) == 32


def test_time_of_the_past_is_taken_from_the_owner_and_goes_to_the_history() -> None:
    reader = Reader(RULES, RECEIVED_MS, is_owner=True)
    accepted = reader.read(CLICK | {"time_ms": 1_325_415_600_000})
    assert isinstance(accepted, Accepted)
    assert accepted.is_history
    assert accepted.event.time_ms == 1_325_415_600_000
    live = reader.read(CLICK)
    assert isinstance(live, Accepted)
    assert not live.is_history
    assert code(CLICK | {"time_ms": RECEIVED_MS + 1}, is_owner=True) == "bad_timestamp"
    assert code(CLICK | {"time_ms": 0}, is_owner=True) == "bad_timestamp"


def test_events_of_one_kind_need_no_type_where_only_these_are_taken() -> None:
    served = {
        "request_id": "r",
        "user": "u",
        "session": "s",
        "lists": [
            {"scenario": "top", "row": 0, "items": [1, "2"], "variant": "B"},
            {"items": [], "itemtype": 2, "scenario": None},
        ],
    }
    event = read(served, event="recommended")
    assert isinstance(event, Recommended)
    assert event.lists == (
        RecommendedList(("1", "2"), scenario="top", row=0, variant="B"),
        RecommendedList((), itemtype=2),
    )
    assert event == read(served | {"type": "recommended"}, event="recommended")
    assert code(CLICK, event="recommended") == "unknown_event"


def test_strict_customers_need_a_scenario() -> None:
    strict = replace(rules(), strict_scenario=True)
    assert code({"type": "clickrecommended", "user": "u", "item": "5"}, rules=strict) == "missing_scenario"


@pytest.mark.parametrize("is_plain", [False, True])
def test_impression_without_scenario_carries_the_customers(is_plain: bool) -> None:
    reader = Reader(rules(scenario_of_unlabelled="all"), RECEIVED_MS, is_plain=is_plain)
    found: list[Any] = [
        reader.read({"type": kind, "user": "u", "items": ["5"], **more})
        for kind in ("rendered", "viewed")
        for more in ({}, {"scenario": "home"})
    ]
    assert [each.event.fallback_scenario for each in found] == ["all", None] * 2


def test_both_pseudonyms_are_carried_while_a_key_rotates() -> None:
    rotating = replace(rules(), previous_key_id="k0", previous_pseudonym_key=b"0" * 32)
    reader = Reader(rotating, RECEIVED_MS)
    for _ in range(2):
        accepted = reader.read(CLICK)
        assert isinstance(accepted, Accepted)
        assert accepted.event.user == rotating.user("u")
        assert accepted.event.previous_user == rotating.previous_user("u")


def test_longest_element_fits_into_a_record() -> None:
    wide = "\U0001f600"
    event = read(
        RENDERED
        | {"items": [wide * 65] * 1_000, "image": wide * 2_048, "segments": wide * 2_048}
        | {"categorypath": wide * 2_048, "properties": {f"{n}{wide * 62}": wide * 512 for n in range(32)}}
    )
    assert isinstance(event, Rendered)
    assert sum(map(len, event.items)) <= MAX_ITEMS_CHARS
    assert len(encode(event)) < MAX_RECORD_BYTES
    assert decode(encode(event)) == event


def test_money_is_exact() -> None:
    event = read({"type": "buy", "user": "u", "item": "5", "price": "0.1", "currency": "EUR"})
    assert event.price == Decimal("0.1")
    assert b'"price":"0.1"' in encode(event)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
FIELDS = sorted(
    {name for event in EVENTS.values() for name in event.__struct_fields__} | {"created", "sent", "fullprice"}
)
ELEMENTS = st.fixed_dictionaries(
    {"type": st.sampled_from(sorted(EVENTS)), "user": st.just("u") | JSON},
    optional={
        name: st.sampled_from(("5", 5, ["5"], "2.50", "EUR", 1)) | JSON for name in FIELDS if name != "user"
    },
)


@given(ELEMENTS)
def test_any_element_is_an_event_that_the_worker_can_read_or_is_refused(element: dict[str, Any]) -> None:
    try:
        element = msgspec.json.decode(json.dumps(element))
    except (msgspec.DecodeError, UnicodeError):
        return
    for is_owner in (False, True):
        outcome = read(element, is_owner=is_owner)
        if outcome is None:
            assert not [item for item in element["items"] if item not in (None, "", "null", "undefined")]
        elif isinstance(outcome, Rejection):
            assert outcome.code in STATUS
        else:
            assert decode(encode(outcome)) == outcome
            assert outcome.customer == "00000"
            assert outcome.user == NO_PROFILE_USER or outcome.user.startswith("k1.")


VALUES = st.one_of(
    st.integers(-2, 6),
    st.sampled_from([2**31, 2**63, 10**15 + 1, 1.0, 2.5, True, False, RECEIVED_MS, RECEIVED_MS + 1, 1.7e12]),
    st.sampled_from(["5", "u", "null ", "x" * 256, "x" * 257, "not_defined", "0", "1.0", "a,b", "u" * 1_024]),
    st.lists(st.sampled_from(["5", "7", "x" * 256, "x" * 257, 5, 1.0, True]), max_size=4),
    st.integers(250, 1_001).map(lambda count: ["5"] * count),
    st.just({"a": "b"}),
)
NAMES = sorted(
    {"previous_user", "received_ms", "is_clamped", "customer", "title", "requestuuid", "v"}
) + sorted(json_kinds.PLAIN_FIELDS)


@given(
    element=st.fixed_dictionaries(
        {"type": st.sampled_from([*EVENTS, "follow", "no event"])},
        optional={name: VALUES for name in NAMES if name != "type"},
    )
    | st.fixed_dictionaries(
        {
            "type": st.sampled_from(sorted(json_kinds.PLAIN_KINDS)),
            "user": st.sampled_from(["u", "not_defined"]),
            "item": st.just("5"),
        },
        optional={
            "items": st.just(["5", "7"]),
            "time_ms": VALUES,
            "row": VALUES,
            "scenario": VALUES,
            "rank": VALUES,
        },
    ),
    is_owner=st.booleans(),
)
def test_plain_element_is_read_as_every_other(element: dict[str, Any], is_owner: bool) -> None:
    assume(is_plain(json.dumps(element).encode()))
    plainly = Reader(RULES, RECEIVED_MS, is_owner=is_owner, is_plain=True).read(element)
    assert plainly == Reader(RULES, RECEIVED_MS, is_owner=is_owner).read(element)
    others = {
        "string_items": False,
        "strict_scenario": True,
        "max_itemtype": 3,
        "scenario_of_unlabelled": "s",
    }
    for other in (rules(**{name: value}) for name, value in others.items()):
        plainly = Reader(other, RECEIVED_MS, is_owner=is_owner, is_plain=True).read(element)
        assert plainly == Reader(other, RECEIVED_MS, is_owner=is_owner).read(element)


@given(text=st.text(max_size=8), value=st.sampled_from(["x", "", None, "null", "undefined"]))
def test_plain_body_holds_no_control_character_and_nothing_that_is_absent(text: str, value: Any) -> None:
    body = msgspec.json.encode({"a": text, "b": value})
    if is_plain(body):
        assert value == "x"
        assert text.isprintable()
        assert text not in ABSENT


def test_most_bodies_are_plain() -> None:
    assert is_plain(b'{"type":"rendered","user":"u1","items":["1","2"],"scenario":"home"}')
    assert Reader(RULES, RECEIVED_MS, is_plain=True)._read_plain(RENDERED) is not None


@pytest.mark.parametrize(
    ("money", "refusal"),
    [
        ({"price": "1,99", "currency": "EUR"}, "bad_price"),
        ({"price": "1e3", "currency": "EUR"}, "bad_price"),
        ({"price": -1.5, "currency": "EUR"}, "bad_price"),
        ({"price": 1e9, "currency": "EUR"}, "bad_price"),
        ({"price": True, "currency": "EUR"}, "bad_price"),
        ({"price": 10**5000}, "bad_price"),
        ({"price": [1]}, "bad_price"),
        ({"price": "1.99", "currency": "eur"}, "bad_currency"),
        ({"price": "1.99", "currency": []}, "bad_currency"),
        ({"price": "1.99EUX"}, "bad_currency"),
        ({"fullprice": 1.99, "price": "1.99"}, "bad_price"),
        ({"fullprice": "NaNEUR"}, "bad_price"),
    ],
)
@pytest.mark.parametrize("event", ["buy", "owns", "wishlist"])
def test_unreadable_price_loses_no_element_unless_the_customer_is_strict(
    event: str, money: dict[str, Any], refusal: str
) -> None:
    element = {"type": event, "user": "u", "item": "5", **money}
    assert code(element, rules=rules(strict_price=True)) == refusal
    accepted = Reader(RULES, RECEIVED_MS).read(element)
    assert isinstance(accepted, Accepted)
    kept: Any = accepted.event
    assert (kept.price, kept.currency, accepted.unread) == (None, None, "price_unreadable")
    given = [name for name, value in money.items() if isinstance(value, str | float)]
    assert list(kept.properties or ()) == given


def test_basket_is_never_refused_for_its_price() -> None:
    basket = {"type": "basket", "user": "u", "item": "5", "price": "2,50"}
    assert read(basket, rules=rules(strict_price=True)).properties == {"price": "2,50"}


@pytest.mark.parametrize(
    ("money", "price", "currency"),
    [
        ({"price": 2.5, "currency": "USD"}, "2.5", "USD"),
        ({"price": 22.200000000000003}, "22.200000", "CHF"),
        ({"price": 999_999_999.123456}, "999999999.123456", "CHF"),
        ({"price": 0.1}, "0.1", "CHF"),
        ({"price": 1e-7}, "0.000000", "CHF"),
        ({"price": "1.99"}, "1.99", "CHF"),
        ({"price": "1.99USD", "currency": "EUR"}, "1.99", "USD"),
        ({"price": 3}, "3", "CHF"),
        ({"fullprice": "19.9900"}, "19.9900", "CHF"),
        ({"fullprice": "19.99", "currency": "USD"}, "19.99", "USD"),
        ({"fullprice": "16.806722689076EUR", "price": "x"}, "16.806723", "EUR"),
    ],
)
def test_price_without_a_currency_has_the_customers(money: dict[str, Any], price: str, currency: str) -> None:
    event = read({"type": "buy", "user": "u", "item": "5", **money}, rules=rules(currency="CHF"))
    assert (str(event.price), event.currency) == (price, currency)
