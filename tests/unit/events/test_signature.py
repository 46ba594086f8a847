"""The md5 signature of imports: the three golden vectors of the tracker API, and what may not change it."""

from urllib.parse import quote

import pytest

from events.clock import parse_override
from events.signature import is_valid, sign, string_to_sign
from events.target import build_target
from events.tracker import Accepted
from tests.support.tracker import LICENSE_KEY, RECEIVED_MS, RULES, code_of, event_of, report, rules

GOLDEN = [
    ("11", "19.99EUR", "2012-01-01T11:00:00", "1", "d0026f017ae823f19530d93318c5a2f6"),
    ("94", "23.99EUR", "2012-01-02T11:00:00", "5", "53ae5744879d5a3ae833f3ef34109b44"),
    ("78", "7.59EUR", "2012-01-03T11:00:00", "1", "d73e76754fb333e9733936bbd11bb5cd"),
]


@pytest.mark.parametrize(("item", "price", "time", "quantity", "signature"), GOLDEN)
def test_golden_vector(item: str, price: str, time: str, quantity: str, signature: str) -> None:
    params = {"fullprice": price, "overridetimestamp": time, "quantity": quantity}
    assert sign(("1", item), LICENSE_KEY, params) == signature
    event = event_of(
        f"/api/00000/buy/maxmustermann/1/{item}?fullprice={price}&overridetimestamp={quote(time)}"
        f"&quantity={quantity}&signature={signature}"
    )
    assert event.time_ms == parse_override(time, RULES.time_zone)


@pytest.mark.parametrize(
    "query",
    [
        "signature={s}&quantity=1&overridetimestamp=2012-01-01T11%3a00%3a00&fullprice=19.99EUR",
        "quantity=1&overridetimestamp=2012-01-01T11:00:00&fullprice=19%2E99EUR&signature={s}",
        "fullprice=19.99EUR&overridetimestamp=2012-01-01T11%3A00%3A00&quantity=1&lang=&x=null&signature={s}",
    ],
)
def test_order_hex_case_and_absent_values_do_not_matter(query: str) -> None:
    url = f"/api/00000/buy/maxmustermann/1/11?{query.format(s=GOLDEN[0][4])}"
    assert isinstance(report(url), Accepted)


@pytest.mark.parametrize(
    "url",
    [
        "buy/maxmustermann/1/12?fullprice=19.99EUR&overridetimestamp=2012-01-01T11%3A00%3A00&quantity=1",
        "buy/maxmustermann/2/11?fullprice=19.99EUR&overridetimestamp=2012-01-01T11%3A00%3A00&quantity=1",
        "buy/maxmustermann/1/11?fullprice=19.98EUR&overridetimestamp=2012-01-01T11%3A00%3A00&quantity=1",
        "buy/maxmustermann/1/11?fullprice=19.99EUR&overridetimestamp=2012-01-01T11%3A00%3A01&quantity=1",
        "buy/maxmustermann/1/11?fullprice=19.99EUR&overridetimestamp=2012-01-01T11%3A00%3A00&quantity=",
        "buy/maxmustermann/1/11?fullprice=19.99EUR&overridetimestamp=2012-01-01T11%3A00%3A00&quantity=1&x=1",
    ],
)
def test_whatever_was_signed_cannot_be_changed(url: str) -> None:
    assert code_of(f"/api/00000/{url}&signature={GOLDEN[0][4]}") == "bad_signature"


def test_signature_in_capitals_is_not_the_signature() -> None:
    assert not is_valid(("1", "5"), LICENSE_KEY, {}, sign(("1", "5"), LICENSE_KEY, {}).upper())


def test_customer_without_license_key_cannot_import() -> None:
    params = {"overridetimestamp": "2012-01-01T11:00:00"}
    params["signature"] = sign(("1", "5"), "None", params)
    url = build_target("00000", "click", ("u", "1", "5"), params)
    assert code_of(url, rules=rules(license_key=None)) == "bad_signature"


def signed(event: str, segments: tuple[str, ...], **params: str) -> str:
    params["signature"] = sign(segments[1:], LICENSE_KEY, params)
    return build_target("00000", event, segments, params)


@pytest.mark.parametrize(
    ("event", "segments", "params"),
    [
        ("rendered", ("u", "1", "1,2,3"), {"scenario": "a b/ü", "requestuuid": "f:1"}),
        ("rendered", ("u", "1", "a b,c/d"), {}),
        ("login", ("u", "v@example.org"), {}),
        ("click", ("u", "1", "7"), {"categorypath": "/A&B/C~D", "title": "it's (new)!*"}),
    ],
)
def test_what_we_sign_we_accept(event: str, segments: tuple[str, ...], params: dict[str, str]) -> None:
    url = signed(event, segments, overridetimestamp="2019-11-24T00:00:01", **params)
    assert event_of(url).time_ms == 1_574_553_601_000


def test_encoding_of_javascript_clients_is_accepted() -> None:
    params = {"title": "it's (new)!*"}
    text = string_to_sign(("1", "5"), "k", params, safe="!*'()")
    assert text == "1&5&k&title=it's%20(new)!*"
    assert string_to_sign(("1", "5"), "k", params) == "1&5&k&title=it%27s%20%28new%29%21%2A"


@pytest.mark.parametrize(
    "time", ["2100-01-01T00:00:00", "2012-02-30T11:00:00", "yesterday", "2023-11-14T22:13:21"]
)
def test_signed_time_that_is_none_or_has_not_come_is_rejected(time: str) -> None:
    assert code_of(signed("click", ("u", "1", "5"), overridetimestamp=time)) == "bad_timestamp"


def test_signed_time_of_this_second_is_accepted() -> None:
    event = event_of(signed("click", ("u", "1", "5"), overridetimestamp="2023-11-14T22:13:20"))
    assert event.time_ms == RECEIVED_MS
