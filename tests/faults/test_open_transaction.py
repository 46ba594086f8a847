"""A foreign producer leaves a transaction open in the journal: the worker says so, and reads everything after it ends."""

import json
import time
from pathlib import Path

import pytest
from confluent_kafka import Producer

from app.base.settings import Settings
from app.kafka.open_transactions import abort_command
from app.local import doctor
from app.local.broker import LocalBroker
from events.topics import JOURNAL
from tests.faults.cluster import CUSTOMER, Cluster
from tests.faults.ledger import Outcome, compare
from tests.faults.load import Load
from tests.faults.reader import Reader

ALARM_MS, EXIT_MS = 6_000, 12_000
LONGEST_SECONDS = 30


def left_open(bootstrap: str) -> Producer:
    """Return a producer whose transaction is open in partition 0 of the journal."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "transactional.id": "foreign",
            "transaction.timeout.ms": 600_000,
            "log_level": 0,
        }
    )
    producer.init_transactions(20)
    producer.begin_transaction()
    event = {"type": "click", "customer": CUSTOMER, "user": "~never", "item": "1", "time_ms": 1}
    producer.produce(JOURNAL, json.dumps(event).encode(), f"{CUSTOMER}|~never".encode(), 0)
    assert producer.flush(20) == 0
    return producer


def hidden(broker: LocalBroker, directory: Path, *, open_seconds: float) -> Outcome:
    """Leave a transaction open under load, past the time after which a stalled worker ends; then abort it."""
    env = {"UPTAKE_WATCHDOG_ALARM_MS": str(ALARM_MS), "UPTAKE_WATCHDOG_EXIT_MS": str(EXIT_MS)}
    cluster = Cluster(broker, directory / "cluster", partitions=2, env=env)
    users = [cluster.customer.rules.user(f"visitor-{number}") for number in range(50)]
    load = Load(broker.bootstrap, CUSTOMER, users, rate=100, events=100 * 600)
    reader = Reader(cluster)
    settings = Settings(kafka=broker.bootstrap, partitions=2)
    try:
        cluster.start_worker()
        cluster.wait_ready()
        cluster.wait_drained()  # an idle worker has no lag, whatever commit markers its topics end with
        foreign = left_open(broker.bootstrap)
        opened = time.monotonic()
        load.start()
        reader.start()
        cluster.wait_until(
            lambda: cluster.get("/v1/status")[1]["alarms"], "the status shows an alarm", LONGEST_SECONDS
        )
        alarm_seconds = time.monotonic() - opened
        cluster.wait_until(lambda: time.monotonic() - opened >= open_seconds, "it is open for long")
        status, body = cluster.get("/health/ready")
        (alarm,) = body["alarms"]
        assert (status, alarm["alarm"], alarm["topic"], alarm["partition"]) == (
            200,
            "open_transaction",
            JOURNAL,
            0,
        )
        assert alarm["transactional_id"] == "foreign"
        assert alarm["producer_id"] >= 0
        command = abort_command(broker.bootstrap, JOURNAL, 0, alarm["position"], "foreign")
        assert alarm["command"] == command
        assert command in cluster.log("w0")
        waiting = body["partitions"]["0"]["lag"]
        assert body["partitions"]["1"]["lag"] < waiting  # the other partition is read on
        check = doctor.check_transactions(settings)
        assert (check.level, command in check.cure) == ("fail", True)

        foreign.abort_transaction(20)
        load.finish()
        reader.finish()
        cluster.wait_until(lambda: not cluster.get("/v1/status")[1]["alarms"], "the alarm ends", 10)
        cluster.wait_drained()
        assert doctor.check_transactions(settings).level == "ok"
        _, lost, doubled = compare(cluster, load)
        assert cluster.stop("w0") == 0
        effect = {"alarm_s": alarm_seconds, "hidden": waiting}
        return Outcome("F18", load.delivered, lost, doubled, effect, reader=reader)
    finally:
        cluster.close()


@pytest.mark.fault("F18")
@pytest.mark.timeout(300)
def test_open_transaction_is_reported_and_nothing_behind_it_is_lost(
    own_broker: LocalBroker, tmp_path: Path, is_long: bool
) -> None:
    hidden(own_broker, tmp_path, open_seconds=120 if is_long else 14).must_be_exact()
