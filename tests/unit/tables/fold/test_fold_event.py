"""The effect of one event, type by type: the tables it changes, and the counts and panes it adds to."""

from decimal import Decimal
from typing import Any

import pytest

from events.model import EVENTS, NO_PROFILE_USER, user_key
from tables.ctr.window_keys import POSITION, VARIANT
from tables.declare import MOVED_TABLES
from tables.fold.fold_event import fold
from tables.fold.fold_identity import fold_transfer
from tables.fold.fold_log import LogOwner, merge_all_shown
from tables.fold.fold_ports import MOVED
from tables.user import purchases
from tests.support import builders
from tests.support.builders import (
    CUSTOMER,
    DAY_MS,
    MINUTE_MS,
    OTHER_USER,
    USER,
    a_basket,
    a_blacklist,
    a_buy,
    a_click,
    a_clickrecommended,
    a_consume,
    a_deletefromblacklist,
    a_deletefromwishlist,
    a_login,
    a_playback,
    a_rate,
    a_recommended,
    a_rendered,
    a_served_list,
    a_viewed,
    a_wishlist,
    an_owns,
)
from tests.support.overlays import T0, SpiedOverlay, drained_panes, fold_all, shown_items, tallied

KEY = user_key(CUSTOMER, USER)
TARGET = user_key(CUSTOMER, OTHER_USER)


def at(minutes: float) -> dict[str, int]:
    return {"time_ms": T0 + round(minutes * MINUTE_MS)}


@pytest.fixture
def overlay() -> SpiedOverlay:
    return SpiedOverlay()


# --- every event --------------------------------------------------------------------------------------------------------------

EFFECTS: dict[str, tuple[set[str], dict[str, int]]] = {
    "click": ({"clicked"}, {}),
    "clickrecommended": ({"clicked", "impressions"}, {"clicks": 1}),
    "consume": ({"consumed", "impressions"}, {}),
    "playback": ({"playback"}, {}),
    "buy": ({"purchases", "basket", "impressions"}, {}),
    "owns": ({"purchases"}, {}),
    "basket": ({"basket", "impressions"}, {}),
    "deletefrombasket": ({"basket"}, {}),
    "wishlist": ({"preferences"}, {}),
    "deletefromwishlist": ({"preferences"}, {}),
    "rendered": ({"impressions"}, {"rendered": 2}),
    "viewed": ({"impressions"}, {"viewed": 2}),
    "rate": ({"preferences"}, {}),
    "blacklist": ({"preferences"}, {}),
    "deletefromblacklist": ({"preferences"}, {}),
    "triggeropened": (set(), {"calls": 1}),
    "clicktriggered": ({"clicked"}, {"clicks": 1}),
    "login": ({"identity", "impressions"}, {}),
    "recommended": ({"recommended"}, {"calls": 1}),
}


def pane_of(name: str) -> tuple[int, str]:
    return 0, "trigger:mail" if "trigger" in name else "home"


def an_event(name: str, **fields: Any) -> Any:
    build = getattr(builders, f"an_{name}" if name == "owns" else f"a_{name}")
    return build(**{**at(0), **fields})


@pytest.mark.parametrize("name", EVENTS)
def test_event_touches_its_tables_and_counts_in_its_pane(overlay: SpiedOverlay, name: str) -> None:
    tables, counts = EFFECTS[name]
    assert fold_all(overlay, an_event(name)) == [True]
    assert overlay.changed_tables() == tables
    assert all(overlay.tables[table].get(KEY) is not None for table in tables)
    assert tallied(overlay) == ({pane_of(name): counts} if counts else {})


@pytest.mark.parametrize("name", EVENTS)
def test_nobody_counts_in_panes_and_is_not_remembered(overlay: SpiedOverlay, name: str) -> None:
    assert fold(overlay, b"00000|~3", an_event(name, user=NO_PROFILE_USER))
    assert overlay.changed_tables() == set()
    assert overlay.sent == []
    counts = EFFECTS[name][1]
    assert tallied(overlay) == ({pane_of(name): counts} if counts else {})


