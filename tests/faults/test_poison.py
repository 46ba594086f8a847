"""F9: records that cannot be folded come first among good ones, then alone; the good records count exactly.

Each bad record becomes a dead letter with its place, reason and bytes.
A partition that holds only bad records is paused, with an alarm.
After the fix, the rest is read and the dead letters are replayed, and every event counts once.
"""

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from app.local.broker import LocalBroker
from events.partitions import partition_of
from tests.faults.cluster import CUSTOMER, Cluster
from tests.faults.ledger import SETTLED, Outcome, pages_differ, settle
from tests.faults.load import Load, mixed
from tests.faults.oracle import dump, fold, kept, lost_and_doubled
from tests.faults.reader import Reader

JOURNAL, DEADLETTERS = "uptake.events", "uptake.deadletters"
PARTITIONS = 2
RULE = 100  # records of which more than 90 % are bad; the default is 1,000
BIG_BYTES = 10_000_000
KEPT_BYTES = 500_000

Place = tuple[int, int]


@dataclass
class Poison:
    """Writes records that no worker of this version can fold, and keeps their places."""

    cluster: Cluster
    expected: dict[Place, tuple[str, bytes | None, bytes | None]] = field(default_factory=dict)
    """(partition, offset) -> reason, key and value"""

    def __post_init__(self) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": self.cluster.broker.bootstrap,
                "message.max.bytes": 2 * BIG_BYTES,
                "log_level": 0,
            }
        )

    def write(self, partition: int, reason: str, key: bytes | None, value: bytes | None) -> None:
        """Append one record; its place is known after ``flush``."""

        def on_delivery(error: Any, message: Any) -> None:
            assert error is None, error
            self.expected[message.partition(), message.offset()] = (reason, key, value)

        self._producer.produce(JOURNAL, value, key, partition, on_delivery=on_delivery)

    def flush(self) -> None:
        assert self._producer.flush(60) == 0

    def one_of_each(self, partition: int, number: int, *, is_big: bool) -> None:
        """Append one record of each bad kind to a partition."""
        raw = next(user for user in (f"poisoned-{n}" for n in range(100)) if self._home(user) == partition)
        key, event = self._event(raw, number)
        self.write(partition, "malformed", key, b'{"type":"click","customer":')
        self.write(partition, "malformed", key, b"\xff\xfe\x00")
        self.write(partition, "malformed", key, json.dumps(event | {"type": "teleported"}).encode())
        self.write(partition, "unknown_version", key, json.dumps(event | {"v": 2}).encode())
        self.write(partition, "null", key, None)
        self.write(partition, "bad_key", b"somebody|else", json.dumps(event).encode())
        self.write(partition, "bad_key", None, json.dumps(event).encode())
        if is_big:
            padded = json.dumps(event | {"properties": {"p": "x" * BIG_BYTES}}).encode()
            self.write(partition, "too_large", key, padded)

    def newer(self, partition: int, records: int) -> None:
        """Append events of version 2 to one partition, by other users; they are bad until a newer worker reads them."""
        users = [raw for raw in (f"newer-{n}" for n in range(200)) if self._home(raw) == partition]
        for number in range(records):
            key, event = self._event(users[number % len(users)], number)
            self.write(partition, "unknown_version", key, json.dumps(event | {"v": 2}).encode())
        self.flush()

    def _event(self, raw: str, number: int) -> tuple[bytes, dict[str, Any]]:
        now_ms = int(time.time() * 1000)
        user = self.cluster.customer.rules.user(raw)
        event = {"type": "rendered", "customer": CUSTOMER, "user": user, "items": [str(1 + number % 50)]}
        return f"{CUSTOMER}|{user}".encode(), event | {
            "scenario": "newer",
            "time_ms": now_ms,
            "received_ms": now_ms,
        }

    def _home(self, raw: str) -> int:
        return partition_of(f"{CUSTOMER}|{self.cluster.customer.rules.user(raw)}".encode(), PARTITIONS)


def letters(cluster: Cluster) -> dict[Place, tuple[str, bytes | None, bytes | None]]:
    """Return reason, key and value of each dead letter by its place in the journal; no place may have two."""
    found: dict[Place, tuple[str, bytes | None, bytes | None]] = {}
    for message in dump(cluster.broker.bootstrap, DEADLETTERS):
        headers = {name: value.decode() for name, value in message.headers()}
        if "topic" not in headers:
            continue  # the mark of a replay
        assert headers["topic"] == JOURNAL
        place = int(headers["partition"]), int(headers["offset"])
        assert place not in found, f"two dead letters of {place}"
        assert headers["detail"]
        if "value_bytes" in headers:
            assert int(headers["value_bytes"]) > len(message.value()) == KEPT_BYTES
        found[place] = headers["reason"], message.key(), message.value()
    return found


def as_kept(record: tuple[str, bytes | None, bytes | None]) -> tuple[str, bytes | None, bytes | None]:
    reason, key, value = record
    return reason, key, None if value is None else value[:KEPT_BYTES]


def let_big_records_in(cluster: Cluster) -> None:
    admin = AdminClient({"bootstrap.servers": cluster.broker.bootstrap, "log_level": 0})
    entry = ConfigEntry("max.message.bytes", str(2 * BIG_BYTES), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, JOURNAL, incremental_configs=[entry])
    (altering,) = admin.incremental_alter_configs([resource]).values()
    altering.result(20)


def paused(cluster: Cluster) -> list[dict[str, Any]]:
    status, body = cluster.get("/v1/status")
    return [alarm for alarm in body["alarms"] if alarm["alarm"] == "paused"] if status == 200 else []


