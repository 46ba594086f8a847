"""A marker id reaches collector, worker, `uptake replay` and `uptake import` in odd ways: no log, topic or file of ours holds it."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from app.local.child_process import spawn
from app.local.tcp_ports import free_port
from tests.faults.cluster import CUSTOMER, Cluster, started_cluster
from tests.support.odd_requests import odd_requests

pytestmark = pytest.mark.broker

MARK = b"marker-0815"
CLIENTS = 8


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    monkeypatch.setenv("UPTAKE_REQUEST_TIMEOUT_MS", "1000")
    with started_cluster(tmp_path_factory.mktemp("raw-ids"), 2) as cluster:
        yield cluster


@pytest.fixture
def collector(cluster: Cluster) -> Iterator[int]:
    """Yield the port of a collector in front of the cluster."""
    port = free_port()
    with (cluster.directory / "collector.log").open("wb") as log:
        process = spawn(
            [sys.executable, "-m", "app", "collector", "--port", str(port)], env=env(cluster), stdout=log
        )
    try:
        deadline = time.monotonic() + 30
        while True:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
                break
            assert time.monotonic() < deadline, (cluster.directory / "collector.log").read_text()
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        assert process.wait(20) == 0


def env(cluster: Cluster) -> dict[str, str]:
    return {
        **os.environ,
        "UPTAKE_KAFKA": cluster.broker.bootstrap,
        "UPTAKE_PARTITIONS": "2",
        "UPTAKE_CUSTOMERS_FILE": str(cluster.customers_file),
        "UPTAKE_DATA_DIR": str(cluster.directory / "collector"),
    }


def answer_to(port: int, request: bytes) -> bytes:
    """Return all bytes that a server sends before it closes the connection."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection, suppress(OSError):
        connection.sendall(request)
        while piece := connection.recv(65_536):
            received += piece
    return received


def heads_of(received: bytes) -> list[bytes]:
    """Return the heads of all final answers in these bytes, in lower case."""
    heads: list[bytes] = re.findall(rb"HTTP/1\.[01] [2-5]\d\d .*?\r\n\r\n", received, re.DOTALL)
    return [head.lower() for head in heads]


def run(cluster: Cluster, directory: Path, *arguments: str) -> str:
    """Run a command; return all that it printed. It must not end with an unforeseen error."""
    done = subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        env={**env(cluster), "PYTHONPATH": str(Path.cwd())},
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=60,
    )
    assert "Traceback" not in done.stdout
    return done.stdout


def test_marker_id_stays_out_of_all_logs_topics_and_files(
    cluster: Cluster, collector: int, tmp_path: Path
) -> None:
    cases = [
        (port, name, request)
        for port, target in (
            (collector, b"/api/%s/click/%s/1/11" % (CUSTOMER.encode(), MARK)),
            (cluster.ports["w0"], b"/v1/%s/users/%s" % (CUSTOMER.encode(), MARK)),
        )
        for name, request in odd_requests(target, MARK)
    ]
    with ThreadPoolExecutor(CLIENTS) as clients:
        received = list(clients.map(lambda case: answer_to(case[0], case[2]), cases))
    for (_, name, _), bytes_ in zip(cases, received, strict=True):
        for head in heads_of(bytes_):
            assert head[9:10] != b"5", (name, head)
            assert b"server: uptake\r\n" in head, (name, head)

    events = tmp_path / "events.jsonl"
    good = {"customer": CUSTOMER, "user": MARK.decode(), "type": "click", "item": "1"}
    lines = [json.dumps(good).encode(), b'{"user":"' + MARK + b'","bad\xff', b"/api/00000/nope/" + MARK]
    events.write_bytes(b"\n".join(lines))
    rows = tmp_path / "rows.csv"
    rows.write_bytes(b"user,item\n" + MARK + b",1\n" + MARK + b"\x01,\xff\n")
    url = f"http://127.0.0.1:{collector}"
    printed = run(cluster, tmp_path, "replay", str(events), "--url", url, "--now")
    printed += run(
        cluster,
        tmp_path,
        "import",
        str(rows),
        "--url",
        url,
        "--map",
        "user=user",
        "--map",
        "item=item",
        "--set",
        "event=click",
    )
    assert MARK.decode() not in printed

    cluster.wait_drained()
    assert cluster.stop("w0") == 0
    files = [path for path in cluster.directory.parent.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"w0.log", "collector.log"}
    assert [path for path in files if MARK in path.read_bytes()] == []
    for name in ("w0.log", "collector.log"):
        assert "Traceback" not in (cluster.directory / name).read_text()
