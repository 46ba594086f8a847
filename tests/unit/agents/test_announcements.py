"""A partition announces its progress: on a change, and as a heartbeat; it never announces more than it has read."""

import msgspec
import pytest

from agents.announcements import HEARTBEAT, Announcer
from agents.ports import Reach
from events.topics import HISTORY, JOURNAL, PARTIALS
from tables.ctr import partials
from tables.ctr.window_keys import PANE_MS

CAUGHT_UP_MS, FLUSH_MS = 10_000, 1_000
MINUTE = 28_333_333
NEWEST_MS = MINUTE * PANE_MS


class Consumer:
    """A consumer at given positions; by default at the end of what it can read."""

    def __init__(self) -> None:
        self.at: dict[str, Reach | None] = {}

    def reach(self, topic: str, partition: int) -> Reach | None:
        assert partition == 1
        return self.at.get(topic, Reach(0, 0, 0))


class Bench:
    """An announcer of partition 1 of 3 that is checked once a second."""

    def __init__(self) -> None:
        self.consumer = Consumer()
        self.now_ms = 3_000_000
        self.positions: dict[str, int] = {}
        self.newest_ms = NEWEST_MS
        self.announcer = Announcer(1, 3, self.consumer, CAUGHT_UP_MS, FLUSH_MS, lambda: self.now_ms)

    def take(self) -> list[tuple[int, bool, bool]]:
        """Return what a flush announces to partition 2, in order: (newest, live lane read, history lane read)."""
        first, last = self.announcer.take(self.positions, self.newest_ms)
        assert [each.partition for each in (*first, *last)] == [0, 1, 2] * (bool(first) + bool(last))
        assert {each.topic for each in (*first, *last)} <= {PARTIALS}
        told = [partials.decode(each.value or b"") for each in (*first, *last) if each.partition == 2]
        for each in told:
            assert (each.partition, each.panes) == (1, [])
        return [
            (each.watermark_ms, each.lanes.live, each.lanes.history)
            for each in told
            if each.lanes is not msgspec.UNSET
        ]

    def wait(self, ms: int) -> list[tuple[int, bool, bool]]:
        """Let time pass, with a check each second; return the announcement of the last check."""
        told = []
        for _ in range(ms // FLUSH_MS):
            self.now_ms += FLUSH_MS
            told = self.take() if self.announcer.is_due(self.positions, self.newest_ms) else []
        return told


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.take()
    return bench


def test_first_flush_announces_a_partition_that_may_lag() -> None:
    bench = Bench()
    assert bench.announcer.is_due({}, 0)
    bench.newest_ms = 0
    assert bench.take() == [(0, False, False)]
    assert not bench.announcer.is_due({}, 0)


def test_lanes_are_read_after_a_silence_and_not_before(bench: Bench) -> None:
    assert bench.wait(CAUGHT_UP_MS - FLUSH_MS) == []
    assert bench.wait(FLUSH_MS) == [(NEWEST_MS, True, True)]


@pytest.mark.parametrize(
    "reach",
    [
        pytest.param(None, id="the end is not known"),
        pytest.param(Reach(8, 7, 7), id="there is more on the broker"),
        pytest.param(Reach(8, 8, 8), id="what was fetched is not folded"),
    ],
)
def test_lane_that_lags_is_not_read(bench: Bench, reach: Reach | None) -> None:
    bench.positions[JOURNAL] = 7
    bench.consumer.at[JOURNAL] = reach
    assert bench.wait(2 * CAUGHT_UP_MS) in ([], [(NEWEST_MS, False, True)])
    assert not bench.announcer._said.live


def test_commit_markers_at_the_end_are_nothing_to_read(bench: Bench) -> None:
    bench.positions[JOURNAL] = 7
    bench.consumer.at[JOURNAL] = Reach(9, 9, 7)
    bench.take()
    assert bench.wait(CAUGHT_UP_MS) == [(NEWEST_MS, True, True)]


def test_lane_that_is_read_no_more_is_told_before_the_counts_and_the_newest_time_after_them(
    bench: Bench,
) -> None:
    bench.wait(CAUGHT_UP_MS)
    bench.positions[HISTORY] = 1
    bench.newest_ms += PANE_MS
    assert bench.take() == [(0, True, False), (NEWEST_MS + PANE_MS, True, False)]


def test_silence_that_was_slept_through_does_not_count(bench: Bench) -> None:
    bench.wait(CAUGHT_UP_MS // 2)
    bench.now_ms += 20 * CAUGHT_UP_MS
    assert not any(live for _, live, _ in bench.take())
    bench.wait(CAUGHT_UP_MS)
    assert bench.announcer._said.live


def test_newest_time_is_told_once_a_pane(bench: Bench) -> None:
    bench.newest_ms += PANE_MS - 1
    assert not bench.announcer.is_due(bench.positions, bench.newest_ms)
    bench.newest_ms += 1
    assert bench.take() == [(NEWEST_MS + PANE_MS, False, False)]
    assert bench.take() == []


def test_heartbeats_of_a_silent_partition_come_at_the_same_moments_for_all(bench: Bench) -> None:
    bench.wait(CAUGHT_UP_MS)
    other = Announcer(1, 3, bench.consumer, CAUGHT_UP_MS, FLUSH_MS, lambda: bench.now_ms)
    for announcer in (bench.announcer, other):
        announcer.take({}, NEWEST_MS)
    bench.now_ms += HEARTBEAT * CAUGHT_UP_MS - bench.now_ms % (HEARTBEAT * CAUGHT_UP_MS) - 1
    for announcer in (bench.announcer, other):
        announcer.take({}, NEWEST_MS)  # the silence ends
    assert [each.is_due({}, NEWEST_MS) for each in (bench.announcer, other)] == [False, False]
    bench.now_ms += 1
    assert [each.is_due({}, NEWEST_MS) for each in (bench.announcer, other)] == [True, True]
