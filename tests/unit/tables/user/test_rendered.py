"""Impressions are counted exactly in any order, and sessions and spans follow from their times."""

from collections import defaultdict

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.model import Rendered, Viewed
from tables.user.items import MAX_ITEMS
from tables.user.rendered import (
    RenderedState,
    ShownItems,
    check,
    merge,
    take_in,
)
from tables.user.shown_bytes import MAX_TIMES, Shown
from tests.support.builders import MINUTE_MS, NOW_MS, a_rendered, a_viewed
from tests.support.laws import assert_merge_laws, stored
from tests.support.showings import entry_of, show

times = st.integers(0, 40).map(lambda step: NOW_MS + step * 10 * MINUTE_MS)
lists = st.lists(st.sampled_from("12345"), min_size=1, max_size=4).map(tuple)
showings = st.builds(lambda t, i: a_rendered(time_ms=t, items=i), times, lists)
viewings = st.builds(lambda t, i: a_viewed(time_ms=t, items=i), times, lists)
streams = st.lists(showings | viewings, min_size=1, max_size=60)


def folded(events: list[Rendered | Viewed]) -> RenderedState:
    state: RenderedState | None = None
    for event in events:
        state = show(state, event)
    assert state is not None
    return state


def items_of(state: RenderedState) -> dict[str, Shown]:
    return dict(ShownItems(state))


def counted(events: list[Rendered | Viewed]) -> dict[str, Shown]:
    """Return the expected states: all times of each item, sorted."""
    shown: dict[str, list[int]] = defaultdict(list)
    viewed: dict[str, list[int]] = defaultdict(list)
    for event in events:
        for item in set(event.items):
            (shown if isinstance(event, Rendered) else viewed)[f"1/{item}"].append(event.time_ms)
    return {
        key: Shown(
            len(shown[key]),
            min(shown[key], default=0),
            sorted(shown[key])[-MAX_TIMES:],
            len(viewed[key]),
            max(viewed[key], default=0),
        )
        for key in {*shown, *viewed}
    }


@given(streams, streams)
def test_a_row_that_was_loaded_goes_on_as_if_it_had_stayed_in_memory(
    before: list[Rendered], after: list[Rendered]
) -> None:
    stayed, loaded = folded(before), stored(folded(before))
    assert dict(ShownItems(loaded)) == counted(before)
    for event in after:
        stayed, loaded = show(stayed, event), show(loaded, event)
    assert dict(ShownItems(loaded)) == dict(ShownItems(stayed)) == counted(before + after)
    assert msgspec.msgpack.encode(loaded) == msgspec.msgpack.encode(stayed)


@given(streams, streams)
def test_entries_count_the_same_together_and_one_by_one(
    before: list[Rendered | Viewed], after: list[Rendered | Viewed]
) -> None:
    one_by_one, together = folded(before + after), folded(before)
    read = ShownItems(together, log=[entry_of(event) for event in after])
    assert list(read.items()) == list(ShownItems(one_by_one).items())
    take_in(together, [entry_of(event) for event in after])
    assert together == one_by_one


def test_item_is_counted_with_its_times() -> None:
    state = items_of(folded([a_rendered(items=("1",), time_ms=5), a_rendered(items=("1", "2"), time_ms=9)]))
    assert state == {"1/1": Shown(2, 5, [5, 9]), "1/2": Shown(1, 9, [9])}


@pytest.mark.parametrize("others", [0, 30], ids=["short list", "long list"])
def test_item_listed_twice_is_one_showing_and_one_view(others: int) -> None:
    listed = ("1", "1", *(f"other {number}" for number in range(others)), "1")
    state = folded([a_rendered(items=listed, time_ms=5), a_viewed(items=listed, time_ms=7)])
    assert items_of(state)["1/1"] == Shown(1, 5, [5], 1, 7)


def test_itemtypes_are_counted_apart() -> None:
    state = folded([a_rendered(items=("1",), itemtype=1), a_rendered(items=("1",), itemtype=2)])
    assert [shown.total for shown in items_of(state).values()] == [1, 1]


def test_viewing_is_no_showing() -> None:
    state = folded([a_viewed(items=("1",), time_ms=5)])
    assert items_of(state) == {"1/1": Shown(0, 0, [], 1, 5)}
    assert items_of(show(state, a_rendered(items=("1",), time_ms=7)))["1/1"] == Shown(1, 7, [7], 1, 5)


def test_only_the_last_16_times_are_kept_and_the_total_goes_on() -> None:
    shown = items_of(folded([a_rendered(items=("1",), time_ms=t) for t in range(100)]))["1/1"]
    assert (shown.total, shown.first_ms, shown.times) == (100, 0, list(range(84, 100)))


