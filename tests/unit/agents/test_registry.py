"""The open partitions of a worker, and none after they were revoked; one that is held begins an epoch of its own."""

import asyncio
from pathlib import Path

import pytest

from agents.registry import Partitions
from events.topics import JOURNAL
from tables.store import StoreDamageError
from tests.support.builders import a_click
from tests.support.partitions import World, a_record, fold_records


@pytest.fixture
def world() -> World:
    return World(partitions=4)


async def opened(world: World, *numbers: int) -> Partitions:
    partitions = Partitions(close_timeout_seconds=1)
    for number in numbers:
        partitions.add(world.open(number))
    return partitions


async def test_open_partitions_are_found_and_lost_ones_are_not(world: World) -> None:
    partitions = await opened(world, 1, 3)
    assert [partition.number for partition in partitions] == [1, 3]
    assert (len(partitions), partitions.get(0)) == (2, None)
    lost = partitions.get(3)
    assert lost is not None
    lost.is_open = False
    assert partitions.get(3) is None
    assert partitions.get(1) is not None
    world.end()


async def test_durable_is_what_a_committed_flush_covers(world: World) -> None:
    partitions = await opened(world, 0)
    partition = partitions.get(0)
    assert partition is not None
    assert partitions.durable(JOURNAL, 0) is None
    await fold_records(partition, JOURNAL, [a_record(value=b"{", offset=4)])
    assert partitions.durable(JOURNAL, 0) is None
    await partition.flush()
    assert partitions.durable(JOURNAL, 0) == 5
    assert partitions.durable(JOURNAL, 1) is None
    world.end()


async def test_revoked_partitions_are_flushed_and_gone_and_the_epoch_is_another(world: World) -> None:
    partitions = await opened(world, 0, 1)
    first = partitions.get(0)
    assert first is not None
    await fold_records(first, JOURNAL, [a_record(value=b"{")])
    await partitions.on_revoked()
    assert (len(partitions), partitions.epoch, partitions.get(0)) == (0, 1, None)
    assert [flush.positions for flush in world.outbox(0).flushes] == [{JOURNAL: 1}]
    assert not first.store.disk.is_open
    await partitions.on_revoked()
    assert partitions.epoch == 2


async def test_all_stop_folding_before_the_first_is_flushed(world: World) -> None:
    partitions = await opened(world, 0, 1)
    both = list(partitions)
    await fold_records(both[0], JOURNAL, [a_record(value=b"{")])
    world.outbox(0).may_commit.clear()
    revoking = asyncio.ensure_future(partitions.on_revoked())
    while not world.outbox(0).waiting:
        await asyncio.sleep(0)
    assert [partition.is_open for partition in both] == [False, False]
    assert partitions.epoch == 1
    world.outbox(0).may_commit.set()
    await revoking


async def test_error_at_one_partition_does_not_keep_the_others(world: World) -> None:
    partitions = await opened(world, 0, 1)
    both = list(partitions)
    for partition in both:
        await fold_records(partition, JOURNAL, [a_record(a_click())])

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    both[0].store.write = fail
    with pytest.raises(OSError, match="no space"):
        await partitions.on_revoked()
    assert (len(partitions), both[1].store.disk.is_open, both[1].durable) == (0, False, {JOURNAL: 1})
    await partitions.on_revoked()


async def test_what_was_fetched_before_a_partition_was_held_or_all_were_revoked_is_over(world: World) -> None:
    partitions = await opened(world, 0, 1)
    fetched = [partitions.epoch]
    partitions.hold({1})
    fetched.append(partitions.epoch)
    assert [[partitions.is_over(number, epoch) for epoch in fetched] for number in (0, 1)] == [
        [False, False],
        [True, False],
    ]
    partitions.add(world.open(1, epoch=partitions.epoch))
    assert [partitions.is_over(1, epoch) for epoch in fetched] == [True, False]
    partitions.hold({0})
    assert [partitions.is_over(number, fetched[1]) for number in (0, 1)] == [True, False]
    await partitions.on_revoked()
    assert [partitions.is_over(number, partitions.epoch - 1) for number in (0, 1, 2)] == [True] * 3
    assert not partitions.is_over(1, partitions.epoch)
    world.end()


async def test_open_partition_that_is_held_is_gone_at_once_and_then_closed(world: World) -> None:
    partitions = await opened(world, 0, 1)
    lost = partitions.get(1)
    assert lost is not None
    lost.lose_store(StoreDamageError(Path("1"), "Corruption"))
    partitions.hold({1})
    assert [partition.number for partition in partitions] == [0]
    assert lost.store.disk.is_open
    await partitions.close_held()
    assert not lost.store.disk.is_open
    await partitions.close_held()
    world.end()


@pytest.mark.parametrize("is_closing", [True, False])
async def test_revocation_closes_a_held_partition_that_is_not_closed_yet(
    world: World, *, is_closing: bool
) -> None:
    partitions = await opened(world, 0, 1)
    lost = partitions.get(1)
    assert lost is not None
    await fold_records(lost, JOURNAL, [a_record(a_click())])
    world.outbox(1).may_commit.clear()
    flushing = asyncio.ensure_future(lost.flush())
    while not world.outbox(1).waiting:
        await asyncio.sleep(0)
    lost.lose_store(StoreDamageError(Path("1"), "Corruption"))
    partitions.hold({1})
    closing = asyncio.ensure_future(partitions.close_held()) if is_closing else None
    await asyncio.sleep(0)
    assert lost.store.disk.is_open, "the flush in flight may end"
    revoking = asyncio.ensure_future(partitions.on_revoked())
    await asyncio.sleep(0)
    world.outbox(1).may_commit.set()
    await asyncio.gather(revoking, flushing)
    if closing is not None:
        await closing
    assert (lost.store.disk.is_open, len(partitions)) == (False, 0)


async def test_held_partition_is_not_fetched_before_it_is_added_or_the_epoch_ends(world: World) -> None:
    partitions = await opened(world, 0)
    partitions.hold({1, 2})
    assert [partitions.is_paused(JOURNAL, number) for number in range(3)] == [False, True, True]
    partitions.add(world.open(1))
    assert [partitions.is_paused(JOURNAL, number) for number in range(3)] == [False, False, True]
    await partitions.on_revoked()
    assert not partitions.is_paused(JOURNAL, 2)
    world.end()
