"""A click belongs to one showing, a conversion to one click, and they count there."""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tables.user.belonging import (
    CONVERSION_MS,
    JOIN_MS,
    Counted,
    ItemElements,
    click_of,
    count,
    difference,
    place_of_click,
    ranked,
    showing_of,
)
from tables.user.elements import Call, Conversion, Impression, JoiningClick, Place, call_of
from tests.support.builders import MINUTE_MS, NOW_MS, OTHER_USER, USER

times = st.integers(0, 10).map(lambda step: NOW_MS + step * 10 * MINUTE_MS)


def a_showing(
    time_ms: int = NOW_MS,
    number: int = 1,
    origin: str = USER,
    request_id: str | None = None,
    scenario: str | None = "home",
    call_ms: int | None = None,
) -> Impression:
    """Build an impression of item 1, at the first place of the list."""
    return Impression(
        time_ms,
        time_ms,
        1,
        ["1", "2"],
        scenario,
        "a",
        None,
        0,
        2,
        request_id,
        origin,
        number,
        None,
        call_ms,
        "a",
    )


PLACE = Place(NOW_MS, "home", "a", 0, 2, "1/1")


def shown_to(click: JoiningClick, *shown: Impression) -> Impression | None:
    found = showing_of(click, ranked(enumerate(shown), USER), USER)
    return None if found is None else found.element


def a_click(
    time_ms: int = NOW_MS,
    number: int = 10,
    origin: str | None = None,
    request_id: str | None = None,
    scenario: str | None = "mail",
) -> JoiningClick:
    return JoiningClick(time_ms, time_ms, "1/1", request_id, scenario, origin=origin, number=number)


def a_conversion(
    counter: str = "purchases", time_ms: int = NOW_MS, number: int = 20, amount: str | None = None
) -> Conversion:
    currency = None if amount is None else "EUR"
    price = None if amount is None else Decimal(amount)
    return Conversion(time_ms, time_ms, "1/1", counter, currency, price, number=number)


def elements(
    item: str,
    showings: Sequence[Impression],
    clicks: Sequence[JoiningClick],
    conversions: Sequence[Conversion] = (),
) -> ItemElements:
    return ItemElements(
        item, ranked(enumerate(showings), USER), ranked(enumerate(clicks), USER), list(conversions)
    )


def counted(
    showings: Sequence[Impression] = (),
    clicks: Sequence[JoiningClick] = (),
    conversions: Sequence[Conversion] = (),
) -> Counted:
    return count([elements("1", showings, clicks, conversions)], USER)


@pytest.mark.parametrize(
    ("after_ms", "belongs"), [(-1, False), (0, True), (JOIN_MS, True), (JOIN_MS + 1, False)]
)
def test_click_belongs_to_a_showing_at_most_30_minutes_before(after_ms: int, belongs: bool) -> None:
    showing = a_showing()
    assert (shown_to(a_click(NOW_MS + after_ms), showing) is showing) is belongs


@pytest.mark.parametrize(
    ("after_ms", "belongs"), [(-1, False), (0, True), (CONVERSION_MS, True), (CONVERSION_MS + 1, False)]
)
def test_conversion_belongs_to_a_click_at_most_60_minutes_before(after_ms: int, belongs: bool) -> None:
    clicks = ranked(enumerate([a_click()]), USER)
    assert (click_of(a_conversion(time_ms=NOW_MS + after_ms), clicks, USER) is clicks[0]) is (belongs)


def test_request_id_of_a_click_must_be_that_of_the_showing() -> None:
    asked, later = a_showing(request_id="r1"), a_showing(NOW_MS + 1, 2, request_id="r2")
    at = NOW_MS + 2
    assert shown_to(a_click(at, request_id="r1"), asked, later) is asked
    assert shown_to(a_click(at, request_id="r3"), asked, later) is None
    assert shown_to(a_click(at), asked, later) is later


@given(st.lists(times, min_size=1, max_size=20), times)
def test_click_belongs_to_the_latest_and_at_a_tie_the_later_in_the_log(
    shown: list[int], click_ms: int
) -> None:
    showings = [a_showing(time_ms, number) for number, time_ms in enumerate(shown)]
    fits = [(t, n) for n, t in enumerate(shown) if click_ms - JOIN_MS <= t <= click_ms]
    found = shown_to(a_click(click_ms), *showings)
    assert (found and found.number) == (max(fits)[1] if fits else None)


