"""A journal with added partitions is refused, and partitions that are rebuilt after damage disturb no others."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types.tuples import TP

from agents.faust_agents import AGENTS, _agent
from agents.partition import Partition
from agents.ports import Chunk, PartitionLostError
from agents.registry import Partitions
from app.base.errors import TopicMismatchError
from app.worker.recovery import PositionRecovery, check_numbers
from events.topics import JOURNAL, SOURCES
from tables.store import StoreDamageError
from tests.support.builders import a_click
from tests.support.partitions import World, a_record, fold_records

NUMBERS = {0, 1, 2}
DAMAGED = 1
ASSIGNMENT = {TP(topic, number) for topic in SOURCES for number in NUMBERS}


def test_partition_that_the_deployment_does_not_have_is_refused() -> None:
    with pytest.raises(
        TopicMismatchError, match=r"uptake\.events has 9 partitions on the broker, expected 8"
    ):
        check_numbers({0, 3, 8}, 8)


@pytest.mark.parametrize("numbers", [set(), {0}, {7}, set(range(8))])
def test_partitions_of_the_deployment_are_taken(numbers: set[int]) -> None:
    check_numbers(numbers, 8)


class Opening:
    """A restorer of partitions in memory. ``damaged`` ones are left out if there are others, and take until ``is_rebuilt`` is set."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.limits = world.limits
        self.is_rebuilt = asyncio.Event()
        self.damaged = {DAMAGED}
        self.faults: list[Exception] = []
        self.failed: list[BaseException] = []
        self.opened: list[Partition] = []
        self.attempts: list[set[int]] = []
        self.on_failed = self.failed.append
        self.stores = SimpleNamespace(rebuilt=lambda number: None)

    async def open(self, numbers: Iterable[int], epoch: int) -> list[Partition]:
        numbers = set(numbers)
        self.attempts.append(numbers)
        numbers = numbers - self.damaged or numbers
        if numbers <= self.damaged:
            await self.is_rebuilt.wait()
        if self.faults:
            raise self.faults.pop()
        opened = [self.world.open(number, epoch=epoch) for number in sorted(numbers)]
        self.opened += opened
        return opened


class Consumer:
    """Faust's consumer; it notes which source partitions it was told to seek and to resume. A fetch lasts until ``is_idle``."""

    def __init__(self) -> None:
        self.resumed: list[int] = []
        self.sought: list[int] = []
        self.forgotten: set[int] = set()
        self.positions: dict[TP, int] = {}
        self.is_idle = asyncio.Event()
        self.is_idle.set()

    def assignment(self) -> set[TP]:
        return ASSIGNMENT

    async def wait_idle(self) -> None:
        await self.is_idle.wait()

    def forget(self, tps: set[TP]) -> None:
        self.forgotten |= {tp.partition for tp in tps}

    async def earliest_offsets(self, *tps: TP) -> dict[TP, int]:
        return dict.fromkeys(tps, 0)

    async def highwaters(self, *tps: TP) -> dict[TP, int]:
        return dict.fromkeys(tps, 9)

    async def seek_wait(self, seeks: dict[TP, int]) -> None:
        self.sought += sorted({tp.partition for tp in seeks})
        self.positions.update(seeks)

    def resume_partitions(self, tps: set[TP]) -> None:
        self.resumed += sorted({tp.partition for tp in tps})


class Recovering(PositionRecovery):
    """Recovery with hardly a Faust app."""

    def __init__(self, restorer: Opening, consumer: Consumer | None = None) -> None:
        self.app: Any = SimpleNamespace(consumer_generation_id=7, rebalancing=False, consumer=consumer)
        self.reopen_pause_seconds = 0
        self.partitions = Partitions(close_timeout_seconds=1)
        self.restorer: Any = restorer
        self.standbys: Any = SimpleNamespace(forget=lambda numbers: None)

    async def _wait(self, coro: Any, timeout: Any = None) -> None:
        await coro

    def add_future(self, coro: Any) -> Any:
        return asyncio.ensure_future(coro)


@pytest.fixture
async def opening() -> AsyncIterator[Opening]:
    opening = Opening(World(partitions=3))
    yield opening
    opening.world.end()


async def test_partition_that_is_rebuilt_holds_no_other_back_and_is_fetched_only_when_it_is_open(
    opening: Opening,
) -> None:
    recovery, consumer = Recovering(opening), Consumer()
    await recovery._open_partitions(consumer, NUMBERS, ASSIGNMENT)
    partitions = recovery.partitions
    assert [partition.number for partition in partitions] == consumer.resumed == consumer.sought == [0, 2]
    assert [partitions.is_paused(JOURNAL, number) for number in range(3)] == [False, True, False]
    assert recovery._opening_later is not None
    opening.is_rebuilt.set()
    await recovery._opening_later
    assert [partition.number for partition in partitions] == consumer.resumed == consumer.sought == [0, 2, 1]
    assert not partitions.is_paused(JOURNAL, DAMAGED)
    assert opening.failed == []


