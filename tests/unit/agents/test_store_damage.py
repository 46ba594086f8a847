"""A partition whose store is damaged is lost and opened again; the worker and its other partitions go on."""

import pytest

from agents.partition import Partition
from events.model import user_key
from events.topics import JOURNAL
from tests.support.builders import CUSTOMER, USER, a_click
from tests.support.overlays import forget_rows
from tests.support.partitions import World, a_record, fold_records

KEY = user_key(CUSTOMER, USER)


def count(partition: Partition) -> int:
    state = partition.overlay.tables["clicked"].get(KEY)
    return 0 if state is None else state.items["1/1"].count


async def a_damaged(world: World) -> Partition:
    """Return a partition with one flushed click, of which nothing is in memory any more, on a damaged disk."""
    partition = world.open()
    await fold_records(partition, JOURNAL, [a_record(a_click(), 0)])
    await partition.flush()
    forget_rows(partition.overlay)
    forget_rows(partition.overlay)
    partition.store.disk.is_damaged = True
    return partition


def check_lost(world: World, partition: Partition) -> None:
    assert not partition.is_open
    assert [str(error) for error in world.lost] == [
        "partition 0 is lost: the state in 0 is damaged (Corruption: block checksum mismatch)"
    ]
    assert [error.is_of_store for error in world.lost] == [True]
    assert world.failed == []


async def test_fold_that_finds_damage_loses_the_partition_and_raises_nothing(world: World) -> None:
    partition = await a_damaged(world)
    await fold_records(partition, JOURNAL, [a_record(a_click(), 1)])
    check_lost(world, partition)
    assert not await partition.flush()
    assert world.outbox().flushes[-1].positions == {JOURNAL: 1}
    again = world.open()  # on an empty disk: the store is rebuilt from the changelogs
    assert again.positions == {JOURNAL: 1}
    await fold_records(again, JOURNAL, [a_record(a_click(), 0), a_record(a_click(), 1)])
    assert count(again) == 2


async def test_flush_that_finds_damage_after_its_commit_counts_once(world: World) -> None:
    partition = world.open()
    await fold_records(partition, JOURNAL, [a_record(a_click(), 0)])
    partition.store.disk.is_damaged = True
    assert not await partition.flush()
    check_lost(world, partition)
    again = world.open()
    await fold_records(again, JOURNAL, [a_record(a_click(), 0)])
    assert (count(again), again.positions) == (1, {JOURNAL: 1})


async def test_watermark_of_a_damaged_store_loses_the_partition(world: World) -> None:
    partition = await a_damaged(world)
    assert partition.watermark_ms == 0
    check_lost(world, partition)


async def test_damage_found_twice_is_reported_once(world: World) -> None:
    partition = await a_damaged(world)
    for _ in range(2):
        assert partition.watermark_ms == 0
    await partition.flush()
    check_lost(world, partition)


async def test_other_errors_of_a_fold_still_end_the_worker(world: World) -> None:
    partition = world.open()

    def fold_one(*_: object) -> None:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        await partition.fold(JOURNAL, [a_record(a_click(), 0)], fold_one)
