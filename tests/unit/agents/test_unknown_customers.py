"""Records of unknown customers are folded at first, then dead letters with an alarm; a replay afterwards is exact."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from agents.partition import Partition
from agents.poison import PoisonRule
from agents.registry import Partitions
from agents.unknown_customers import UnknownCustomers
from events.codec import UndecodableError, decode
from events.model import NO_PROFILE_USER, user_key
from events.topics import DEADLETTERS, HISTORY, JOURNAL
from tests.support.builders import CUSTOMER, MINUTE_MS, USER, a_click
from tests.support.memory_outbox import LogRecord
from tests.support.partitions import World, a_record, fold_records

NEW = "new"
KEY = user_key(NEW, USER)
WAIT_MS = 10 * MINUTE_MS


class Registry:
    """A worker's customers and its clock."""

    def __init__(self) -> None:
        self.known = {CUSTOMER}
        self.now_ms = 5
        self.unknown = UnknownCustomers(self.known.__contains__, lambda: self.now_ms, WAIT_MS)


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
async def world(registry: Registry) -> Any:
    world = World(unknown_customers=registry.unknown, poison=PoisonRule(10, 50))
    yield world
    world.end()


def clicks(partition: Partition, key: bytes = KEY) -> int:
    state = partition.overlay.tables["clicked"].get(key)
    return 0 if state is None else state.items["1/1"].count


def offsets() -> Iterator[int]:
    yield from range(1_000)


async def test_events_count_once_whether_they_were_folded_or_replayed(
    world: World, registry: Registry
) -> None:
    partition, at = world.open(), offsets()

    async def send(count: int) -> None:
        await fold_records(
            partition, JOURNAL, [a_record(a_click(customer=NEW), next(at)) for _ in range(count)]
        )

    await send(3)
    registry.now_ms += WAIT_MS - 1
    await send(2)
    assert (clicks(partition), partition.stats.deadlettered, partition.alarms()) == (5, 0, [])
    registry.now_ms += 1
    await send(40)  # more than the rule of poison allows
    assert (clicks(partition), partition.stats.deadlettered, partition.halts) == (5, 40, {})
    await fold_records(partition, JOURNAL, [a_record(a_click(), next(at))])
    assert clicks(partition, user_key(CUSTOMER, USER)) == 1
    (alarm,) = partition.alarms()
    assert alarm.as_dict() == {
        "alarm": "unknown_customer",
        "customer": NEW,
        "partition": 0,
        "letters": 40,
        "message": str(alarm),
    }

    registry.known.add(NEW)
    assert partition.alarms() == []
    await send(1)
    assert await partition.flush()
    letters = world.logs.read(DEADLETTERS, 0)
    assert {dict(each.headers)["reason"] for each in letters} == {b"unknown_customer"}
    replayed = [each._replace(offset=next(at), headers=()) for each in letters]
    await fold_records(partition, JOURNAL, replayed)
    assert clicks(partition) == 3 + 2 + 40 + 1


async def test_rule_holds_for_imports_and_for_anonymous_users(world: World, registry: Registry) -> None:
    partition = world.open()
    nobody = a_click(customer=NEW, user=NO_PROFILE_USER)

    def records(offset: int) -> list[LogRecord]:
        return [a_record(nobody, offset, key=b"new|~5")]

    await fold_records(partition, JOURNAL, records(0))
    await fold_records(partition, HISTORY, [a_record(a_click(customer=NEW), 0)])
    assert partition.stats.deadlettered == 0
    registry.now_ms += WAIT_MS
    await fold_records(partition, JOURNAL, records(1))
    await fold_records(partition, HISTORY, [a_record(a_click(customer=NEW), 1)])
    assert partition.stats.deadlettered == 2


async def test_customer_that_is_taken_out_of_the_file_is_unknown_after_a_reload(
    world: World, registry: Registry
) -> None:
    partition, partitions = world.open(), Partitions(1.0)
    partitions.add(partition)
    await fold_records(partition, JOURNAL, [a_record(a_click(), 0)])
    registry.known.clear()
    partitions.forget_verified()
    await fold_records(partition, JOURNAL, [a_record(a_click(), 1)])
    registry.now_ms += WAIT_MS
    await fold_records(partition, JOURNAL, [a_record(a_click(), 2)])
    assert (clicks(partition, user_key(CUSTOMER, USER)), partition.stats.deadlettered) == (2, 1)


async def test_event_of_an_unknown_customer_goes_home_first() -> None:
    registry = Registry()
    registry.unknown = UnknownCustomers(registry.known.__contains__, lambda: 0, 0)
    world = World(partitions=4, unknown_customers=registry.unknown)
    opened = [world.open(number) for number in range(4)]
    for partition in opened:
        await fold_records(partition, JOURNAL, [a_record(a_click(customer=NEW))])
    assert sorted(partition.stats.forwarded for partition in opened) == [0, 1, 1, 1]
    assert sum(partition.stats.deadlettered for partition in opened) == 1
    world.end()


def test_time_of_a_customer_runs_on_while_its_partition_moves(registry: Registry) -> None:
    unknown = registry.unknown
    assert unknown.is_missing(NEW, 0)
    registry.now_ms += WAIT_MS
    with pytest.raises(UndecodableError):
        unknown.is_missing(NEW, 1)
    assert (unknown.alarms(0), [each.letters for each in unknown.alarms(1)]) == ([], [1])


def test_customer_that_was_known_in_between_has_its_time_again(registry: Registry) -> None:
    unknown = registry.unknown
    assert unknown.is_missing(NEW, 0)
    registry.known.add(NEW)
    assert not unknown.is_missing(NEW, 0)
    registry.known.discard(NEW)
    registry.now_ms += WAIT_MS
    assert unknown.is_missing(NEW, 0)


def test_made_up_customers_take_no_memory(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.unknown_customers._MOST_CUSTOMERS", 3)
    for number in range(3):
        assert registry.unknown.is_missing(f"c{number}", 0)
    with pytest.raises(UndecodableError):
        registry.unknown.is_missing("c3", 0)
    assert registry.unknown.is_missing("c2", 0)


def test_log_names_the_customer_once_a_minute(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    assert registry.unknown.is_missing(NEW, 0)
    registry.now_ms += WAIT_MS
    with caplog.at_level(logging.ERROR):
        for _ in range(130):
            with pytest.raises(UndecodableError):
                registry.unknown.is_missing(NEW, 0)
            registry.now_ms += 1_000
    assert len(caplog.records) == 3
    assert all("customer new is unknown" in each.message for each in caplog.records)


def test_sentence_about_a_raw_id_does_not_hold_it() -> None:
    with pytest.raises(UndecodableError) as caught:
        decode(
            b'{"type":"login","customer":"c","user":"k1.aaaaaaaaaaaaaaaaaaaaaaaaaa","target":"maxmustermann"}'
        )
    assert caught.value.reason == "raw_user"
    assert "maxmustermann" not in str(caught.value)


def test_customers_beyond_the_bound_have_an_alarm_too(registry: Registry) -> None:
    """A producer that makes names up must not hide that a real customer is missing."""
    for number in range(1_000):
        assert registry.unknown.is_missing(f"made-up-{number}", 0)
    for _ in range(2):
        with pytest.raises(UndecodableError):
            registry.unknown.is_missing(NEW, 0)
    assert [(alarm.customer, alarm.letters) for alarm in registry.unknown.alarms(0)] == [(NEW, 2)]
    assert registry.unknown.alarms(1) == []
    registry.known.add(NEW)
    assert registry.unknown.alarms(0) == []