async def test_partition_that_is_revoked_while_it_is_rebuilt_is_closed_again(opening: Opening) -> None:
    recovery, consumer = Recovering(opening), Consumer()
    await recovery._open_partitions(consumer, NUMBERS, ASSIGNMENT)
    await asyncio.sleep(0)
    await recovery.partitions.on_revoked()
    opening.is_rebuilt.set()
    assert recovery._opening_later is not None
    await recovery._opening_later
    assert (list(recovery.partitions), consumer.resumed) == ([], [0, 2])
    assert [partition.store.disk.is_open for partition in opening.opened] == [False] * 3
    assert opening.failed == []


async def test_next_opening_stops_a_rebuild(opening: Opening) -> None:
    recovery, consumer = Recovering(opening), Consumer()
    await recovery._open_partitions(consumer, NUMBERS, ASSIGNMENT)
    task = recovery._opening_later
    assert task is not None
    await recovery._stop_opening_later()
    assert task.cancelled()


@pytest.mark.parametrize("is_at_once", [True, False])
async def test_damage_that_is_found_while_opening_is_opened_again(
    opening: Opening, monkeypatch: pytest.MonkeyPatch, *, is_at_once: bool
) -> None:
    async def no_pause(_: float) -> None:
        pass

    monkeypatch.setattr("app.worker.recovery.asyncio.sleep", no_pause)
    opening.is_rebuilt.set()
    damage = StoreDamageError(Path("1"), "Corruption: block checksum mismatch")
    recovery, consumer = Recovering(opening), Consumer()
    opening.faults = [damage] if is_at_once else []
    await recovery._open_partitions(consumer, NUMBERS, ASSIGNMENT)
    opening.faults = [] if is_at_once else [damage]
    assert recovery._opening_later is not None
    await recovery._opening_later
    assert len(recovery.partitions) == 3
    assert opening.attempts.count(NUMBERS) == (2 if is_at_once else 1)
    assert opening.attempts.count({DAMAGED}) == (1 if is_at_once else 2)
    assert opening.failed == []


async def test_other_error_of_a_rebuild_ends_the_worker(opening: Opening) -> None:
    recovery, consumer = Recovering(opening), Consumer()
    opening.is_rebuilt.set()
    await recovery._open_partitions(consumer, NUMBERS, ASSIGNMENT)
    opening.faults = [ValueError("a bug")]
    assert recovery._opening_later is not None
    await recovery._opening_later
    assert [repr(error) for error in opening.failed] == ["ValueError('a bug')"]


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def opened_all(opening: Opening) -> tuple[Recovering, Consumer]:
    """Return a recovery of three open partitions, of which each has folded and flushed the first of two records."""
    opening.damaged = set()
    consumer = Consumer()
    recovery = Recovering(opening, consumer)
    await recovery._open_partitions(consumer, NUMBERS, ASSIGNMENT)
    assert recovery._opening_later is None
    for partition in recovery.partitions:
        await fold_records(partition, JOURNAL, [a_record(a_click(), 0)])
        await partition.flush()
        await fold_records(partition, JOURNAL, [a_record(a_click(), 1)])
    consumer.sought.clear()
    consumer.resumed.clear()
    consumer.forgotten.clear()
    opening.attempts.clear()
    return recovery, consumer


def damage(recovery: Recovering, opening: Opening, number: int) -> None:
    """Let a read find that the store of a partition is damaged."""
    partition = recovery.partitions.get(number)
    assert partition is not None
    opening.damaged.add(number)
    partition.lose_store(StoreDamageError(Path(str(number)), "Corruption: block checksum mismatch"))
    recovery.on_lost(opening.world.lost.pop())


async def test_damage_reopens_only_its_partition_and_what_was_in_flight_is_not_folded(
    opening: Opening,
) -> None:
    recovery, consumer = await opened_all(opening)
    partitions = recovery.partitions
    others = [partitions.get(0), partitions.get(2)]
    fetched_in = partitions.epoch
    damage(recovery, opening, DAMAGED)
    await turns()
    assert opening.attempts == [{DAMAGED}]
    assert [partitions.is_paused(JOURNAL, number) for number in range(3)] == [False, True, False]
    assert [partitions.is_over(number, fetched_in) for number in range(3)] == [False, True, False]
    assert [partitions.get(number) for number in range(3)] == [others[0], None, others[1]]
    opening.is_rebuilt.set()
    await turns()
    again = partitions.get(DAMAGED)
    assert again is not None
    assert again.positions == {JOURNAL: 1}
    assert (consumer.resumed, consumer.sought, consumer.forgotten) == ([DAMAGED], [DAMAGED], {DAMAGED})
    assert consumer.positions[TP(JOURNAL, DAMAGED)] == 1
    assert [partitions.get(number) for number in (0, 2)] == others

    async def chunks() -> AsyncIterator[Chunk]:
        yield Chunk(JOURNAL, DAMAGED, fetched_in, [a_record(a_click(), 2)])
        yield Chunk(JOURNAL, 0, fetched_in, [a_record(a_click(), 2)])
        yield Chunk(JOURNAL, DAMAGED, partitions.epoch, [a_record(a_click(), 1)])

    await _agent(AGENTS["events"], partitions, opening.failed.append)(chunks())
    assert [each.positions[JOURNAL] for each in partitions if each.number in (0, DAMAGED)] == [3, 2]
    assert (opening.failed, recovery.signal_recovery_start.is_set()) == ([], False)


