"""Compacts changelogs at once, where Kafka by default waits for days, and measures how much is gone."""

from typing import Final

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from tables.declare import CHANGELOGS
from tests.faults.oracle import dump

EAGER: Final = {"log.cleaner.backoff.ms": "200"}
"""Broker setting: how long the cleaner sleeps after it has found nothing to do."""
_TOPIC: Final = {"segment.ms": "1000", "min.cleanable.dirty.ratio": "0.01", "min.compaction.lag.ms": "0"}


def compact_eagerly(bootstrap: str) -> None:
    """Make every changelog begin a new segment each second, so that the cleaner soon compacts all older ones."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        for name, value in _TOPIC.items()
    ]
    resources = [
        ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
        for topic in CHANGELOGS.values()
    ]
    for altering in admin.incremental_alter_configs(resources).values():
        altering.result(20)


def compacted_away(bootstrap: str, topic: str) -> tuple[int, int]:
    """Return (offsets of a topic that hold no committed record any more, markers included; all of its offsets)."""
    kept = sum(1 for _ in dump(bootstrap, topic))
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "log_level": 0})
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        ends = sum(
            consumer.get_watermark_offsets(TopicPartition(topic, number), 10)[1] for number in partitions
        )
    finally:
        consumer.close()
    return ends - kept, ends