@given(streams, st.randoms())
def test_any_order_gives_the_plain_count(events: list[Rendered | Viewed], random) -> None:
    expected = counted(events)
    assert items_of(folded(events)) == expected
    random.shuffle(events)
    assert dict(ShownItems(stored(folded(events)))) == expected


@given(st.tuples(streams, streams, streams))
def test_merge_counts_as_if_one_user_had_seen_all(parts) -> None:
    assert_merge_laws(folded, merge, lambda state: dict(ShownItems(state)), parts)
    a, b, _ = parts
    assert items_of(merge(folded(a), folded(b))) == counted(a + b)


@pytest.mark.parametrize("an_event", [a_rendered, a_viewed])
def test_items_longest_untouched_go(an_event) -> None:
    state = show(None, an_event(items=tuple(map(str, range(MAX_ITEMS)))))
    state = show(state, an_event(items=("0",), time_ms=1))  # touched again, with an old time
    state = show(state, an_event(items=("new", "newer")))
    items = items_of(state)
    assert len(items) == MAX_ITEMS
    assert {"1/0", "1/3", "1/new", "1/newer"} <= items.keys()
    assert {"1/1", "1/2"}.isdisjoint(items)


def test_merge_keeps_the_cap_and_what_was_moved() -> None:
    own = show(None, a_rendered(items=tuple(map(str, range(MAX_ITEMS)))))
    merged = items_of(merge(own, show(None, a_rendered(items=("new", "0")))))
    assert len(merged) == MAX_ITEMS
    assert {"1/new", "1/0"} <= merged.keys()
    assert "1/1" not in merged


# --- by scenario ----------------------------------------------------------------------------------------------------------------------

scenarios = st.sampled_from([None, "home", "a scenario with a long name", "ä"])
labelled = st.lists(st.tuples(showings, scenarios), min_size=1, max_size=40)


def shown_in(pairs: list[tuple[Rendered, str | None]]) -> RenderedState:
    state: RenderedState | None = None
    for event, scenario in pairs:
        state = show(state, event, scenario)
    assert state is not None
    return state


def expected_in(pairs: list[tuple[Rendered, str | None]], scenario: str) -> dict[str, Shown]:
    return counted([event for event, its in pairs if its == scenario])


@given(labelled)
def test_showings_of_a_scenario_are_counted_apart_and_in_all(
    pairs: list[tuple[Rendered, str | None]],
) -> None:
    state = stored(shown_in(pairs))
    assert items_of(state) == counted([event for event, _ in pairs])
    for scenario in ("home", "a scenario with a long name", "ä", "never shown"):
        assert dict(ShownItems(state, scenario)) == expected_in(pairs, scenario)


def test_row_of_a_customer_without_scenarios_has_one_byte_more() -> None:
    state = show(None, a_rendered())
    assert msgspec.msgpack.encode(state) == msgspec.msgpack.encode([state.items, None, 0])


def test_long_lists_of_a_scenario_are_counted_as_short_ones() -> None:
    items = tuple(str(number) for number in range(60))
    whole = show(None, a_rendered(items=items), "home")
    parts = None
    for item in items:
        parts = show(parts, a_rendered(items=(item,)), "home")
    assert whole == parts
    assert dict(ShownItems(whole, "home")).keys() == {f"1/{item}" for item in items}


@given(labelled, labelled)
def test_log_counts_in_its_scenarios_before_the_row_takes_it_in(one, other) -> None:
    other = [(msgspec.structs.replace(event, scenario=scenario), scenario) for event, scenario in other]
    state, log = shown_in(one), [entry_of(event) for event, _ in other]
    for scenario in ("home", "ä"):
        assert dict(ShownItems(state, scenario, log)) == expected_in(one + other, scenario)
    take_in(state, log, by_scenario=True)
    assert state == shown_in(one + other)


@given(labelled, labelled)
def test_login_moves_the_showings_of_each_scenario(one, other) -> None:
    merged = merge(shown_in(one), shown_in(other))
    for scenario in ("home", "ä"):
        assert dict(ShownItems(merged, scenario)) == expected_in(one + other, scenario)
    check(stored(merged), 10**14)


def test_pairs_longest_untouched_go() -> None:
    state: RenderedState | None = None
    for number in range(MAX_ITEMS + 5):
        state = show(state, a_rendered(items=("1",)), f"s{number}")
    assert state is not None
    kept = [number for number in range(MAX_ITEMS + 5) if ShownItems(state, f"s{number}")]
    assert kept == list(range(5, MAX_ITEMS + 5))


@pytest.mark.parametrize("packed", [b"x", b"\xc1abc", b"\xc1abc\xff!", b"\xc1a\xff\xc1a\xff"])
def test_invalid_showings_of_a_scenario_are_refused(packed: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - several messages
        check(RenderedState(by_scenario=bytearray(packed)), 10**14)
