"""Signatures of imports: golden vectors of both kinds, and changes that make a signature invalid."""

import hmac
from urllib.parse import quote

import pytest

from events.event_time import parse_override
from events.signature import is_valid, sign, sign_v2, string_to_sign
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
    request = ("00000", "click", ("u", "1", "5"), LICENSE_KEY, {})
    for signature in (sign(("1", "5"), LICENSE_KEY, {}), sign_v2(*request)):
        assert is_valid(*request, signature)
        assert not is_valid(*request, signature.upper())
        assert not is_valid(*request, signature[:-1])
        assert not is_valid(
            *request, signature.removeprefix("v2:") if ":" in signature else f"v2:{signature}"
        )


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


# Made with openssl as in docs/customers.md: printf '%s' "$text" | openssl dgst -sha256 -hmac "$license_key"
GOLDEN_V2 = [
    (
        "buy",
        ("maxmustermann", "1", "11"),
        {"fullprice": "19.99EUR", "overridetimestamp": "2012-01-01T11:00:00", "quantity": "1"},
        "c785d7dcb65387389661cc31663c39f08346a0c132ad22b9071864d7074cd150",
    ),
    (
        "buy",
        ("maxmustermann", "1", "94"),
        {"fullprice": "23.99EUR", "overridetimestamp": "2012-01-02T11:00:00", "quantity": "5"},
        "557891c5e9f9c9f76b0a34c55cd3e9b870eaee24eb73fb17702173b22de94112",
    ),
    (
        "buy",
        ("maxmustermann", "1", "78"),
        {"fullprice": "7.59EUR", "overridetimestamp": "2012-01-03T11:00:00", "quantity": "1"},
        "0fab4e78256e5b5c3897534080a0af3a64a8fb74303a619543427bc8739474dc",
    ),
    (
        "login",
        ("a b/c", "v@example.org"),
        {"overridetimestamp": "2019-11-24T00:00:01"},
        "e28324e7dfc7c270c2673d54606c7060f7981570bc148341c2efb4ee6c8ab180",
    ),
    (
        "follow",
        ("müller", "1", "a b"),
        {"overridetimestamp": "2019-11-24T00:00:01", "scenario": "a,b/c"},
        "cf2e55a0e9c5facdd06960382d7a8d43fc1acc667503551b94836ecff9d3fb43",
    ),
]
ONLY_V2 = rules(md5_signatures=False)


@pytest.mark.parametrize(("event", "segments", "params", "digest"), GOLDEN_V2)
@pytest.mark.parametrize("prefix", ["api", "ebl", "news"])
def test_golden_vector_of_the_second_kind(
    event: str, segments: tuple[str, ...], params: dict[str, str], digest: str, prefix: str
) -> None:
    assert sign_v2("00000", event, segments, LICENSE_KEY, params) == f"v2:{digest}"
    url = build_target("00000", event, segments, {**params, "signature": f"v2:{digest}"}, prefix=prefix)
    for customer in (RULES, ONLY_V2):
        assert event_of(url, rules=customer).time_ms == parse_override(
            params["overridetimestamp"], RULES.time_zone
        )


def test_signature_is_the_same_for_a_form_as_for_a_query() -> None:
    event, segments, params, digest = GOLDEN_V2[0]
    path = build_target("00000", event, segments)
    body = build_target("", "", (), {**params, "signature": f"v2:{digest}"}).partition("?")[2]
    assert event_of(path, body=body) == event_of(f"{path}?{body}")


SIGNED_V2 = "fullprice=19.99EUR&overridetimestamp=2012-01-01T11%3A00%3A00&quantity=1"


@pytest.mark.parametrize(
    "target",
    [
        f"00000/buy/otheruser/1/11?{SIGNED_V2}",
        f"00000/owns/maxmustermann/1/11?{SIGNED_V2}",
        f"00000/buy/maxmustermann/1/12?{SIGNED_V2}",
        f"00000/buy/maxmustermann/2/11?{SIGNED_V2}",
        f"00000/buy/maxmustermann/1/11?{SIGNED_V2}&eid=x",
        f"00000/buy/maxmustermann/1/11?{SIGNED_V2.replace('quantity=1', 'quantity=2')}",
    ],
)
def test_second_kind_covers_user_and_event_too(target: str) -> None:
    assert code_of(f"/api/{target}&signature=v2:{GOLDEN_V2[0][3]}") == "bad_signature"


def test_second_kind_covers_the_customer_where_two_have_the_same_key() -> None:
    url = f"/api/00001/buy/maxmustermann/1/11?{SIGNED_V2}&signature=v2:{GOLDEN_V2[0][3]}"
    assert code_of(url, rules=rules(customer="00001")) == "bad_signature"


def test_customer_may_refuse_md5() -> None:
    url = f"/api/00000/buy/maxmustermann/1/11?{SIGNED_V2}&signature={GOLDEN[0][4]}"
    assert isinstance(report(url), Accepted)
    assert code_of(url, rules=ONLY_V2) == "bad_signature"


def test_second_kind_takes_the_encoding_of_javascript_clients() -> None:
    params = {"overridetimestamp": "2019-11-24T00:00:01", "title": "it's (new)!*"}
    text = "00000&click&o'neil&1&5&k&overridetimestamp=2019-11-24T00%3A00%3A01&title=it's%20(new)!*"
    signature = "v2:" + hmac.digest(b"k", text.encode(), "sha256").hex()
    assert is_valid("00000", "click", ("o'neil", "1", "5"), "k", params, signature)


@pytest.mark.parametrize("given", ["", "v2:", "v2:ü", "v1:abc", "\udc80", "v2:" + "0" * 64])
def test_no_other_text_is_a_signature(given: str) -> None:
    assert not is_valid("00000", "click", ("u", "1", "5"), LICENSE_KEY, {}, given)
