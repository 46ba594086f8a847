"""Exclusions and candidates follow from a user's states and nothing else."""

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from app.customers.exclusion_rules import REASONS, ExclusionRules
from app.lookup.exclusions import exclusions, filter_candidates
from app.lookup.rotation import Rotation, rotate
from app.lookup.user_view import UserView
from tables.base.table_spec import Stretch
from tables.user.identity import IdentityState
from tests.support.lookups import (
    DAY,
    MINUTE,
    NOW,
    blacklisted,
    bought,
    clicked_on,
    consumed_to,
    owned,
    put_in_basket,
    shown,
    taken_off_blacklist,
    took_out,
)

ALL = ExclusionRules(reasons=frozenset(REASONS), threshold=1, within="ever")


def one_reason(reason: str, **rules: Any) -> ExclusionRules:
    return replace(ALL, reasons=frozenset((reason,)), **rules)


def excluded(view: UserView, rules: ExclusionRules = ALL, as_of_ms: int = NOW) -> dict[str, list[str]]:
    return {entry["item"]: entry["reasons"] for entry in exclusions(view, rules, as_of_ms)["excluded"]}


def a_view(*acts: Callable[[Stretch], object], moved: Stretch | None = None) -> UserView:
    own = Stretch()
    for act in acts:
        act(own)
    return UserView(own, moved)


ACTS: list[tuple[str, Callable[[Stretch], object]]] = [
    ("rendered", lambda stretch: shown(stretch, "1", at=NOW - MINUTE)),
    ("clicked", lambda stretch: clicked_on(stretch, "1", NOW - MINUTE)),
    ("bought", lambda stretch: bought(stretch, "1", NOW - MINUTE)),
    ("bought", lambda stretch: owned(stretch, "1", NOW - MINUTE)),
    ("consumed", lambda stretch: consumed_to(stretch, "1", 100, NOW - MINUTE)),
    ("basket", lambda stretch: put_in_basket(stretch, "1", NOW - MINUTE)),
    ("blacklisted", lambda stretch: blacklisted(stretch, "1", NOW - MINUTE)),
]


@pytest.mark.parametrize(("reason", "act"), ACTS)
def test_each_reason_excludes_alone_and_only_when_asked_for(
    reason: str, act: Callable[[Stretch], object]
) -> None:
    view = a_view(act)
    assert excluded(view) == {"1": [reason]}
    others = replace(ALL, reasons=ALL.reasons - {reason})
    assert excluded(view, others) == {}
    assert excluded(view, as_of_ms=NOW - 2 * MINUTE) == {}


def test_every_reason_is_judged_and_listed_in_the_order_of_reasons() -> None:
    view = a_view(*(act for _, act in reversed(ACTS)))
    assert excluded(view) == {"1": list(REASONS)}
    moved_only = a_view(moved=view.own)
    assert excluded(moved_only) == {"1": list(REASONS)}


def test_a_lookup_that_names_no_reason_leaves_clicks_out() -> None:
    view = a_view(lambda stretch: clicked_on(stretch, "1", NOW), lambda stretch: bought(stretch, "2", NOW))
    assert excluded(view, ExclusionRules()) == {"2": ["bought"]}


def test_shown_often_enough_within_the_span_excludes() -> None:
    view = a_view(
        lambda stretch: shown(stretch, "1", at=NOW - 40 * MINUTE),
        lambda stretch: shown(stretch, "1", "2", at=NOW - 10 * MINUTE),
        lambda stretch: shown(stretch, "2", at=NOW - 5 * MINUTE),
    )
    rules = one_reason("rendered", threshold=2, within=30 * MINUTE)
    assert excluded(view, rules) == {"2": ["rendered"]}
    assert excluded(view, replace(rules, within=60 * MINUTE)) == {"1": ["rendered"], "2": ["rendered"]}
    assert excluded(view, rules, as_of_ms=NOW - 7 * MINUTE) == {}


