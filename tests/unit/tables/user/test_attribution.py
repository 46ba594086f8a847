"""A user's row attributes what it has in any order, stays bounded, and drops only whole groups."""

import random
from collections import Counter
from decimal import Decimal

import msgspec
import pytest

from tables.user.attribution import (
    MAX_CONVERSIONS,
    Moved,
    absorb,
    click,
    convert,
    follow,
    log_in,
    next_login,
    show,
)
from tables.user.belonging import CONVERSION_MS, JOIN_MS, Conversion, Counted, JoiningClick, Place
from tables.user.impressions import (
    KEEP_MS,
    MAX_CLICKS,
    MAX_IMPRESSIONS,
    MAX_LOGINS,
    MAX_SHOWN_ITEMS,
    Impression,
    ImpressionsState,
    RecommendedClick,
    append,
    impressions_of,
)
from tests.support.builders import DAY_MS, MINUTE_MS, NOW_MS, OTHER_USER, USER
from tests.support.laws import stored

HOME = Place(NOW_MS, "home", None, None, None)


def shown(
    state: ImpressionsState,
    time_ms: int = NOW_MS,
    items: tuple[str, ...] = ("1", "2"),
    received_ms: int | None = None,
    scenario: str | None = "home",
) -> Counted:
    received_ms = time_ms if received_ms is None else received_ms
    return show(state, USER, Impression(time_ms, received_ms, 1, list(items), scenario))


def clicked(
    state: ImpressionsState, time_ms: int = NOW_MS, item: str = "1", received_ms: int | None = None
) -> Counted:
    received_ms = time_ms if received_ms is None else received_ms
    return click(state, USER, JoiningClick(time_ms, received_ms, f"1/{item}", None, "mail"))


def converted(
    state: ImpressionsState, time_ms: int = NOW_MS, counter: str = "purchases", item: str = "1"
) -> Counted:
    return convert(state, USER, Conversion(time_ms, time_ms, f"1/{item}", counter))


def test_click_and_purchase_count_at_their_impression_when_they_come_in_order() -> None:
    state = ImpressionsState()
    assert shown(state) == {}
    assert clicked(state, NOW_MS + 1) == {("attributed_clicks", HOME, None): 1}
    assert converted(stored(state), NOW_MS + 2) == {("purchases", HOME, None): 1}


def test_click_and_purchase_that_come_before_what_they_follow_from_are_joined() -> None:
    state = ImpressionsState()
    assert converted(state, NOW_MS + 2) == {}
    at_click = Place(NOW_MS + 1, "mail")
    assert clicked(state, NOW_MS + 1) == {("purchases", at_click, None): 1}
    assert shown(stored(state)) == {
        ("attributed_clicks", HOME, None): 1,
        ("purchases", HOME, None): 1,
        ("purchases", at_click, None): -1,
    }


def test_late_showing_takes_the_click_from_an_earlier_one() -> None:
    state = ImpressionsState()
    shown(state, NOW_MS - MINUTE_MS)
    clicked(state, NOW_MS + 1)
    later, earlier = (
        ("attributed_clicks", HOME, None),
        ("attributed_clicks", Place(NOW_MS - MINUTE_MS, "home"), None),
    )
    assert shown(state) == {later: 1, earlier: -1}


def test_beyond_the_windows_nothing_is_joined() -> None:
    state = ImpressionsState()
    clicked(state, NOW_MS + JOIN_MS + 1)
    assert shown(state) == {}
    assert converted(state, NOW_MS + JOIN_MS + CONVERSION_MS + 2) == {}


def test_oldest_impressions_go_beyond_the_number() -> None:
    state = ImpressionsState()
    for number in range(MAX_IMPRESSIONS + 3):
        shown(state, NOW_MS - number, received_ms=NOW_MS)
    assert [each.time_ms for each in impressions_of(state)] == [
        NOW_MS - n for n in range(3, MAX_IMPRESSIONS + 3)
    ]


def test_clicks_and_conversions_stay_bounded() -> None:
    state = ImpressionsState()
    for number in range(MAX_CLICKS + 50):
        clicked(state, NOW_MS + number, str(number))
        converted(state, NOW_MS + number, item=str(-number))
    assert (len(state.clicks), len(state.conversions)) == (MAX_CLICKS, MAX_CONVERSIONS)
    assert state.clicks[0].item_key == "1/50"


