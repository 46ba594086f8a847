"""Bad JSON bodies for the native endpoints as bytes on the wire, each with its documented answer."""

import gzip
import json
import zlib
from collections.abc import Iterator
from typing import Final

from tests.faults.bad_inputs import BadInput, get, post

EVENTS: Final = "/v1/00000/events"
RECOMMENDED: Final = "/v1/00000/recommended"
_JSON: Final = b"Content-Type: application/json\r\n"
_LINES: Final = b"Content-Type: application/x-ndjson\r\n"
_ZIPPED: Final = _JSON + b"Content-Encoding: gzip\r\n"
_CLICK: Final = {"type": "click", "user": "u", "item": "5"}
DEPTH: Final = 10_000


def body_cases() -> Iterator[BadInput]:
    """Yield bodies that the collector cannot read as a whole."""
    for name, body in [
        ("arrays 10,000 deep", DEPTH * b"[" + DEPTH * b"]"),
        ("objects 10,000 deep", b"[" + DEPTH * b'{"a":' + b"1" + DEPTH * b"}" + b"]"),
        ("arrays that never end", DEPTH * b"["),
        ("NaN", b'[{"type":"rate","user":"u","item":"5","rating":NaN}]'),
        ("Infinity", b'[{"type":"rate","user":"u","item":"5","rating":-Infinity}]'),
        (
            "a number of 10,000 digits",
            b'[{"type":"rate","user":"u","item":"5","rating":1e' + DEPTH * b"9" + b"}]",
        ),
        ("a lone surrogate", b'[{"type":"click","user":"\\ud800","item":"5"}]'),
        ("raw surrogate bytes", b'[{"type":"click","user":"\xed\xa0\x80","item":"5"}]'),
        ("overlong UTF-8", b'[{"type":"click","user":"\xc0\xaf","item":"5"}]'),
        ("UTF-16", json.dumps([_CLICK]).encode("utf-16")),
        ("raw newline in a text", b'[{"type":"click","user":"a\nb","item":"5"}]'),
        ("cut off", b'[{"type":"click","user":"u"'),
        ("a comma too many", b"[1,]"),
        ("null", b"null"),
        ("a number", b"5"),
        ("script", b"<script>alert(1)</script>"),
    ]:
        yield BadInput(f"JSON: {name}", post(EVENTS, body, _JSON), 400, "bad_json")
    bomb = gzip.compress(8 * 1_048_576 * b" ")
    yield BadInput("JSON: gzip bomb", post(EVENTS, bomb, _ZIPPED), 413, "body_too_large")
    members = 4 * gzip.compress(2 * 1_048_576 * b" ")
    yield BadInput("JSON: gzip bomb of many members", post(EVENTS, members, _ZIPPED), 413, "body_too_large")
    yield BadInput("JSON: no gzip", post(EVENTS, b"[]", _ZIPPED), 400, "bad_body")
    yield BadInput("JSON: half a gzip", post(EVENTS, gzip.compress(b"[]")[:-9], _ZIPPED), 400, "bad_body")
    deflated = _JSON + b"Content-Encoding: deflate\r\n"
    yield BadInput("JSON: deflate", post(EVENTS, zlib.compress(b"[]"), deflated), 400, "bad_body")
    yield BadInput(
        "JSON: 2 MB", post(EVENTS, b"[" + 2 * 1_048_576 * b" " + b"]", _JSON), 413, "body_too_large"
    )
    many = b"[" + 5_000 * b"{}," + b"{}]"
    yield BadInput("JSON: 5,001 elements", post(EVENTS, many, _JSON), 413, "too_many_elements")
    yield BadInput("JSON: 5,001 lines", post(EVENTS, 5_001 * b"{}\n", _LINES), 413, "too_many_elements")
    xml = b"Content-Type: text/xml\r\n"
    yield BadInput("JSON: wrong content type", post(EVENTS, b"[]", xml), 400, "bad_body")
    yield BadInput("JSON: GET", get(EVENTS), 405, "method_not_allowed")
    yield BadInput("JSON: unknown customer", post("/v1/00001/events", b"[]", _JSON), 404, "unknown_customer")
    yield BadInput("JSON: another path", post("/v1/00000/event", b"[]", _JSON), 404, "unknown_path")
    alone = json.dumps({"user": "u", "lists": []}).encode()
    yield BadInput("JSON: no request_id", post(RECOMMENDED, alone, _JSON), 400, "bad_parameter")
    other = json.dumps({"type": "click", "user": "u", "item": "5", "request_id": "r"}).encode()
    yield BadInput("JSON: another event", post(RECOMMENDED, other, _JSON), 404, "unknown_event")


def element_cases() -> Iterator[BadInput]:
    """Yield events that are refused one by one: the answer is 200, with a reason for each."""
    for name, changed, code in [
        ("no type", {"type": None}, "unknown_event"),
        ("another type", {"type": "like"}, "unknown_event"),
        ("a type that is no text", {"type": ["click"]}, "unknown_event"),
        ("empty user", {"user": ""}, "missing_user"),
        ("a user that is an object", {"user": {}}, "bad_user"),
        ("a user with a newline", {"user": "a\nb"}, "bad_user"),
        ("a long user", {"user": 1_025 * "u"}, "user_too_long"),
        ("no item", {"item": None}, "missing_item"),
        ("an item that is a list", {"item": ["5"]}, "bad_item"),
        ("a fraction as item", {"item": 5.5}, "bad_item"),
        ("item type 2147483648", {"itemtype": 2_147_483_648}, "bad_itemtype"),
        ("item type true", {"itemtype": True}, "bad_itemtype"),
        ("64-bit overflow", {"created_ms": 2**64}, "bad_number"),
        ("huge integer", {"row": 10**400}, "bad_number"),
        ("negative", {"rank": -1}, "bad_number"),
        ("unicode digits", {"rank": "\u0663"}, "bad_number"),
        ("percentage 101", {"type": "consume", "percentage": 101}, "bad_percentage"),
        ("rating -1", {"type": "rate", "rating": -1}, "bad_rating"),
        ("1,001 items", {"type": "rendered", "items": 1_001 * ["5"]}, "too_many_items"),
        ("another tenant", {"customer": "10000"}, "forbidden"),
        ("a past without credentials", {"time_ms": 1_325_415_600_000}, "unauthorized"),
        ("our own time", {"received_ms": 1}, "bad_parameter"),
        ("another's pseudonym", {"previous_user": "k1.x"}, "bad_parameter"),
    ]:
        element = json.dumps(
            {key: value for key, value in {**_CLICK, **changed}.items() if value is not None}
        )
        yield BadInput(f"element: {name}", post(EVENTS, f"[{element}]".encode(), _JSON), 200, code)
    for name, money, code in [
        ("price beyond a float", {"price": 1e12, "currency": "EUR"}, "bad_price"),
        ("NaNEUR", {"fullprice": "NaNEUR"}, "bad_price"),
        ("unknown currency", {"price": "1.99", "currency": "XXY"}, "bad_currency"),
    ]:
        strict = json.dumps([{**_CLICK, "type": "buy", **money}]).encode()
        yield BadInput(f"element: {name}", post("/v1/strict/events", strict, _JSON), 200, code)
    twice = b'[{"type":"click","user":"u","item":"5","user":"v"}]'
    yield BadInput("element: a key twice", post(EVENTS, twice, _JSON), 200, "duplicate_parameter")
    broken = b'{"type":"click","user":"u","item":"5"\n[1]\nNaN\n'
    yield BadInput("element: broken lines", post(EVENTS, broken, _LINES), 200, "bad_json")
