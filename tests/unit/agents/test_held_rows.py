"""A partition holds a bounded number of rows, whoever reads them and whether or not flushes commit."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agents.partition import SLICE_RECORDS, Partition
from agents.row_budget import RowBudget
from app.worker.lookups import WorkerLookups
from events.model import user_key
from events.topics import JOURNAL
from tests.support.builders import CUSTOMER, a_click, user_of
from tests.support.partitions import World, a_record, fold_records

CACHE_BYTES = 400_000


@pytest.fixture
async def small() -> AsyncIterator[World]:
    world = World(budget=RowBudget(CACHE_BYTES))
    yield world
    world.end()


def look_up(partition: Partition, users: range) -> None:
    """Read all rows of users, as a lookup does (app/worker/lookups.py)."""
    lookups: Any = WorkerLookups.__new__(WorkerLookups)
    lookups._open = lambda _: partition
    lookups.stale_ms = lambda _: None
    for number in users:
        lookups.user_view(0, user_key(CUSTOMER, user_of(number)))


async def freeze(world: World, partition: Partition, offset: int = 0) -> asyncio.Task[bool]:
    """Let a flush that holds a click of user 0 be in flight until the test lets it end."""
    outbox = world.outbox()
    outbox.may_commit.clear()
    await fold_records(partition, JOURNAL, [a_record(a_click(user=user_of(0)), offset)])
    flushing = asyncio.create_task(partition.flush())
    while not outbox.waiting:
        await asyncio.sleep(0)
    return flushing


async def test_lookups_of_absent_users_are_bounded_while_no_flush_commits(small: World) -> None:
    partition = small.open()
    flushing = await freeze(small, partition)
    await fold_records(partition, JOURNAL, [a_record(a_click(user=user_of(1)), 1)])
    look_up(partition, range(2, 3_000))
    assert partition.overlay.held().memory <= 1.1 * CACHE_BYTES
    # What no committed flush covers is still there, and is read.
    for number in (0, 1):
        state = partition.overlay.tables["clicked"].read(user_key(CUSTOMER, user_of(number)))
        assert state.items["1/1"].count == 1
    small.outbox().may_commit.set()
    assert await flushing
    assert await partition.flush()
    assert len(partition.store.disk.tables["clicked"]) == 2


async def test_lookups_of_stored_users_are_bounded_while_no_flush_commits(small: World) -> None:
    partition = small.open()
    users = range(2, 2_000)
    await fold_records(
        partition, JOURNAL, [a_record(a_click(user=user_of(number)), number) for number in users]
    )
    disk = small.kill(partition) if await partition.flush() else None
    partition = small.open(disk=disk)
    flushing = await freeze(small, partition, 2_000)
    look_up(partition, users)
    assert partition.overlay.held().memory <= 1.1 * CACHE_BYTES
    assert partition.overlay.tables["clicked"].read(user_key(CUSTOMER, user_of(7))).items["1/1"].count == 1
    flushing.cancel()


async def test_lookups_of_an_idle_partition_are_cached_anew_after_each_interval(small: World) -> None:
    partition = small.open()
    rows = partition.overlay.tables["clicked"]
    look_up(partition, range(3_000))
    look_up(partition, range(5_000, 5_010))
    last = user_key(CUSTOMER, user_of(5_009))
    assert last not in rows.recent
    assert await partition.flush()  # nothing to flush
    look_up(partition, range(5_000, 5_010))
    assert last in rows.recent
    assert partition.overlay.held().memory <= 1.1 * CACHE_BYTES


async def test_repeated_events_are_bounded_while_no_flush_commits(small: World) -> None:
    partition = small.open()
    users = range(10_000)
    first = [a_record(a_click(user=user_of(number), eid="e"), number) for number in users]
    for start in users[::1_000]:
        await fold_records(partition, JOURNAL, first[start : start + 1_000])
        assert await partition.flush()
    partition = small.open(disk=small.kill(partition))
    flushing = await freeze(small, partition, 10_000)
    again = [record._replace(offset=record.offset + 20_000) for record in first]
    folding = asyncio.create_task(fold_all(partition, again))
    for _ in range(2_000):
        await asyncio.sleep(0)
    assert not folding.done()  # it waits for the flush
    assert partition.stats.repeated < len(again) - SLICE_RECORDS
    assert partition.overlay.held().memory <= 3 * CACHE_BYTES
    small.outbox().may_commit.set()
    assert await flushing
    await folding
    assert partition.stats.repeated == len(again)


async def fold_all(partition: Partition, records: list[Any]) -> None:
    for start in range(0, len(records), 100):
        await fold_records(partition, JOURNAL, records[start : start + 100])
