"""A partition folds each record once, and makes rows, outputs and position durable together or not at all."""

import asyncio
import json
from collections.abc import Callable

import pytest

from agents.deadletter import MAX_DEAD_BYTES
from agents.partition import SLICE_RECORDS, Partition
from agents.partition_limits import PartitionLimits
from agents.ports import PartitionLostError
from agents.positions import read_source_ids
from agents.row_budget import RowBudget
from events.model import user_key
from events.topics import DEADLETTERS, HISTORY, JOURNAL, PARTIALS, TRANSFERS
from tables.declare import BY_NAME, CHANGELOGS, POSITIONS_TABLE
from tests.support.builders import CUSTOMER, USER, a_click, a_login, a_rendered
from tests.support.memory_outbox import LogRecord
from tests.support.memory_store import Disk
from tests.support.partitions import World, a_record, fold_records

KEY = user_key(CUSTOMER, USER)


def clicks(*offsets: int) -> list[LogRecord]:
    return [a_record(a_click(), offset) for offset in offsets]


def count(partition: Partition) -> int:
    state = partition.overlay.tables["clicked"].get(KEY)
    return 0 if state is None else state.items["1/1"].count


async def turns(until: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not until():
            await asyncio.sleep(0)


async def test_records_below_the_position_are_passed_over(world: World) -> None:
    partition = world.open()
    await fold_records(partition, JOURNAL, clicks(3, 4, 7))
    assert partition.positions == {JOURNAL: 8}
    await fold_records(partition, JOURNAL, clicks(3, 4, 5, 7, 8))
    assert (count(partition), partition.positions, partition.stats.folded) == (4, {JOURNAL: 9}, 4)


async def test_partition_knows_when_the_broker_had_the_first_record_of_its_last_chunk(world: World) -> None:
    partition = world.open()
    assert partition.as_of_ms == {}
    chunk = clicks(3, 4)
    await fold_records(partition, JOURNAL, chunk)
    await fold_records(partition, HISTORY, [])
    assert partition.as_of_ms == {JOURNAL: chunk[0].timestamp}


async def test_each_source_topic_has_its_own_position(world: World) -> None:
    partition = world.open()
    await fold_records(partition, JOURNAL, clicks(0, 1))
    await fold_records(partition, HISTORY, clicks(0))
    assert (count(partition), partition.positions) == (3, {JOURNAL: 2, HISTORY: 1})


async def test_flush_commits_rows_outputs_and_position_together_and_writes_the_store_after_it(
    world: World,
) -> None:
    partition = world.open()
    await fold_records(
        partition,
        JOURNAL,
        [a_record(a_rendered(), 0), a_record(a_login(), 1), a_record(value=b"{", offset=2)],
    )
    disk: Disk = partition.store.disk
    before = disk.writes
    assert await partition.flush()
    (flush,) = world.outbox().flushes
    assert set(flush.changes) == {
        "rendered",
        "impressions",
        "identity",
        "scenarios",
        "panes",
        POSITIONS_TABLE,
    }
    assert {output.topic for output in flush.outputs} == {TRANSFERS, PARTIALS, DEADLETTERS}
    assert flush.positions == partition.durable == {JOURNAL: 3}
    assert disk.writes == before + 1
    assert json.loads(disk.tables[POSITIONS_TABLE][b"0"]) == {JOURNAL: 3}
    for table in flush.changes:
        topic = CHANGELOGS[table]
        assert disk.offsets[topic] == world.logs.read(topic, 0)[-1].offset + 1
        for key, value in flush.changes[table]:
            assert disk.tables.get(table, {}).get(key) == value


async def test_nothing_is_flushed_twice_or_without_need(world: World) -> None:
    partition = world.open()
    assert await partition.flush()
    await fold_records(partition, JOURNAL, [a_record(a_login(), 0), a_record(value=b"{", offset=1)])
    assert await partition.flush()
    assert await partition.flush()
    assert len(world.outbox().flushes) == 1
    await fold_records(partition, JOURNAL, clicks(2))
    assert await partition.flush()
    second = world.outbox().flushes[1]
    assert (set(second.changes), second.outputs) == ({"clicked", POSITIONS_TABLE}, [])


async def test_flush_sweeps_expired_rows_with_its_changes(world: World) -> None:
    disk = Disk({"seen": {b"old": BY_NAME["seen"].encode(1)}})
    partition = world.open(disk=disk)
    await fold_records(partition, JOURNAL, [a_record(a_click(eid="e"), 0)])
    assert await partition.flush()
    assert (b"old", None) in world.outbox().flushes[0].changes["seen"]
    assert (partition.stats.swept, len(disk.tables["seen"])) == (1, 1)


async def test_repeat_that_changes_nothing_still_moves_the_position(world: World) -> None:
    partition = world.open()
    await fold_records(partition, JOURNAL, [a_record(a_click(eid="e"), 0)])
    await partition.flush()
    await fold_records(partition, JOURNAL, [a_record(a_click(eid="e"), 1)])
    assert await partition.flush()
    assert (partition.durable, partition.stats.repeated, count(partition)) == ({JOURNAL: 2}, 1, 1)
    assert set(world.outbox().flushes[1].changes) == {POSITIONS_TABLE}


@pytest.mark.parametrize("failure", ["before commit", "after commit"])
async def test_failed_flush_loses_the_partition_and_never_writes_the_store(world: World, failure) -> None:
    partition = world.open()
    await fold_records(partition, JOURNAL, clicks(0))
    world.outbox().next_failure = failure
    disk: Disk = partition.store.disk
    before = disk.writes
    assert not await partition.flush()
    assert [type(error) for error in world.lost] == [PartitionLostError]
    assert (partition.is_open, partition.lost) == (False, world.lost[0])
    world.outbox().next_failure = None
    await fold_records(partition, JOURNAL, clicks(1))
    assert not await partition.flush()
    await partition.close(1)
    assert (disk.writes, partition.durable, partition.stats.folded) == (before, {}, 1)
    again = world.open(disk=disk)
    assert count(again) == (1 if failure == "after commit" else 0)
    assert again.positions == ({JOURNAL: 1} if failure == "after commit" else {})


async def test_fenced_partition_is_lost_and_nothing_of_it_is_seen(world: World) -> None:
    older = world.open()
    await fold_records(older, JOURNAL, clicks(0))
    newer = world.open()
    assert not await older.flush()
    assert len(world.lost) == 1
    await fold_records(newer, JOURNAL, clicks(0))
    assert await newer.flush()
    assert count(world.open()) == 1


async def test_what_is_folded_while_a_flush_is_sent_goes_into_the_next(world: World) -> None:
    partition = world.open()
    outbox = world.outbox()
    await fold_records(partition, JOURNAL, clicks(0))
    outbox.may_answer.clear()
    flushing = asyncio.ensure_future(partition.flush())
    await turns(lambda: outbox.waiting == 1)
    await fold_records(partition, JOURNAL, clicks(1))
    assert (count(partition), partition.durable) == (2, {})
    outbox.may_answer.set()
    assert await flushing
    assert (partition.durable, partition.positions) == ({JOURNAL: 1}, {JOURNAL: 2})
    assert count(world.open()) == 1
    assert count(partition) == 2


async def test_what_was_folded_during_a_flush_is_flushed_by_the_next(world: World) -> None:
    partition = world.open()
    outbox = world.outbox()
    await fold_records(partition, JOURNAL, clicks(0))
    outbox.may_commit.clear()
    flushes = [asyncio.ensure_future(partition.flush()) for _ in range(3)]
    await turns(lambda: outbox.waiting == 1)
    await fold_records(partition, JOURNAL, clicks(1))
    outbox.may_commit.set()
    assert await asyncio.gather(*flushes) == [True] * 3
    assert [flush.positions for flush in outbox.flushes] == [{JOURNAL: 1}, {JOURNAL: 2}]
    assert count(world.open()) == 2


async def test_close_flushes_and_nothing_is_folded_after_it(world: World) -> None:
    partition = world.open()
    await fold_records(partition, JOURNAL, clicks(0))
    disk = partition.store.disk
    await partition.close(1)
    await fold_records(partition, JOURNAL, clicks(1))
    assert partition.positions == partition.durable == {JOURNAL: 1}
    assert (disk.is_open, partition.lost) == (False, None)
    assert count(world.open(disk=disk)) == 1


async def test_close_during_a_fold_ends_it_between_two_records(world: World) -> None:
    partition = world.open()

    def close_at_5(partition: Partition, record: LogRecord) -> None:
        if record.offset == 5:
            partition.is_open = False

    await partition.fold(JOURNAL, clicks(*range(10)), close_at_5)
    assert partition.positions == {JOURNAL: 6}


async def test_close_does_not_wait_for_a_broker_that_does_not_answer(world: World) -> None:
    partition = world.open()
    outbox = world.outbox()
    await fold_records(partition, JOURNAL, clicks(0))
    outbox.may_answer.clear()
    flushing = asyncio.ensure_future(partition.flush())
    await turns(lambda: outbox.waiting == 1)
    disk = partition.store.disk
    writes = disk.writes
    await partition.close(0.01)
    assert partition.lost is not None
    outbox.may_answer.set()
    assert not await flushing
    assert (disk.is_open, disk.writes, partition.durable) == (False, writes, {})
    assert count(world.open(disk=disk)) == 1  # it was committed, so the changelog has it


async def test_closing_flush_that_hangs_is_given_up(world: World) -> None:
    partition = world.open()
    await fold_records(partition, JOURNAL, clicks(0))
    world.outbox().may_commit.clear()
    await partition.close(0.01)
    assert partition.lost is not None
    assert partition.store.disk.is_open is False
    assert world.lost == []  # the loss of a partition that is closing is not reported


async def test_timer_flushes_without_being_asked_and_tells_of_a_loss() -> None:
    world = World(flush_interval_ms=10)
    partition = world.open()
    await fold_records(partition, JOURNAL, clicks(0))
    async with asyncio.timeout(5):
        while partition.durable != {JOURNAL: 1}:
            await asyncio.sleep(0.005)
        world.outbox().next_failure = "before commit"
        await fold_records(partition, JOURNAL, clicks(1))
        while not world.lost:
            await asyncio.sleep(0.005)
    assert world.failed == []
    world.end()


async def test_error_in_the_timers_flush_is_told() -> None:
    world = World(flush_interval_ms=10)
    partition = world.open()
    partition.store.close()  # as with a full disk: the write after the commit fails
    await fold_records(partition, PARTIALS, [])
    partition.positions[JOURNAL] = 1
    async with asyncio.timeout(5):
        while not world.failed:
            await asyncio.sleep(0.005)
    assert partition.lost is not None
    assert not partition.is_open
    world.end()


async def test_error_that_no_fold_foresaw_loses_the_partition(world: World) -> None:
    partition = world.open()

    def explode(partition: Partition, record: LogRecord) -> None:
        if record.offset == 1:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await partition.fold(JOURNAL, clicks(0, 1, 2), explode)
    assert partition.positions == {JOURNAL: 1}
    assert partition.lost is not None
    assert f"{JOURNAL} offset 1" in partition.lost.cause
    assert not await partition.flush()
    assert world.outbox().flushes == []


async def test_long_chunk_is_flushed_in_between_and_lets_others_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.partition._SLICE_SECONDS", 0.0)
    world = World(flush_max_changes=1)
    partition = world.open()
    records = clicks(*range(3 * SLICE_RECORDS + 1))
    folding = asyncio.ensure_future(fold_records(partition, JOURNAL, records))
    await turns(lambda: partition.positions.get(JOURNAL, 0) > 0)
    assert not folding.done()
    await folding
    positions = [flush.positions[JOURNAL] for flush in world.outbox().flushes]
    assert positions == [SLICE_RECORDS, 2 * SLICE_RECORDS, 3 * SLICE_RECORDS]
    assert count(partition) == len(records)
    world.end()


async def test_rows_are_read_fresh_before_any_flush_and_after_each(world: World) -> None:
    world.limits = PartitionLimits(flush_interval_ms=3_600_000, budget=RowBudget(0), partitions=1)
    partition = world.open()
    for offset in range(6):
        await fold_records(partition, JOURNAL, clicks(offset))
        assert count(partition) == offset + 1
        assert await partition.flush()
        assert count(partition) == offset + 1


async def test_dead_letter_longer_than_its_topic_takes_is_cut_and_says_so(world: World) -> None:
    partition = world.open()
    await fold_records(
        partition, JOURNAL, [a_record(key=b"k" * 100_000, value=b"{" * 5_000_000), a_record(a_click(), 1)]
    )
    assert await partition.flush()
    (dead,) = world.logs.read(DEADLETTERS, 0)
    assert (len(dead.key or b""), len(dead.value or b"")) == (MAX_DEAD_BYTES // 10, MAX_DEAD_BYTES)
    headers = dict(dead.headers)
    assert (headers["key_bytes"], headers["value_bytes"]) == (b"100000", b"5000000")
    assert headers["reason"] == b"too_large"
    assert count(partition) == 1


async def test_ids_of_the_source_topics_are_kept_beside_the_position_and_written_once(world: World) -> None:
    partition = world.open(topic_ids={JOURNAL: "a"})
    for offset in (0, 1):
        await fold_records(partition, JOURNAL, clicks(offset))
        assert await partition.flush()
    first, second = (flush.changes[POSITIONS_TABLE] for flush in world.outbox().flushes)
    assert [key for key, _ in first] == [b"0/ids", b"0"]
    assert [key for key, _ in second] == [b"0"]
    assert read_source_ids(partition.store, 0) == {JOURNAL: "a"}

    partition = world.open(disk=World.kill(partition), topic_ids={JOURNAL: "a", HISTORY: "b"})
    assert partition.positions == {JOURNAL: 2}
    await fold_records(partition, JOURNAL, clicks(2))
    assert await partition.flush()
    assert read_source_ids(partition.store, 0) == {JOURNAL: "a", HISTORY: "b"}


async def test_ids_of_a_flush_that_failed_are_written_by_the_next_owner(world: World) -> None:
    partition = world.open(topic_ids={JOURNAL: "a"})
    successor = world.open(topic_ids={JOURNAL: "a"})  # fences the first owner
    for owner in (partition, successor):
        await fold_records(owner, JOURNAL, clicks(0))
    assert not await partition.flush()
    assert read_source_ids(partition.store, 0) == {}
    assert await successor.flush()
    assert read_source_ids(successor.store, 0) == {JOURNAL: "a"}
