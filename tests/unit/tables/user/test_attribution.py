"""A user's row attributes clicks and conversions to impressions, in any order of arrival."""

from tables.user.belonging import CONVERSION_MS, JOIN_MS
from tables.user.elements import Impression, Place
from tables.user.impressions import (
    ImpressionsState,
    RecommendedClick,
    append,
    impressions_of,
)
from tests.support.attribution_rows import HOME, clicked, converted, shown
from tests.support.builders import MINUTE_MS, NOW_MS
from tests.support.laws import stored


def test_click_and_purchase_count_at_their_impression_when_they_come_in_order() -> None:
    state = ImpressionsState()
    assert shown(state) == {}
    assert clicked(state, NOW_MS + 1) == {("attributed_clicks", HOME, None): 1}
    assert converted(stored(state), NOW_MS + 2) == {("purchases", HOME, None): 1}


def test_click_and_purchase_that_come_before_what_they_follow_from_are_joined() -> None:
    state = ImpressionsState()
    assert converted(state, NOW_MS + 2) == {}
    at_click = Place(NOW_MS + 1, "mail", item="1/1")
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
        ("attributed_clicks", Place(NOW_MS - MINUTE_MS, "home", item="1/1"), None),
    )
    assert shown(state) == {later: 1, earlier: -1}


def test_beyond_the_windows_nothing_is_joined() -> None:
    state = ImpressionsState()
    clicked(state, NOW_MS + JOIN_MS + 1)
    assert shown(state) == {}
    assert converted(state, NOW_MS + JOIN_MS + CONVERSION_MS + 2) == {}


def test_row_of_the_former_format_counts_nothing_twice() -> None:
    state = ImpressionsState(
        impressions=[
            Impression(NOW_MS, NOW_MS, 1, ["1"], "home"),
            Impression(NOW_MS + 1, NOW_MS, 1, ["1"], "home"),
        ],
        former_clicks=(
            RecommendedClick(NOW_MS + 2, NOW_MS, "1/1", NOW_MS + 1, "home", converted=["basket"]),
        ),
    )
    assert converted(state, NOW_MS + 3, "basket") == {}
    assert clicked(state, NOW_MS + 4) == {}, "that showing was clicked"
    assert clicked(state, NOW_MS) == {("attributed_clicks", HOME, None): 1}


def test_append_is_all_that_an_impression_costs_without_later_clicks() -> None:
    state, plain = ImpressionsState(), ImpressionsState()
    clicked(state, NOW_MS - 1)
    shown(state)
    append(plain, Impression(NOW_MS, NOW_MS, 1, ["1", "2"], "home", number=2))
    assert impressions_of(state) == impressions_of(plain)
