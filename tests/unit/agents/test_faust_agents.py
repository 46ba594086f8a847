"""Agents hand each chunk to its open partition, one after another, and drop chunks of an earlier epoch."""

from collections.abc import AsyncIterator
from typing import Any

import faust
import pytest

from agents.faust_agents import AGENTS, _agent, attach
from agents.ports import Chunk
from agents.registry import Partitions
from events.topics import JOURNAL, SOURCES
from tests.support.builders import a_click
from tests.support.partitions import World, a_record


async def stream(*chunks: Chunk) -> AsyncIterator[Chunk]:
    for chunk in chunks:
        yield chunk


def test_each_source_topic_has_one_agent_that_takes_one_chunk_at_a_time() -> None:
    app = faust.App("t", broker="kafka://127.0.0.1:1", store="memory://", web_enabled=False)
    attach(app, Partitions(close_timeout_seconds=1), lambda _: None)
    assert set(app.agents) == set(AGENTS)
    # A second actor could fold a later chunk of a partition first, and move the position past the earlier one.
    assert {agent.concurrency for agent in app.agents.values()} == {1}
    topics = [topic for agent in app.agents.values() for topic in agent.channel.topics]
    assert sorted(topics) == sorted(SOURCES)


async def test_chunk_goes_to_its_partition_and_one_of_an_earlier_epoch_or_another_worker_is_dropped() -> None:
    world = World(partitions=4)
    partitions = Partitions(close_timeout_seconds=1)
    partitions.epoch = 2
    partitions.add(world.open(2, epoch=1))
    remember = _agent(AGENTS["events"], partitions, lambda _: None)
    earlier = Chunk(JOURNAL, 2, 0, [a_record(a_click(), offset=10)])
    elsewhere = Chunk(JOURNAL, 3, 1, [a_record(a_click(), offset=0)])
    await remember(stream(earlier, elsewhere))
    partition = partitions.get(2)
    assert partition is not None
    assert partition.positions == {}
    await remember(stream(Chunk(JOURNAL, 2, 1, [a_record(a_click(), offset=0)])))
    assert partition.positions == {JOURNAL: 1}
    # since another partition was reopened
    await remember(stream(Chunk(JOURNAL, 2, 2, [a_record(a_click(), offset=1)])))
    assert partition.positions == {JOURNAL: 2}
    world.end()


async def test_error_that_no_fold_foresaw_is_told_and_ends_the_agent() -> None:
    world = World()
    partitions = Partitions(close_timeout_seconds=1)
    partitions.add(world.open())
    told: list[BaseException] = []

    def fold(*_: Any) -> None:
        raise ZeroDivisionError

    remember = _agent({JOURNAL: fold}, partitions, told.append)
    chunk = Chunk(JOURNAL, 0, 0, [a_record(a_click())])
    with pytest.raises(ZeroDivisionError):
        await remember(stream(chunk, chunk))
    assert [type(error) for error in told] == [ZeroDivisionError]
    world.end()