def test_age_is_counted_by_receipt_not_by_event_time() -> None:
    state = ImpressionsState()
    shown(state, NOW_MS - 300 * DAY_MS, received_ms=NOW_MS)
    shown(state, received_ms=NOW_MS + KEEP_MS)
    assert state.kept == 2
    shown(state, received_ms=NOW_MS + KEEP_MS + 1)
    assert state.kept == 2


def test_impression_stays_as_long_as_its_clicks_and_conversions() -> None:
    state = ImpressionsState()
    shown(state)
    clicked(state, NOW_MS + 1, received_ms=NOW_MS + DAY_MS)
    shown(state, items=("9",), received_ms=NOW_MS + KEEP_MS + 1)
    assert (state.kept, len(state.clicks)) == (2, 1)
    shown(state, items=("9",), received_ms=NOW_MS + DAY_MS + KEEP_MS + 1)
    assert (state.kept, len(state.clicks)) == (2, 0), "the group went as a whole"


def test_group_that_is_dropped_changes_no_count_and_cannot_count_again() -> None:
    state = ImpressionsState()
    shown(state)
    clicked(state, NOW_MS + 1)
    for number in range(MAX_IMPRESSIONS):
        assert shown(state, NOW_MS + 2, items=("9",), received_ms=NOW_MS + number) == {}
    assert state.clicks == []
    assert clicked(state, NOW_MS + 3) == {}
    assert converted(state, NOW_MS + 4) == {("purchases", Place(NOW_MS + 3, "mail"), None): 1}


@pytest.mark.parametrize("length", [51, 1_000, MAX_SHOWN_ITEMS, MAX_SHOWN_ITEMS * 3])
def test_long_lists_are_bounded_in_all_and_the_latest_stays(length: int) -> None:
    state, items = ImpressionsState(), tuple(map(str, range(length)))
    for number in range(MAX_IMPRESSIONS):
        shown(state, NOW_MS + number, items)
    assert sum(len(each.items) for each in impressions_of(state)) <= max(MAX_SHOWN_ITEMS, length)
    assert clicked(state, NOW_MS + MAX_IMPRESSIONS, items[-1])
    assert len(msgspec.msgpack.encode(state)) < 1_000_000


@pytest.mark.parametrize("seed", range(10))
def test_beyond_all_bounds_no_total_is_negative_and_no_rate_above_one(seed: int) -> None:
    """More than the bounds allow is missed, never doubled: also with lists that repeat a call."""
    chooser, state = random.Random(seed), ImpressionsState()
    totals: Counter[tuple[str, Place, str | None]] = Counter()
    showings: Counter[Place] = Counter()
    purchases = 0
    for number in range(1_500):
        at = NOW_MS + number * 20_000 + chooser.randint(-5, 0) * MINUTE_MS
        received_ms = NOW_MS + number * (20_000 if chooser.random() < 0.9 else 80_000)
        item = chooser.choice("12345")
        kind = chooser.choice(("show", "click", "buy"))
        if kind == "show":
            request = chooser.choice((None, "r", "s"))
            impression = Impression(at, received_ms, 1, [item, "9"], "home", request_id=request)
            impression.call_ms = None if request is None else NOW_MS
            changed = show(state, USER, impression)
            showings[Place(at, "home")] += 2
        elif kind == "click":
            changed = click(state, USER, JoiningClick(at, received_ms, f"1/{item}", None, "mail"))
        else:
            purchases += 1
            changed = convert(state, USER, Conversion(at, received_ms, f"1/{item}", "purchases"))
        totals.update(changed)
        assert all(amount >= 0 for amount in totals.values())
    counted: Counter[str] = Counter()
    for (counter, place, _), amount in totals.items():
        counted[counter] += amount
        if counter == "attributed_clicks":
            assert amount <= showings[place]
    assert counted["purchases"] <= purchases
    assert counted["clicked_calls"] <= 2
    assert counted["attributed_clicks"] > MAX_IMPRESSIONS


def test_row_of_the_former_format_counts_nothing_twice() -> None:
    state = ImpressionsState(
        impressions=[
            Impression(NOW_MS, NOW_MS, 1, ["1"], "home"),
            Impression(NOW_MS + 1, NOW_MS, 1, ["1"], "home"),
        ],
        former_clicks=[RecommendedClick(NOW_MS + 2, NOW_MS, "1/1", NOW_MS + 1, "home", converted=["basket"])],
    )
    assert converted(state, NOW_MS + 3, "basket") == {}
    assert clicked(state, NOW_MS + 4) == {}, "that showing was clicked"
    assert clicked(state, NOW_MS) == {("attributed_clicks", HOME, None): 1}


