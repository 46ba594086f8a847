"""Topics on a real broker: created as listed, compared, and refused if their partition counts differ."""

import asyncio
import json
from collections.abc import Callable

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

from app.base.errors import NoBrokerError, TopicMismatchError
from app.base.settings import Settings
from app.kafka.topics import compare_topics, ensure_topics, require_topics
from app.local.broker import LocalBroker
from app.local.tcp_ports import free_port
from events.topics import META, Topic
from tables.declare import TOPICS


def _settings(kafka: str, partitions: int = 3) -> Settings:
    return Settings(kafka=kafka, partitions=partitions)


def _config(kafka: str, topic: str) -> dict[str, str]:
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    # Keep the client: its futures fail when it is garbage-collected.
    admin = AdminClient({"bootstrap.servers": kafka})
    (future,) = admin.describe_configs([resource]).values()
    return {name: entry.value for name, entry in future.result(20).items()}


def _records(kafka: str, topic: str) -> list[tuple[bytes, bytes]]:
    reader = Consumer({"bootstrap.servers": kafka, "group.id": "unused"})
    try:
        partition = TopicPartition(topic, 0)
        low, high = reader.get_watermark_offsets(partition, 20)
        reader.assign([TopicPartition(topic, 0, low)])
        read = []
        while len(read) < high - low:
            record = reader.poll(20)
            assert record is not None
            assert record.error() is None
            read.append((record.key(), record.value()))
        return read
    finally:
        reader.close()


async def test_missing_topics_are_created_as_listed_and_then_differ_in_nothing(
    own_broker: LocalBroker,
) -> None:
    settings = _settings(own_broker.bootstrap)
    before = await compare_topics(settings)
    assert all(comparison.found is None for comparison in before)

    assert await ensure_topics(settings) == []

    metadata = AdminClient({"bootstrap.servers": settings.kafka}).list_topics(timeout=20).topics
    for topic in TOPICS:
        assert len(metadata[topic.name].partitions) == (3 if topic.is_partitioned else 1), topic.name
        config = _config(settings.kafka, topic.name)
        assert config["cleanup.policy"] == topic.cleanup
        assert config["max.message.bytes"] == str(topic.max_message_bytes)
        if topic.retention_ms is not None:
            assert config["retention.ms"] == str(topic.retention_ms)
    assert all(not comparison.differences for comparison in await compare_topics(settings))
    await require_topics(settings, wait_ms=0)


async def test_creation_ids_are_written_once(own_broker: LocalBroker) -> None:
    settings = _settings(own_broker.bootstrap)
    await ensure_topics(settings)
    await ensure_topics(settings)
    records = _records(settings.kafka, META)
    assert sorted(key.decode() for key, _ in records) == sorted(topic.name for topic in TOPICS)
    ids = {json.loads(value)["id"] for _, value in records}
    assert len(ids) == len(TOPICS)


async def test_two_processes_may_ensure_the_topics_at_once(own_broker: LocalBroker) -> None:
    settings = _settings(own_broker.bootstrap)
    assert await asyncio.gather(ensure_topics(settings), ensure_topics(settings)) == [[], []]
    keys = [key for key, _ in _records(settings.kafka, META)]
    assert len(keys) == len(set(keys)) == len(TOPICS)


async def test_wrong_partition_count_is_refused_with_its_cure(
    kafka: str, unique: Callable[[str], str]
) -> None:
    topic = Topic(unique("journal"), "user", "events", retention_ms=1_000_000)
    await ensure_topics(_settings(kafka, 2), [topic])
    with pytest.raises(TopicMismatchError) as refused:
        await ensure_topics(_settings(kafka, 3), [topic])
    error = refused.value
    assert (error.topic, error.expected, error.found) == (topic.name, 3, 2)
    assert "UPTAKE_PARTITIONS=2" in str(error)
    with pytest.raises(TopicMismatchError):
        await require_topics(_settings(kafka, 3), [topic], wait_ms=0)


async def test_altered_setting_is_reported_and_the_topic_left_alone(
    kafka: str, unique: Callable[[str], str]
) -> None:
    topic = Topic(unique("journal"), "user", "events", retention_ms=1_000_000)
    new = NewTopic(topic.name, 3, 1, config={"retention.ms": "5000", "message.timestamp.after.max.ms": "1"})
    admin = AdminClient({"bootstrap.servers": kafka})
    for future in admin.create_topics([new]).values():
        future.result(20)
    differences = await ensure_topics(_settings(kafka), [topic])
    assert {difference.what for difference in differences} == {
        "retention.ms",
        "message.timestamp.after.max.ms",
        "message.timestamp.type",  # the broker's default is CreateTime
    }
    assert _config(kafka, topic.name)["retention.ms"] == "5000"


@pytest.mark.parametrize(
    "timestamp_ms", [1, 1_000_000_000_000, 4_102_444_800_000], ids=["1970", "2001", "2100"]
)
async def test_any_timestamp_is_accepted(kafka: str, unique: Callable[[str], str], timestamp_ms: int) -> None:
    topic = Topic(unique("journal"), "user", "events", "compact", is_partitioned=False)
    await ensure_topics(_settings(kafka), [topic])
    failures: list[object] = []
    producer = Producer({"bootstrap.servers": kafka})
    producer.produce(
        topic.name, b"x", b"k", timestamp=timestamp_ms, on_delivery=lambda error, _: failures.append(error)
    )
    assert producer.flush(20) == 0
    assert failures == [None]


async def test_absent_broker_is_named_with_what_to_do() -> None:
    settings = _settings(f"127.0.0.1:{free_port()}")
    with pytest.raises(NoBrokerError, match=f"no Kafka answers at {settings.kafka}.*uptake doctor"):
        await compare_topics(settings, wait_ms=300)


async def test_broker_that_comes_late_is_waited_for(
    own_broker: LocalBroker, unique: Callable[[str], str]
) -> None:
    topic = Topic(unique("late"), "user", "events", retention_ms=1_000_000)
    own_broker.kill()
    waiting = asyncio.create_task(ensure_topics(_settings(own_broker.bootstrap), [topic]))
    await asyncio.sleep(0.5)
    assert not waiting.done()
    own_broker.start()
    assert await asyncio.wait_for(waiting, 60) == []