@pytest.mark.parametrize("name", EVENTS)
def test_same_eid_is_one_event_for_24_hours_after_its_receipt(overlay: SpiedOverlay, name: str) -> None:
    def folded(received_ms: int, **fields: Any) -> bool:
        event = an_event(name, eid="e1", received_ms=received_ms, **fields)
        return fold(overlay, user_key(CUSTOMER, event.user), event)

    assert folded(T0)
    first, counts = dict(overlay.tables["seen"].changed), drained_panes(overlay, lambda _: None, T0)
    overlay.encode_changes()
    assert not folded(T0)
    assert not folded(T0 + DAY_MS - 1)
    assert not folded(T0 - 5)  # received by a collector whose clock is behind
    assert overlay.changed_tables() == set()
    assert len(overlay.tally) == 0
    assert folded(T0, user=OTHER_USER)
    assert folded(T0 + DAY_MS)
    assert len(first) == 1
    assert bool(counts) == bool(EFFECTS[name][1])


def test_equal_events_without_eid_are_two(overlay: SpiedOverlay) -> None:
    assert fold_all(overlay, a_click(), a_click()) == [True, True]
    assert overlay.tables["clicked"].get(KEY).items["1/1"].count == 2


def test_empty_list_changes_nothing(overlay: SpiedOverlay) -> None:
    fold_all(overlay, a_rendered(items=()), a_viewed(items=()))
    assert overlay.changed_tables() == set()
    assert tallied(overlay) == {}


# --- scenario and calls ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("build", "counter"), [(a_rendered, "rendered"), (a_viewed, "viewed")])
def test_list_without_scenario_gets_that_of_the_list_that_was_served(
    overlay: SpiedOverlay, build: Any, counter: str
) -> None:
    served = a_served_list(items=("0", "1", "2"), scenario="home", row=3, variant="B")
    fold_all(overlay, a_recommended(lists=(served,), **at(0)))
    tallied(overlay)
    fold_all(overlay, build(items=("1", "2"), scenario=None, **at(1)))
    assert tallied(overlay, POSITION) == {
        (1, "home", "B", 3, 1): {counter: 1},
        (1, "home", "B", 3, 2): {counter: 1},
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"items": ("9",)},
        {"items": ("1",), "request_id": "other"},
        {"items": ("1",), **at(-1)},
        {"items": ("1",), **at(24 * 60 + 1)},
        {"items": ("1",), "itemtype": 2},
    ],
)
def test_list_that_was_not_served_stays_without_scenario(overlay: SpiedOverlay, fields: Any) -> None:
    fold_all(overlay, a_recommended(**at(0)))
    tallied(overlay)
    fold_all(overlay, a_rendered(**{**at(1), "scenario": None, **fields}))
    assert {scenario for _, scenario in tallied(overlay)} == {"unknown"}


@pytest.mark.parametrize("user", [USER, NO_PROFILE_USER])
@pytest.mark.parametrize(("build", "counter"), [(a_rendered, "rendered"), (a_viewed, "viewed")])
def test_impression_that_nobody_named_gets_the_customers_scenario(
    overlay: SpiedOverlay, build: Any, counter: str, user: str
) -> None:
    unnamed = {"user": user, "scenario": None, "fallback_scenario": "all"}
    fold_all(overlay, build(**unnamed, **at(0)))
    assert tallied(overlay) == {(0, "all"): {counter: 2}}


def test_list_that_was_served_has_its_scenario_before_the_customers(overlay: SpiedOverlay) -> None:
    fold_all(overlay, a_recommended(lists=(a_served_list(scenario="home"),), **at(0)))
    fold_all(overlay, a_rendered(scenario=None, fallback_scenario="all", **at(1)))
    fold_all(overlay, a_clickrecommended(scenario="mail", **at(2)))
    counted = tallied(overlay)
    assert counted[1, "home"] == {"rendered": 2, "attributed_clicks": 1}
    assert counted[2, "mail"] == {"clicks": 1}