# --- logins -------------------------------------------------------------------------------------------------------------------------


def logged_in(state: ImpressionsState, time_ms: int = NOW_MS, target: str = OTHER_USER) -> Moved:
    moved, changed = log_in(state, USER, time_ms, time_ms, target)
    assert changed == {}
    return msgspec.msgpack.decode(msgspec.msgpack.encode(moved), type=Moved)


def test_login_moves_all_that_is_the_users_own() -> None:
    state = ImpressionsState()
    shown(state)
    clicked(state)
    converted(state)
    moved = logged_in(state)
    assert (state.kept, state.clicks, state.conversions) == (0, [], [])
    assert {each.origin for each in (*moved.impressions, *moved.clicks, *moved.conversions)} == {USER}
    target = ImpressionsState()
    assert absorb(target, OTHER_USER, moved, NOW_MS, NOW_MS) == {}, "its counts came with it"
    later = Conversion(NOW_MS + 1, NOW_MS, "1/1", "purchases", "EUR", Decimal(10))
    assert convert(stored(target), OTHER_USER, later) == {
        ("purchases", HOME, None): 1,
        ("revenue", HOME, "EUR"): 10,
    }


def test_what_came_by_a_login_goes_on_only_with_a_later_one() -> None:
    state, source = ImpressionsState(), ImpressionsState()
    shown(source)
    absorb(state, USER, logged_in(source, NOW_MS + 5), NOW_MS + 5, NOW_MS)
    assert not logged_in(state, NOW_MS + 5)
    assert len(logged_in(state, NOW_MS + 6).impressions) == 1


def test_what_comes_after_its_login_was_folded_goes_on_with_the_first_later_one() -> None:
    state = ImpressionsState()
    for at, target in ((5, "a"), (9, "b"), (7, "c"), (12, "d")):
        logged_in(state, NOW_MS + at, target)
    found = [
        login and login.target for at in (4, 5, 8, 9, 12) if (login := next_login(state, NOW_MS + at)) or True
    ]
    assert found == ["a", "b", "b", "d", None]
    assert state.last_login is not None
    assert state.last_login.target == "d"


def test_logins_are_kept_for_25_hours_and_at_most_16() -> None:
    state = ImpressionsState()
    for number in range(MAX_LOGINS + 5):
        logged_in(state, NOW_MS + number)
    assert len(state.logins) == MAX_LOGINS
    logged_in(state, NOW_MS + KEEP_MS + 100)
    assert len(state.logins) == 1


def a_late_click(time_ms: int) -> JoiningClick:
    return JoiningClick(time_ms, time_ms, "1/1", None, "mail")


def test_click_under_the_old_id_follows_the_login_unless_its_showing_is_here() -> None:
    state = ImpressionsState()
    shown(state)
    logged_in(state, NOW_MS + 1)
    assert follow(state, USER, a_late_click(NOW_MS)) is None, "it is older than the login"
    assert follow(state, USER, a_late_click(NOW_MS + 1 + CONVERSION_MS + 1)) is None
    sent = follow(state, USER, a_late_click(NOW_MS + 2))
    assert sent is not None
    assert (sent[0].target, len(sent[1].clicks), sent[2]) == (OTHER_USER, 1, {})
    shown(state, NOW_MS + 2)
    assert follow(state, USER, a_late_click(NOW_MS + 3)) is None


def test_purchase_under_the_old_id_counts_after_the_login() -> None:
    state, target = ImpressionsState(), ImpressionsState()
    shown(state)
    clicked(state)
    absorb(target, OTHER_USER, logged_in(state), NOW_MS, NOW_MS)
    sent = follow(state, USER, Conversion(NOW_MS + 9, NOW_MS + 9, "1/1", "purchases"))
    assert sent is not None
    login, moved, alone = sent
    assert alone == {}
    assert absorb(target, OTHER_USER, moved, login.time_ms, NOW_MS) == {("purchases", HOME, None): 1}


def test_append_is_all_that_an_impression_costs_without_later_clicks() -> None:
    state, plain = ImpressionsState(), ImpressionsState()
    clicked(state, NOW_MS - 1)
    shown(state)
    append(plain, Impression(NOW_MS, NOW_MS, 1, ["1", "2"], "home", number=2))
    assert impressions_of(state) == impressions_of(plain)