async def test_seek_waits_for_a_fetch_that_may_still_bring_records(opening: Opening) -> None:
    recovery, consumer = await opened_all(opening)
    opening.is_rebuilt.set()
    consumer.is_idle.clear()
    damage(recovery, opening, DAMAGED)
    await turns()
    assert (opening.attempts, consumer.sought) == ([{DAMAGED}], [])
    consumer.is_idle.set()
    await turns()
    assert consumer.sought == consumer.resumed == [DAMAGED]


async def test_damaged_partition_is_closed_before_it_is_opened(opening: Opening) -> None:
    recovery, _ = await opened_all(opening)
    former = recovery.partitions.get(DAMAGED)
    assert former is not None
    damage(recovery, opening, DAMAGED)
    await turns()
    assert (former.store.disk.is_open, former._timer.cancelled()) == (False, True)


async def test_damage_of_another_partition_and_of_the_same_again_is_rebuilt_too(opening: Opening) -> None:
    recovery, consumer = await opened_all(opening)
    damage(recovery, opening, DAMAGED)
    await turns()
    damage(recovery, opening, 2)
    await turns()
    assert recovery.partitions.get(2) is None
    opening.faults = [StoreDamageError(Path("1"), "Corruption: again, while it is rebuilt")]
    recovery_pause = asyncio.create_task(asyncio.sleep(0.7))
    opening.is_rebuilt.set()
    await recovery_pause
    assert sorted(consumer.resumed) == sorted(consumer.sought) == [DAMAGED, 2]
    damage(recovery, opening, DAMAGED)
    await turns()
    assert consumer.resumed[2:] == consumer.sought[2:] == [DAMAGED]
    assert (len(recovery.partitions), opening.failed) == (3, [])


async def test_partition_that_is_revoked_while_it_is_rebuilt_after_damage_is_not_opened(
    opening: Opening,
) -> None:
    recovery, consumer = await opened_all(opening)
    damage(recovery, opening, DAMAGED)
    await turns()
    await recovery.partitions.on_revoked()
    opening.is_rebuilt.set()
    await turns()
    assert (list(recovery.partitions), consumer.resumed) == ([], [])
    assert {partition.store.disk.is_open for partition in opening.opened} == {False}
    assert opening.failed == []


async def test_loss_by_the_broker_reopens_all_also_if_a_store_is_damaged(opening: Opening) -> None:
    recovery, _ = await opened_all(opening)
    other = recovery.partitions.get(0)
    assert other is not None
    fenced = PartitionLostError(0, "fenced")
    other._lose(fenced)
    damage(recovery, opening, DAMAGED)
    recovery.on_lost(fenced)
    await turns()
    assert recovery.signal_recovery_start.is_set()
    assert recovery._generation_id == 7
    assert opening.attempts == []


@pytest.mark.parametrize("change", [{"rebalancing": True}, {"consumer_generation_id": 8}])
async def test_damage_before_a_rebalance_is_left_to_it(opening: Opening, change: dict[str, Any]) -> None:
    recovery, _ = await opened_all(opening)
    damage(recovery, opening, DAMAGED)
    vars(recovery.app).update(change)
    await turns()
    assert (opening.attempts, recovery._opening_later) == ([], None)
    assert not recovery.signal_recovery_start.is_set()


async def test_loss_of_a_partition_that_is_open_again_changes_nothing(opening: Opening) -> None:
    recovery, _ = await opened_all(opening)
    recovery.on_lost(PartitionLostError(DAMAGED, "the former producer is fenced by its own successor"))
    await turns()
    assert (opening.attempts, recovery.signal_recovery_start.is_set()) == ([], False)


async def test_partition_that_is_lost_before_it_is_added_is_reopened(opening: Opening) -> None:
    recovery, consumer = await opened_all(opening)
    opening.is_rebuilt.set()
    consumer.is_idle.clear()
    damage(recovery, opening, DAMAGED)
    await turns()
    opening.opened[-1].lose_store(StoreDamageError(Path("1"), "Corruption: in a flush, before the seek"))
    recovery.on_lost(opening.world.lost.pop())
    await turns()
    consumer.is_idle.set()
    await turns()
    assert opening.attempts == [{DAMAGED}] * 2
    assert recovery.partitions.get(DAMAGED) is opening.opened[-1]
