"""What every EventSink keeps: the double in memory and the real one on Kafka pass the same tests."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from app.clock import SystemClock
from app.collector.kafka_sink import KafkaSink
from app.collector.sink import EventSink, NotTakenError
from events.partitions import partition_of
from tests.support.memory_sink import MemorySink

PARTITIONS = 3
NOW_MS = SystemClock().now_ms()
Record = tuple[str, bytes, bytes, int]


class Case(Protocol):
    """A sink, not yet started, with a topic for it and a reader that is not the sink's own code."""

    sink: EventSink
    topic: str

    async def read(self) -> list[Record]: ...


class MemoryCase:
    def __init__(self) -> None:
        self.sink, self.topic = MemorySink(), "events"

    async def read(self) -> list[Record]:
        return self.sink.records


class KafkaCase:
    def __init__(self, bootstrap: str, topic: str) -> None:
        self.bootstrap, self.topic = bootstrap, topic
        self.sink = KafkaSink(bootstrap, {topic: PARTITIONS}, needed=(topic,))

    async def read(self) -> list[Record]:
        partitions = [TopicPartition(self.topic, partition) for partition in range(PARTITIONS)]
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, auto_offset_reset="earliest")
        await consumer.start()
        try:
            consumer.assign(partitions)
            await consumer.seek_to_beginning()
            ends = await consumer.end_offsets(partitions)
            records: list[Record] = []
            while len(records) < sum(ends.values()):
                for partition, batch in (await consumer.getmany(timeout_ms=500)).items():
                    for record in batch:
                        assert partition.partition == partition_of(record.key, PARTITIONS)
                        records.append((record.topic, record.key, record.value, record.timestamp))
            return records
        finally:
            await consumer.stop()


async def create_topic(bootstrap: str, name: str, partitions: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, partitions, 1)])
    finally:
        await admin.close()


async def until_ready(sink: EventSink) -> None:
    async with asyncio.timeout(30):
        while sink.problems():
            await asyncio.sleep(0.02)


@pytest.fixture(params=["memory", "kafka"])
async def case(request: pytest.FixtureRequest, unique: Callable[[str], str]) -> AsyncIterator[Case]:
    if request.param == "memory":
        made: Any = MemoryCase()
    else:
        bootstrap, topic = request.getfixturevalue("kafka"), unique("sink")
        await create_topic(bootstrap, topic, PARTITIONS)
        made = KafkaCase(bootstrap, topic)
    yield made
    with contextlib.suppress(Exception):
        await made.sink.stop()


async def test_sink_that_is_not_started_takes_nothing(case: Case) -> None:
    assert case.sink.problems()
    with pytest.raises(NotTakenError):
        await case.sink.send(case.topic, b"k", b"v", NOW_MS)
    assert await case.read() == []


async def test_returned_means_readable_with_key_value_and_time(case: Case) -> None:
    await case.sink.start()
    await until_ready(case.sink)
    await case.sink.send(case.topic, b"00000|k1.a", b'{"a":1}', NOW_MS)
    assert await case.read() == [(case.topic, b"00000|k1.a", b'{"a":1}', NOW_MS)]


async def test_many_at_once_arrive_once_each_and_in_order_of_their_key(case: Case) -> None:
    await case.sink.start()
    await until_ready(case.sink)
    keys = [b"c|k1.%d" % number for number in range(7)]

    async def user(key: bytes) -> None:
        for number in range(20):
            await case.sink.send(case.topic, key, b"%d" % number, NOW_MS)

    await asyncio.gather(*map(user, keys))
    records = await case.read()
    assert len(records) == 140
    for key in keys:
        assert [value for _, its_key, value, _ in records if its_key == key] == [b"%d" % n for n in range(20)]


async def test_stop_waits_for_what_is_on_its_way(case: Case) -> None:
    await case.sink.start()
    await until_ready(case.sink)
    sending = [asyncio.create_task(case.sink.send(case.topic, b"k%d" % n, b"v", NOW_MS)) for n in range(50)]
    await asyncio.sleep(0)
    await case.sink.stop()
    outcomes = await asyncio.gather(*sending, return_exceptions=True)
    assert all(outcome is None for outcome in outcomes)
    assert len(await case.read()) == 50


async def test_stopped_sink_takes_nothing_more(case: Case) -> None:
    await case.sink.start()
    await until_ready(case.sink)
    await case.sink.stop()
    with pytest.raises(NotTakenError):
        await case.sink.send(case.topic, b"k", b"v", NOW_MS)
    assert await case.read() == []


async def test_kafka_sink_names_a_topic_with_other_partitions(
    kafka: str, unique: Callable[[str], str]
) -> None:
    topic = unique("sink")
    await create_topic(kafka, topic, 2)
    sink = KafkaSink(kafka, {topic: 3, "nowhere": 1}, needed=(topic,))
    await sink.start()
    async with asyncio.timeout(30):
        while len(sink.problems()) < 2:
            await asyncio.sleep(0.02)
    assert f"topic {topic} has 2 partitions, expected 3" in sink.problems()[0]
    assert "lacks the topics nowhere" in sink.problems()[1]
    with pytest.raises(NotTakenError):
        await sink.send(topic, b"k", b"v", NOW_MS)
    await sink.stop()
