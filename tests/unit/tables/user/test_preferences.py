"""The last rating, blacklisting and wish of an item win, in any order of arrival."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.model import Blacklist, DeleteFromBlacklist, EventBase, Rate, Wishlist
from tables.user.items import MAX_ITEMS
from tables.user.preferences import (
    BLACKLISTED_FOR_MS,
    Preference,
    PreferencesState,
    blacklist,
    is_blacklisted,
    is_wished,
    merge,
    rate,
    unblacklist,
    unwish,
    wish,
)
from tests.support.builders import (
    NOW_MS,
    a_blacklist,
    a_deletefromblacklist,
    a_deletefromwishlist,
    a_rate,
    a_wishlist,
)
from tests.support.laws import assert_merge_laws, stored

times = st.integers(0, 12).map(lambda step: NOW_MS + step)
an_item = st.sampled_from("12")
said = st.one_of(
    # The rating follows from the time, so that two ratings at one time are equal; another test covers ties.
    st.builds(lambda t, i: a_rate(time_ms=t, item=i, rating=(t * 7) % 101), times, an_item),
    st.builds(lambda t, i: a_blacklist(time_ms=t, item=i), times, an_item),
    st.builds(lambda t, i: a_deletefromblacklist(time_ms=t, item=i), times, an_item),
    st.builds(lambda t, i: a_wishlist(time_ms=t, item=i), times, an_item),
    st.builds(lambda t, i: a_deletefromwishlist(time_ms=t, item=i), times, an_item),
)
streams = st.lists(said, min_size=1, max_size=30)


def folded(events: list[EventBase]) -> PreferencesState:
    state: PreferencesState | None = None
    for event in events:
        if isinstance(event, Rate):
            state = rate(state, event)
        elif isinstance(event, Blacklist):
            state = blacklist(state, event)
        elif isinstance(event, DeleteFromBlacklist):
            state = unblacklist(state, event)
        elif isinstance(event, Wishlist):
            state = wish(state, event)
        else:
            state = unwish(state, event)
    assert state is not None
    return state


def plain(events: list[EventBase]) -> dict[str, Preference]:
    preferences = {}
    for item in {event.item for event in events}:

        def last(kind: type, item: str = item) -> int | None:
            return max((e.time_ms for e in events if type(e) is kind and e.item == item), default=None)

        rated_ms, blacklisted_ms = last(Rate), last(Blacklist)
        preferences[f"1/{item}"] = Preference(
            None if rated_ms is None else (rated_ms * 7) % 101,
            rated_ms,
            None if blacklisted_ms is None else blacklisted_ms + BLACKLISTED_FOR_MS,
            last(Wishlist),
            last(type(a_deletefromwishlist())),
            last(DeleteFromBlacklist),
        )
    return preferences


def test_last_rating_wins_and_at_a_tie_the_later_in_the_log() -> None:
    state = folded([a_rate(rating=80, time_ms=5), a_rate(rating=20, time_ms=4)])
    assert state.items["1/1"].rating == 80
    state = rate(state, a_rate(rating=0, time_ms=5))
    assert state.items["1/1"].rating == 0


@given(st.tuples(*[st.lists(st.integers(0, 100), min_size=1, max_size=3)] * 3))
def test_of_two_users_ratings_at_one_time_the_higher_wins_in_every_order(parts) -> None:
    def built(ratings: list[int]) -> PreferencesState:
        return folded([a_rate(rating=each) for each in ratings])

    assert_merge_laws(built, merge, lambda state: state.items, parts)


@pytest.mark.parametrize(
    ("as_of_ms", "is_out"),
    [
        (NOW_MS - 1, False),
        (NOW_MS, True),
        (NOW_MS + BLACKLISTED_FOR_MS - 1, True),
        (NOW_MS + BLACKLISTED_FOR_MS, False),
    ],
)
def test_blacklisting_lasts_a_year(as_of_ms: int, is_out: bool) -> None:
    assert is_blacklisted(folded([a_blacklist()]).items["1/1"], as_of_ms) is is_out


@pytest.mark.parametrize(
    ("put_ms", "taken_ms", "as_of_ms", "is_on"),
    [
        (5, None, 9, True),
        (5, 6, 9, False),
        (5, 5, 9, False),
        (6, 5, 9, True),
        (5, 8, 7, True),  # as of a time before it was taken off
        (None, 5, 9, False),
    ],
)
def test_removal_wins_a_tie_on_the_blacklist(
    put_ms: int | None, taken_ms: int | None, as_of_ms: int, is_on: bool
) -> None:
    until_ms = None if put_ms is None else put_ms + BLACKLISTED_FOR_MS
    preference = Preference(blacklisted_until_ms=until_ms, unblacklisted_ms=taken_ms)
    assert is_blacklisted(preference, as_of_ms) is is_on


def test_item_nobody_blacklisted_may_be_shown() -> None:
    assert not is_blacklisted(Preference(), NOW_MS)


@pytest.mark.parametrize(
    ("wished_ms", "unwished_ms", "is_on"),
    [(None, None, False), (5, None, True), (5, 6, False), (5, 5, False), (6, 5, True), (None, 5, False)],
)
def test_removal_wins_a_tie_on_the_wishlist(
    wished_ms: int | None, unwished_ms: int | None, is_on: bool
) -> None:
    assert is_wished(Preference(wished_ms=wished_ms, unwished_ms=unwished_ms)) is is_on


@given(streams, st.randoms())
def test_any_order_and_any_repetition_gives_the_last_write(events, random) -> None:
    expected = plain(events)
    events = events + random.choices(events, k=5)
    random.shuffle(events)
    assert stored(folded(events)).items == expected


@given(st.tuples(streams, streams, streams))
def test_merge_is_as_if_one_user_had_said_all(parts) -> None:
    assert_merge_laws(folded, merge, lambda state: state.items, parts)
    a, b, _ = parts
    assert merge(folded(a), folded(b)).items == plain(a + b)


def test_items_longest_untouched_go() -> None:
    state = folded([a_rate(item=str(n)) for n in range(MAX_ITEMS)])
    state = wish(state, a_wishlist(item="0", time_ms=1))
    state = blacklist(state, a_blacklist(item="new"))
    assert len(state.items) == MAX_ITEMS
    assert {"1/0", "1/new"} <= state.items.keys()
    assert "1/1" not in state.items
    assert len(merge(state, folded([a_rate(item="moved")])).items) == MAX_ITEMS