def lag_of_paused(cluster: Cluster) -> int:
    return int(cluster.partitions_of("w0")["0"]["lag"])


def poisoned(broker: LocalBroker, directory: Path, *, rounds: int, events: int, stream: int) -> Outcome:
    """Write every bad kind ``rounds`` times among ``events`` good ones, then ``stream`` bad ones in a row to one partition."""
    env = {"UPTAKE_POISON_RECORDS": str(RULE), "UPTAKE_WATCHDOG_ALARM_MS": "6000"}
    cluster = Cluster(broker, directory, partitions=PARTITIONS, env=env)
    let_big_records_in(cluster)
    poison = Poison(cluster)
    reader = Reader(cluster)
    raws = [f"visitor-{number}" for number in range(100)]
    users = [cluster.customer.rules.user(raw) for raw in raws]
    source = mixed(CUSTOMER, users, 2 * events, seed=9)
    try:
        cluster.start_worker()
        cluster.wait_ready()
        settled = settle(cluster)

        # First, bad records among good ones.
        first = Load(broker.bootstrap, CUSTOMER, [], rate=1_000, events=0, source=take(source, events))
        first.start()
        draw = random.Random(9)
        for number in range(rounds):
            for partition in range(PARTITIONS):
                poison.one_of_each(partition, number, is_big=number == 0)
            time.sleep(draw.random() * events / 1_000 / rounds)
        poison.flush()
        first.join()
        cluster.wait_drained()
        assert letters(cluster) == {place: as_kept(record) for place, record in poison.expected.items()}
        assert cluster.get("/v1/status")[1]["alarms"] == []
        one_by_one = set(poison.expected)

        # Then only bad ones in one partition: good ones behind them wait, the other partition continues.
        reader.start()
        poison.newer(0, stream)
        second = Load(broker.bootstrap, CUSTOMER, [], rate=1_000, events=0, source=source)
        second.start()
        cluster.wait_until(lambda: paused(cluster), "the stream is paused")
        second.join()
        reader.finish()
        (alarm,) = paused(cluster)
        assert (alarm["topic"], alarm["partition"], alarm["reason"]) == (JOURNAL, 0, "unknown_version")
        assert "is paused at" in cluster.log("w0")
        cluster.wait_until(
            lambda: (
                cluster.partitions_of("w0")["1"]["lag"] == 0
                and cluster.partitions_of("w0")["0"]["durable"][JOURNAL] == alarm["position"]
            ),
            "the other partition goes on, and the position stays before the rest of the stream",
        )
        cluster.wait_until(lambda: lag_of_paused(cluster) > stream - RULE, "the rest of the stream waits")
        waiting = lag_of_paused(cluster)
        assert cluster.get("/health/ready")[0] == 200
        assert pages_differ(cluster, fold(broker.bootstrap, skip=one_by_one), SETTLED) == 0
        assert "has been stalled" not in cluster.log("w0"), "what is paused is not stalled"
        drained = {place for place in letters(cluster) if place not in one_by_one}
        assert drained == {
            place for place in poison.expected if place not in one_by_one and place[1] < alarm["position"]
        }
        assert 0 < len(drained) <= RULE  # bad records shortly before the stream count towards the rule

        # The fix: a newer worker reads the rest, and the dead letters are replayed.
        assert cluster.stop("w0") == 0
        cluster.program = "tests.faults.newer"
        cluster.start_worker()
        cluster.wait_ready()
        cluster.wait_drained()
        assert paused(cluster) == []
        replay = [
            sys.executable,
            "-m",
            "app",
            "dlq",
            "replay",
            "--reason",
            "unknown_version",
            "--yes",
            "--json",
        ]
        done = subprocess.run(
            [*replay, "--kafka", broker.bootstrap], capture_output=True, text=True, check=True, timeout=60
        )
        replayed = json.loads(done.stdout)["replayed"]
        assert replayed == len(drained) + rounds * PARTITIONS
        cluster.wait_drained()

        # Every event counts once: dead letters where they were replayed, the others at their places.
        dead = one_by_one | drained
        assert set(letters(cluster)) == dead
        truth, found = fold(broker.bootstrap, skip=dead), kept(broker.bootstrap)
        good = settled + first.delivered + second.delivered
        assert truth.records == good + stream + rounds * PARTITIONS + reader.sent
        lost, doubled = lost_and_doubled(truth, found)
        differing = pages_differ(cluster, truth, [*raws[::10], *SETTLED, "newer-1", "poisoned-1"])
        assert cluster.stop("w0") == 0
        return Outcome(
            "F9",
            good + len(poison.expected),
            lost,
            doubled,
            {"poison": len(one_by_one), "paused_before": waiting, "replayed": replayed},
            {"dead_lettered": len(dead), "differing_pages": differing},
            reader,
        )
    finally:
        cluster.close()


def take(events: Iterator[Any], count: int) -> Iterator[Any]:
    for _ in range(count):
        yield next(events)


@pytest.mark.fault("F9")
@pytest.mark.slow_fault
@pytest.mark.timeout(300)
def test_poison_harms_no_neighbour_and_a_stream_of_it_is_paused(
    own_broker: LocalBroker, tmp_path: Path, is_long: bool
) -> None:
    rounds, events, stream = (40, 20_000, 5_000) if is_long else (3, 800, 400)
    outcome = poisoned(own_broker, tmp_path, rounds=rounds, events=events, stream=stream)
    outcome.must_be_exact()
    assert outcome.more["differing_pages"] == 0
