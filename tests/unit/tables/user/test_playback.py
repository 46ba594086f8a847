"""Only played time counts, and only once, whatever seeks and clocks the player reports."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.model import Playback
from tables.base.table_spec import Stretch
from tables.transfers import absorb, decode, encode
from tables.user import consumed, playback
from tables.user.identity import Transfer
from tables.user.playback import (
    MAX_GAP_MS,
    MAX_PLAYED_ITEMS,
    MAX_RANGES,
    MAX_SESSIONS,
    HeartbeatEffect,
    PlaybackState,
    fold_heartbeat,
    merge,
    percentage,
    percentages,
    unite,
)
from tests.support.builders import NOW_MS, a_playback
from tests.support.laws import assert_merge_laws, stored

DURATION_MS = 100_000


def beat(at_s: float, position_s: float, state: str = "playing", **more: Any) -> Playback:
    """Build a heartbeat at a time of the player's clock and a position in an item of 100 s."""
    at_ms = NOW_MS + round(at_s * 1_000)
    return a_playback(
        **{
            "created_ms": at_ms,
            "received_ms": at_ms,
            "time_ms": at_ms,
            "position_ms": round(position_s * 1_000),
            "state": state,
            **more,
        }
    )


def heard(*events: Playback) -> tuple[PlaybackState, list[HeartbeatEffect | None]]:
    state: PlaybackState | None = None
    added = []
    for event in events:
        state, one = fold_heartbeat(state, event)
        added.append(one)
    assert state is not None
    return state, added


def ranges(*events: Playback) -> list[int]:
    return heard(*events)[0].items["1/1"].ranges


@pytest.mark.parametrize(
    ("events", "expected_s"),
    [
        ([beat(0, 0)], []),
        ([beat(0, 0), beat(10, 10)], [0, 10]),
        ([beat(0, 0), beat(10, 10), beat(20, 20, "ended")], [0, 20]),
        ([beat(0, 0), beat(10, 10, "paused"), beat(60, 10), beat(70, 20)], [0, 20]),
        ([beat(0, 0, "paused"), beat(10, 10)], []),
        ([beat(0, 0, "buffering"), beat(10, 10)], []),
        ([beat(0, 0, "seeking"), beat(10, 10)], []),
        ([beat(0, 0), beat(5, 5), beat(6, 60), beat(10, 64)], [0, 5, 60, 64]),  # a seek forward
        ([beat(0, 50), beat(10, 60), beat(11, 0), beat(21, 10)], [0, 10, 50, 60]),  # a seek backward
        ([beat(0, 0), beat(10, 10), beat(11, 0), beat(21, 10)], [0, 10]),  # played twice, counted once
        ([beat(0, 0, rate=2.0), beat(10, 20)], [0, 20]),
        ([beat(0, 0, rate=2.5), beat(10, 25)], []),  # fast-forwarding
        ([beat(0, 0, rate=8.0), beat(10, 10)], []),
        ([beat(0, 0, rate=1.0), beat(10, 25)], []),  # a seek without a report
        ([beat(0, 0, rate=0.0), beat(10, 0.5)], []),
        ([beat(0, 50, rate=-1.0), beat(10, 40)], []),
        ([beat(0, 0), beat(10, 11.5)], [0, 11.5]),  # timers are late
        ([beat(0, 0), beat(10, 11.6)], []),
        ([beat(0, 0), beat(10, 4)], [0, 4]),  # stalled in between
        ([beat(0, 0), beat(300, 90)], [0, 90]),
        ([beat(0, 0), beat(301, 90)], []),  # a gap too long to count
        ([beat(0, 90), beat(20, 110)], [90, 100]),  # beyond the end
        ([beat(0, 0), beat(10, 10), beat(10, 10), beat(5, 5), beat(20, 20)], [0, 20]),
        ([beat(0, 0), beat(10, 10, session="t"), beat(20, 20)], [0, 20]),
        ([beat(0, 0), beat(10, 40, session="t"), beat(20, 50, session="t")], [40, 50]),
    ],
)
def test_only_what_was_played_counts(events: list[Playback], expected_s: list[float]) -> None:
    assert ranges(*events) == [round(at * 1_000) for at in expected_s]


def test_time_buffered_and_paused_is_counted_apart() -> None:
    added = heard(beat(0, 0), beat(10, 9, "buffering"), beat(13, 9, "paused"), beat(33, 9), beat(34, 10))[1]
    assert [one and one[:3] for one in added] == [
        (0, 0, 0),
        (9_000, 0, 0),
        (0, 3_000, 0),
        (0, 0, 20_000),
        (1_000, 0, 0),
    ]


def test_percentage_is_of_the_length_without_credits() -> None:
    assert heard(beat(0, 0), beat(45, 45))[1][-1] == HeartbeatEffect(45_000, percentage=45)
    assert heard(beat(0, 0, credits_ms=50_000), beat(45, 45, credits_ms=50_000))[1][-1] == HeartbeatEffect(
        45_000, percentage=90
    )
    rolled = heard(beat(0, 0, credits_ms=50_000), beat(100, 100, "ended", credits_ms=50_000))[1][-1]
    assert rolled == HeartbeatEffect(100_000, percentage=100)
    assert heard(beat(0, 0, credits_ms=0), beat(9, 9, credits_ms=0))[1][-1] == HeartbeatEffect(
        9_000, percentage=0
    )


