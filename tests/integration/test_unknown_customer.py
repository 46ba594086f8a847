"""Records with raw ids, and those of a customer that a worker does not know yet, become dead letters; a replay is exact."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer

from app.customers.customer_registry import Customers
from events.model import user_key
from events.partitions import partition_of
from events.topics import JOURNAL
from tests.faults.cluster import CUSTOMER, Cluster, started_cluster
from tests.support.kafka_reader import read_committed

pytestmark = pytest.mark.broker

PARTITIONS = 2
NEW = "shop"
TABLE = f"""
[customers.{NEW}]
key_id = "k7"
pseudonym_key = "{"77" * 32}"
"""


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    monkeypatch.setenv("UPTAKE_UNKNOWN_CUSTOMER_MS", "3000")
    with started_cluster(tmp_path_factory.mktemp("unknown"), PARTITIONS) as cluster:
        yield cluster


def dlq(cluster: Cluster, *arguments: str) -> str:
    command = [
        *(sys.executable, "-m", "app", "dlq", *arguments),
        *("--json", "--kafka", cluster.broker.bootstrap),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def click(cluster: Cluster, customer: str, user: str, count: int = 1) -> None:
    """Write clicks as a producer of another language does: without a time, so the broker's counts."""
    producer = Producer(
        {"bootstrap.servers": cluster.broker.bootstrap, "partitioner": "murmur2", "log_level": 0}
    )
    value = json.dumps({"type": "click", "customer": customer, "user": user, "item": "7"})
    for _ in range(count):
        producer.produce(JOURNAL, value, f"{customer}|{user}")
    assert producer.flush(20) == 0


def reasons(cluster: Cluster) -> dict[str, int]:
    return {group["reason"]: group["letters"] for group in json.loads(dlq(cluster, "list"))}


def alarms(cluster: Cluster) -> list[dict[str, object]]:
    found: list[dict[str, object]] = cluster.get("/v1/status")[1]["alarms"]
    return found


def test_customer_that_a_worker_knows_late_loses_no_event(cluster: Cluster) -> None:
    # The keys of the customer, as a collector with the new file has them.
    file = cluster.directory / "collector.toml"
    file.write_text(TABLE, encoding="utf-8")
    file.chmod(0o600)
    user = Customers.load(file)[NEW].rules.user("maxmustermann")

    click(cluster, NEW, user, 5)
    cluster.wait_drained()
    assert (reasons(cluster), alarms(cluster)) == ({}, [])
    sent, started = 5, time.monotonic()
    while not alarms(cluster):
        assert time.monotonic() - started < 60, cluster.log("w0")
        click(cluster, NEW, user)
        sent += 1
        cluster.wait_drained()
    click(cluster, NEW, user, 20)
    click(cluster, CUSTOMER, "maxmustermann", 3)
    sent += 20
    cluster.wait_drained()
    found = reasons(cluster)
    assert (found["raw_user"], 20 <= found["unknown_customer"] <= sent - 5) == (3, True)
    (alarm,) = alarms(cluster)
    assert (alarm["alarm"], alarm["customer"], alarm["letters"]) == (
        "unknown_customer",
        NEW,
        found["unknown_customer"],
    )
    assert f"customer {NEW} is unknown" in cluster.log("w0")
    assert cluster.get("/health/ready")[0] == 200

    with cluster.customers_file.open("a", encoding="utf-8") as customers:
        customers.write(TABLE)
    cluster.wait_until(
        lambda: cluster.get(f"/v1/{NEW}/users/nobody")[0] == 200, "the worker knows the customer"
    )
    replayed = json.loads(dlq(cluster, "replay", "--reason", "unknown_customer", "--yes"))["replayed"]
    assert replayed == found["unknown_customer"]
    cluster.wait_drained()

    key = user_key(NEW, user)
    records = [
        record
        for record in read_committed(cluster.broker.bootstrap, JOURNAL, partition_of(key, PARTITIONS))
        if record.key() == key
    ]
    assert len(records) == sent + replayed
    (clicked,) = cluster.get(f"/v1/{NEW}/users/maxmustermann")[1]["clicked"]
    assert clicked["count"] == sent
    first = [record.timestamp()[1] for record in records if not record.headers()]
    assert (clicked["first_ms"], clicked["last_ms"]) == (first[0], first[-1])
    assert alarms(cluster) == []
    assert reasons(cluster) == found
