"""Sessions and spans follow from the kept times of showings."""

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.model import Rendered, Viewed
from tables.user.rendered import RenderedState, ShownItems
from tables.user.shown_bytes import MAX_TIMES, Shown
from tables.user.shown_spans import SILENCE_MS, session_start_ms, show_times, shown_within
from tests.support.builders import MINUTE_MS, NOW_MS, a_rendered, a_viewed
from tests.support.showings import show

times = st.integers(0, 40).map(lambda step: NOW_MS + step * 10 * MINUTE_MS)
lists = st.lists(st.sampled_from("12345"), min_size=1, max_size=4).map(tuple)
showings = st.builds(lambda t, i: a_rendered(time_ms=t, items=i), times, lists)
viewings = st.builds(lambda t, i: a_viewed(time_ms=t, items=i), times, lists)
streams = st.lists(showings | viewings, min_size=1, max_size=60)


def folded(events: list[Rendered | Viewed]) -> RenderedState:
    state = RenderedState()
    for event in events:
        state = show(state, event)
    return state


def items_of(state: RenderedState) -> dict[str, Shown]:
    return dict(ShownItems(state))


def times_of(state: RenderedState) -> list[int]:
    return list(show_times(ShownItems(state)))


@given(streams, times | st.none(), times)
def test_span_counts_each_showing_in_it(events, since_ms: int | None, as_of_ms: int) -> None:
    all_times: dict[str, list[int]] = defaultdict(list)
    for event in events:
        if isinstance(event, Rendered):
            for item in set(event.items):
                all_times[f"1/{item}"].append(event.time_ms)
    for key, shown in items_of(folded(events)).items():
        after = sum(t > as_of_ms for t in all_times[key])
        plain = sum(t <= as_of_ms and (since_ms is None or t > since_ms) for t in all_times[key])
        if after < MAX_TIMES:  # else the times asked for are older than the kept ones
            assert shown_within(shown, since_ms, as_of_ms) == plain or (
                plain > shown_within(shown, since_ms, as_of_ms) == MAX_TIMES - after
            )


@pytest.mark.parametrize(
    ("since_ms", "as_of_ms", "count"),
    [
        (None, 100, 3),
        (None, 30, 3),
        (None, 29, 2),
        (None, 9, 0),
        (10, 30, 2),  # the span is open at its beginning ...
        (9, 30, 3),
        (9, 10, 1),  # ... and closed at its end
        (20, 20, 0),
        (30, 20, 0),
    ],
)
def test_span_is_half_open(since_ms: int | None, as_of_ms: int, count: int) -> None:
    assert shown_within(Shown(3, 10, [10, 20, 30]), since_ms, as_of_ms) == count


def test_span_from_before_the_first_showing_counts_more_than_the_kept_times() -> None:
    shown = items_of(folded([a_rendered(items=("1",), time_ms=t) for t in range(100, 200)]))["1/1"]
    assert shown_within(shown, 0, 500) == 100
    assert shown_within(shown, 0, 190) == 91
    assert shown_within(shown, 150, 500) == MAX_TIMES  # a limited span saturates


def test_viewing_is_in_no_span() -> None:
    state = folded([a_viewed(items=("1",), time_ms=5)])
    assert shown_within(items_of(state)["1/1"], None, 10) == 0


@pytest.mark.parametrize(
    ("minutes", "as_of", "start"),
    [
        ([0], 0, 0),
        ([0], 29, 0),
        ([0], 30, None),  # 30 min of silence ended it
        ([0, 29], 58, 0),
        ([0, 30], 58, 30),
        ([0, 20, 40, 100, 110], 110, 100),
        ([0, 20, 40, 100, 110], 50, 0),  # as_of looks back into an earlier session
        ([0, 20, 40, 100, 110], 95, None),
        ([10], 5, None),
    ],
)
def test_silence_ends_a_session(minutes: list[int], as_of: int, start: int | None) -> None:
    state = folded([a_rendered(items=(str(m % 3),), time_ms=NOW_MS + m * MINUTE_MS) for m in minutes])
    expected = None if start is None else NOW_MS + start * MINUTE_MS
    assert session_start_ms(times_of(state), NOW_MS + as_of * MINUTE_MS) == expected


@given(st.lists(showings, min_size=1, max_size=12), times)
def test_session_is_the_run_of_showings_up_to_as_of(events: list[Rendered], as_of_ms: int) -> None:
    before = sorted(event.time_ms for event in events if event.time_ms <= as_of_ms)
    start = None
    for earlier, later in zip([None, *before], [*before, as_of_ms], strict=False):
        if earlier is None or later - earlier >= SILENCE_MS:
            start = later
    expected = start if before and as_of_ms - before[-1] < SILENCE_MS else None
    assert session_start_ms(times_of(folded(events)), as_of_ms) == expected