def test_the_session_ends_after_half_an_hour_of_silence() -> None:
    view = a_view(
        lambda stretch: shown(stretch, "1", at=NOW - 60 * MINUTE),
        lambda stretch: shown(stretch, "2", at=NOW - 20 * MINUTE),
        lambda stretch: shown(stretch, "3", at=NOW - 10 * MINUTE),
    )
    rules = one_reason("rendered", within="session")
    assert set(excluded(view, rules)) == {"2", "3"}
    assert set(excluded(view, rules, as_of_ms=NOW + 25 * MINUTE)) == set()


def test_a_session_runs_on_over_both_stretches() -> None:
    moved = Stretch()
    shown(moved, "1", at=NOW - 40 * MINUTE)
    view = a_view(lambda stretch: shown(stretch, "2", at=NOW - 15 * MINUTE), moved=moved)
    assert set(excluded(view, one_reason("rendered", within="session"))) == {"1", "2"}


@pytest.mark.parametrize(("percentage", "is_excluded"), [(89, False), (90, True), (100, True)])
def test_consumed_far_enough_excludes(percentage: int, is_excluded: bool) -> None:
    view = a_view(lambda stretch: consumed_to(stretch, "1", percentage, NOW))
    assert bool(excluded(view, one_reason("consumed", consumed_at_least=90))) == is_excluded


def test_what_left_the_basket_may_be_shown_again_from_then_on() -> None:
    view = a_view(
        lambda stretch: put_in_basket(stretch, "1", NOW - 9),
        lambda stretch: took_out(stretch, "1", NOW - 5),
    )
    assert excluded(view) == {}
    assert excluded(view, as_of_ms=NOW - 6) == {"1": ["basket"]}


def test_a_blacklisting_ends_after_a_year() -> None:
    view = a_view(lambda stretch: blacklisted(stretch, "1", NOW))
    assert excluded(view, as_of_ms=NOW + 365 * DAY - 1) == {"1": ["blacklisted"]}
    assert excluded(view, as_of_ms=NOW + 365 * DAY) == {}


def test_an_item_that_was_taken_off_the_blacklist_may_be_shown() -> None:
    view = a_view(
        lambda stretch: blacklisted(stretch, "1", NOW - 9),
        lambda stretch: taken_off_blacklist(stretch, "1", NOW - 5),
    )
    assert excluded(view) == {}
    assert excluded(view, as_of_ms=NOW - 6) == {"1": ["blacklisted"]}
    for own, moved in ((blacklisted, taken_off_blacklist), (taken_off_blacklist, blacklisted)):
        other = Stretch()
        moved(other, "1", NOW - 5 if moved is taken_off_blacklist else NOW - 9)
        view = a_view(
            lambda stretch, own=own: own(stretch, "1", NOW - 9 if own is blacklisted else NOW - 5),
            moved=other,
        )
        assert excluded(view) == {}


def test_an_item_type_is_a_world_of_its_own() -> None:
    view = a_view(
        lambda stretch: shown(stretch, "1", at=NOW), lambda stretch: shown(stretch, "1", at=NOW, itemtype=2)
    )
    both = exclusions(view, ALL, NOW)["excluded"]
    assert [(entry["item"], entry["itemtype"]) for entry in both] == [("1", 1), ("1", 2)]
    (one,) = exclusions(view, ALL, NOW, itemtype=2)["excluded"]
    assert (one["item"], one["itemtype"]) == ("1", 2)


def test_an_excluded_item_has_all_its_reasons_the_first_ones_count_and_the_last_time() -> None:
    view = a_view(
        lambda stretch: shown(stretch, "1", at=NOW - 9),
        lambda stretch: shown(stretch, "1", at=NOW - 8),
        lambda stretch: bought(stretch, "1", NOW - 3, quantity=5),
    )
    assert exclusions(view, ALL, NOW) == {
        "known": True,
        "as_of_ms": NOW,
        "excluded": [
            {"item": "1", "itemtype": 1, "reasons": ["rendered", "bought"], "count": 2, "last_ms": NOW - 3}
        ],
    }


