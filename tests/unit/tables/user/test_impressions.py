"""The log of impressions stays compact, and rows of the former format count as before."""

import pytest

from tables.user.elements import Impression, JoiningClick
from tables.user.impressions import (
    ImpressionsState,
    RecommendedClick,
    append,
    drop_impressions,
    impression_at,
    impression_of,
    impressions_of,
    oldest_received_ms,
    renew,
    replace,
)
from tests.support.builders import NOW_MS, a_rendered
from tests.support.laws import stored


def an_impression(time_ms: int = NOW_MS, received_ms: int | None = None) -> Impression:
    return Impression(time_ms, time_ms if received_ms is None else received_ms, 1, ["1", "2"], "home")


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


def test_log_keeps_the_order_and_drops_the_oldest() -> None:
    state = ImpressionsState()
    assert oldest_received_ms(state) is None
    for number in range(3):
        append(state, an_impression(NOW_MS - number, NOW_MS + number))
    state = stored(state)
    drop_impressions(state, [0])
    assert (impression_at(state, 0).time_ms, oldest_received_ms(state)) == (NOW_MS - 1, NOW_MS + 1)
    assert [each.time_ms for each in impressions_of(state)] == [NOW_MS - 1, NOW_MS - 2]
    append(state, an_impression(NOW_MS - 3))
    assert impression_at(state, 2).time_ms == NOW_MS - 3
    drop_impressions(state, [0, 2])
    assert ([each.time_ms for each in impressions_of(state)], state.kept) == ([NOW_MS - 2], 1)
    replace(state, [an_impression()])
    assert (state.kept, impressions_of(stored(state))) == (1, [an_impression()])


def test_clicks_of_the_former_format_become_clicks_and_conversions() -> None:
    former = RecommendedClick(NOW_MS, NOW_MS + 1, "1/1", NOW_MS - 5, "s", "v", 0, 2, ["basket", "purchases"])
    state = ImpressionsState(former_clicks=(former,))
    renew(state)
    assert state.former_clicks == ()
    assert state.clicks == (JoiningClick(NOW_MS, NOW_MS + 1, "1/1", None, "s", "v", 0, 2, number=1),)
    assert [each.counter for each in state.conversions] == ["basket"]


@pytest.mark.parametrize("call_ms", [None, 0, 1, NOW_MS - 1, NOW_MS, NOW_MS + 1])
def test_times_that_are_stored_short_are_read_back(call_ms: int | None) -> None:
    state = ImpressionsState()
    shown = an_impression()
    shown.call_ms = call_ms
    append(state, shown)
    assert shown.call_ms == call_ms
    [found] = impressions_of(stored(state))
    assert (found, found.received_ms) == (shown, shown.received_ms)
