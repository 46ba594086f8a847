"""The index of windows that are not final: its members, their places, and windows that are final at once."""

import pytest

from tables.ctr.open_windows import adopt, due_range, history_range, row_key, track, window_row
from tables.ctr.panes import Counts
from tables.ctr.window_keys import MAX_TIME_MS, SCENARIO, WindowKey
from tables.ctr.windows import GRANULARITY_MS, HISTORY_LANE, LIVE_LANE, WindowState, end_ms

T = 1_699_999_200_000  # the start of an hour
GRACE_MS = 600_000
OVER_MS = T + 60_000 + GRACE_MS
LIVE_EVENT, OF_HISTORY = False, True


def a_key(granularity: str = "minute", start_ms: int = T) -> WindowKey:
    return WindowKey("c", "s\x1f", SCENARIO, granularity, start_ms)


def a_window(lane: int = 0, is_final: bool = False, revision: int = 0) -> WindowState:
    return WindowState(Counts(clicks=1), revision, is_final, lane=lane)


KEY = a_key()


@pytest.mark.parametrize(
    ("lane", "is_history", "watermark_ms", "rows", "lane_after", "final_and_revision"),
    [
        (0, LIVE_EVENT, OVER_MS - 1, {row_key(LIVE_LANE, KEY): 0}, LIVE_LANE, (False, 0)),
        (LIVE_LANE, LIVE_EVENT, OVER_MS - 1, {}, LIVE_LANE, (False, 0)),
        (LIVE_LANE, OF_HISTORY, OVER_MS - 1, {}, LIVE_LANE, (False, 0)),
        (0, OF_HISTORY, OVER_MS - 1, {row_key(HISTORY_LANE, KEY): 0}, HISTORY_LANE, (False, 0)),
        (0, OF_HISTORY, OVER_MS, {row_key(HISTORY_LANE, KEY): 0}, HISTORY_LANE, (False, 0)),
        (HISTORY_LANE, OF_HISTORY, OVER_MS, {}, HISTORY_LANE, (False, 0)),
        (
            HISTORY_LANE,
            LIVE_EVENT,
            0,
            {row_key(HISTORY_LANE, KEY): None, row_key(LIVE_LANE, KEY): 0},
            LIVE_LANE,
            (False, 0),
        ),
        (0, LIVE_EVENT, OVER_MS, {}, LIVE_LANE, (True, 1)),
        (LIVE_LANE, LIVE_EVENT, OVER_MS, {row_key(LIVE_LANE, KEY): None}, LIVE_LANE, (True, 1)),
        (LIVE_LANE, OF_HISTORY, OVER_MS, {row_key(LIVE_LANE, KEY): None}, LIVE_LANE, (True, 1)),
        (HISTORY_LANE, LIVE_EVENT, OVER_MS, {row_key(HISTORY_LANE, KEY): None}, LIVE_LANE, (True, 1)),
    ],
)
def test_window_waits_for_the_watermark_or_for_history_and_what_is_late_revises_it(
    lane: int,
    is_history: bool,
    watermark_ms: int,
    rows: dict[bytes, int | None],
    lane_after: int,
    final_and_revision: tuple[bool, int],
) -> None:
    state = a_window(lane)
    assert track(state, KEY, is_history, watermark_ms, GRACE_MS) == rows
    assert (state.lane, (state.is_final, state.revision)) == (lane_after, final_and_revision)


def test_final_window_is_left_as_it_is() -> None:
    state = a_window(LIVE_LANE, is_final=True, revision=3)
    assert track(state, KEY, LIVE_EVENT, OVER_MS, GRACE_MS) == {}
    assert state.revision == 3


@pytest.mark.parametrize("granularity", GRANULARITY_MS)
def test_window_is_due_when_the_watermark_has_passed_its_end_and_grace(granularity: str) -> None:
    key = a_key(granularity, T - T % GRANULARITY_MS[granularity])
    row = row_key(LIVE_LANE, key)
    assert window_row(row) == key.encode()
    for before_ms, is_due in ((1, False), (0, True)):
        start, stop = due_range(end_ms(key) + GRACE_MS - before_ms, GRACE_MS)
        assert (start <= row < stop) is is_due


def test_ranges_hold_their_own_lane_only_and_history_all_of_it() -> None:
    rows = [
        row_key(lane, a_key(start_ms=at)) for lane in (LIVE_LANE, HISTORY_LANE) for at in (0, T, MAX_TIME_MS)
    ]
    start, stop = history_range()
    assert [start <= row < stop for row in rows] == [False] * 3 + [True] * 3
    start, stop = due_range(MAX_TIME_MS, 0)
    assert [start <= row < stop for row in rows] == [True, True, False] + [False] * 3
    start, stop = due_range(0, GRACE_MS)
    assert not any(start <= row < stop for row in rows)


def test_window_of_before_the_index_is_taken_in_or_final_without_a_revision() -> None:
    state = a_window()
    assert adopt(state, KEY, OVER_MS - 1, GRACE_MS) == {row_key(LIVE_LANE, KEY): 0}
    assert (state.lane, state.is_final) == (LIVE_LANE, False)
    state = a_window()
    assert adopt(state, KEY, OVER_MS, GRACE_MS) == {}
    assert (state.is_final, state.revision) == (True, 0)