def test_what_the_client_said_is_not_overruled_by_what_was_served(overlay: SpiedOverlay) -> None:
    fold_all(overlay, a_recommended(lists=(a_served_list(variant="B"),), **at(0)))
    tallied(overlay)
    fold_all(overlay, a_rendered(items=("1",), scenario=None, variant="A", row=8, rank=9, **at(1)))
    fold_all(overlay, a_rendered(items=("1",), scenario="basket", **at(1)))
    assert tallied(overlay, POSITION) == {
        (1, "home", "A", 8, 9): {"rendered": 1},
        (1, "basket", None, None, None): {"rendered": 1},
    }


def calls(overlay: SpiedOverlay) -> dict[str, int]:
    return {place[1]: counts["calls"] for place, counts in tallied(overlay).items() if "calls" in counts}


CALLS: dict[str, tuple[list[Any], dict[str, int]]] = {
    "no request id": ([a_rendered()], {}),
    "one list shown": ([a_rendered(request_id="r")], {"home": 1}),
    "two lists of one call": (
        [a_rendered(request_id="r"), a_rendered(request_id="r", items=("3",))],
        {"home": 1},
    ),
    "two calls": ([a_rendered(request_id="r"), a_rendered(request_id="s")], {"home": 2}),
    "one call for two scenarios": (
        [a_rendered(request_id="r"), a_rendered(request_id="r", scenario="other")],
        {"home": 1, "other": 1},
    ),
    "told by the back end": ([a_recommended()], {"home": 1}),
    "two rows of one scenario": (
        [a_recommended(lists=(a_served_list(), a_served_list(row=1, items=("7",))))],
        {"home": 1},
    ),
    "two scenarios in one answer": (
        [a_recommended(lists=(a_served_list(), a_served_list(scenario="other")))],
        {"home": 1, "other": 1},
    ),
    "told, then shown": ([a_recommended(), a_rendered(request_id="r1")], {"home": 1}),
    "told, then shown without scenario": ([a_recommended(), a_rendered(scenario=None)], {"home": 1}),
    "shown, then told": ([a_rendered(request_id="r1"), a_recommended()], {"home": 1}),
    "shown and told, then told another scenario": (
        [
            a_rendered(request_id="r1"),
            a_recommended(lists=(a_served_list(), a_served_list(scenario="other"))),
        ],
        {"home": 1, "other": 1},
    ),
    "anonymous call": ([a_recommended(user=NO_PROFILE_USER), a_rendered(user=NO_PROFILE_USER)], {"home": 1}),
}


@pytest.mark.parametrize(("events", "expected"), CALLS.values(), ids=CALLS)
def test_call_is_counted_once(overlay: SpiedOverlay, events: list[Any], expected: dict[str, int]) -> None:
    fold_all(overlay, *events)
    assert calls(overlay) == expected


# --- clicks and their impressions -------------------------------------------------------------------------------------------------


def test_click_joins_the_latest_impression_and_counts_attributed_in_its_pane(overlay: SpiedOverlay) -> None:
    fold_all(
        overlay,
        a_rendered(items=("1", "2", "3"), row=1, rank=4, variant="A", **at(0)),
        a_rendered(items=("3", "1"), row=2, rank=7, variant="B", **at(10)),
        a_rendered(items=("1", "3"), row=0, rank=0, variant="C", **at(20)),
    )
    tallied(overlay)
    fold_all(overlay, a_clickrecommended(item="3", scenario=None, row=50, rank=50, **at(15)))
    assert tallied(overlay, POSITION) == {
        (10, "home", "B", 2, 7): {"attributed_clicks": 1},
        (15, "unknown", None, 50, 50): {"clicks": 1},
    }


def test_rank_of_a_click_is_the_impressions_plus_the_place_in_its_list(overlay: SpiedOverlay) -> None:
    fold_all(overlay, a_rendered(items=("1", "2", "3"), row=1, rank=4, **at(0)))
    tallied(overlay)
    fold_all(overlay, a_clickrecommended(item="3", **at(0)))
    assert tallied(overlay, POSITION) == {
        (0, "home", None, 1, 6): {"attributed_clicks": 1},
        (0, "home", None, None, None): {"clicks": 1},
    }


