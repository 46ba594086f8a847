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
from events.topics import JOURNAL, changelog
from tests.faults.cluster import CUSTOMER, Cluster
from tests.faults.ledger import Outcome, compare
from tests.faults.load import Load
from tests.faults.reader import Reader

ALARM_MS, EXIT_MS = 4_000, 8_000
SESSION_MS, MAX_STALE_MS = 3_000, 14_000
LONGEST_SECONDS = 30
NAME = "foreign"


def left_open(bootstrap: str, topic: str = JOURNAL) -> Producer:
    """Return a producer whose transaction is open in partition 0 of a topic."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "transactional.id": NAME,
            "transaction.timeout.ms": 600_000,
            "log_level": 0,
        }
    )
    producer.init_transactions(20)
    producer.begin_transaction()
    event = {"type": "click", "customer": CUSTOMER, "user": "~never", "item": "1", "time_ms": 1}
    producer.produce(topic, json.dumps(event).encode(), f"{CUSTOMER}|~never".encode(), 0)
    assert producer.flush(20) == 0
    return producer


def hidden(broker: LocalBroker, directory: Path, *, open_seconds: float) -> Outcome:
    """Leave a transaction open under load, past the time after which a stalled worker ends; restart the worker; then abort it."""
    env = {
        "UPTAKE_WATCHDOG_ALARM_MS": str(ALARM_MS),
        "UPTAKE_WATCHDOG_EXIT_MS": str(EXIT_MS),
        "UPTAKE_SESSION_TIMEOUT_MS": str(SESSION_MS),
        "UPTAKE_MAX_STALE_MS": str(MAX_STALE_MS),
    }
    cluster = Cluster(broker, directory / "cluster", partitions=2, env=env)
    users = [cluster.customer.rules.user(f"visitor-{number}") for number in range(50)]
    load = Load(broker.bootstrap, CUSTOMER, users, rate=100, events=100 * 600)
    settings = Settings(kafka=broker.bootstrap, partitions=2)
    reader = Reader(cluster)
    try:
        cluster.start_worker()
        cluster.wait_ready()
        cluster.wait_drained()  # an idle worker has no lag, whatever commit markers its topics end with
        reader.start()
        foreign = left_open(broker.bootstrap)
        opened = time.monotonic()
        load.start()
        cluster.wait_until(
            lambda: cluster.get("/v1/status")[1]["alarms"], "the status shows an alarm", LONGEST_SECONDS
        )
        alarm_seconds = time.monotonic() - opened
        marked = reader.by["marked", "w0", 0]
        status, body = cluster.get("/health/ready")
        (alarm,) = body["alarms"]
        assert (status, alarm["alarm"], alarm["topic"], alarm["partition"]) == (
            200,
            "open_transaction",
            JOURNAL,
            0,
        )
        assert alarm["transactional_id"] == NAME
        assert alarm["producer_id"] >= 0
        command = abort_command(broker.bootstrap, JOURNAL, 0, alarm["position"], NAME)
        assert alarm["command"] == command
        assert command in cluster.log("w0")
        waiting = body["partitions"]["0"]["lag"]
        assert body["partitions"]["1"]["lag"] < waiting  # the other partition is read on
        check = doctor.check_transactions(settings)
        assert (check.level, command in check.cure) == ("fail", True)
        cluster.wait_until(
            lambda: time.monotonic() - opened > open_seconds, "it is open for long", open_seconds + 5
        )
        assert cluster.workers["w0"].poll() is None

        # Of a transaction that was open before a worker came, only the broker knows since when.
        assert cluster.stop("w0") == 0
        refused = reader.by["refused", "w0", 0]
        cluster.start_worker()
        cluster.wait_until(lambda: cluster.partitions_of("w0"), "the worker is back")
        cluster.wait_until(lambda: time.monotonic() - opened > MAX_STALE_MS / 1000, "it is open for too long")
        cluster.wait_until(lambda: reader.by["refused", "w0", 0] > refused, "lookups are refused")
        assert cluster.get("/health/ready")[0] == 503

        foreign.abort_transaction(20)
        load.finish()
        cluster.wait_until(lambda: not cluster.get("/v1/status")[1]["alarms"], "the alarm ends", 10)
        reader.finish()
        cluster.wait_drained()
        assert doctor.check_transactions(settings).level == "ok"
        _, lost, doubled = compare(cluster, load)
        assert cluster.stop("w0") == 0
        effect = {
            "alarm_s": alarm_seconds,
            "hidden": waiting,
            "marked": marked,
            "refused": reader.by["refused", "w0", 0] - refused,
            "fresh_elsewhere": reader.by["fresh", "w0", 1],
        }
        assert reader.by["marked", "w0", 1] < reader.by["marked", "w0", 0], (
            "the other partition hides nothing"
        )
        return Outcome("F18", load.delivered, lost, doubled, effect, reader=reader)
    finally:
        cluster.close()


@pytest.mark.fault("F18")
@pytest.mark.slow_fault
@pytest.mark.timeout(300)
def test_open_transaction_is_reported_and_no_answer_behind_it_seems_fresh(
    own_broker: LocalBroker, tmp_path: Path, is_long: bool
) -> None:
    outcome = hidden(own_broker, tmp_path, open_seconds=120 if is_long else 10)
    outcome.must_be_exact()


@pytest.mark.fault("F18")
@pytest.mark.slow_fault
@pytest.mark.timeout(120)
def test_restore_that_waits_for_a_transaction_says_so_and_goes_on_after_it(
    own_broker: LocalBroker, tmp_path: Path
) -> None:
    cluster = Cluster(own_broker, tmp_path, partitions=1)
    topic = changelog("clicked")
    try:
        foreign = left_open(own_broker.bootstrap, topic)
        cluster.start_worker()
        command = abort_command(own_broker.bootstrap, topic, 0, 0, NAME)

        def is_said() -> bool:
            status, body = cluster.get("/v1/status")
            return status == 200 and any(command in warning for warning in body["warnings"])

        cluster.wait_until(is_said, "the status says why the restore waits")
        assert command in cluster.log("w0")
        assert cluster.get(f"/v1/{CUSTOMER}/users/max")[0] == 503
        foreign.abort_transaction(20)
        cluster.wait_ready()
        assert not is_said()
    finally:
        cluster.close()
