"""A row of attribution stays bounded, and drops only whole groups of what belongs together."""

import random
from collections import Counter

import msgspec
import pytest

from tables.ctr.panes import PANE_KEEP_MS
from tables.user.attribution import click, convert, show
from tables.user.attribution_groups import MAX_CONVERSIONS
from tables.user.attribution_moves import Moved, absorb
from tables.user.elements import Conversion, Impression, JoiningClick, Place
from tables.user.impressions import (
    KEEP_MS,
    MAX_CLICKS,
    MAX_IMPRESSIONS,
    MAX_SHOWN_ITEMS,
    MOST_IMPRESSIONS,
    ImpressionsState,
    impressions_of,
)
from tests.support.attribution_rows import HOME, clicked, converted, shown
from tests.support.builders import DAY_MS, MINUTE_MS, NOW_MS, OTHER_USER, USER


def test_oldest_impressions_go_beyond_the_number() -> None:
    state = ImpressionsState()
    for number in range(MOST_IMPRESSIONS):
        shown(state, NOW_MS - number, received_ms=NOW_MS)
    assert state.kept == MOST_IMPRESSIONS
    shown(state, NOW_MS - MOST_IMPRESSIONS, received_ms=NOW_MS)
    assert [each.time_ms for each in impressions_of(state)] == [
        NOW_MS - n for n in range(MOST_IMPRESSIONS + 1 - MAX_IMPRESSIONS, MOST_IMPRESSIONS + 1)
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
    for number in range(MOST_IMPRESSIONS):
        assert shown(state, NOW_MS + 2, items=("9",), received_ms=NOW_MS + number) == {}
    assert state.clicks == ()
    assert clicked(state, NOW_MS + 3) == {}
    assert converted(state, NOW_MS + 4) == {("purchases", Place(NOW_MS + 3, "mail", item="1/1"), None): 1}


@pytest.mark.parametrize(
    ("days", "joins"), [(2, True), (6, True), (PANE_KEEP_MS // DAY_MS, False), (400, False)]
)
def test_click_of_an_import_joins_no_showing_whose_pane_may_be_gone(days: int, joins: bool) -> None:
    state = ImpressionsState()
    shown(state)
    found = clicked(state, NOW_MS + 1, received_ms=NOW_MS + days * DAY_MS)
    assert found == ({("attributed_clicks", HOME, None): 1} if joins else {})


def test_login_joins_no_click_with_a_showing_whose_pane_may_be_gone() -> None:
    state, late_ms = ImpressionsState(), NOW_MS + 7 * DAY_MS
    shown(state)
    click_of_another = JoiningClick(NOW_MS + 1, late_ms, "1/1", origin=OTHER_USER, number=1)
    assert absorb(state, USER, Moved([], [click_of_another]), NOW_MS + 2, late_ms) == {}


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
            for each in (item, "9"):
                showings[Place(at, "home", item=f"1/{each}")] += 1
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


def test_progress_of_one_consumption_does_not_push_out_its_click() -> None:
    state = ImpressionsState()
    shown(state)
    clicked(state, NOW_MS + 1)
    found: Counter[str] = Counter()
    for number in range(3 * MAX_CONVERSIONS):
        for (counter, _, _), amount in converted(state, NOW_MS + 2 + number, "consumed").items():
            found[counter] += int(amount)
    assert found == {"consumed": 1}
    assert len(state.conversions) <= MAX_CONVERSIONS
    assert converted(state, NOW_MS + MINUTE_MS) == {("purchases", HOME, None): 1}, "the click is still there"
