"""Refused requests of the tracker API (docs/http-api.md), case by case, with their codes."""

from typing import Any
from urllib.parse import parse_qsl

import pytest

from events.rejections import STATUS
from events.tracker import Accepted
from tests.support.tracker import code_of, event_of, report, rules

SIGNED = "overridetimestamp=2012-01-01T11%3A00%3A00"

REJECTED: dict[str, tuple[str, str]] = {
    # name: (request target, code)
    "raw backslash": ("/api/00000/click/a\\b/1/5", "backslash_in_path"),
    "encoded backslash": ("/api/00000/click/a%5Cb/1/5", "backslash_in_path"),
    "encoded backslash, lower case": ("/api/00000/click/u/1/%5c", "backslash_in_path"),
    "encoded NUL in the user": ("/api/00000/click/a%00b/1/5", "bad_user"),
    "encoded newline in the user": ("/api/00000/click/a%0Ab/1/5", "bad_user"),
    "encoded newline in the item": ("/api/00000/click/u/1/a%0Ab", "bad_item"),
    "encoded NUL in a word": ("/api/00000/click/u/1/5?variant=%00", "bad_parameter"),
    "overlong UTF-8": ("/api/00000/click/%C0%AF/1/5", "malformed_encoding"),
    "latin-1": ("/api/00000/click/%FC/1/5", "malformed_encoding"),
    "encoded surrogate": ("/api/00000/click/%ED%A0%80/1/5", "malformed_encoding"),
    "percent without digits": ("/api/00000/click/100%/1/5", "malformed_encoding"),
    "percent with other letters": ("/api/00000/click/u/1/5?title=%zz", "malformed_encoding"),
    "nothing": ("/", "unknown_path"),
    "no event": ("/api/00000", "unknown_path"),
    "other prefix": ("/track/00000/click/u/1/5", "unknown_path"),
    "empty first segment": ("//00000/click/u/1/5", "unknown_path"),
    "unknown event": ("/api/00000/like/u/1/5", "unknown_event"),
    "event in capitals": ("/api/00000/Click/u/1/5", "unknown_event"),
    "recommended is no tracker path": ("/api/00000/recommended/u/1/5", "unknown_event"),
    "empty event": ("/api/00000//u/1/5", "unknown_event"),
    "no user": ("/api/00000/click", "missing_user"),
    "empty user": ("/api/00000/click//1/5", "missing_user"),
    "user too long": (f"/api/00000/click/{'u' * 1025}/1/5", "user_too_long"),
    "login without target": ("/api/00000/login/u", "missing_user"),
    "login with an empty target": ("/api/00000/login/u/", "missing_user"),
    "login with a newline": ("/api/00000/login/u/a%0D", "bad_user"),
    "login with one segment too many": ("/api/00000/login/u/v/w", "malformed_path"),
    "one segment too many": ("/api/00000/click/u/1/5/6", "malformed_path"),
    "two slashes at the end": ("/api/00000/click/u/1/5//", "malformed_path"),
    "segment after a slash at the end": ("/api/00000/click/u/1/5//6", "malformed_path"),
    "slash in front of the item": ("/api/00000/click/u/1//5", "malformed_path"),
    "login with two slashes at the end": ("/api/00000/login/u/v//", "malformed_path"),
    "two slashes in front of an unknown prefix": ("//apis/00000/click/u/1/5", "unknown_path"),
    "backslash after two slashes": ("//api/00000/click/u/1/5%5C", "backslash_in_path"),
    "no itemtype": ("/api/00000/click/u", "bad_itemtype"),
    "empty itemtype": ("/api/00000/click/u//5", "bad_itemtype"),
    "itemtype undefined": ("/api/00000/click/u/undefined/5", "bad_itemtype"),
    "itemtype 0": ("/api/00000/click/u/0/5", "bad_itemtype"),
    "itemtype 2147483648": ("/api/00000/click/u/2147483648/5", "bad_itemtype"),
    "itemtype -1": ("/api/00000/click/u/-1/5", "bad_itemtype"),
    "itemtype in Arabic digits": ("/api/00000/click/u/%D9%A1/5", "bad_itemtype"),
    "rendered with a bad itemtype": ("/api/00000/rendered/u/9.0/5", "bad_itemtype"),
    "no item": ("/api/00000/click/u/1", "missing_item"),
    "empty item": ("/api/00000/click/u/1/", "missing_item"),
    "item null": ("/api/00000/click/u/1/null", "missing_item"),
    "item too long": (f"/api/00000/click/u/1/{'i' * 257}", "bad_item"),
    "too many items": (f"/api/00000/rendered/u/1/{','.join('1' * 1001)}", "too_many_items"),
    "percentage 101": ("/api/00000/consume/u/1/5?percentage=101", "bad_percentage"),
    "percentage -1": ("/api/00000/consume/u/1/5?percentage=-1", "bad_percentage"),
    "percentage 50.0": ("/api/00000/consume/u/1/5?percentage=50.0", "bad_percentage"),
    "percentage 0x10": ("/api/00000/consume/u/1/5?percentage=0x10", "bad_percentage"),
    "percentage 1e1": ("/api/00000/consume/u/1/5?percentage=1e1", "bad_percentage"),
    "percentage +5": ("/api/00000/consume/u/1/5?percentage=%2B5", "bad_percentage"),
    "percentage with an underscore": ("/api/00000/consume/u/1/5?percentage=1_0", "bad_percentage"),
    "percentage in Arabic digits": ("/api/00000/consume/u/1/5?percentage=%D9%A5", "bad_percentage"),
    "percentage in superscript": ("/api/00000/consume/u/1/5?percentage=%C2%B2", "bad_percentage"),
    "percentage of 10,000 digits": (f"/api/00000/consume/u/1/5?percentage={'9' * 10_000}", "bad_percentage"),
    "rating missing": ("/api/00000/rate/u/1/5", "bad_rating"),
    "rating -1": ("/api/00000/rate/u/1/5?rating=-1", "bad_rating"),
    "rating 101": ("/api/00000/rate/u/1/5?rating=101", "bad_rating"),
    "quantity 0": ("/api/00000/buy/u/1/5?quantity=0", "bad_quantity"),
    "quantity -1": ("/api/00000/buy/u/1/5?quantity=-1", "bad_quantity"),
    "quantity -0.5": ("/api/00000/buy/u/1/5?quantity=-0.5", "bad_quantity"),
    "quantity 0.0000": ("/api/00000/buy/u/1/5?quantity=0.0000", "bad_quantity"),
    "quantity that rounds to 0": ("/api/00000/buy/u/1/5?quantity=0.0000005", "bad_quantity"),
    "quantity with a comma": ("/api/00000/buy/u/1/5?quantity=1,5", "bad_quantity"),
    "quantity .5": ("/api/00000/buy/u/1/5?quantity=.5", "bad_quantity"),
    "quantity 5.": ("/api/00000/buy/u/1/5?quantity=5.", "bad_quantity"),
    "quantity 1e3": ("/api/00000/buy/u/1/5?quantity=1e3", "bad_quantity"),
    "quantity NaN": ("/api/00000/buy/u/1/5?quantity=NaN", "bad_quantity"),
    "quantity in Arabic digits": ("/api/00000/buy/u/1/5?quantity=%D9%A1.%D9%A5", "bad_quantity"),
    "quantity above a million": ("/api/00000/buy/u/1/5?quantity=1000000.000001", "bad_quantity"),
    "quantity of 10,000 decimals": (f"/api/00000/buy/u/1/5?quantity=0.{'9' * 10_000}", "bad_quantity"),
    "quantity beyond 64 bits": ("/api/00000/buy/u/1/5?quantity=18446744073709551617", "bad_quantity"),
    "row -1": ("/api/00000/click/u/1/5?row=-1", "bad_number"),
    "created abc": ("/api/00000/click/u/1/5?created=abc&sent=1", "bad_number"),
    "created beyond 64 bits": ("/api/00000/click/u/1/5?created=99999999999999999999&sent=1", "bad_number"),
    "scenario too long": (f"/api/00000/clickrecommended/u/1/5?scenario={'s' * 257}", "bad_parameter"),
    "eid too long": (f"/api/00000/click/u/1/5?eid={'e' * 257}", "bad_parameter"),
    "category path too long": (f"/api/00000/click/u/1/5?categorypath={'c' * 2049}", "bad_parameter"),
    "too many parameters": (
        "/api/00000/click/u/1/5?" + "&".join("a=1" for _ in range(1001)),
        "bad_parameter",
    ),
    "percentage twice": ("/api/00000/consume/u/1/5?percentage=7&percentage=8", "duplicate_parameter"),
    "percentage also as a stray": (
        "/api/00000/consume/u/1/5&percentage=8?percentage=7",
        "duplicate_parameter",
    ),
    "image of a list twice": ("/api/00000/rendered/u/1/5?image=a&image=b", "duplicate_parameter"),
    "variant twice": ("/api/00000/click/u/1/5?variant=a&variant=b&lang=en&lang=de", "duplicate_parameter"),
    "signed with a free parameter twice": (
        f"/api/00000/click/u/1/5?{SIGNED}&lang=en&lang=de&signature={'0' * 32}",
        "duplicate_parameter",
    ),
    "eid twice": ("/api/00000/click/u/1/5?eid=a&eid=b", "duplicate_parameter"),
    "modelid under two spellings": (
        "/api/00000/clickrecommended/u/1/5?scenario=s&modelid=a&modelId=b",
        "duplicate_parameter",
    ),
    "jsonp under two spellings": ("/api/00000/click/u/1/5?jsonp=f&jsonpCallback=g", "duplicate_parameter"),
    "timestamp without signature": (f"/api/00000/click/u/1/5?{SIGNED}", "missing_signature"),
    "timestamp with an absent signature": (
        f"/api/00000/click/u/1/5?{SIGNED}&signature=null",
        "missing_signature",
    ),
    "timestamp with a wrong signature": (
        f"/api/00000/click/u/1/5?{SIGNED}&signature={'0' * 32}",
        "bad_signature",
    ),
    "a signature that is not ASCII": (f"/api/00000/click/u/1/5?{SIGNED}&signature=%C3%BC", "bad_signature"),
    "signed with a parameter twice": (
        f"/api/00000/click/u/1/5?{SIGNED}&a=1&a=2&signature={'0' * 32}",
        "duplicate_parameter",
    ),
}


