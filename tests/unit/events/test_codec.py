"""Journal records are read back as they were written; anything else is refused with a reason."""

import json
from decimal import Decimal
from typing import Any, Union

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.codec import MAX_RECORD_BYTES, UndecodableError, check_names, decode, encode
from events.model import EVENTS, RECORDS, EventBase
from tests.support import builders

BUILDERS = {
    build().__struct_config__.tag: build
    for name, build in vars(builders).items()
    if name.startswith(("a_", "an_")) and name != "a_served_list"
}


def a_raw(type_: str = "click", **fields: Any) -> bytes:
    return json.dumps({"type": type_, "customer": "00000", "user": "k1.a", "item": "1", **fields}).encode()


def reason_of(raw: bytes | None) -> str:
    with pytest.raises(UndecodableError) as raised:
        decode(raw)
    assert raised.value.detail
    return raised.value.reason


@pytest.mark.parametrize("name", RECORDS)
def test_every_event_comes_back_as_it_was(name: str) -> None:
    event: EventBase = BUILDERS[name](
        eid="e", variant="v", row=1, rank=2, properties={"ä": "\u2028"}, experiment="x"
    )
    raw = encode(event)
    assert json.loads(raw)["type"] == name
    assert decode(raw) == event


def test_record_is_small_json_that_other_languages_can_write() -> None:
    assert json.loads(encode(builders.a_buy(quantity=2))) == {
        "type": "buy",
        "customer": "00000",
        "user": builders.USER,
        "time_ms": builders.NOW_MS,
        "received_ms": builders.NOW_MS,
        "item": "1",
        "quantity": 2,
        "price": "19.99",
        "currency": "EUR",
    }


def test_price_is_read_from_text_and_from_a_number_exactly() -> None:
    for price in ('"0.10"', "0.10"):
        raw = a_raw("buy", currency="EUR")[:-1] + b', "price": ' + price.encode() + b"}"
        assert decode(raw).price == Decimal("0.10")


@pytest.mark.parametrize(
    ("quantity", "written"),
    [
        (2, b"2"),
        (Decimal("0.5"), b"0.5"),
        (Decimal("0.000001"), b"0.000001"),
        (Decimal("999999999.999999"), b"999999999.999999"),
        (Decimal("2.0000"), b"2"),
        (Decimal("1E+3"), b"1000"),
        (0.5, b"0.5"),
    ],
)
def test_quantity_is_a_number_with_all_its_digits(quantity: Any, written: bytes) -> None:
    for build in (builders.a_buy, builders.an_owns):
        raw = encode(build(quantity=quantity))
        assert b'"quantity":' + written + b"," in raw.replace(b"}", b",")
        assert decode(raw).quantity == Decimal(str(quantity))  # type: ignore[union-attr]


@pytest.mark.parametrize("written", ["0.5", '"0.5"', "5e-1", "0.500000000000"])
def test_quantity_is_read_from_a_number_and_from_text_exactly(written: str) -> None:
    raw = a_raw("buy")[:-1] + f', "quantity": {written}}}'.encode()
    assert decode(raw).quantity == Decimal("0.5")  # type: ignore[union-attr]


def test_unknown_fields_of_a_newer_producer_are_passed_over() -> None:
    assert decode(a_raw(newer={"a": [1]})) == decode(a_raw())


def test_worker_of_a_former_version_does_not_misread_what_bots_sent() -> None:
    former: Any = msgspec.json.Decoder(Union[tuple(EVENTS.values())])  # noqa: UP007 - made at run time
    with pytest.raises(msgspec.ValidationError):
        former.decode(encode(builders.a_bots()))


DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (None, "null"),
        (b"", "malformed"),
        (b"{", "malformed"),
        (b"[]", "malformed"),
        (b"null", "malformed"),
        (b"\xff\xfe", "malformed"),
        (DEEP, "malformed"),
        (b'{"type":"click","x":' + DEEP + b"}", "malformed"),
        (b'{"customer":"c","user":"u"}', "malformed"),
        (a_raw("explode"), "malformed"),
        (a_raw(item=None), "malformed"),
        (a_raw(item=1), "malformed"),
        (a_raw(item="x" * 257), "malformed"),
        (a_raw(time_ms=-1), "malformed"),
        (a_raw(time_ms=10**13), "malformed"),
        (a_raw(time_ms=1.5), "malformed"),
        (a_raw(received_ms=2**63), "malformed"),
        (a_raw(received_ms=10**400), "malformed"),
        (a_raw(row=1_000_001), "malformed"),
        (a_raw(rank=-1), "malformed"),
        (a_raw(itemtype=2**31), "malformed"),
        (a_raw(eid="x" * 257), "malformed"),
        (a_raw(variant="x" * 257), "malformed"),
        (a_raw(categorypath="x" * 2_049), "malformed"),
        (a_raw("clickrecommended", scenario="x" * 257), "malformed"),
        (a_raw("clickrecommended", request_id="x" * 257), "malformed"),
        (a_raw("rendered", items=["1"] * 5_001), "malformed"),
        (a_raw("rendered", items=["x" * 257]), "malformed"),
        (a_raw("consume", percentage=101), "malformed"),
        (a_raw("rate", rating=-1), "malformed"),
        (a_raw("buy", quantity=0), "malformed"),
        (a_raw("buy", quantity=10**9 + 1), "malformed"),
        (a_raw("buy", quantity=0.0), "malformed"),
        (a_raw("buy", quantity=-0.5), "malformed"),
        (a_raw("buy", quantity=1e10), "malformed"),
        (a_raw("buy", quantity=0.0000001), "malformed"),
        (a_raw("owns", quantity=0.30000000000000004), "malformed"),
        (a_raw("buy", quantity="two"), "malformed"),
        (a_raw("buy", quantity="NaN"), "malformed"),
        (a_raw("buy", quantity="1e999999999"), "malformed"),
        (a_raw("buy", quantity="9" * 100_000), "malformed"),
        (a_raw("buy", quantity=True), "malformed"),
        (a_raw("buy", price="1"), "malformed"),
        (a_raw("buy", price="1", currency="euro"), "malformed"),
        (a_raw("buy", price="1", currency="EUR\n"), "malformed"),
        (a_raw("buy", price="-0.01", currency="EUR"), "malformed"),
        (a_raw("buy", price="NaN", currency="EUR"), "malformed"),
        (a_raw("buy", price="sNaN", currency="EUR"), "malformed"),
        (a_raw("buy", price="Infinity", currency="EUR"), "malformed"),
        (a_raw("buy", price="1e999999999", currency="EUR"), "malformed"),
        (a_raw("buy", price="1e-999999999", currency="EUR"), "malformed"),
        (a_raw("buy", price="1000000000000", currency="EUR"), "malformed"),
        (a_raw("owns", price="9" * 100_000, currency="EUR"), "malformed"),
        (a_raw("basket", price="0.0000000000001", currency="EUR"), "malformed"),
        (a_raw("wishlist", price="1"), "malformed"),
        (a_raw("login", target="ünïcode"), "malformed"),
        (a_raw("login", target=""), "malformed"),
        (a_raw("login", target="a\nb"), "malformed"),
        (a_raw("login", target="x" * 201), "malformed"),
        (a_raw("recommended", request_id="r", lists=[{"items": ["1"], "scenario": "x" * 257}]), "malformed"),
        (a_raw("bots", user="~"), "malformed"),
        (a_raw("bots", counts=[{"events": 1}]), "malformed"),  # of a user
        (a_raw("bots", user="~", counts=[{"events": 0}]), "malformed"),
        (a_raw("bots", user="~", counts=[{"events": 10**9 + 1}]), "malformed"),
        (a_raw("bots", user="~", counts=[{"events": 1, "scenario": "x" * 265}]), "malformed"),
        (a_raw("bots", user="~", counts=[{"events": 1}] * 1_001), "malformed"),
        (a_raw(v=2), "unknown_version"),
        (a_raw(v=0), "unknown_version"),
        (a_raw(padding="x" * MAX_RECORD_BYTES), "too_large"),
    ],
    ids=lambda value: None if isinstance(value, str) else repr(value)[:60],
)
def test_what_is_no_event_is_named_with_its_reason(raw: bytes | None, reason: str) -> None:
    assert reason_of(raw) == reason


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_no_bytes_make_it_fail_otherwise(raw: bytes) -> None:
    with pytest.raises(UndecodableError, match="malformed"):
        decode(raw)


@given(st.data())
def test_no_field_of_any_type_makes_it_fail_otherwise(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(RECORDS)))
    fields = [field.encode_name for field in msgspec.structs.fields(RECORDS[name])]
    values = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=5)
        | st.just([])
        | st.just({})
    )
    drawn = data.draw(st.dictionaries(st.sampled_from(fields), values, max_size=4))
    try:
        event = decode(a_raw(name, **drawn))
    except UndecodableError:
        return
    assert decode(encode(event)) == event


@pytest.mark.parametrize(
    ("customer", "user"),
    [
        ("", "u"),
        ("c", ""),
        ("a|b", "u"),
        ("c", "ü"),
        ("c d", "u"),
        ("c", "u\x00"),
        ("c" * 201, "u"),
        ("c", "u\n"),
    ],
)
def test_names_that_cannot_stand_in_a_key_are_refused(customer: str, user: str) -> None:
    with pytest.raises(UndecodableError) as raised:
        check_names(customer, user)
    assert raised.value.reason == "bad_key"


def test_names_of_printable_ascii_stand_in_a_key() -> None:
    check_names("00000", "k1.aaaa")
    check_names("c" * 200, "~7|x")
