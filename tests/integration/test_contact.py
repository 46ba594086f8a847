"""A worker without contact with Kafka never answers old state as fresh, and stops when it is asked to."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from app.customers.customer_registry import create_customers_file
from app.local.broker import LocalBroker
from app.local.child_process import spawn
from events.codec import encode
from events.model import user_key
from events.partitions import partition_of
from events.topics import JOURNAL
from tests.faults.cluster import CUSTOMER, SESSION_MS, Cluster
from tests.support.builders import a_click

STOP_SECONDS = 15.0
PARTITIONS = 2


@pytest.fixture
def cluster(own_broker: LocalBroker, tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(own_broker, tmp_path, partitions=PARTITIONS, env={"UPTAKE_MAX_STALE_MS": "6000"})
    try:
        cluster.start_worker()
        cluster.wait_ready()
        yield cluster
    finally:
        own_broker.thaw()
        cluster.close()


def looked_up(cluster: Cluster) -> list[tuple[int, Any]]:
    paths = ("users/max", "users/max/exclusions", "ctr")
    return [cluster.get(f"/v1/{CUSTOMER}/{path}") for path in paths]


def is_fresh(answers: list[tuple[int, Any]]) -> bool:
    return all(status == 200 and "stale_ms" not in body for status, body in answers)


def stop_must_be_in_time(cluster: Cluster) -> None:
    started = time.monotonic()
    assert cluster.stop("w0", STOP_SECONDS + 5) == 0
    assert time.monotonic() - started < STOP_SECONDS


def test_worker_whose_broker_is_frozen_marks_then_refuses_recovers_and_stops(cluster: Cluster) -> None:
    cluster.wait_until(lambda: is_fresh(looked_up(cluster)), "fresh answers")
    cluster.broker.freeze()
    frozen = time.monotonic()
    unmarked, marked, refused = 0, 0, 0
    while time.monotonic() - frozen < 8.5:
        away_ms = (time.monotonic() - frozen) * 1000
        for status, body in looked_up(cluster):
            if status == 200 and "stale_ms" not in body:
                unmarked += away_ms > SESSION_MS
            elif status == 200:
                marked += 1
                assert body["stale_ms"] >= away_ms - SESSION_MS
            else:
                assert (status, body["code"]) == (503, "unavailable")
                assert away_ms > 6_000 - SESSION_MS
                refused += 1
        if marked and not refused:
            strict, body = cluster.get(f"/v1/{CUSTOMER}/users/max?max_stale_ms=0")
            assert strict == 503, body
            _, page = cluster.get("/v1/status")
            assert any("Kafka has not answered" in warning for warning in page["warnings"])
        time.sleep(0.05)
    assert unmarked == 0
    assert marked > 10
    assert refused > 10
    cluster.broker.thaw()
    cluster.wait_until(lambda: is_fresh(looked_up(cluster)), "fresh answers again", 30)
    cluster.broker.kill()
    cluster.wait_until(lambda: cluster.get("/v1/status")[1]["warnings"], "the worker notices", 10)
    stop_must_be_in_time(cluster)


def clicks(answer: tuple[int, Any]) -> int:
    """How many clicks an answer knows; -1 for one that is refused, as a new owner's is until it has read what was there."""
    status, body = answer
    return sum(entry["count"] for entry in body["clicked"]) if status == 200 else -1


def test_deposed_worker_that_wakes_up_marks_what_it_answers_until_it_knows_more(cluster: Cluster) -> None:
    producer = Producer(
        {"bootstrap.servers": cluster.broker.bootstrap, "partitioner": "murmur2", "log_level": 0}
    )
    cluster.start_worker("w1")
    cluster.wait_until(lambda: cluster.partitions_of("w0") and cluster.partitions_of("w1"), "both own one")
    (owned,) = map(int, cluster.partitions_of("w0"))
    users = [(f"user {number}", cluster.customer.rules.user(f"user {number}")) for number in range(32)]
    raw_user, user = next(
        each for each in users if partition_of(user_key(CUSTOMER, each[1]), PARTITIONS) == owned
    )
    path = f"/v1/{CUSTOMER}/users/{raw_user.replace(' ', '%20')}"

    def click() -> None:
        now_ms = time.time_ns() // 1_000_000
        event = a_click(user=user, time_ms=now_ms, received_ms=now_ms)
        producer.produce(JOURNAL, encode(event), user_key(CUSTOMER, user))
        assert producer.flush(20) == 0

    click()
    cluster.wait_until(lambda: clicks(cluster.get(path, "w0")) == 1, "w0 knows the click")
    cluster.freeze("w0")
    cluster.wait_until(lambda: len(cluster.partitions_of("w1")) == PARTITIONS, "w1 takes over")
    click()
    cluster.wait_until(lambda: clicks(cluster.get(path, "w1")) == 2, "w1 knows both clicks")
    cluster.thaw("w0")
    answers = [cluster.get(path, "w0")]
    while not (answers[-1][0] == 200 and clicks(answers[-1]) == 2 and "stale_ms" not in answers[-1][1]):
        assert len(answers) < 2_000
        answers.append(cluster.get(path, "w0"))
        time.sleep(0.01)
    assert [body for status, body in answers[:-1] if status == 200 and "stale_ms" not in body] == []
    cluster.broker.freeze()
    cluster.wait_until(lambda: cluster.get("/v1/status")[1]["warnings"], "the worker notices", 10)
    stop_must_be_in_time(cluster)


def test_worker_that_waits_for_a_broker_stops_with_status_0(tmp_path: Path) -> None:
    customers, log_path = tmp_path / "uptake.toml", tmp_path / "worker.log"
    create_customers_file(customers, CUSTOMER)
    silent = socket.create_server(("127.0.0.1", 0))
    silent.settimeout(40)
    with log_path.open("wb") as log:
        worker: subprocess.Popen[bytes] = spawn(
            [sys.executable, "-m", "app", "worker", "--kafka", f"127.0.0.1:{silent.getsockname()[1]}"],
            env={**os.environ, "UPTAKE_CUSTOMERS_FILE": str(customers), "UPTAKE_DATA_DIR": str(tmp_path)},
            cwd=Path.cwd(),
            stdout=log,
        )
    try:
        silent.accept()[0].close()  # from now on the worker waits
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(STOP_SECONDS) == 0, log_path.read_text()
    finally:
        worker.kill()
        worker.wait()
        silent.close()
