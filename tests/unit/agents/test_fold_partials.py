"""Partial counts become windows: the latest of each pane counts once in its minute, hour and day.

Each published window is absolute.
"""

import random

import pytest

from events.model import user_key
from events.partitions import partition_of
from events.topics import DAY_MS, JOURNAL, PARTIALS, WINDOWS
from tables.ctr.window_keys import HOUR_MS, SCENARIO, WindowKey, scenario_key
from tables.ctr.windows import WindowRecord, decode_record
from tests.support.builders import CUSTOMER, MINUTE_MS, a_clickrecommended, a_rendered, user_of
from tests.support.memory_outbox import LogRecord
from tests.support.overlays import T0
from tests.support.partitions import World, a_record, fold_records

PARTITIONS = 3
MERGED_AT = partition_of(scenario_key(CUSTOMER, "home"), PARTITIONS)


@pytest.fixture
def world() -> World:
    return World(partitions=PARTITIONS)


async def published(world: World, minutes: list[int]) -> list[LogRecord]:
    """Let each partition count two items in each of these minutes, with a flush after each; return the partials."""
    for number in range(PARTITIONS):
        partition = world.open(number)
        user = next(
            user
            for user in map(user_of, range(100))
            if partition_of(user_key(CUSTOMER, user), PARTITIONS) == number
        )
        for offset, minute in enumerate(minutes):
            event = a_rendered(user=user, time_ms=T0 + minute * MINUTE_MS)
            await fold_records(partition, JOURNAL, [a_record(event, offset)])
            assert await partition.flush()
        await partition.close(1)
    return world.logs.read(PARTIALS, MERGED_AT)


def windows(world: World) -> dict[tuple[str, int], WindowRecord]:
    """Return the latest published window of each granularity and start."""
    latest = {}
    for record in world.logs.read(WINDOWS, MERGED_AT):
        window = decode_record(record.value or b"")
        if window.dimension == SCENARIO:
            latest[window.granularity, window.start_ms] = window
    return latest


async def test_partials_of_all_partitions_are_summed_in_minute_hour_and_day(world: World) -> None:
    partials = await published(world, [0, 0, 1])
    merge = world.open(MERGED_AT)
    await fold_records(merge, PARTIALS, partials)
    assert await merge.flush()
    assert {place: window.rendered for place, window in windows(world).items()} == {
        ("minute", T0): 4 * PARTITIONS,
        ("minute", T0 + MINUTE_MS): 2 * PARTITIONS,
        ("hour", T0 - T0 % HOUR_MS): 6 * PARTITIONS,
        ("day", T0 - T0 % DAY_MS): 6 * PARTITIONS,
    }
    world.end()


async def test_partials_read_twice_and_in_any_order_count_once(world: World) -> None:
    partials = await published(world, [0, 0, 0, 1])
    shuffled = [
        record._replace(offset=at)
        for at, record in enumerate(random.Random(3).sample(partials * 3, 3 * len(partials)))
    ]
    merge = world.open(MERGED_AT)
    await fold_records(merge, PARTIALS, shuffled)
    assert await merge.flush()
    found = windows(world)
    assert found["minute", T0].rendered == 6 * PARTITIONS
    assert found["day", T0 - T0 % DAY_MS].rendered == 8 * PARTITIONS
    world.end()


async def test_partials_that_say_nothing_new_publish_nothing(world: World) -> None:
    partials = await published(world, [0])
    merge = world.open(MERGED_AT)
    await fold_records(merge, PARTIALS, partials)
    assert await merge.flush()
    before = world.logs.read(WINDOWS, MERGED_AT)
    again = [record._replace(offset=100 + at) for at, record in enumerate(partials)]
    await fold_records(merge, PARTIALS, again)
    assert await merge.flush()
    assert world.logs.read(WINDOWS, MERGED_AT) == before
    assert merge.durable[PARTIALS] == 100 + len(partials)
    world.end()


async def test_window_is_published_under_its_key_with_absolute_counts(world: World) -> None:
    partials = await published(world, [0])
    merge = world.open(MERGED_AT)
    for offset, record in enumerate(partials):
        await fold_records(merge, PARTIALS, [record._replace(offset=offset)])
        assert await merge.flush()
    key = WindowKey(CUSTOMER, "home", SCENARIO, "minute", T0).encode()
    values = [record.value or b"" for record in world.logs.read(WINDOWS, MERGED_AT) if record.key == key]
    assert [decode_record(value).rendered for value in values] == [2, 4, 6]
    world.end()


async def test_partition_that_was_restored_goes_on_counting_in_its_panes(world: World) -> None:
    """A restored worker counts into the panes of the changelog, so its partials stay absolute."""
    user = next(
        user for user in map(user_of, range(100)) if partition_of(user_key(CUSTOMER, user), PARTITIONS) == 0
    )
    events = [a_rendered(user=user, time_ms=T0), a_clickrecommended(user=user, time_ms=T0 + 1)]
    for offset, event in enumerate(events):
        partition = world.open(0)
        await fold_records(partition, JOURNAL, [a_record(event, offset)])
        assert await partition.flush()
        world.kill(partition)
    merge = world.open(MERGED_AT)
    await fold_records(merge, PARTIALS, world.logs.read(PARTIALS, MERGED_AT))
    assert await merge.flush()
    window = windows(world)["hour", T0 - T0 % HOUR_MS]
    assert (window.rendered, window.clicks, window.attributed_clicks) == (2, 1, 1)
    world.end()