def test_showing_of_the_same_origin_wins_over_a_later_one() -> None:
    own, moved = a_showing(), a_showing(NOW_MS + 1, 2, OTHER_USER)
    assert shown_to(a_click(NOW_MS + 2), own, moved) is own
    assert shown_to(a_click(NOW_MS + 2, origin=OTHER_USER), own, moved) is moved
    assert shown_to(a_click(NOW_MS + 2, origin="k1.third"), own, moved) is moved, "the latest"


def test_showing_counts_one_attributed_click_however_often_it_is_clicked() -> None:
    clicks = [a_click(NOW_MS + n, 10 + n) for n in range(5)]
    assert counted([a_showing()], clicks) == {("attributed_clicks", PLACE, None): 1}


def test_second_click_does_not_look_for_an_older_showing() -> None:
    showings = [a_showing(NOW_MS, 1), a_showing(NOW_MS + MINUTE_MS, 2)]
    found = counted(showings, [a_click(NOW_MS + 2 * MINUTE_MS, 10), a_click(NOW_MS + 3 * MINUTE_MS, 11)])
    assert found == {("attributed_clicks", PLACE._replace(time_ms=NOW_MS + MINUTE_MS), None): 1}


def test_conversions_count_at_the_place_of_the_showing() -> None:
    place = PLACE
    conversions = [a_conversion(number=20, amount="10"), a_conversion(number=21, amount="100")]
    assert counted([a_showing()], [a_click()], conversions) == {
        ("attributed_clicks", place, None): 1,
        ("purchases", place, None): 2,
        ("revenue", place, "EUR"): Decimal(110),
    }


@given(st.lists(st.decimals(0, 10**21, places=12), min_size=1, max_size=10), st.randoms())
@example([Decimal("999999999999999999999.999999999999")] * 2, Random(1))
def test_revenue_is_exact_whatever_the_order_so_nothing_is_left_of_a_difference(amounts, random) -> None:
    conversions = [a_conversion(number=20 + n, amount=str(amount)) for n, amount in enumerate(amounts)]
    found = counted([a_showing()], [a_click()], conversions)
    assert Fraction(found["revenue", PLACE, "EUR"]) == sum(map(Fraction, amounts))
    random.shuffle(conversions)
    again = counted([a_showing()], [a_click()], conversions)
    assert difference(found, again) == {}
    fewer, one = (counted([a_showing()], [a_click()], part) for part in (conversions[1:], conversions[:1]))
    assert ("revenue", PLACE, "EUR") not in difference(found, fewer, one)


def test_conversion_of_a_click_without_a_showing_counts_at_the_click() -> None:
    assert counted([], [a_click()], [a_conversion()]) == {
        ("purchases", Place(NOW_MS, "mail", item="1/1"), None): 1
    }


def test_place_of_a_click_is_that_of_its_showing_or_its_own() -> None:
    item = elements("2", [a_showing()], [])
    assert place_of_click(a_click(), item, USER) == PLACE._replace(rank=3)
    assert place_of_click(a_click(NOW_MS - 1), item, USER) == Place(NOW_MS - 1, "mail", item="1/1")


def test_conversion_without_a_click_counts_nothing() -> None:
    assert counted([a_showing()], [], [a_conversion()]) == {}


def test_basket_and_consume_count_once_for_each_click() -> None:
    conversions = [a_conversion(name, number=n) for n, name in enumerate(("basket", "consumed") * 3)]
    place = Place(NOW_MS, "mail", item="1/1")
    assert counted([], [a_click()], conversions) == {("basket", place, None): 1, ("consumed", place, None): 1}


def test_showing_without_a_scenario_counts_where_it_was_and_is_reported_to_that_of_the_click() -> None:
    found = counted([a_showing(scenario=None)], [a_click(), a_click(number=11, scenario=None)])
    assert found == {
        ("attributed_clicks", Place(NOW_MS, None, "a", 0, 2, "1/1"), None): 1,
        ("unlabelled_impressions", Place(NOW_MS, "mail"), None): 1,
    }


def test_call_counts_once_for_all_its_clicked_items_and_never_again_once_it_is_settled() -> None:
    shown = a_showing(request_id="r", call_ms=NOW_MS - 1)
    call = call_of(shown, USER)
    assert call == Call(USER, "r", "home", NOW_MS - 1, "a")
    both = [elements(item, [shown], [a_click(number=10 + int(item))]) for item in ("1", "2")]
    key = ("clicked_calls", Place(NOW_MS - 1, "home", "a"), None)
    assert count(both, USER)[key] == 1
    assert key not in count(both, USER, [call.name])


def test_difference_leaves_out_what_did_not_change() -> None:
    one, two = ("basket", Place(1), None), ("purchases", Place(1), None)
    assert difference({one: 2, two: 1}, {one: 1}, {one: 1, two: 2}) == {two: -1}
