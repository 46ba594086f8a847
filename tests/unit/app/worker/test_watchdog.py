"""A partition without progress whose lag grows raises an alarm, and in the end the process exits; nothing else does so."""

import pytest

from app.worker.watchdog import Sight, SourcePartition, StalledError, Watchdog
from events.topics import JOURNAL, TRANSFERS

A, B = SourcePartition(JOURNAL, 3), SourcePartition(TRANSFERS, 3)
STEP_MS = 10_000


class Watched:
    """A watchdog with a clock: a check every 10 s, an alarm after 60 s, the exit after 300 s."""

    def __init__(self, exit_ms: int = 300_000) -> None:
        self.watchdog = Watchdog(alarm_ms=60_000, exit_ms=exit_ms, interval_ms=STEP_MS)
        self.now_ms = 5
        self.lag = 0

    def look(self, position: int = 7, *, grows: int = 1, epoch: int = 0, after_ms: int = STEP_MS) -> int:
        """Check one partition once more; return the number of alarms."""
        self.now_ms += after_ms
        self.lag += grows
        return len(self.watchdog.look(self.now_ms, {A: Sight(epoch, position, self.lag)}))

    def look_for(self, seconds: int, position: int = 7, *, grows: int = 1, epoch: int = 0) -> int:
        return sum(self.look(position, grows=grows, epoch=epoch) for _ in range(seconds * 1000 // STEP_MS))

    @property
    def alarms(self) -> list[SourcePartition]:
        return [stall.place for stall in self.watchdog.alarms([3])]


def test_partition_that_stands_while_its_lag_grows_is_told_of_once_a_minute() -> None:
    watched = Watched()
    watched.look()
    assert watched.look_for(50) == 0
    assert watched.alarms == []
    assert watched.look() == 1
    assert watched.look_for(50) == 0
    assert watched.look() == 1
    assert watched.alarms == [A]
    assert watched.watchdog.alarms([0, 1]) == []  # another worker has it now


def test_alarm_names_partition_position_lag_and_causes() -> None:
    watched = Watched()
    watched.look(position=42)
    watched.look_for(60, position=42)
    (stall,) = watched.watchdog.alarms([3])
    for words in (
        "uptake.events partition 3",
        "has been stalled at 42",
        "60 s",
        "from 1 to 7",
        "Likely causes",
    ):
        assert words in str(stall)
    assert stall.as_dict() | {"message": ""} == {
        "alarm": "stands_still",
        "topic": JOURNAL,
        "partition": 3,
        "position": 42,
        "lag": 7,
        "seconds": 60,
        "message": "",
    }


def test_alarm_ends_when_the_position_moves() -> None:
    watched = Watched()
    watched.look_for(80)
    assert watched.alarms == [A]
    watched.look(position=8)
    assert watched.alarms == []


def test_position_that_moves_however_slowly_is_well() -> None:
    watched = Watched()
    for position in range(40):
        assert watched.look_for(50, position=position) == 0


@pytest.mark.parametrize("grows", [0, -1])
def test_lag_that_does_not_grow_is_no_alarm(grows: int) -> None:
    watched = Watched()
    watched.lag = 1_000
    assert watched.look_for(600, grows=grows) == 0


def test_nothing_to_do_is_no_alarm() -> None:
    watched = Watched()
    assert watched.look_for(600, grows=0) == 0
    watched.look(grows=5)  # time with nothing to do does not count as a stall
    assert watched.look_for(50) == 0


def test_broker_that_is_away_is_waited_for_and_the_time_begins_anew() -> None:
    watched = Watched()
    watched.look_for(60)
    for _ in range(100):
        watched.now_ms += STEP_MS
        assert watched.watchdog.look(watched.now_ms, None) == []
    assert watched.alarms == []
    assert watched.look_for(60, grows=1_000) == 0
    assert watched.look() == 1


def test_time_in_which_it_is_not_open_does_not_count() -> None:
    watched = Watched()
    watched.look_for(50)
    for _ in range(100):
        watched.now_ms += STEP_MS
        assert watched.watchdog.look(watched.now_ms, {}) == []
    assert watched.look(grows=1_000) == 0
    assert watched.look() == 1  # the stall is remembered: opening the partition again has not helped


def test_time_in_which_the_process_was_stopped_does_not_count() -> None:
    watched = Watched()
    watched.look()
    assert watched.look(after_ms=3_600_000, grows=10_000) == 0
    assert watched.look_for(20) == 0


def test_each_source_topic_is_watched_by_itself() -> None:
    watchdog = Watchdog(60_000, 300_000, STEP_MS)
    told = []
    for step in range(7):
        sights = {A: Sight(0, step, 5), B: Sight(0, 0, 1 + step)}
        told += watchdog.look(step * STEP_MS, sights)
    assert [stall.place for stall in told] == [B]


def test_process_ends_when_the_partition_stood_for_too_long() -> None:
    watched = Watched()
    watched.look()
    watched.look_for(290)
    with pytest.raises(StalledError, match="has been stalled at 7 for 300 s"):
        watched.look()


def test_process_does_not_end_where_it_was_told_never_to() -> None:
    watched = Watched(exit_ms=0)
    watched.look()
    assert watched.look_for(6_000) == 100


def test_process_does_not_end_while_the_partition_is_opened_anew_again_and_again() -> None:
    watched = Watched()
    alarms = sum(watched.look_for(200, epoch=epoch) for epoch in range(10))
    assert alarms == 33  # reopening has not helped, and a restart of the process would not either