def test_request_id_picks_its_impression(overlay: SpiedOverlay) -> None:
    fold_all(
        overlay,
        a_rendered(request_id="r", variant="A", **at(0)),
        a_rendered(request_id="s", variant="B", **at(1)),
    )
    tallied(overlay)
    fold_all(overlay, a_clickrecommended(request_id="r", **at(2)))
    assert tallied(overlay, VARIANT) == {
        (0, "home", "A", None, None): {"attributed_clicks": 1, "clicked_calls": 1},
        (2, "home", None, None, None): {"clicks": 1},
    }


def test_click_counts_where_it_was_sent_and_attributed_where_the_impression_was(
    overlay: SpiedOverlay,
) -> None:
    fold_all(overlay, a_rendered(scenario="home", **at(0)))
    tallied(overlay)
    fold_all(overlay, a_clickrecommended(scenario="mail", **at(1)))
    assert tallied(overlay) == {(0, "home"): {"attributed_clicks": 1}, (1, "mail"): {"clicks": 1}}


def test_click_on_what_was_shown_without_scenario_counts_where_it_was_shown(overlay: SpiedOverlay) -> None:
    fold_all(overlay, a_rendered(items=("11", "12", "13"), scenario=None, **at(0)))
    fold_all(overlay, a_clickrecommended(item="12", scenario="s", **at(1)))
    assert tallied(overlay) == {
        (0, "unknown"): {"rendered": 3, "attributed_clicks": 1},
        (0, "s"): {"unlabelled_impressions": 1},
        (1, "s"): {"clicks": 1},
    }


def test_five_clicks_on_one_shown_item_are_one_attributed_click(overlay: SpiedOverlay) -> None:
    fold_all(overlay, a_rendered(**at(-1)), a_rendered(**at(0)))
    fold_all(overlay, *(a_clickrecommended(**at(number)) for number in range(1, 6)))
    counted = tallied(overlay)
    assert counted[0, "home"] == {"rendered": 2, "attributed_clicks": 1}
    assert counted[-1, "home"] == {"rendered": 2}, "the older impression stays without a click"
    assert sum(counts.get("clicks", 0) for counts in counted.values()) == 5


def test_batch_that_is_out_of_order_counts_as_if_it_were_in_order(overlay: SpiedOverlay) -> None:
    batch = [a_buy(**at(3)), a_clickrecommended(**at(2)), a_rendered(**at(1))]
    fold_all(overlay, *batch)
    backwards = tallied(overlay)
    again = SpiedOverlay()
    fold_all(again, *reversed(batch))
    assert backwards == tallied(again)
    assert (backwards[1, "home"]["attributed_clicks"], backwards[1, "home"]["purchases"]) == (1, 1)


def test_batch_beyond_the_windows_is_not_joined(overlay: SpiedOverlay) -> None:
    fold_all(overlay, a_buy(**at(92)), a_clickrecommended(**at(31)), a_rendered(**at(0)))
    assert tallied(overlay) == {(0, "home"): {"rendered": 2}, (31, "home"): {"clicks": 1}}


@pytest.mark.parametrize(
    "fields",
    [
        {"item": "9"},
        {"itemtype": 2},
        {"request_id": "other"},
        {"user": OTHER_USER},
        {"user": NO_PROFILE_USER},
        at(30.001),
        at(-0.001),
    ],
)
def test_click_without_its_impression_is_not_attributed(overlay: SpiedOverlay, fields: Any) -> None:
    fold_all(overlay, a_rendered(request_id="r", **at(0)))
    tallied(overlay)
    fold_all(overlay, a_clickrecommended(**{**at(30), **fields}))
    assert list(tallied(overlay).values()) == [{"clicks": 1}]


