"""Entries about refused requests tell what is wrong, and hold no id, wherever a client writes it."""

from typing import Any

import msgspec
import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from app.collector.refusal_entries import MAX_SHOWN, RefusedRequest, entry_of, parameters_of
from events.rejections import CAUSES, STATUS, Rejection
from events.tracker import TRACKER_EVENTS
from events.wire_fields import WIRE_FIELDS
from tests.support.tracker import report

MARK = "marker0815"
BUY = "/api/{customer}/buy/{user}/{itemtype}/{item}"
NAMES = sorted({name for row in WIRE_FIELDS for name in (*row.tracker_names, *row.json_names)})


def entry(raw_path: str = "/api/00000/click/u/1/5", code: str = "bad_item", **more: Any) -> RefusedRequest:
    options = {"method": "GET", "user_agent": "", "given": {}, **more}
    parameter = options.pop("parameter", None)
    return entry_of(Rejection(code, f"said {MARK}", parameter, MARK), 5, raw_path=raw_path, **options)


def text_of(shown: RefusedRequest) -> str:
    return msgspec.json.encode(shown).decode()


def test_every_code_has_a_cause() -> None:
    assert CAUSES.keys() == STATUS.keys()


def test_entry_of_a_purchase() -> None:
    refused = report("/api/00000/buy/u/1/5?quantity=0,5&fullprice=1,99EUR&lang=de&secret=x")
    assert isinstance(refused, Rejection)
    shown = entry_of(
        refused,
        7,
        method="GET",
        raw_path="/api/00000/buy/u/1/5",
        user_agent="Mozilla/5.0 Firefox/128.0",
        given=parameters_of("quantity=0,5&fullprice=1,99EUR&lang=de&secret=x"),
    )
    assert shown == RefusedRequest(
        time_ms=7,
        method="GET",
        endpoint=BUY,
        status=400,
        code="bad_quantity",
        sentence=CAUSES["bad_quantity"],
        agent="Firefox",
        parameter="quantity",
        parameters={"quantity": "0,5", "fullprice": "1,99EUR", "lang": None},
        other_parameters=1,
        segments=3,
    )


@pytest.mark.parametrize(
    ("raw_path", "endpoint", "segments"),
    [
        ("/api/00000/buy/u/1/5", BUY, 3),
        ("//api/00000/buy/u/1/5/", BUY, 3),
        ("/api/00000/buy/u", BUY, 1),
        ("/ebl/00000/transfer/a/b/", "/ebl/{customer}/transfer/{source}/{target}", 2),
        ("/api/00000/maxmustermann/u/1/5", "/api/{customer}/{event}", 3),
        ("/api/00000", "/api/{customer}/{event}", 0),
        ("/v1/00000/events", "/v1/{customer}/events", None),
        ("/v1/00000/maxmustermann", "other", None),
        ("/users/presentationtracking", "/uitracking/users/presentationtracking", None),
        ("/uitracking/users/click/", "/uitracking/users/click", None),
        ("/cdn/v1/00000/tracking.js", "/cdn/v1/{customer}/tracking.js", None),
        ("/cdn/v1/00000/maxmustermann/tracking.css", "/cdn/v1/{customer}/{plugin}/tracking.css", None),
        ("/cdn/v1/00000/maxmustermann.js", "other", None),
        ("/cdn/v1/00000/", "other", None),
        ("/maxmustermann", "other", None),
        ("maxmustermann", "other", None),
        ("", "other", None),
    ],
)
def test_endpoint_is_a_path_with_placeholders(raw_path: str, endpoint: str, segments: int | None) -> None:
    shown = entry(raw_path)
    assert (shown.endpoint, shown.segments) == (endpoint, segments)


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("percentage", "101", "101"),
        ("percentage", "55,5", "55,5"),
        ("percentage", "-1", "-1"),
        ("percentage", "4711815", None),
        ("percentage", 101, "101"),
        ("percentage", True, None),
        ("percentage", None, None),
        ("percentage", [1], None),
        ("rating", "4.5", "4.5"),
        ("quantity", "0.5", "0.5"),
        ("quantity", "0,5", "0,5"),
        ("quantity", "4915112345678", None),
        ("rank", "1e3", "1e3"),
        ("fullprice", "NaNEUR", "NaNEUR"),
        ("fullprice", "1.234,56 EUR", "1.234,56 EUR"),
        ("fullprice", "19.99XXY", None),
        ("fullprice", "19,99\u20ac", "19,99\u20ac"),
        ("fullprice", "maxmustermann", None),
        ("fullprice", "max", None),
        ("fullprice", "MAX", None),
        ("currency", "EUR", "EUR"),
        ("currency", "MAX", None),
        ("price", "12.5", "12.5"),
        ("fullprice", "9" * 40, None),
        ("fullprice", "", None),
        ("itemtype", "4711", None),
        ("item", "4711", None),
        ("user", "4711", None),
        ("scenario", "home", None),
        ("eid", "4711", None),
        ("signature", "4711", None),
        ("title", "4711", None),
    ],
)
def test_values_are_shown_in_the_form_of_a_number_or_a_price_only(
    name: str, value: object, shown: str | None
) -> None:
    assert entry(given={name: value}).parameters == {name: shown}


def test_entry_is_bounded() -> None:
    given = dict.fromkeys(NAMES, "9" * 40) | {f"name{number}": "x" for number in range(500)}
    shown = entry("/api/00000/" + "/".join("x" * 4_000), given=given, user_agent="x" * 8_000)
    assert shown.parameters is not None
    assert len(shown.parameters) == MAX_SHOWN
    assert shown.other_parameters == len(given) - MAX_SHOWN
    assert len(text_of(shown)) < 2_048


def test_every_entry_is_below_its_bound_whatever_the_code() -> None:
    given = dict.fromkeys(NAMES[:MAX_SHOWN], "99,99 EUR")
    for code in STATUS:
        for event in TRACKER_EVENTS:
            assert len(text_of(entry(f"/api/00000/{event}/u/1/5", code, given=given))) < 2_048


PLACES = st.sampled_from(
    ["user", "item", "event", "path", "name", "value", "method", "agent", "parameter", "customer"]
)
MARKS = st.sampled_from([MARK, f"{MARK}%20", f"a{MARK}", f"1.99{MARK}", f"{MARK}EUR", f"12{MARK}34"])


@drawn(
    st.lists(PLACES, min_size=1, unique=True), MARKS, st.sampled_from(sorted(STATUS)), st.sampled_from(NAMES)
)
def test_marker_gets_into_no_entry(places: list[str], mark: str, code: str, name: str) -> None:
    at = dict.fromkeys(places, mark)
    shown = entry(
        f"/{'api' if 'path' not in at else mark}/{at.get('customer', '00000')}/{at.get('event', 'buy')}"
        f"/{at.get('user', 'u')}/1/{at.get('item', '5')}",
        code,
        method=at.get("method", "GET"),
        user_agent=at.get("agent", ""),
        given={name: at.get("value", "5"), at.get("name", "lang"): mark},
        parameter=at.get("parameter", name),
    )
    assert MARK not in text_of(shown)


def test_parameters_of_a_malformed_query() -> None:
    assert parameters_of("a=%zz&=x&b&b=2&c=%FF&a%20b=c+d") == {
        "a": "%zz",
        "b": "2",
        "c": "\ufffd",
        "a b": "c d",
    }
    assert len(parameters_of("&".join(f"a{number}=1" for number in range(2_000)))) == 200
