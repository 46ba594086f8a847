"""A journal with added partitions is refused, and partitions that are rebuilt after damage keep no others from opening."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types.tuples import TP

from agents.partition import Partition
from agents.registry import Partitions
from app.base.errors import TopicMismatchError
from app.worker.recovery import PositionRecovery, check_numbers
from events.topics import JOURNAL, SOURCES
from tables.store import StoreDamageError
from tests.support.partitions import World

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
    """A restorer of partitions in memory. ``DAMAGED`` is left out if there are others, and takes until ``is_rebuilt`` is set."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.limits = world.limits
        self.is_rebuilt = asyncio.Event()
        self.faults: list[Exception] = []
        self.failed: list[BaseException] = []
        self.opened: list[Partition] = []
        self.attempts: list[set[int]] = []
        self.on_failed = self.failed.append
        self.stores = SimpleNamespace(rebuilt=lambda number: None)

    async def open(self, numbers: Iterable[int], epoch: int) -> list[Partition]:
        numbers = set(numbers)
        self.attempts.append(numbers)
        if numbers == {DAMAGED}:
            await self.is_rebuilt.wait()
        if self.faults:
            raise self.faults.pop()
        opened = [
            self.world.open(number, epoch=epoch)
            for number in sorted(numbers if numbers == {DAMAGED} else numbers - {DAMAGED})
        ]
        self.opened += opened
        return opened


class Consumer:
    """Faust's consumer; it notes which source partitions it was told to seek and to resume."""

    def __init__(self) -> None:
        self.resumed: list[int] = []
        self.sought: list[int] = []

    async def earliest_offsets(self, *tps: TP) -> dict[TP, int]:
        return dict.fromkeys(tps, 0)

    async def highwaters(self, *tps: TP) -> dict[TP, int]:
        return dict.fromkeys(tps, 0)

    async def seek_wait(self, seeks: dict[TP, int]) -> None:
        self.sought += sorted({tp.partition for tp in seeks})

    def resume_partitions(self, tps: set[TP]) -> None:
        self.resumed += sorted({tp.partition for tp in tps})


class Recovering(PositionRecovery):
    """Recovery without a Faust app."""

    def __init__(self, restorer: Opening) -> None:
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
