"""The page of one user: all that is known of the user, in an order for human readers."""

import json
from decimal import Decimal

import msgspec

from app.customers.customer import RatingScale
from app.lookup.user_page import user_page
from app.lookup.user_view import UserView
from tables.base.table_spec import Stretch
from tables.user.identity import IdentityState
from tables.user.recommended import RecommendedState, ServedList
from tests.support.lookups import (
    NOW,
    blacklisted,
    bought,
    clicked_on,
    consumed_to,
    owned,
    put_in_basket,
    rated,
    shown,
    taken_off_blacklist,
    took_out,
    wished,
)


def test_a_page_of_nobody_is_empty_and_says_so() -> None:
    page = user_page(UserView(), NOW)
    assert page["known"] is False
    assert page["session_start_ms"] is None
    assert page["totals"]["items"] == dict.fromkeys(
        ("rendered", "clicked", "consumed", "basket", "purchases", "preferences"), 0
    )
    assert page["identity"] is None


def test_a_page_shows_each_table_with_the_latest_first() -> None:
    own = Stretch()
    shown(own, "1", at=NOW - 9)
    shown(own, "2", "1", at=NOW - 5)
    clicked_on(own, "1", NOW - 4)
    consumed_to(own, "1", 40, NOW - 3)
    put_in_basket(own, "2", NOW - 2, price=Decimal("1.50"), currency="EUR", categorypath="Cameras")
    put_in_basket(own, "3", NOW - 2)
    took_out(own, "3", NOW - 1)
    bought(own, "4", NOW - 1, quantity=2, price=Decimal("0.10"), currency="EUR")
    owned(own, "4", NOW)
    rated(own, "1", 80, NOW - 7)
    wished(own, "2", NOW - 6)
    blacklisted(own, "5", NOW - 5)
    blacklisted(own, "6", NOW - 5)
    taken_off_blacklist(own, "6", NOW - 4)
    page = user_page(UserView(own), NOW)
    assert page["rendered"] == [
        {
            "item": "1",
            "itemtype": 1,
            "count": 2,
            "first_ms": NOW - 9,
            "last_ms": NOW - 5,
            "times_ms": [NOW - 9, NOW - 5],
            "viewed": 0,
        },
        {
            "item": "2",
            "itemtype": 1,
            "count": 1,
            "first_ms": NOW - 5,
            "last_ms": NOW - 5,
            "times_ms": [NOW - 5],
            "viewed": 0,
        },
    ]
    assert [(entry["item"], entry["count"]) for entry in page["clicked"]] == [("1", 1)]
    assert [(entry["item"], entry["percentage"]) for entry in page["consumed"]] == [("1", 40)]
    assert page["basket"] == [
        {
            "item": "2",
            "itemtype": 1,
            "last_ms": NOW - 2,
            "categorypath": "Cameras",
            "price": Decimal("1.50"),
            "currency": "EUR",
        }
    ]
    assert [
        (entry["item"], entry["quantity"], entry["revenue"], entry["owned"]) for entry in page["purchases"]
    ] == [("4", 2, {"EUR": Decimal("0.20")}, True)]
    assert {
        entry["item"]: (entry["rating"], entry["wished"], entry["blacklisted"])
        for entry in page["preferences"]
    } == {
        "1": (80, False, False),
        "2": (None, True, False),
        "5": (None, False, True),
        "6": (None, False, False),
    }
    assert page["session_start_ms"] == NOW - 9
    assert page["totals"]["rendered"] == 3


def test_a_page_has_units_as_numbers_and_revenue_as_text_exactly() -> None:
    own, moved = Stretch(), Stretch()
    for stretch, times in ((own, 1), (moved, 2)):
        for _ in range(times):
            bought(stretch, "1", NOW - 8, quantity=Decimal("0.1"), price=Decimal("0.10"), currency="EUR")
    bought(own, "2", NOW - 9, quantity=Decimal("2.0000"))
    page = msgspec.json.encode(user_page(UserView(own, moved), NOW))
    entries = json.loads(page, parse_float=Decimal)["purchases"]
    assert [(entry["quantity"], entry["revenue"]) for entry in entries] == [
        (Decimal("0.3"), {"EUR": "0.03"}),
        (2, {}),
    ]


def test_a_page_merges_what_was_moved_and_marks_what_is_only_there() -> None:
    own, moved = Stretch(), Stretch()
    for stretch in (own, moved):
        shown(stretch, "1", at=NOW - 9)
        clicked_on(stretch, "1", NOW - 8)
        consumed_to(stretch, "1", 10, NOW - 8)
        put_in_basket(stretch, "1", NOW - 8)
        bought(stretch, "1", NOW - 8, price=Decimal(3), currency="EUR")
        rated(stretch, "1", 5, NOW - 8)
    shown(moved, "2", at=NOW - 5)
    rated(moved, "1", 9, NOW - 2)
    page = user_page(UserView(own, moved, IdentityState("k1.target", NOW, NOW, 1, {"k1.s": 1})), NOW)
    assert [(entry["item"], entry["count"], entry.get("moved")) for entry in page["rendered"]] == [
        ("2", 1, True),
        ("1", 2, None),
    ]
    assert page["clicked"][0]["count"] == 2
    assert page["purchases"][0]["revenue"] == {"EUR": Decimal(6)}
    assert page["preferences"][0]["rating"] == 9
    assert page["identity"]["logged_in_as"] == "k1.target"
    assert page["identity"]["received_from"] == ["k1.s"]


def test_a_page_as_of_an_earlier_time_leaves_later_items_out() -> None:
    own = Stretch()
    shown(own, "1", at=NOW - 9)
    shown(own, "2", at=NOW)
    served = RecommendedState(
        [ServedList(NOW - 9, NOW, "r1", 1, ["1"]), ServedList(NOW, NOW, "r2", 1, ["2"])]
    )
    page = user_page(UserView(own, recommended=served), NOW - 1)
    assert [entry["item"] for entry in page["rendered"]] == ["1"]
    assert [entry["request_id"] for entry in page["recommended"]] == ["r1"]


def test_ratings_are_kept_raw_and_read_on_the_scale_of_their_item_type() -> None:
    own = Stretch()
    rated(own, "1", 4, NOW)
    wished(own, "2", NOW)
    scales = {1: RatingScale(1, 5)}
    page = user_page(UserView(own), NOW, lambda itemtype: scales[itemtype])
    entries = {entry["item"]: (entry["rating"], entry["rating_percent"]) for entry in page["preferences"]}
    assert entries == {"1": (4, 75.0), "2": (None, None)}
    (entry,) = (entry for entry in user_page(UserView(own), NOW)["preferences"] if entry["item"] == "1")
    assert entry["rating_percent"] == 4.0
