"""Writes traffic into Kafka, and creates and deletes topics between runs."""

import json
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.traffic import Record
from events.topics import JOURNAL


def load(bootstrap: str, topic: str, records: Iterable[Record], linger_ms: int = 50) -> int:
    """Write records into a topic, in order and without transactions; return their number."""
    writer = _Writer(bootstrap, {"linger.ms": linger_ms})
    return writer.write(topic, records)


@contextmanager
def withheld(bootstrap: str, topic: str, records: Iterable[Record]) -> Iterator[Callable[[], None]]:
    """Write records in one transaction, and yield the function that commits it. Before that, only uncommitted reads see them."""
    name = f"benchmark-{uuid.uuid4().hex[:8]}"
    writer = _Writer(bootstrap, {"transactional.id": name, "transaction.timeout.ms": 600_000})
    producer = writer.producer
    producer.init_transactions(30)
    producer.begin_transaction()
    writer.write(topic, records)
    is_open = True

    def release() -> None:
        nonlocal is_open
        producer.commit_transaction(60)
        is_open = False

    try:
        yield release
    finally:
        if is_open:
            producer.abort_transaction(60)


class _Writer:
    """A producer that raises RuntimeError if a record was not written."""

    def __init__(self, bootstrap: str, config: Mapping[str, Any] | None = None) -> None:
        self.producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": 50,
                "queue.buffering.max.messages": 200_000,
                **(config or {}),
            }
        )
        self._failed: list[object] = []

    def write(self, topic: str, records: Iterable[Record]) -> int:
        """Write records in order, and return their number when the broker has all of them."""
        count = 0
        for record in records:
            while True:
                try:
                    self.producer.produce(
                        topic,
                        key=record.key,
                        value=record.value,
                        partition=record.partition,
                        timestamp=record.time_ms,
                        on_delivery=self._delivered,
                    )
                    break
                except BufferError:
                    self.producer.poll(0.05)
            count += 1
            if count % 1_000 == 0:
                self.producer.poll(0)
        self.producer.flush()
        if self._failed:
            raise RuntimeError(
                f"{len(self._failed)} records were not written; the first error is {self._failed[0]}"
            )
        return count

    def _delivered(self, error: object, _message: object) -> None:
        if error is not None:
            self._failed.append(error)


def positions(partitions: int, time_ms: int) -> Iterator[Record]:
    """Yield the position row of each partition, for a worker that has rows but has read nothing of the present journal."""
    for number in range(partitions):
        yield Record(number, b"%d" % number, json.dumps({JOURNAL: 0}).encode(), time_ms)


def ends(bootstrap: str, topic: str) -> dict[int, int]:
    """Return the end offset of each partition of a topic, uncommitted records included."""
    config = {"bootstrap.servers": bootstrap, "group.id": "benchmark-ends"}
    consumer = Consumer({**config, "isolation.level": "read_uncommitted"})
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        return {
            number: consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10)[1]
            for number in partitions
        }
    finally:
        consumer.close()


def create_topics(bootstrap: str, names: Iterable[str], partitions: int, *, is_compacted: bool) -> None:
    """Create topics, and return when all of them have a leader."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    config = {"cleanup.policy": "compact"} if is_compacted else {}
    wanted = [NewTopic(name, partitions, 1, config=config) for name in names]
    for future in admin.create_topics(wanted).values():
        future.result(30)
    _wait(lambda: all(topic.topic in _listed(admin) for topic in wanted), "the new topics do not appear")


def delete_topics(bootstrap: str, prefix: str, keep: Iterable[str] = ()) -> None:
    """Delete the topics whose names begin with ``prefix``, and return when they are gone."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    kept = set(keep)
    names = [name for name in _listed(admin) if name.startswith(prefix) and name not in kept]
    if not names:
        return
    for future in admin.delete_topics(names).values():
        future.result(30)
    _wait(lambda: not set(names) & _listed(admin), "the deleted topics still exist")


def topics_with(bootstrap: str, words: str) -> list[str]:
    """Return the topics whose names hold some words."""
    return [name for name in sorted(_listed(AdminClient({"bootstrap.servers": bootstrap}))) if words in name]


def _listed(admin: AdminClient) -> set[str]:
    try:
        topics = admin.list_topics(timeout=10).topics
    except KafkaException:
        return set()
    return {name for name, topic in topics.items() if topic.error is None}


def _wait(is_so: Callable[[], bool], complaint: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(complaint)
        time.sleep(0.05)
