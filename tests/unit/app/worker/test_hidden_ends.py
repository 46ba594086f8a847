"""A transaction of another producer that stays open raises an alarm; short ones, and those of workers, do not."""

import pytest

from app.kafka.open_transactions import OpenTransaction
from app.worker.hidden_ends import HiddenEnds, LogEnds
from app.worker.watchdog import SourcePartition
from events.topics import JOURNAL

A = SourcePartition(JOURNAL, 3)
T0 = 1_700_000_000_000
STEP_MS = 4_000


class Watched:
    """Hidden ends with a clock: a check every 4 s; the broker knows these transactions."""

    def __init__(self, *transactions: OpenTransaction) -> None:
        self.hidden = HiddenEnds("broker:9092", "uptake")
        self.transactions = transactions
        self.now_ms = 0

    def look(self, *ends: tuple[int, int]) -> int:
        """Check one partition for each (stable, high watermark); return how many alarms were logged."""
        logged = 0
        for stable, high_watermark in ends:
            self.now_ms += STEP_MS
            places = self.hidden.look(self.now_ms, T0 + self.now_ms, {A: LogEnds(stable, high_watermark)})
            logged += len(self.hidden.explain(places, self.transactions)) if places else 0
        return logged

    @property
    def is_alarm(self) -> bool:
        return bool(self.hidden.alarms([3]))


def a_transaction(start_offset: int = 17, name: str | None = "foreign") -> OpenTransaction:
    return OpenTransaction(JOURNAL, 3, start_offset, 1001, 2, T0 - 60_000, name)


@pytest.mark.parametrize(
    ("ends", "alarms"),
    [
        ([(17, 30)] * 2, 0),
        ([(17, 30)] * 3, 1),
        ([(17, 18), (17, 25), (17, 40)], 1),
        ([(17, 30)] * 20, 1),
        ([(30, 30)] * 20, 0),
        ([(31, 30)] * 20, 0),
        ([(offset, offset + 5) for offset in range(20)], 0),
        ([(17, 30), (17, 30), (30, 30), (17, 30), (17, 30)], 0),
        ([*[(17, 30)] * 3, *[(20, 30)] * 3], 2),
    ],
    ids=[
        "open for a short time",
        "open for long",
        "what is hidden grows",
        "said once",
        "nothing is open",
        "the answers came in between",
        "short ones, one after another",
        "it ended meanwhile",
        "another one follows",
    ],
)
def test_alarm_is_raised_when_the_stable_end_stays(ends: list[tuple[int, int]], alarms: int) -> None:
    assert Watched(a_transaction(17), a_transaction(20)).look(*ends) == alarms


def test_alarm_ends_with_the_transaction() -> None:
    watched = Watched(a_transaction())
    watched.look(*[(17, 30)] * 3)
    assert watched.is_alarm
    assert watched.hidden.alarms([0, 1]) == []  # another worker has the partition
    watched.look((31, 31))
    assert not watched.is_alarm


def test_partition_that_is_not_checked_any_more_has_no_alarm() -> None:
    watched = Watched(a_transaction())
    watched.look(*[(17, 30)] * 3)
    assert watched.hidden.look(99_000, T0, {}) == []
    assert not watched.is_alarm


@pytest.mark.parametrize(
    ("name", "is_alarm"),
    [
        ("uptake-3", False),
        ("uptake-15", False),
        ("uptake-deadletters", True),
        ("other-3", True),
        (None, True),
    ],
)
def test_transaction_of_a_workers_flush_is_no_alarm(name: str | None, is_alarm: bool) -> None:
    watched = Watched(a_transaction(name=name))
    watched.look(*[(17, 30)] * 5)
    assert watched.is_alarm is is_alarm


def test_alarm_names_place_producer_time_and_command() -> None:
    watched = Watched(a_transaction())
    watched.look(*[(17, 30)] * 3)
    (alarm,) = watched.hidden.alarms([3])
    command = "kafka-transactions.sh --bootstrap-server broker:9092 forceTerminateTransaction --transactionalId foreign"
    for words in ("uptake.events partition 3", "producer 1001 (foreign)", "for 72 s", "13 records", command):
        assert words in str(alarm)
    assert alarm.as_dict() == {
        "alarm": "open_transaction",
        "topic": JOURNAL,
        "partition": 3,
        "position": 17,
        "hidden": 13,
        "producer_id": 1001,
        "transactional_id": "foreign",
        "since_ms": T0 - 60_000,
        "command": command,
        "message": str(alarm),
    }


def test_alarm_is_raised_when_the_broker_names_no_producer() -> None:
    watched = Watched()
    assert watched.look(*[(17, 30)] * 3) == 1
    (alarm,) = watched.hidden.alarms([3])
    assert alarm.as_dict()["producer_id"] is None
    assert alarm.since_ms == T0 + STEP_MS
    assert "a producer that the broker does not name" in str(alarm)


def test_transaction_that_no_coordinator_knows_is_named_by_its_producer() -> None:
    watched = Watched(a_transaction(name=None))
    watched.look(*[(17, 30)] * 3)
    (alarm,) = watched.hidden.alarms([3])
    assert "producer 1001, which no coordinator knows" in str(alarm)
    assert alarm.command == (
        "kafka-transactions.sh --bootstrap-server broker:9092 abort "
        "--topic uptake.events --partition 3 --start-offset 17"
    )