UNREADABLE_PRICES = {
    "NaN": ("buy/u/1/5?fullprice=NaNEUR", "bad_price"),
    "infinity": ("buy/u/1/5?fullprice=InfinityEUR", "bad_price"),
    "exponent": ("buy/u/1/5?fullprice=1e3EUR", "bad_price"),
    "decimal comma": ("buy/u/1/5?fullprice=1,99EUR", "bad_price"),
    "negative price": ("buy/u/1/5?fullprice=-1EUR", "bad_price"),
    "space before the currency": ("buy/u/1/5?fullprice=1+EUR", "bad_price"),
    "no digits": ("buy/u/1/5?fullprice=EUR", "bad_price"),
    "point at the end": ("buy/u/1/5?fullprice=1.EUR", "bad_price"),
    "huge price": (f"buy/u/1/5?fullprice={'9' * 40}EUR", "bad_price"),
    "price in Arabic digits": ("buy/u/1/5?fullprice=%D9%A1EUR", "bad_price"),
    "newline after the currency": ("buy/u/1/5?fullprice=1EUR%0A", "bad_price"),
    "unknown currency": ("buy/u/1/5?fullprice=1.99XYZ", "bad_currency"),
    "currency in small letters": ("buy/u/1/5?fullprice=1.99eur", "bad_price"),
    "cents with a point": ("buy/u/1/5?price=2.25", "bad_price"),
    "cents in an unknown currency": ("buy/u/1/5?price=225&currency=EURO", "bad_currency"),
    "wishlist with a bad price": ("wishlist/u/1/5?price=2,50", "bad_price"),
    "point at the start": ("buy/u/1/5?fullprice=.5EUR", "bad_price"),
    "too many decimals": (f"buy/u/1/5?fullprice=1.{'1' * 41}EUR", "bad_price"),
    "beyond the limit after rounding": ("buy/u/1/5?fullprice=999999999999.9999996EUR", "bad_price"),
    "no currency, and an unknown one": ("buy/u/1/5?fullprice=1.99&currency=eur", "bad_currency"),
    "owned, with a bad price": ("owns/u/1/5?fullprice=NaNEUR", "bad_price"),
}


