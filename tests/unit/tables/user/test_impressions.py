"""A click finds its impression and a conversion its click, while the state stays bounded."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tables.user.impressions import (
    CONVERSION_MS,
    JOIN_MS,
    KEEP_CLICKS_MS,
    KEEP_IMPRESSIONS_MS,
    MAX_CALLS,
    MAX_CLICKS,
    MAX_IMPRESSIONS,
    MAX_SHOWN_ITEMS,
    Impression,
    ImpressionsState,
    RecommendedClick,
    call_of,
    converts,
    impression_of,
    impressions_of,
    is_new_call,
    is_reported,
    join,
    remember,
    remember_click,
)
from tests.support.builders import DAY_MS, MINUTE_MS, NOW_MS, a_rendered
from tests.support.laws import stored

times = st.integers(0, 10).map(lambda step: NOW_MS + step * 10 * MINUTE_MS)


def an_impression(
    time_ms: int = NOW_MS,
    items: tuple[str, ...] = ("1", "2"),
    scenario: str = "home",
    request_id: str | None = None,
    itemtype: int = 1,
    received_ms: int | None = None,
) -> Impression:
    received_ms = time_ms if received_ms is None else received_ms
    return Impression(time_ms, received_ms, itemtype, list(items), scenario, request_id=request_id)


def a_counted_click(time_ms: int = NOW_MS, key: str = "1/1", scenario: str = "home") -> RecommendedClick:
    return RecommendedClick(time_ms, time_ms, key, time_ms, scenario)


def remembered(*impressions: Impression) -> ImpressionsState:
    state: ImpressionsState | None = None
    for impression in impressions:
        state = remember(state, impression, impression.received_ms)
    assert state is not None
    return stored(state)


def clicked(*clicks: RecommendedClick) -> ImpressionsState:
    state: ImpressionsState | None = None
    for click in clicks:
        state = remember_click(state, click, click.received_ms)
    assert state is not None
    return stored(state)


def test_impression_is_the_event_as_sent() -> None:
    event = a_rendered(
        items=("7", "8"),
        itemtype=2,
        scenario="s",
        variant="v",
        experiment="e",
        row=3,
        rank=4,
        request_id="r",
        time_ms=5,
        received_ms=6,
    )
    assert impression_of(event) == Impression(5, 6, 2, ["7", "8"], "s", "v", "e", 3, 4, "r")


@pytest.mark.parametrize(
    ("click_after_ms", "is_joined"), [(-1, False), (0, True), (JOIN_MS, True), (JOIN_MS + 1, False)]
)
def test_click_joins_at_most_30_minutes_back(click_after_ms: int, is_joined: bool) -> None:
    state = remembered(an_impression())
    assert (join(state, "1/2", None, NOW_MS + click_after_ms) is not None) is is_joined


def test_join_gives_the_place_in_the_list() -> None:
    joined = join(remembered(an_impression(items=("5", "6", "7"))), "1/7", None, NOW_MS)
    assert joined is not None
    assert joined[1] == 2


@pytest.mark.parametrize("key", ["1/9", "2/1"])
def test_item_that_was_not_shown_joins_nothing(key: str) -> None:
    assert join(remembered(an_impression()), key, None, NOW_MS) is None


def test_request_id_chooses_among_impressions_and_must_match() -> None:
    state = remembered(
        an_impression(NOW_MS, scenario="asked", request_id="r1"),
        an_impression(NOW_MS + 1, scenario="later", request_id="r2"),
    )
    joined = join(state, "1/1", "r1", NOW_MS + 2)
    assert joined is not None
    assert joined[0].scenario == "asked"
    assert join(state, "1/1", "r3", NOW_MS + 2) is None
    latest = join(state, "1/1", None, NOW_MS + 2)
    assert latest is not None
    assert latest[0].scenario == "later"


@given(st.lists(st.tuples(times, st.sampled_from("123")), min_size=1, max_size=20), times)
def test_click_joins_the_latest_and_at_a_tie_the_later_in_the_log(shown, click_ms: int) -> None:
    state = remembered(
        *(an_impression(t, (item,), scenario=str(n), received_ms=NOW_MS) for n, (t, item) in enumerate(shown))
    )
    fits = [
        (t, n) for n, (t, item) in enumerate(shown) if item == "1" and click_ms - JOIN_MS <= t <= click_ms
    ]
    joined = join(state, "1/1", None, click_ms)
    assert (joined and joined[0].scenario) == (str(max(fits)[1]) if fits else None)


@given(st.lists(st.tuples(times, st.sampled_from("12")), min_size=1, max_size=20), times)
def test_conversion_follows_from_the_latest_click_within_the_hour(clicks, time_ms: int) -> None:
    state = clicked(*(a_counted_click(t, f"1/{item}", str(n)) for n, (t, item) in enumerate(clicks)))
    fits = [
        (t, n)
        for n, (t, item) in enumerate(clicks)
        if item == "1" and time_ms - CONVERSION_MS <= t <= time_ms
    ]
    click = converts(state, "1/1", time_ms)
    assert (click and click.scenario) == (str(max(fits)[1]) if fits else None)


def test_repeated_impression_changes_no_answer() -> None:
    once, twice = remembered(an_impression()), remembered(an_impression(), an_impression())
    assert join(once, "1/1", None, NOW_MS) == join(twice, "1/1", None, NOW_MS)


def test_oldest_in_the_log_go_beyond_the_number() -> None:
    state = remembered(*(an_impression(NOW_MS - n, received_ms=NOW_MS) for n in range(MAX_IMPRESSIONS + 3)))
    assert [i.time_ms for i in impressions_of(state)] == [NOW_MS - n for n in range(3, MAX_IMPRESSIONS + 3)]
    state = clicked(*(a_counted_click(NOW_MS + n) for n in range(MAX_CLICKS + 3)))
    assert [c.time_ms for c in state.clicks] == [NOW_MS + n for n in range(3, MAX_CLICKS + 3)]


def test_age_is_counted_by_receipt_not_by_event_time() -> None:
    old_event = an_impression(NOW_MS - 300 * DAY_MS, received_ms=NOW_MS)
    state = remembered(old_event)
    state = remember(state, an_impression(NOW_MS), NOW_MS + KEEP_IMPRESSIONS_MS)
    assert len(impressions_of(state)) == 2
    state = remember(state, an_impression(NOW_MS + DAY_MS * 2), NOW_MS + KEEP_IMPRESSIONS_MS + 1)
    assert [i.time_ms for i in impressions_of(state)] == [NOW_MS + DAY_MS * 2]


def test_clicks_go_after_25_hours_of_receipt() -> None:
    state = clicked(a_counted_click(NOW_MS))
    state = remember_click(state, a_counted_click(NOW_MS + 1), NOW_MS + KEEP_CLICKS_MS)
    assert len(state.clicks) == 2
    state = remember_click(state, a_counted_click(NOW_MS + DAY_MS * 2), NOW_MS + KEEP_CLICKS_MS + 1)
    assert len(state.clicks) == 2  # the click of NOW_MS + 1 may still stay


def test_what_a_late_click_may_join_is_never_too_old() -> None:
    """A click is at most 24 h late; its impression is at most 30 min older and was received after it happened."""
    shown_ms = NOW_MS
    clicked_ms = shown_ms + JOIN_MS
    click_received_ms = clicked_ms + DAY_MS
    state = remembered(an_impression(shown_ms))
    state = remember(state, an_impression(click_received_ms, ("9",)), click_received_ms)
    assert join(state, "1/1", None, clicked_ms) is not None


@pytest.mark.parametrize("length", [51, 1_000, MAX_SHOWN_ITEMS, MAX_SHOWN_ITEMS * 3])
def test_long_lists_are_bounded_in_all_and_the_latest_stays(length: int) -> None:
    items = tuple(map(str, range(length)))
    state = remembered(*(an_impression(NOW_MS + n, items) for n in range(MAX_IMPRESSIONS)))
    assert sum(len(i.items) for i in impressions_of(state)) <= max(MAX_SHOWN_ITEMS, length)
    assert join(state, f"1/{length - 1}", None, NOW_MS + MAX_IMPRESSIONS) is not None
    assert len(msgspec.msgpack.encode(state)) < 1_000_000


def test_each_scenario_of_a_request_is_a_new_call_once() -> None:
    state = remembered(an_impression())
    assert [is_new_call(state, call_of("r", scenario)) for scenario in ("home", "home", "basket", None)] == [
        True,
        False,
        True,
        True,
    ]
    assert not is_new_call(stored(state), call_of("r", None))


def test_calls_stay_bounded_and_the_oldest_go() -> None:
    state = remembered(an_impression())
    for number in range(MAX_CALLS + 1):
        is_new_call(state, call_of(str(number), "s"))
    assert state.calls.count(b"\xc1") == MAX_CALLS
    assert not is_reported(state, call_of("0", "s"))
    assert is_new_call(state, call_of("0", "s"))
    assert is_reported(state, call_of("0", "s"))
    assert not is_new_call(state, call_of(str(MAX_CALLS), "s"))