def test_units_bought_are_a_number_with_all_digits_over_both_stretches() -> None:
    moved = Stretch()
    for _ in range(2):
        bought(moved, "1", NOW - 8, quantity=Decimal("0.1"))
    view = a_view(
        lambda stretch: bought(stretch, "1", NOW - 3, quantity=Decimal("0.1")),
        lambda stretch: bought(stretch, "2", NOW - 4, quantity=Decimal("0.5")),
        lambda stretch: bought(stretch, "2", NOW - 4, quantity=Decimal("0.5")),
        moved=moved,
    )
    answer = msgspec.json.encode(exclusions(view, ALL, NOW)["excluded"])
    assert [entry["count"] for entry in json.loads(answer, parse_float=Decimal)] == [Decimal("0.3"), 1]


def test_the_latest_comes_first_then_by_item() -> None:
    view = a_view(
        lambda stretch: shown(stretch, "b", "a", at=NOW - 5), lambda stretch: shown(stretch, "c", at=NOW)
    )
    assert list(excluded(view)) == ["c", "a", "b"]


def test_what_was_moved_still_excludes_and_is_marked() -> None:
    moved = Stretch()
    shown(moved, "1", "2", at=NOW - 9)
    bought(moved, "3", NOW - 8)
    view = a_view(lambda stretch: shown(stretch, "2", at=NOW - 5), moved=moved)
    answer = exclusions(view, ALL, NOW)["excluded"]
    assert [(entry["item"], entry["count"], entry.get("moved", False)) for entry in answer] == [
        ("2", 2, False),
        ("3", 1, True),
        ("1", 1, True),
    ]


@pytest.mark.parametrize(
    "act",
    [
        lambda stretch: shown(stretch, "1", at=NOW - 9),
        lambda stretch: clicked_on(stretch, "1", NOW - 9),
        lambda stretch: bought(stretch, "1", NOW - 9),
        lambda stretch: consumed_to(stretch, "1", 100, NOW - 9),
        lambda stretch: put_in_basket(stretch, "1", NOW - 9),
        lambda stretch: blacklisted(stretch, "1", NOW - 9),
    ],
)
def test_every_reason_knows_whether_only_the_moved_stretch_speaks_for_it(
    act: Callable[[Stretch], object],
) -> None:
    own, moved, both = a_view(act), a_view(moved=a_view(act).own), a_view(act, moved=a_view(act).own)
    marks = [exclusions(view, ALL, NOW)["excluded"][0].get("moved", False) for view in (own, moved, both)]
    assert marks == [False, True, False]


def test_the_threshold_counts_over_both_stretches() -> None:
    moved = Stretch()
    shown(moved, "1", at=NOW - 9)
    view = a_view(lambda stretch: shown(stretch, "1", at=NOW - 5), moved=moved)
    assert excluded(view, one_reason("rendered", threshold=2)) == {"1": ["rendered"]}
    assert excluded(view, one_reason("rendered", threshold=3)) == {}


def test_taking_out_of_the_basket_after_the_login_holds_for_what_was_moved() -> None:
    moved = Stretch()
    put_in_basket(moved, "1", NOW - 9)
    assert excluded(a_view(moved=moved)) == {"1": ["basket"]}
    assert excluded(a_view(lambda stretch: took_out(stretch, "1", NOW - 5), moved=moved)) == {}


def test_somebody_never_heard_of_is_not_known() -> None:
    assert exclusions(UserView(), ALL, NOW) == {"known": False, "as_of_ms": NOW, "excluded": []}


def test_a_user_of_whom_only_a_login_is_known_is_known() -> None:
    assert exclusions(UserView(identity=IdentityState(sources={"k1.s": 1})), ALL, NOW)["known"]