@pytest.mark.parametrize("case", UNREADABLE_PRICES)
def test_unreadable_price_loses_no_event_unless_the_customer_is_strict(case: str) -> None:
    path, code = UNREADABLE_PRICES[case]
    assert code_of(f"/api/00000/{path}", rules=rules(strict_price=True)) == code
    accepted = report(f"/api/00000/{path}")
    assert isinstance(accepted, Accepted)
    event: Any = accepted.event
    assert (event.price, event.currency, accepted.unread) == (None, None, "price_unreadable")
    assert event.properties == dict(parse_qsl(path.partition("?")[2]))


def test_readable_price_leaves_nothing_unread() -> None:
    for path in ("buy/u/1/5", "buy/u/1/5?fullprice=1EUR&title=x", "basket/u/1/5?price=1EUR"):
        accepted = report(f"/api/00000/{path}")
        assert isinstance(accepted, Accepted)
        assert accepted.unread is None


@pytest.mark.parametrize("case", REJECTED)
def test_bad_request_is_rejected(case: str) -> None:
    target, code = REJECTED[case]
    assert code_of(target) == code
    assert STATUS[code] in (400, 404)


@pytest.mark.parametrize(
    ("settings", "path", "code"),
    [
        ({"strict_scenario": True}, "clickrecommended/u/1/5", "missing_scenario"),
        ({"strict_scenario": True}, "follow/u/1/5?scenario=null", "missing_scenario"),
        ({"string_items": False}, "click/u/1/abc", "bad_item"),
        ({"string_items": False}, "click/u/1/0", "bad_item"),
        ({"string_items": False}, "click/u/1/-5", "bad_item"),
        ({"string_items": False}, "click/u/1/2147483648", "bad_item"),
        ({"string_items": False}, "click/u/1/1.5", "bad_item"),
        ({"string_items": False}, "click/u/1/%D9%A5", "bad_item"),
        ({"string_items": False}, "rendered/u/1/1,x", "bad_item"),
        ({"string_items": False}, "click/u/1/5%2C6", "bad_item"),
        ({"string_items": False}, "click/u/1/5,6", "bad_item"),
        ({"max_itemtype": 5}, "click/u/6/5", "bad_itemtype"),
        ({"max_itemtype": 5}, "rendered/u/9/5", "bad_itemtype"),
        ({"max_itemtype": 7}, "click/u/8/5", "bad_itemtype"),
    ],
)
def test_customers_rules_hold(settings: dict[str, object], path: str, code: str) -> None:
    assert code_of(f"/api/00000/{path}", rules=rules(**settings)) == code


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"string_items": False}, "click/u/1/1"),
        ({"string_items": False}, "rendered/u/1/5%2C6"),
        ({"string_items": False}, "click/u/1/2147483647"),
        ({}, "click/u/38/5"),
        ({}, "click/u/2147483647/5"),
        ({"max_itemtype": 2_147_483_647}, "click/u/2147483647/5"),
        ({"max_itemtype": 5}, "click/u/5/5"),
        ({"strict_scenario": True}, "clickrecommended/u/1/5?scenario=s"),
    ],
)
def test_customers_rules_let_through_what_they_allow(settings: dict[str, object], path: str) -> None:
    assert isinstance(report(f"/api/00000/{path}", rules=rules(**settings)), Accepted)


def test_rejection_names_the_parameter_the_value_and_what_it_takes() -> None:
    rejection = report("/api/00000/consume/u/1/5?percentage=101")
    assert not isinstance(rejection, Accepted)
    assert rejection is not None
    assert (rejection.parameter, rejection.value, rejection.status) == ("percentage", "101", 400)
    assert rejection.sentence == "percentage '101' must be an integer from 0 to 100"


def test_echoed_value_is_bounded() -> None:
    rejection = report(f"/api/00000/consume/u/1/5?percentage={'9' * 5000}")
    assert not isinstance(rejection, Accepted)
    assert rejection is not None
    assert rejection.value is not None
    assert len(rejection.value) <= 80
    assert len(rejection.sentence) <= 200


def test_greatest_allowed_item_list_is_taken() -> None:
    event = event_of(f"/api/00000/rendered/u/1/{','.join('1' * 1000)}")
    assert len(event.items) == 1000  # type: ignore[attr-defined]
