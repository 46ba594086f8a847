"""The contract of an EventSink: the in-memory double and the real sink on Kafka pass the same tests."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from app.base.clock import SystemClock
from app.journal.kafka_sink import KafkaSink
from app.journal.sink import EventSink, NotTakenError
from events.codec import decode, encode
from events.model import Click
from events.partitions import partition_of
from tests.support.memory_sink import PARTITIONS, MemorySink

NOW_MS = SystemClock().now_ms()
Record = tuple[str, bytes, bytes, int]


def a_click(user: str = "k1.a", item: str = "1") -> Click:
    return Click(customer="c", user=user, item=item, time_ms=NOW_MS, received_ms=NOW_MS)


class Case(Protocol):
    """A sink that is not started, a topic for it, and a reader that shares no code with the sink."""

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


def items_of(records: list[Record], users: list[str]) -> dict[str, list[str]]:
    """Return the items of each user in log order; a record of any other user is an error."""
    found: dict[str, list[str]] = {user: [] for user in users}
    for _, _, value, _ in records:
        click = decode(value)
        assert isinstance(click, Click)
        found[click.user].append(click.item)
    return found


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
        await case.sink.send(case.topic, a_click())
    assert await case.read() == []


async def test_returned_means_readable_with_key_value_and_time(case: Case) -> None:
    await case.sink.start()
    await until_ready(case.sink)
    await case.sink.send(case.topic, a_click())
    assert await case.read() == [(case.topic, b"c|k1.a", encode(a_click()), NOW_MS)]


async def test_many_at_once_arrive_once_each_and_in_order_of_their_key(case: Case) -> None:
    await case.sink.start()
    await until_ready(case.sink)
    users = [f"k1.{number}" for number in range(7)]

    async def send(user: str) -> None:
        for number in range(20):
            await case.sink.send(case.topic, a_click(user, f"{number}"))

    await asyncio.gather(*map(send, users))
    assert items_of(await case.read(), users) == {user: [f"{n}" for n in range(20)] for user in users}


async def test_list_of_events_arrives_in_order_with_an_outcome_each(case: Case) -> None:
    await case.sink.start()
    await until_ready(case.sink)
    users = [f"k1.{number}" for number in range(7)]
    clicks = [a_click(user, f"{number}") for number in range(300) for user in users]
    assert await case.sink.send_many([(case.topic, click) for click in clicks]) == [None] * 2_100
    assert items_of(await case.read(), users) == {user: [f"{n}" for n in range(300)] for user in users}


async def test_list_that_cannot_be_taken_has_an_outcome_each_too(case: Case) -> None:
    outcomes = await case.sink.send_many([(case.topic, a_click()), (case.topic, a_click())])
    assert [type(outcome) for outcome in outcomes] == [NotTakenError, NotTakenError]
    assert await case.sink.send_many([]) == []


async def test_events_of_nobody_are_spread_and_those_with_an_eid_stay_in_place(case: Case) -> None:
    await case.sink.start()
    await until_ready(case.sink)
    nobody = [a_click("~", f"{number}") for number in range(60)]
    again = [Click(customer="c", user="~", item="1", eid="e1", received_ms=NOW_MS)] * 3
    await case.sink.send_many([(case.topic, click) for click in nobody + again])
    records = await case.read()
    with_eid = {key for _, key, value, _ in records if decode(value).eid == "e1"}
    assert {key for _, key, _, _ in records} - with_eid == {b"c|~%d" % number for number in range(PARTITIONS)}
    assert len(with_eid) == 1


async def test_stop_waits_for_what_is_on_its_way(case: Case) -> None:
    await case.sink.start()
    await until_ready(case.sink)
    sending = [asyncio.create_task(case.sink.send(case.topic, a_click(f"k1.{n}"))) for n in range(50)]
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
        await case.sink.send(case.topic, a_click())
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
        await sink.send(topic, a_click())
    await sink.stop()
