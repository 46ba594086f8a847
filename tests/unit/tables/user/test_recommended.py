"""An impression or click finds the list that the back end served, while the state stays bounded."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.model import Recommended
from tables.user.recommended import (
    FIND_MS,
    LIST_KEEP_MS,
    MAX_LISTED_ITEMS,
    MAX_LISTS,
    RecommendedState,
    Served,
    find,
    serve,
)
from tests.support.builders import DAY_MS, HOUR_MS, NOW_MS, a_recommended, a_served_list
from tests.support.laws import stored


def served(*events: Recommended) -> RecommendedState:
    state: RecommendedState | None = None
    for event in events:
        state = serve(state, event)
    assert state is not None
    return stored(state)


def test_item_is_found_with_all_that_was_served() -> None:
    lists = (
        a_served_list(items=("1", "2"), scenario="top", row=0, variant="a"),
        a_served_list(items=("3", "4"), scenario="more", row=1, itemtype=2),
    )
    state = served(a_recommended(request_id="r9", lists=lists, variant="b", experiment="e", time_ms=NOW_MS))
    assert find(state, "1/2", None, NOW_MS) == Served("top", "a", "e", "r9", 0, 1, NOW_MS)
    assert find(state, "2/3", "r9", NOW_MS) == Served("more", "b", "e", "r9", 1, 0, NOW_MS)


@pytest.mark.parametrize(("key", "request_id"), [("1/9", None), ("2/1", None), ("1/1", "other")])
def test_what_was_not_served_is_not_found(key: str, request_id: str | None) -> None:
    assert find(served(a_recommended()), key, request_id, NOW_MS) is None


@pytest.mark.parametrize(
    ("after_ms", "is_found"), [(-1, False), (0, True), (FIND_MS, True), (FIND_MS + 1, False)]
)
def test_list_explains_what_happens_within_24_hours_after_it(after_ms: int, is_found: bool) -> None:
    assert (find(served(a_recommended()), "1/1", None, NOW_MS + after_ms) is not None) is is_found


@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.sampled_from("12"), st.sampled_from("rs")), min_size=1, max_size=20
    ),
    st.integers(0, 60),
    st.none() | st.sampled_from("rs"),
)
def test_latest_list_is_found_and_at_a_tie_the_later_in_the_log(
    calls, at: int, request_id: str | None
) -> None:
    state = served(
        *(
            a_recommended(
                time_ms=NOW_MS + t * HOUR_MS,
                received_ms=NOW_MS,
                request_id=r,
                lists=(a_served_list(items=(item,), scenario=str(n)),),
            )
            for n, (t, item, r) in enumerate(calls)
        )
    )
    fits = [
        (t, n)
        for n, (t, item, r) in enumerate(calls)
        if item == "1" and at - 24 <= t <= at and request_id in {None, r}
    ]
    found = find(state, "1/1", request_id, NOW_MS + at * HOUR_MS)
    assert (found and found.scenario) == (str(max(fits)[1]) if fits else None)


def test_repeated_call_changes_no_answer() -> None:
    once, twice = served(a_recommended()), served(a_recommended(), a_recommended())
    assert find(once, "1/1", None, NOW_MS) == find(twice, "1/1", None, NOW_MS)


def test_oldest_in_the_log_go_beyond_the_number() -> None:
    state = served(*(a_recommended(time_ms=NOW_MS - n, received_ms=NOW_MS) for n in range(MAX_LISTS + 3)))
    assert [each.time_ms for each in state.lists] == [NOW_MS - n for n in range(3, MAX_LISTS + 3)]


def test_age_is_counted_by_receipt() -> None:
    old_event = a_recommended(time_ms=NOW_MS - 300 * DAY_MS, received_ms=NOW_MS)
    assert len(served(old_event, a_recommended(time_ms=NOW_MS + LIST_KEEP_MS)).lists) == 2
    assert len(served(old_event, a_recommended(time_ms=NOW_MS + LIST_KEEP_MS + 1)).lists) == 1


def test_call_without_lists_is_nothing() -> None:
    assert served(a_recommended(lists=())).lists == []


@pytest.mark.parametrize("length", [1_000, MAX_LISTED_ITEMS * 3])
def test_long_lists_are_bounded_in_all_and_the_latest_stays(length: int) -> None:
    items = tuple(map(str, range(length)))
    state = served(*(a_recommended(lists=(a_served_list(items=items),)) for _ in range(MAX_LISTS)))
    assert sum(len(each.items) for each in state.lists) <= max(MAX_LISTED_ITEMS, length)
    assert find(state, f"1/{length - 1}", None, NOW_MS) is not None
    assert len(msgspec.msgpack.encode(state)) < 1_000_000