def test_click_of_a_served_list_that_was_not_shown_gets_its_scenario(overlay: SpiedOverlay) -> None:
    fold_all(overlay, a_recommended(lists=(a_served_list(items=("5", "1"), row=2, variant="B"),), **at(0)))
    tallied(overlay)
    fold_all(overlay, a_clickrecommended(scenario=None, **at(1)))
    assert tallied(overlay, POSITION) == {(1, "home", "B", 2, 1): {"clicks": 1}}


# --- conversions ------------------------------------------------------------------------------------------------------------------


def clicked(overlay: SpiedOverlay) -> SpiedOverlay:
    """Let item 1 be shown at minute 0 and clicked at minute 5."""
    fold_all(overlay, a_rendered(row=1, rank=0, variant="A", **at(0)), a_clickrecommended(**at(5)))
    tallied(overlay)
    return overlay


def test_each_purchase_counts_with_its_revenue_in_the_impressions_pane(overlay: SpiedOverlay) -> None:
    fold_all(
        clicked(overlay),
        a_buy(quantity=2, price=Decimal("0.10"), **at(6)),
        a_buy(quantity=1, price=Decimal("0.10"), **at(7)),
        a_buy(quantity=3, price=Decimal(5), currency="JPY", **at(8)),
        a_buy(price=None, currency=None, **at(9)),
    )
    expected = {"purchases": 4, "revenue": {"EUR": Decimal("0.30"), "JPY": Decimal(15)}}
    assert tallied(overlay, POSITION) == {(0, "home", "A", 1, 0): expected}


def test_login_moves_what_a_user_has_whatever_a_purchase_was_worth(overlay: SpiedOverlay) -> None:
    """A shop may send any price and quantity within the bounds; their product is beyond any revenue."""
    dear = a_buy(item="1", quantity=1_000_000, price=Decimal("999999999999.999999"), **at(2))
    shop = a_clickrecommended(item="1", **at(1)), dear, a_login(target=OTHER_USER, **at(3))
    fold_all(
        overlay, a_rendered(items=("1", "2"), **at(0)), *shop
    )  # which decodes the transfer, as its target does
    assert fold_transfer(overlay, overlay.sent[0])
    rows = overlay.rows
    assert rows[purchases.TABLE].get(TARGET).items["1/1"].whole == 1_000_000
    assert set(shown_items(overlay, TARGET)) == {"1/1", "1/2"}
    counted = tallied(overlay)[0, "home"]
    assert (counted["purchases"], counted.get("revenue")) == (1, None)


def test_revenue_by_weight_is_exact(overlay: SpiedOverlay) -> None:
    tenths = [a_buy(quantity=Decimal("0.1"), price=Decimal("0.10"), **at(6)) for _ in range(3)]
    most = a_buy(
        quantity=Decimal("999999.999999"), price=Decimal("999999999.999999999999"), currency="JPY", **at(7)
    )
    fold_all(clicked(overlay), *tenths, most, most)
    revenue = {"EUR": Decimal("0.03"), "JPY": Decimal("1999999999997999.999998000000000002")}
    assert tallied(overlay, POSITION) == {(0, "home", "A", 1, 0): {"purchases": 5, "revenue": revenue}}


@pytest.mark.parametrize(("build", "counter"), [(a_consume, "consumed"), (a_basket, "basket")])
def test_click_gives_one_conversion_of_a_kind(overlay: SpiedOverlay, build: Any, counter: str) -> None:
    fold_all(clicked(overlay), build(**at(6)), build(**at(7)))
    assert tallied(overlay) == {(0, "home"): {counter: 1}}
    fold_all(overlay, a_clickrecommended(**at(8)), build(**at(9)))
    assert tallied(overlay) == {(0, "home"): {counter: 1}, (8, "home"): {"clicks": 1}}, "attributed once"


def test_what_follows_an_unattributed_click_counts_in_the_clicks_pane(overlay: SpiedOverlay) -> None:
    fold_all(overlay, a_clickrecommended(scenario="mail", **at(5)), a_buy(**at(6)))
    assert tallied(overlay)[5, "mail"] == {"clicks": 1, "purchases": 1, "revenue": {"EUR": Decimal("19.99")}}