def test_clock_that_was_set_back_costs_one_gap() -> None:
    back = [beat(0, 0), beat(10, 10)]
    back += [beat(at - 3_600, at, received_ms=NOW_MS + at * 1_000) for at in (20, 309, 311, 321)]
    assert ranges(*back) == [0, 10_000]
    later = [beat(at - 3_600, at - 300, received_ms=NOW_MS + at * 1_000) for at in (311, 321)]
    assert ranges(*back[:2], *later) == [0, 10_000, 11_000, 21_000]


def test_clock_that_says_anything_can_be_moved_by_a_login() -> None:
    for created_ms in (10**15, -(10**15), 2**63 - 1):
        state, _ = heard(beat(0, 0, created_ms=created_ms))
        transfer = Transfer("00000", "k1.a", "k1.b", 1, NOW_MS, NOW_MS, Stretch({"playback": state}))
        assert decode(encode(transfer)) == transfer


def test_oldest_items_sessions_and_shortest_ranges_go() -> None:
    state, _ = heard(*(beat(n, 0, item=str(n), session=str(n)) for n in range(MAX_PLAYED_ITEMS + 1)))
    assert len(state.items) == MAX_PLAYED_ITEMS
    assert "1/0" not in state.items
    state, _ = heard(*(beat(n, 0, session=str(n)) for n in range(9)))
    assert list(state.items["1/1"].sessions) == [str(n) for n in range(9 - MAX_SESSIONS, 9)]
    union: list[int] = []
    for n in range(MAX_RANGES + 5):
        unite(union, n * 10_000, n * 10_000 + 100 + n)
    assert len(union) == 2 * MAX_RANGES
    assert union[0] == 50_000


# --- laws ------------------------------------------------------------------------------------------------------------------------

spans = st.lists(
    st.tuples(st.integers(0, 100), st.integers(1, 20)).map(lambda s: (s[0], s[0] + s[1])), max_size=20
)


@given(spans, st.randoms())
def test_union_is_the_set_of_what_was_played_in_any_order(played: list[tuple[int, int]], random: Any) -> None:
    expected = {second for start, end in played for second in range(start, end)}
    again = played + random.choices(played, k=3) if played else []
    random.shuffle(again)
    union: list[int] = []
    for start, end in again:
        unite(union, start, end)
    assert {s for at in range(0, len(union), 2) for s in range(union[at], union[at + 1])} == expected
    assert all(a < b for a, b in pairwise(union))


beats = st.builds(
    lambda at, position, state, rate, session, credits_ms: beat(
        at, position, state, rate=rate, session=session, credits_ms=credits_ms
    ),
    st.integers(-400, 400),
    st.integers(0, 130),
    st.sampled_from(("playing", "playing", "paused", "buffering", "seeking", "ended")),
    st.sampled_from((1.0, 1.0, 2.0, 4.0, 0.0, -1.0)),
    st.sampled_from("st"),
    st.sampled_from((None, 0, 80_000, 100_000)),
)
streams = st.lists(beats, min_size=1, max_size=30)


@given(streams)
def test_union_never_exceeds_the_duration_and_only_grows(events: list[Playback]) -> None:
    state: PlaybackState | None = None
    covered = 0
    for event in events:
        state, _ = fold_heartbeat(state, event)
        played = stored(state).items["1/1"]
        now = sum(played.ranges[1::2]) - sum(played.ranges[::2])
        assert covered <= now <= DURATION_MS
        assert played.ranges == sorted(played.ranges)
        assert 0 <= percentage(played) <= 100
        covered = now


@given(streams, st.data())
def test_heartbeat_that_comes_again_or_late_changes_nothing(events: list[Playback], data: Any) -> None:
    events = sorted(events, key=lambda event: event.created_ms or 0)
    state, _ = heard(*events)
    before = stored(state)
    again = data.draw(st.sampled_from(events))
    if max(e.received_ms for e in events if e.session == again.session) - again.received_ms <= MAX_GAP_MS:
        state, added = fold_heartbeat(state, again)
        assert added is None
        assert state == before


@given(st.tuples(streams, streams, streams))
def test_merge_is_the_union_in_every_order(parts: Any) -> None:
    assert_merge_laws(lambda part: heard(*part)[0], merge, percentages, parts)


def test_login_makes_one_percentage_of_two_halves() -> None:
    def watched(start: int, user: str) -> Stretch:
        stretch = Stretch()
        for event in (beat(0, start, session=user), beat(50, start + 50, session=user)):
            stretch[playback.TABLE], one = fold_heartbeat(stretch[playback.TABLE], event)
            assert one is not None
            stretch[consumed.TABLE] = consumed.play(stretch[consumed.TABLE], event, one)
        return stretch

    both = absorb(watched(0, "a"), watched(50, "b"))
    assert both[consumed.TABLE] is not None
    entry = both[consumed.TABLE].items["1/1"]
    assert (entry.percentage, entry.played_ms) == (100, 100_000)
