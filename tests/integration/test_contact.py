"""A worker without contact with Kafka never answers old state as fresh, and stops when it is asked to."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.customers.customer_registry import create_customers_file
from app.local.broker import LocalBroker
from app.local.child_process import spawn
from app.local.tcp_ports import free_port
from tests.faults.cluster import CUSTOMER, SESSION_MS, Cluster

STOP_SECONDS = 15.0


@pytest.fixture
def cluster(own_broker: LocalBroker, tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(own_broker, tmp_path, partitions=2)
    try:
        cluster.start_worker(UPTAKE_MAX_STALE_MS="6000")
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


def test_worker_whose_broker_is_frozen_marks_its_answers_then_refuses_and_recovers(cluster: Cluster) -> None:
    cluster.wait_until(lambda: is_fresh(looked_up(cluster)), "fresh answers")
    cluster.broker.freeze()
    frozen = time.monotonic()
    unmarked, marked, refused = 0, 0, 0
    while time.monotonic() - frozen < 8.5:
        asked = time.monotonic()
        for status, body in looked_up(cluster):
            away_ms = (asked - frozen) * 1000
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


def test_worker_that_wakes_up_judges_its_first_answer_by_the_clock(cluster: Cluster) -> None:
    cluster.wait_until(lambda: is_fresh(looked_up(cluster)), "fresh answers")
    cluster.broker.freeze()  # so that contact cannot return before the first lookup
    cluster.freeze("w0")
    time.sleep(2 * SESSION_MS / 1000)
    cluster.thaw("w0")
    for status, body in looked_up(cluster):
        assert status == 503 or body["stale_ms"] > SESSION_MS


@pytest.mark.parametrize("is_killed", [False, True])
def test_worker_stops_in_time_while_its_broker_is_away(cluster: Cluster, is_killed: bool) -> None:
    if is_killed:
        cluster.broker.kill()
    else:
        cluster.broker.freeze()
    cluster.wait_until(lambda: cluster.get("/v1/status")[1]["warnings"], "the worker notices", 10)
    started = time.monotonic()
    assert cluster.stop("w0", STOP_SECONDS + 5) == 0
    assert time.monotonic() - started < STOP_SECONDS


def test_worker_that_waits_for_a_broker_stops_with_status_0(tmp_path: Path) -> None:
    customers, port = tmp_path / "uptake.toml", free_port("127.0.0.1")
    create_customers_file(customers, CUSTOMER)
    log_path = tmp_path / "worker.log"
    with log_path.open("wb") as log:
        worker: subprocess.Popen[bytes] = spawn(
            [sys.executable, "-m", "app", "worker", "--port", str(port), "--kafka", f"127.0.0.1:{port}"],
            env={**os.environ, "UPTAKE_CUSTOMERS_FILE": str(customers), "UPTAKE_DATA_DIR": str(tmp_path)},
            cwd=Path.cwd(),
            stdout=log,
        )
    try:
        deadline = time.monotonic() + 40
        while "waiting for it" not in log_path.read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(STOP_SECONDS) == 0, log_path.read_text()
    finally:
        worker.kill()
        worker.wait()