def test_an_answer_changes_no_state() -> None:
    moved = Stretch()
    shown(moved, "1", at=NOW - 9)
    put_in_basket(moved, "1", NOW - 9)
    view = a_view(lambda stretch: shown(stretch, "1", "2", at=NOW - 5), moved=moved)
    before = msgspec.msgpack.encode((view.own.rows, view.moved.rows))
    exclusions(view, replace(ALL, within="session"), NOW)
    filter_candidates(view, ["1", "2", "3"], 1, ALL, None, NOW)
    rotate(view, ["1", "2", "3"], 1, Rotation(), NOW)
    assert msgspec.msgpack.encode((view.own.rows, view.moved.rows)) == before


def test_a_filter_keeps_the_order_and_says_why_others_went() -> None:
    view = a_view(lambda stretch: shown(stretch, "2", at=NOW), lambda stretch: bought(stretch, "3", NOW - 1))
    answer = filter_candidates(view, ["4", "3", "1", "2", "5"], 1, ALL, 2, NOW)
    assert answer["kept"] == ["4", "1"]
    assert [(entry["item"], entry["reasons"]) for entry in answer["dropped"]] == [
        ("3", ["bought"]),
        ("2", ["rendered"]),
    ]


def test_a_filter_of_one_item_type_ignores_the_others() -> None:
    view = a_view(lambda stretch: shown(stretch, "1", at=NOW, itemtype=2))
    assert filter_candidates(view, ["1"], 1, ALL, None, NOW)["kept"] == ["1"]
    assert filter_candidates(view, ["1"], 2, ALL, None, NOW)["kept"] == []


def in_two_scenarios() -> UserView:
    """Return a user who saw item 1 twice in `home`, and once in each of `also` and no scenario; item 2 was moved."""
    moved = Stretch()
    shown(moved, "2", at=NOW - 4, scenario="home")
    shown(moved, "2", at=NOW - 3, scenario="also")
    return a_view(
        lambda stretch: shown(stretch, "1", at=NOW - 9, scenario="home"),
        lambda stretch: shown(stretch, "1", at=NOW - 8, scenario="also"),
        lambda stretch: shown(stretch, "1", at=NOW - 7),
        lambda stretch: shown(stretch, "1", at=NOW - 6, scenario="home"),
        lambda stretch: bought(stretch, "3", NOW),
        moved=moved,
    )


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        (None, {"1": (4, NOW - 6), "2": (2, NOW - 3)}),
        ("home", {"1": (2, NOW - 6), "2": (1, NOW - 4)}),
        ("also", {"1": (1, NOW - 8), "2": (1, NOW - 3)}),
        ("other", {}),
    ],
)
def test_only_showings_in_the_scenario_count_where_it_is_asked_for(
    scenario: str | None, expected: dict[str, tuple[int, int]]
) -> None:
    view = in_two_scenarios()
    answer = exclusions(view, ALL, NOW, in_scenario=scenario)["excluded"]
    counted = {
        each["item"]: (each["count"], each["last_ms"]) for each in answer if "bought" not in each["reasons"]
    }
    assert counted == expected
    assert "3" in {each["item"] for each in answer}
    dropped = filter_candidates(view, ["1", "2", "3"], 1, ALL, None, NOW, scenario)["dropped"]
    assert {each["item"] for each in dropped} == {*expected, "3"}


def test_session_is_one_of_all_showings_also_where_one_scenario_counts() -> None:
    view = a_view(
        lambda stretch: shown(stretch, "1", at=NOW - 50 * MINUTE, scenario="home"),
        lambda stretch: shown(stretch, "2", at=NOW - 25 * MINUTE),
        lambda stretch: shown(stretch, "1", at=NOW, scenario="home"),
    )
    rules = one_reason("rendered", within="session", threshold=2)
    (entry,) = exclusions(view, rules, NOW, in_scenario="home")["excluded"]
    assert (entry["item"], entry["count"]) == ("1", 2)