@pytest.mark.parametrize(
    "event",
    [
        a_buy(**at(65.001)),
        a_buy(**at(4.999)),
        a_buy(item="2", **at(6)),
        a_buy(itemtype=2, **at(6)),
        a_buy(user=OTHER_USER, **at(6)),
        a_buy(user=NO_PROFILE_USER, **at(6)),
        an_owns(price=Decimal(1), currency="EUR", **at(6)),
        a_click(**at(6)),
    ],
    ids=lambda event: type(event).__name__,
)
def test_what_does_not_follow_from_the_click_is_no_conversion(overlay: SpiedOverlay, event: Any) -> None:
    fold_all(clicked(overlay), event)
    assert tallied(overlay) == {}


def test_plain_click_leads_to_no_conversion(overlay: SpiedOverlay) -> None:
    fold_all(overlay, a_click(**at(5)), a_buy(**at(6)))
    assert tallied(overlay) == {}


def test_heartbeats_of_a_player_do_not_fill_the_row(overlay: SpiedOverlay) -> None:
    def beat(seconds: int) -> Any:
        return a_playback(position_ms=seconds * 1_000, **at(6 + seconds / 60))

    fold_all(overlay, *(beat(seconds) for seconds in range(10)))
    assert overlay.tables["impressions"].get(KEY) is None, (
        "without a recommended click there is nothing to convert"
    )
    fold_all(clicked(overlay), *(beat(seconds) for seconds in range(10, 60)))
    assert tallied(overlay) == {(0, "home"): {"consumed": 1}}
    assert len(overlay.tables["impressions"].get(KEY).conversions) == 1


def test_purchase_takes_the_item_out_of_the_basket(overlay: SpiedOverlay) -> None:
    fold_all(overlay, a_basket(**at(0)), a_basket(item="2", **at(0)), a_buy(**at(1)))
    items = overlay.tables["basket"].get(KEY).items
    assert items["1/1"].removed_ms == T0 + MINUTE_MS
    assert items["1/2"].removed_ms is None


# --- logins -----------------------------------------------------------------------------------------------------------------------


def test_what_was_played_is_consumed_and_converts(overlay: SpiedOverlay) -> None:
    def beat(seconds: int, **fields: Any) -> Any:
        return a_playback(**at(seconds / 60), position_ms=seconds * 1_000, **fields)

    fold_all(overlay, a_clickrecommended(**at(-1)), beat(0), beat(30), beat(60, state="paused"), beat(60))
    entry = overlay.tables["consumed"].get(KEY).items["1/1"]
    assert (entry.percentage, entry.played_ms, entry.paused_ms) == (60, 60_000, 0)
    assert overlay.tables["playback"].get(KEY).items["1/1"].ranges == [0, 60_000]
    assert sum(counts.get("consumed", 0) for counts in tallied(overlay).values()) == 1


def everything(minutes: float, **fields: Any) -> list[Any]:
    """Build one event for each table that a login moves."""
    builds = (a_rendered, a_click, a_consume, a_playback, a_basket, a_buy, a_rate)
    return [build(**at(minutes), **fields) for build in builds]


MOVED_NAMES = [table.name for table in MOVED_TABLES]


def own(overlay: SpiedOverlay, key: bytes) -> set[str]:
    others = {
        name for name in MOVED_NAMES if name != "rendered" and overlay.tables[name].get(key) is not None
    }
    return others | ({"rendered"} if shown_items(overlay, key) else set())


