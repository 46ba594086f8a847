"""State that does not fit: recreated topics, another partition count, another format. Each is detected, named and survived."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from app.base.settings import Settings
from app.kafka.topic_ids import read_topic_ids
from app.kafka.topics import ensure_topics
from app.local.broker import LocalBroker
from events.codec import encode
from events.model import user_key
from events.topics import JOURNAL, POSITIONS, TRANSFERS, changelog
from tables.declare import STORED
from tables.store import FORMAT, FORMAT_VERSION, OFFSETS, RocksStore, StoreMemory
from tests.faults.cluster import CUSTOMER, Cluster
from tests.support.builders import a_click, a_rendered

PARTITIONS = 2
CLICKED = changelog("clicked")
# More records than before, so that by its offsets alone the new topic looks like the former.
MANY = 300


@pytest.fixture
def cluster(own_broker: LocalBroker, tmp_path: Path) -> Iterator[Cluster]:
    """A worker that has folded a click and an impression of `anna`, and has stopped."""
    cluster = Cluster(own_broker, tmp_path / "cluster", partitions=PARTITIONS)
    try:
        cluster.start_worker()
        cluster.wait_ready()
        user = cluster.customer.rules.user("anna")
        now_ms = time.time_ns() // 1_000_000
        key = user_key(CUSTOMER, user)
        write(cluster, JOURNAL, key, encode(a_click(user=user, item="1", time_ms=now_ms)))
        write(cluster, JOURNAL, key, encode(a_rendered(user=user, items=("2",), time_ms=now_ms)))
        cluster.wait_drained()
        assert cluster.stop("w0") == 0
        yield cluster
    finally:
        cluster.close()


def write(cluster: Cluster, topic: str, key: bytes, value: bytes | None, partition: int = -1) -> None:
    producer = Producer(
        {"bootstrap.servers": cluster.broker.bootstrap, "partitioner": "murmur2", "log_level": 0}
    )
    producer.produce(topic, value, key, partition)
    assert producer.flush(20) == 0


def recreate(cluster: Cluster, topic: str) -> None:
    """Delete a topic and create it again, with another id."""
    bootstrap = cluster.broker.bootstrap
    former = asyncio.run(read_topic_ids(bootstrap, [topic]))[topic]
    # Keep the client: its futures fail when it is garbage-collected.
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    (deleting,) = admin.delete_topics([topic]).values()
    deleting.result(20)
    deadline = time.monotonic() + 20
    while asyncio.run(read_topic_ids(bootstrap, [topic])).get(topic) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    asyncio.run(ensure_topics(Settings(kafka=bootstrap, partitions=PARTITIONS)))
    assert asyncio.run(read_topic_ids(bootstrap, [topic]))[topic] != former


def fill(cluster: Cluster, topic: str) -> None:
    producer = Producer({"bootstrap.servers": cluster.broker.bootstrap, "log_level": 0})
    for partition in range(PARTITIONS):
        for _ in range(MANY):
            producer.produce(topic, None, b"nobody", partition)
    assert producer.flush(20) == 0


def counts(cluster: Cluster, table: str) -> dict[str, int]:
    status, page = cluster.get(f"/v1/{CUSTOMER}/users/anna")
    assert status == 200
    return {entry["item"]: entry["count"] for entry in page[table]}


def dies_saying(cluster: Cluster, *words: str, **env: str) -> None:
    before = len(cluster.log("w0")) if cluster.workers else 0
    cluster.start_worker(**env)
    assert cluster.workers["w0"].wait(40) == 2
    said = cluster.log("w0")[before:]
    assert all(word in said for word in words), said[-3000:]
    assert "Traceback" not in said, said[-3000:]


def formats(cluster: Cluster, version: int) -> None:
    """Give every partition's directory the format of another version."""
    for number in range(PARTITIONS):
        store = RocksStore(
            cluster.data_dir("w0") / "state" / str(number), STORED, StoreMemory(1 << 20, 1 << 20)
        )
        store._families[OFFSETS].put(FORMAT.encode(), b"%d" % version)
        store.close()


def test_state_of_a_former_changelog_is_rebuilt_and_the_other_tables_stay(cluster: Cluster) -> None:
    recreate(cluster, TRANSFERS)  # no record of it was read, so nothing is lost
    recreate(cluster, CLICKED)
    fill(cluster, CLICKED)
    cluster.start_worker()
    cluster.wait_ready()
    assert f"came from a former {CLICKED}" in cluster.log("w0")
    assert (counts(cluster, "clicked"), counts(cluster, "rendered")) == ({}, {"2": 1})

    before = len(cluster.log("w0"))
    assert cluster.stop("w0") == 0
    cluster.start_worker()
    cluster.wait_ready()
    assert "former" not in cluster.log("w0")[before:]


def test_former_journal_is_noticed_by_a_running_worker_and_refused_with_the_cure_also_on_a_new_disk(
    cluster: Cluster,
) -> None:
    cluster.start_worker(UPTAKE_WATCHDOG_ALARM_MS="1000")  # the worker checks six times a second
    cluster.wait_ready()
    recreate(cluster, JOURNAL)
    assert cluster.workers["w0"].wait(40) == 2
    assert f"{JOURNAL}: recreated" in cluster.log("w0"), cluster.log("w0")[-3000:]
    fill(cluster, JOURNAL)
    dies_saying(cluster, f"{JOURNAL}: recreated", "former topic", "docs/operations.md")
    cluster.wipe("w0")
    dies_saying(cluster, f"{JOURNAL}: recreated", "former topic", "docs/operations.md")


def test_another_partition_count_is_refused_and_another_format_rebuilt_or_refused(cluster: Cluster) -> None:
    dies_saying(cluster, "has 2 partitions on the broker, expected 4", UPTAKE_PARTITIONS="4")
    formats(cluster, 0)
    cluster.start_worker()
    cluster.wait_ready()
    assert "has store format 0" in cluster.log("w0")
    assert (counts(cluster, "clicked"), counts(cluster, "rendered")) == ({"1": 1}, {"2": 1})
    assert cluster.stop("w0") == 0

    formats(cluster, FORMAT_VERSION + 1)
    dies_saying(cluster, f"has store format {FORMAT_VERSION + 1}", "delete the directory")
    cluster.wipe("w0")
    cluster.start_worker()
    cluster.wait_ready()
    assert (counts(cluster, "clicked"), counts(cluster, "rendered")) == ({"1": 1}, {"2": 1})


def test_tables_without_their_positions_are_refused_also_on_a_new_disk(cluster: Cluster) -> None:
    recreate(cluster, POSITIONS)
    fill(cluster, POSITIONS)
    dies_saying(cluster, f"{POSITIONS}: recreated", "docs/operations.md")
    cluster.wipe("w0")
    dies_saying(cluster, f"{POSITIONS}: recreated", "no position says what they count", "docs/operations.md")
