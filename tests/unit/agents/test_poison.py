"""A source topic with mostly bad records is paused at its position; a few bad records never pause it."""

import random

import pytest

from agents.partition import Partition
from agents.poison import PoisonRule
from agents.registry import Partitions
from agents.row_budget import RowBudget
from events.codec import encode
from events.topics import DEADLETTERS, HISTORY, JOURNAL
from tests.support.builders import a_click
from tests.support.memory_outbox import LogRecord
from tests.support.partitions import World, a_record, fold_records

RULE = PoisonRule(records=100, percent=90)


@pytest.fixture
def world() -> World:
    world = World()
    world.limits.poison = RULE
    return world


def a_log(bad: list[bool], start: int = 0) -> list[LogRecord]:
    return [
        a_record(value=b"{", offset=offset) if is_bad else a_record(a_click(), offset=offset)
        for offset, is_bad in enumerate(bad, start)
    ]


async def fold_in_chunks(partition: Partition, log: list[LogRecord], size: int = 7) -> None:
    for start in range(0, len(log), size):
        await fold_records(partition, JOURNAL, log[start : start + size])


def letters(world: World) -> int:
    return len(world.logs.read(DEADLETTERS, 0))


async def test_topic_that_is_all_bad_is_paused_and_the_rest_waits(world: World) -> None:
    partition = world.open()
    await fold_in_chunks(partition, a_log([True] * 500))
    halt = partition.halts[JOURNAL]
    assert (halt.position, halt.bad, halt.records) == (91, 91, 91)
    assert (partition.positions[JOURNAL], partition.stats.deadlettered) == (91, 91)
    assert await partition.flush()
    assert (partition.durable[JOURNAL], letters(world)) == (91, 91)
    world.end()


async def test_pause_names_place_reason_and_cure(world: World) -> None:
    partition = world.open()
    log = [a_record(value=encode(a_click()).replace(b"{", b'{"v":9,', 1), offset=n) for n in range(200)]
    await fold_in_chunks(partition, log)
    halt = partition.halts[JOURNAL]
    for words in (
        "uptake.events partition 0 is paused at 91",
        "unknown_version",
        "dead letters",
        "--accept-bad",
    ):
        assert words in str(halt)
    assert (halt.as_dict()["alarm"], halt.as_dict()["position"]) == ("paused", 91)
    world.end()


async def test_other_topics_of_the_partition_go_on(world: World) -> None:
    partition = world.open()
    await fold_in_chunks(partition, a_log([True] * 200))
    assert JOURNAL in partition.halts
    await fold_records(partition, HISTORY, [a_record(a_click(), offset=0)])
    assert partition.positions[HISTORY] == 1
    world.end()


@pytest.mark.parametrize("seed", range(5))
async def test_as_many_bad_records_as_the_rule_allows_pause_nothing(world: World, seed: int) -> None:
    draw = random.Random(seed)
    period = [True] * 90 + [False] * 10
    draw.shuffle(period)  # repeated, each hundred in a row has 90 bad ones
    partition = world.open()
    await fold_in_chunks(partition, a_log(period * 5), size=draw.randrange(1, 150))
    assert partition.halts == {}
    world.end()


@pytest.mark.parametrize("seed", range(5))
async def test_one_more_than_the_rule_allows_pauses(world: World, seed: int) -> None:
    draw = random.Random(seed)
    period = [True] * 91 + [False] * 9
    draw.shuffle(period)
    log = period * 5
    partition = world.open()
    await fold_in_chunks(partition, a_log(log), size=draw.randrange(1, 150))
    # The rule, written down independently: more than 90 of the last 100 are bad.
    expected = next(end for end in range(1, len(log)) if sum(log[max(0, end - 100) : end]) > 90)
    assert partition.halts[JOURNAL].position == expected
    world.end()


async def test_good_records_between_let_the_bad_ones_be_forgotten(world: World) -> None:
    partition = world.open()
    await fold_in_chunks(partition, a_log(([True] * 90 + [False] * 100) * 4))
    assert partition.halts == {}
    assert partition.stats.deadlettered == 360
    world.end()


async def test_nothing_is_paused_where_all_bad_records_are_accepted(world: World) -> None:
    world.limits.poison = None
    partition = world.open()
    await fold_in_chunks(partition, a_log([True] * 500))
    assert (partition.halts, partition.stats.deadlettered) == ({}, 500)
    world.end()


async def test_pause_outlives_a_rebalance_and_ends_with_the_process(world: World) -> None:
    log = a_log([True] * 300)
    partitions = Partitions(close_timeout_seconds=1)
    partitions.add(world.open())
    partition = partitions.get(0)
    assert partition is not None
    await fold_in_chunks(partition, log)
    await partitions.on_revoked()
    assert not partitions.is_paused(JOURNAL, 0)

    again = world.open(epoch=1)
    partitions.add(again)
    assert partitions.is_paused(JOURNAL, 0)
    await fold_records(again, JOURNAL, log[91:])
    assert again.positions[JOURNAL] == 91
    await partitions.on_revoked()

    restarted = Partitions(close_timeout_seconds=1)
    restarted.add(world.open(epoch=2))
    assert not restarted.is_paused(JOURNAL, 0)
    world.end()


async def test_pause_is_over_when_another_worker_has_gone_on(world: World) -> None:
    log = a_log([True] * 120)
    partitions = Partitions(close_timeout_seconds=1)
    partitions.add(world.open())
    partition = partitions.get(0)
    assert partition is not None
    await fold_in_chunks(partition, log)
    await partitions.on_revoked()
    elsewhere = world.open()
    await fold_records(elsewhere, JOURNAL, log[91:])
    await elsewhere.close(1)
    partitions.add(world.open(epoch=1))
    assert not partitions.is_paused(JOURNAL, 0)
    world.end()


async def test_bytes_of_dead_letters_make_folding_wait_for_a_flush() -> None:
    world = World(budget=RowBudget(5_000_000))
    partition = world.open()
    big = [a_record(value=b"{" * 900_000, offset=offset) for offset in range(60)]
    assert not partition._must_flush()
    for start in range(0, 60, 20):
        await fold_records(partition, JOURNAL, big[start : start + 20])
        if start == 0:
            assert partition._must_flush()
    await partition.flush()
    assert not partition._must_flush()
    world.end()