def test_login_moves_everything_and_the_source_still_sees_it(overlay: SpiedOverlay) -> None:
    fold_all(overlay, *everything(0), a_login(**at(1)))
    (transfer,) = overlay.sent
    assert (transfer.source, transfer.target, transfer.number) == (USER, OTHER_USER, 1)
    assert all(transfer.stretch.rows.get(table) is not None for table in MOVED_NAMES)
    assert own(overlay, KEY) == set()
    assert own(overlay, KEY + MOVED) == set(MOVED_NAMES)
    for table in MOVED_NAMES:
        assert overlay.tables[table].get(KEY + MOVED) == transfer.stretch.rows.get(table)
    assert fold_transfer(overlay, transfer)
    assert own(overlay, TARGET) == set(MOVED_NAMES)
    assert overlay.tables["identity"].get(TARGET).sources == {USER: 1}


def test_transfer_that_comes_again_changes_nothing(overlay: SpiedOverlay) -> None:
    fold_all(overlay, *everything(0), a_login(**at(1)))
    (transfer,) = overlay.sent
    assert fold_transfer(overlay, transfer)
    before = shown_items(overlay, TARGET)["1/1"].total
    overlay.sent.clear()
    assert not fold_transfer(overlay, transfer)
    assert shown_items(overlay, TARGET)["1/1"].total == before
    assert overlay.sent == []


def test_second_login_moves_only_what_came_since_the_first(overlay: SpiedOverlay) -> None:
    fold_all(
        overlay, a_click(**at(0)), a_click(**at(0)), a_login(**at(1)), a_click(**at(2)), a_login(**at(3))
    )
    assert [sent.stretch.rows["clicked"].items["1/1"].count for sent in overlay.sent] == [2, 1]
    assert overlay.tables["clicked"].get(KEY + MOVED).items["1/1"].count == 3
    assert overlay.tables["clicked"].get(KEY) is None


def test_login_without_anything_new_sends_an_empty_stretch(overlay: SpiedOverlay) -> None:
    fold_all(overlay, a_login(**at(0)))
    (transfer,) = overlay.sent
    assert not any(transfer.stretch.rows.get(table) for table in MOVED_NAMES)
    assert fold_transfer(overlay, transfer)
    assert own(overlay, TARGET) == own(overlay, KEY + MOVED) == set()


@pytest.mark.parametrize("fields", [{"is_junk_target": True, "target": "0"}, {"target": USER}])
def test_login_to_junk_or_oneself_moves_nothing(overlay: SpiedOverlay, fields: Any) -> None:
    fold_all(overlay, *everything(0), a_login(**at(1), **fields))
    assert overlay.sent == []
    assert own(overlay, KEY) == set(MOVED_NAMES)


@pytest.mark.parametrize(
    "build", [a_rate, a_blacklist, a_deletefromblacklist, a_wishlist, a_deletefromwishlist]
)
@pytest.mark.parametrize(("minutes", "goes_on"), [(1, True), (31, True), (31.001, False), (0.999, False)])
def test_preference_goes_on_to_the_target_within_30_minutes_of_the_login(
    overlay: SpiedOverlay, build: Any, minutes: float, goes_on: bool
) -> None:
    fold_all(overlay, a_login(**at(1)))
    overlay.sent.clear()
    fold_all(overlay, build(**at(minutes)))
    if not goes_on:
        assert overlay.sent == []
        assert own(overlay, KEY) == {"preferences"}
        return
    (transfer,) = overlay.sent
    assert (transfer.target, transfer.number) == (OTHER_USER, 2)
    assert own(overlay, KEY) == set()
    assert fold_transfer(overlay, transfer)
    assert overlay.tables["preferences"].get(TARGET) == overlay.tables["preferences"].get(KEY + MOVED)
    assert set(overlay.tables["preferences"].get(TARGET).items) == {"1/1"}


@pytest.mark.parametrize("build", [a_rendered, a_click, a_buy, a_basket, a_consume])
def test_other_events_after_a_login_open_a_new_stretch(overlay: SpiedOverlay, build: Any) -> None:
    fold_all(overlay, a_login(**at(1)))
    overlay.sent.clear()
    fold_all(overlay, build(**at(2)))
    assert not any(transfer.stretch for transfer in overlay.sent)
    assert own(overlay, KEY) != set()


