"""An event with raw ids becomes a journal event, or is refused by the same rules as over HTTP."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.codec import decode, encode
from events.model import EVENTS, EventBase
from events.rejections import STATUS, Rejection
from events.rules import Rules
from events.seal import seal
from tests.support import builders
from tests.support.builders import (
    a_bots,
    a_buy,
    a_click,
    a_clickrecommended,
    a_login,
    a_recommended,
    a_rendered,
)

RULES = Rules("00000", "k1", bytes(32))
ROTATING = replace(RULES, previous_key_id="k0", previous_pseudonym_key=b"x" * 32)


def a(name: str, **fields: Any) -> EventBase:
    made: EventBase = getattr(builders, f"{'an' if name[0] in 'aeiou' else 'a'}_{name}")(**fields)
    return made


def sealed(event: EventBase, rules: Rules = RULES) -> EventBase:
    found = seal(event, rules)
    assert not isinstance(found, Rejection), found
    return found


def refusal(event: EventBase, rules: Rules = RULES) -> Rejection:
    found = seal(event, rules)
    assert isinstance(found, Rejection), found
    assert found.code in STATUS
    return found


@pytest.mark.parametrize("name", EVENTS)
def test_event_of_every_type_gets_a_pseudonym_and_stays_what_it_was(name: str) -> None:
    raw = a(name, user="maxmustermann", eid="e")
    found = sealed(raw)
    assert found.user == "k1.4ps7pergoegq6hgqvvri3455pi"
    assert found.previous_user is None
    assert decode(encode(found)) == found
    names = {"user", "target"}
    assert {field: getattr(found, field) for field in found.__struct_fields__ if field not in names} == {
        field: getattr(raw, field) for field in raw.__struct_fields__ if field not in names
    }


def test_both_pseudonyms_are_given_while_a_key_rotates() -> None:
    found = sealed(a_click(user="u"), ROTATING)
    assert (found.user, found.previous_user) == (ROTATING.user("u"), ROTATING.previous_user("u"))


@pytest.mark.parametrize("nobody", ["not_defined", "undefined", "null", "~"])
def test_nobody_has_no_pseudonym(nobody: str) -> None:
    found = sealed(a_click(user=nobody), ROTATING)
    assert (found.user, found.previous_user) == ("~", None)


@pytest.mark.parametrize(("target", "is_junk"), [("anna", False), ("0", True), ("null", True), ("~", True)])
def test_target_of_a_login_is_a_pseudonym_too_or_junk(target: str, is_junk: bool) -> None:
    found: Any = sealed(a_login(user="guest", target=target))
    assert (found.target, found.is_junk_target) == ("~" if is_junk else RULES.user(target), is_junk)


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (a_click(user=""), "missing_user"),
        (a_click(user="x" * 1_025), "user_too_long"),
        (a_click(user="a\nb"), "bad_user"),
        (a_click(user=5), "bad_body"),
        (a_click(user="\ud800"), "bad_body"),
        (a_click(customer="1"), "unknown_customer"),
        (a_click(item=""), "missing_item"),
        (a_click(item="x" * 257), "bad_body"),
        (a_click(item=7), "bad_body"),
        (a_click(item="a\x00"), "bad_item"),
        (a_click(itemtype=0), "bad_itemtype"),
        (a_click(properties={"a": 1}), "bad_body"),
        (a_click(properties={"a": object()}), "bad_body"),
        (a_click(time_ms=-1), "bad_body"),
        (a_click(v=2), "bad_body"),
        (a_rendered(items=()), "missing_item"),
        (a_rendered(items=("1", "")), "missing_item"),
        (a_recommended(lists=(builders.a_served_list(itemtype=0),)), "bad_itemtype"),
        (a_buy(quantity=0), "bad_body"),
        (a_buy(quantity=Decimal("0.0000001")), "bad_body"),
        (a_buy(quantity=Decimal("-0.5")), "bad_body"),
        (a_buy(quantity=Decimal("NaN")), "bad_body"),
        (a_buy(quantity=Decimal("1E+999999999")), "bad_body"),
        (a_buy(quantity=float("nan")), "bad_body"),
        (a_buy(quantity="0.5 kg"), "bad_body"),
        (a_buy(price=Decimal("NaN")), "bad_body"),
        (a_buy(price=Decimal(1), currency=None), "bad_body"),
        (a_buy(currency="XXX"), "bad_currency"),
        (a_login(target=""), "missing_user"),
    ],
)
def test_refused(event: EventBase, code: str) -> None:
    assert refusal(event).code == code


def test_price_is_rounded_to_six_decimals() -> None:
    for price, kept in (
        ("3.3333333333333335", "3.333333"),
        ("0.0000015", "0.000002"),
        ("19.9900", "19.9900"),
    ):
        bought: Any = sealed(a_buy(price=Decimal(price), currency="EUR"))
        assert str(bought.price) == kept
    assert refusal(a_buy(price=Decimal("999999999999.9999996"))).code == "bad_body"


def test_quantity_is_rounded_to_six_decimals() -> None:
    for quantity, kept in (
        (2, "2"),
        (Decimal("2.0000"), "2"),
        (Decimal("0.50"), "0.5"),
        (0.1 + 0.2, "0.3"),
        (Decimal("3.3333333333333335"), "3.333333"),
    ):
        for event in (a_buy(quantity=quantity), builders.an_owns(quantity=quantity)):
            found: Any = sealed(event)
            assert str(found.quantity) == kept


def test_customers_greatest_item_type_holds_in_events_and_in_lists() -> None:
    few = replace(RULES, max_itemtype=5)
    for event in (a_click(itemtype=6), a_recommended(lists=(builders.a_served_list(itemtype=6),))):
        assert refusal(event, few).code == "bad_itemtype"
        sealed(event)


def test_customer_may_refuse_text_items_and_clicks_without_scenario() -> None:
    assert refusal(a_click(item="shoe"), replace(RULES, string_items=False)).code == "bad_item"
    strict = replace(RULES, strict_scenario=True)
    assert refusal(a_clickrecommended(scenario=None), strict).code == "missing_scenario"


def test_impression_without_scenario_carries_the_customers() -> None:
    named = replace(RULES, scenario_of_unlabelled="all")
    for scenario, said, kept in ((None, None, "all"), (None, "mine", "mine"), ("home", None, None)):
        shown: Any = sealed(a_rendered(scenario=scenario, fallback_scenario=said), named)
        assert shown.fallback_scenario == kept


def test_number_of_bots_belongs_to_no_user() -> None:
    found = sealed(a_bots(user="not_defined"), ROTATING)
    assert found == a_bots()
    assert refusal(a_bots(user="maxmustermann")).code == "bad_body"


@given(st.text(min_size=1, max_size=1_100))
def test_any_user_is_refused_or_a_pseudonym(user: str) -> None:
    found = seal(a_click(user=user), RULES)
    assert isinstance(found, Rejection) or found.user == "~" or found.user.startswith("k1.")
