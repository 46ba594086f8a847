"""More scenario names than places count as ``other``: no event is lost, and neither crashes nor flushes change who has a place."""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.partition import Partition
from agents.scenario_places import ScenarioPlaces
from events.model import Rendered
from events.topics import HISTORY, JOURNAL, PARTIALS, WINDOWS
from tables.ctr.window_keys import SCENARIO
from tables.ctr.windows import decode_record
from tests.support.builders import CUSTOMER, DAY_MS, NOW_MS, a_buy, a_clickrecommended, a_rendered
from tests.support.partitions import World, a_record, fold_records

LIMIT = 3


def shown(scenario: str | None, **fields: Any) -> Rendered:
    return a_rendered(items=("1",), scenario=scenario, **fields)


async def fold_events(partition: Partition, events: Sequence[Any], topic: str = JOURNAL) -> None:
    """Fold the events whose offsets the partition has not folded."""
    await fold_records(partition, topic, [a_record(event, offset) for offset, event in enumerate(events)])


async def windows_of(world: World, partition: Partition) -> Counter[str]:
    """Merge what was published, and return how many items each scenario of the day showed."""
    await fold_records(partition, PARTIALS, world.logs.read(PARTIALS, 0))
    assert await partition.flush()
    latest = {record.key: decode_record(record.value or b"") for record in world.logs.read(WINDOWS, 0)}
    return Counter(
        {
            window.scenario: window.rendered
            for window in latest.values()
            if window.dimension == SCENARIO and window.granularity == "day" and window.rendered
        }
    )


async def test_more_names_count_as_other_and_nothing_is_lost() -> None:
    world = World(max_scenarios=LIMIT)
    partition = world.open()
    await fold_events(partition, [shown(name) for name in ("a", "b", "c", "d", "a", "e", "d", None, "other")])
    assert await partition.flush()
    assert await windows_of(world, partition) == {"a": 2, "b": 1, "c": 1, "other": 4, "unknown": 1}
    world.end()


async def test_clicks_and_conversions_of_a_name_without_a_place_follow_it() -> None:
    world = World(max_scenarios=1)
    partition = world.open()
    events = [
        shown("a"),
        shown("b", time_ms=NOW_MS + 1),
        a_clickrecommended(scenario="b", time_ms=NOW_MS + 2),
        a_buy(time_ms=NOW_MS + 3),
    ]
    await fold_events(partition, events)
    assert await partition.flush()
    await fold_records(partition, PARTIALS, world.logs.read(PARTIALS, 0))
    assert await partition.flush()
    counted = {
        window.scenario: (window.rendered, window.attributed_clicks, window.purchases, dict(window.revenue))
        for window in (decode_record(record.value or b"") for record in world.logs.read(WINDOWS, 0))
        if window.dimension == SCENARIO
    }
    assert counted["a"] == (1, 0, 0, {})
    assert counted["other"][:3] == (1, 1, 1)
    assert counted["other"][3]
    world.end()


async def test_each_customer_has_its_own_places() -> None:
    world = World(max_scenarios=1)
    partition = world.open()
    await fold_events(partition, [shown("a"), shown("b", customer="2"), shown("b"), shown("a", customer="2")])
    assert await partition.flush()
    places = {key.decode("latin-1") for key in partition.store.disk.tables["scenarios"] if b"\x1f" in key}
    assert places == {f"{CUSTOMER}\x1fa", "2\x1fb"}
    world.end()


async def test_both_lanes_share_the_places() -> None:
    world = World(max_scenarios=1)
    partition = world.open()
    await fold_events(partition, [shown("a")])
    assert await partition.flush()
    await fold_events(partition, [shown("b", time_ms=NOW_MS - DAY_MS, received_ms=NOW_MS)], HISTORY)
    assert await partition.flush()
    assert await windows_of(world, partition) == {"a": 1, "other": 1}
    world.end()


NAMES = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=30)
WAYS = st.lists(st.sampled_from(("fold", "flush", "kill", "lose disk", "fail")), max_size=30)


async def play(names: Sequence[str], ways: Sequence[str]) -> tuple[Counter[str], dict[bytes, bytes]]:
    """Fold one event a name. Between any two of them the partition may flush, be killed, or lose its disk."""
    world = World(max_scenarios=LIMIT)
    partition = world.open()
    events = [shown(name) for name in names]
    done = 0
    for way in ways:
        if way == "fold":
            done = min(done + 1, len(events))
            await fold_events(partition, events[:done])
        elif way == "flush":
            assert await partition.flush()
        else:
            if way == "fail" and partition.positions != partition.durable:
                world.outbox().next_failure = "after commit"
                assert not await partition.flush()
            disk = world.kill(partition)
            partition = world.open(disk=None if way == "lose disk" else disk)
    await fold_events(partition, events)
    assert await partition.flush()
    counted = await windows_of(world, partition)
    world.end()
    return counted, partition.store.disk.tables["scenarios"]


@given(NAMES, WAYS)
def test_places_are_the_same_however_often_it_is_flushed_or_killed(names: list[str], ways: list[str]) -> None:
    first = list(dict.fromkeys(names))[:LIMIT]
    counted, rows = asyncio.run(play(names, ways))
    assert counted == Counter(name if name in first else "other" for name in names)
    assert rows == asyncio.run(play(names, []))[1]


async def test_alarm_names_customer_and_partition_and_ends_an_hour_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(max_scenarios=1)
    partition = world.open()
    await fold_events(partition, [shown("a"), shown("b"), shown("c")])
    assert partition.alarms() == []
    with caplog.at_level(logging.ERROR):
        assert await partition.flush()
    (alarm,) = [alarm.as_dict() for alarm in partition.alarms()]
    assert alarm | {"message": ""} == {
        "alarm": "too_many_scenarios",
        "customer": CUSTOMER,
        "partition": 0,
        "limit": 1,
        "since_ms": NOW_MS,
        "message": "",
    }
    assert "more names count as 'other'" in alarm["message"]
    assert [record.getMessage() for record in caplog.records] == [alarm["message"]]
    later = [shown("a", time_ms=NOW_MS + 3_600_000)]
    await fold_records(partition, JOURNAL, [a_record(later[0], 3, timestamp=NOW_MS + 3_600_000)])
    assert await partition.flush()
    assert partition.alarms() == []
    world.end()


async def test_alarms_and_lines_of_the_log_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    partition = world.open()
    places = ScenarioPlaces(partition.overlay.tables["scenarios"], 0, 1)
    for second in range(5):
        name_of = places.namer(NOW_MS + second * 1_000)
        for customer in map(str, range(50)):
            assert [name_of(customer, name) for name in ("a", "b")] == ["a", "other"]
    assert len(caplog.records) == 50
    name_of = places.namer(NOW_MS + 9_000)
    for customer in map(str, range(50, 300)):
        name_of(customer, "a")
        name_of(customer, "b")
    assert len(places.alarms(NOW_MS + 9_000)) == 100
    world.end()