@pytest.mark.parametrize("build", [a_buy, a_basket, a_consume])
def test_conversion_under_the_old_id_follows_the_login(overlay: SpiedOverlay, build: Any) -> None:
    fold_all(overlay, a_rendered(**at(0)), a_clickrecommended(**at(0)), a_login(**at(1)), build(**at(2)))
    counted = tallied(overlay)
    assert counted[0, "home"] == {"rendered": 2, "clicks": 1, "attributed_clicks": 1}
    for transfer in overlay.sent:
        assert fold_transfer(overlay, transfer)
    (counts,) = tallied(overlay).values()
    assert {"purchases", "basket", "consumed"} & counts.keys()


def test_shop_whose_visitors_log_in_at_checkout_has_its_conversions(overlay: SpiedOverlay) -> None:
    fold_all(overlay, a_rendered(**at(0)), a_clickrecommended(**at(1)), a_basket(**at(2)), a_login(**at(3)))
    (transfer,) = overlay.sent
    assert fold_transfer(overlay, transfer)
    tallied(overlay)
    fold_all(overlay, a_buy(user=OTHER_USER, **at(40)))
    assert tallied(overlay) == {(0, "home"): {"purchases": 1, "revenue": {"EUR": Decimal("19.99")}}}


def test_click_after_a_login_still_finds_its_impression(overlay: SpiedOverlay) -> None:
    fold_all(overlay, a_rendered(**at(0)), a_login(**at(1)))
    tallied(overlay)
    fold_all(overlay, a_clickrecommended(**at(2)))
    for transfer in overlay.sent:
        assert fold_transfer(overlay, transfer)
    assert tallied(overlay)[0, "home"] == {"attributed_clicks": 1}


def test_transfer_to_a_user_who_logged_in_elsewhere_since_is_passed_on(overlay: SpiedOverlay) -> None:
    fold_all(
        overlay,
        *everything(0),
        a_login(**at(1)),
        a_login(user=OTHER_USER, target="k1.c", **at(2)),
    )
    from_a, from_b = overlay.sent
    overlay.sent.clear()
    assert fold_transfer(overlay, from_a)
    passed, attributed = overlay.sent
    assert (attributed.target, attributed.number, bool(attributed.stretch)) == (
        "k1.c",
        passed.number + 1,
        False,
    )
    assert attributed.attribution == from_a.attribution
    assert (passed.source, passed.target, passed.number) == (OTHER_USER, "k1.c", from_b.number + 1)
    assert passed.login_ms == T0 + 2 * MINUTE_MS
    assert passed.stretch == from_a.stretch
    assert own(overlay, TARGET) == set()
    assert own(overlay, TARGET + MOVED) == set(MOVED_NAMES)
    assert fold_transfer(overlay, from_b)
    assert fold_transfer(overlay, passed)
    assert fold_transfer(overlay, attributed)
    assert own(overlay, user_key(CUSTOMER, "k1.c")) == set(MOVED_NAMES)


def test_showings_of_a_scenario_are_remembered_for_the_customers_who_want_it() -> None:
    keepers: set[str] = set()
    overlay = SpiedOverlay(scenario_keepers=keepers)

    def shown(scenario: str) -> int:
        return len(shown_items(overlay, KEY, scenario))

    fold_all(overlay, a_rendered(**at(0)))
    merge_all_shown(overlay.live, LogOwner(KEY, CUSTOMER, USER))
    assert overlay.tables["rendered"].get(KEY).by_scenario is None
    keepers.add(CUSTOMER)
    fold_all(overlay, a_rendered(**at(1), scenario=None), a_rendered(**at(2), items=("9",)))
    assert (shown("home"), shown("other")) == (1, 0)
    fold_all(
        overlay,
        a_recommended(**at(3), lists=(a_served_list(scenario="other"),)),
        a_rendered(**at(4), scenario=None, request_id="r1"),
    )
    assert (shown("home"), shown("other")) == (1, 2)
    for lane in (overlay.live, overlay.history):
        assert lane.scenario_keepers is keepers
