"""F17: 200 clients of event streams, some of which never read. Those are dropped; the other clients and the lookups go on.

It runs against the streams of a worker, and against those of a dashboard that asks the worker.
"""

import asyncio
import itertools
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.local.broker import LocalBroker
from app.local.child_process import spawn
from app.local.tcp_ports import free_port
from benchmarks.page_readers import PageReader
from tests.faults.cluster import CUSTOMER, Cluster
from tests.faults.ledger import Outcome, Watch, compare, settle
from tests.faults.load import Event, Load

READING, SILENT = 150, 50
SCENARIOS = 300
"""Each is a window of every answer, so an answer has some 300 kB."""
QUERY = "span=PT1H&granularity=PT1H"
UPDATES = 4
DROP_SECONDS = 60.0
"""Sockets hold some answers, then 8 wait for the client, then it is dropped: some 20 s on a quiet machine."""
MOST_GROWTH_MIB = 128.0
"""Each silent client holds one answer in part, and all share the 8 that wait: 15 MiB, and as much again for the others."""


def numbers() -> Iterator[Event]:
    """Yield an impression of each scenario, then of the first one, without end."""
    for number in itertools.chain(range(SCENARIOS), itertools.repeat(0)):
        now_ms = int(time.time() * 1000)
        yield {
            "type": "rendered",
            "customer": CUSTOMER,
            "user": f"k1.{'streams':a<26}",
            "items": ["1", "2", "3", "4"],
            "scenario": f"scenario-{number}",
            "time_ms": now_ms,
            "received_ms": now_ms,
        }


class ReadingClients(threading.Thread):
    """Clients that read, each in a connection of its own, in the event loop of this thread."""

    def __init__(self, port: int, path: str, count: int) -> None:
        super().__init__(daemon=True)
        self._port, self._path, self._count = port, path, count
        self._loop = asyncio.new_event_loop()
        self.readers: list[PageReader] = []

    def run(self) -> None:
        self._loop.run_until_complete(self._open())
        self._loop.run_forever()
        for reader in self.readers:
            reader.close()
        self._loop.run_until_complete(asyncio.sleep(0))  # closes them
        self._loop.close()

    async def _open(self) -> None:
        request = f"GET {self._path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n\r\n".encode()
        for _ in range(self._count):
            _, reader = await self._loop.create_connection(
                lambda: PageReader(request), "127.0.0.1", self._port
            )
            self.readers.append(reader)

    def updates(self) -> list[int]:
        """Return how many events each client has."""
        return [len(reader.arrived) for reader in tuple(self.readers)]

    def finish(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self.join()


class SilentClients:
    """Clients that ask for a stream and never read a byte of it."""

    def __init__(self, port: int, path: str, count: int) -> None:
        self._port = port
        self._sockets: list[socket.socket] = []
        for _ in range(count):
            silent = socket.socket()
            silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            silent.connect(("127.0.0.1", port))
            silent.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            self._sockets.append(silent)
        self._ports = {silent.getsockname()[1] for silent in self._sockets}

    def held(self) -> Counter[str]:
        """Return how many connections to them the server still holds, and how many the kernel in its place, with what is not sent."""
        held: Counter[str] = Counter()
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, ours, theirs, _, _, _, _, _, _, inode, *_ = line.split()
            if int(ours.split(":")[1], 16) == self._port and int(theirs.split(":")[1], 16) in self._ports:
                held["kernel" if inode == "0" else "server"] += 1
        return held

    def close(self) -> None:
        for silent in self._sockets:
            silent.close()


def rss_mib(pid: int) -> float:
    """Return the memory of a process."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) / 1024


def start_dashboard(cluster: Cluster) -> tuple[subprocess.Popen[bytes], int]:
    """Start a dashboard that asks the worker; return it with its port."""
    port = free_port("127.0.0.1")
    with (cluster.directory / "dashboard.log").open("ab") as log:
        process = spawn(
            [sys.executable, "-m", "app", "dashboard", "--port", str(port)],
            env={
                **os.environ,
                "UPTAKE_CUSTOMERS_FILE": str(cluster.customers_file),
                "UPTAKE_WORKER_URLS": f"http://127.0.0.1:{cluster.ports['w0']}",
            },
            cwd=Path.cwd(),
            stdout=log,
        )
    cluster.ports["dashboard"] = port
    cluster.wait_until(lambda: cluster.get("/health/ready", "dashboard")[0] == 200, "the dashboard is ready")
    return process, port


def crowd(cluster: Cluster, port: int, path: str, pid: int) -> dict[str, float]:
    """Let clients read a server's stream and others not; return what happened when the server has dropped the others."""
    reading = ReadingClients(port, path, READING)
    reading.start()
    silent: SilentClients | None = None
    try:
        cluster.wait_until(
            lambda: len(reading.updates()) == READING and min(reading.updates()) > 1, "all clients read"
        )
        before_mib = most_mib = rss_mib(pid)
        silent = SilentClients(port, path, SILENT)
        started, seen_before = time.monotonic(), reading.updates()
        while held := silent.held():
            most_mib = max(most_mib, rss_mib(pid))
            waited = time.monotonic() - started
            assert waited < DROP_SECONDS, (
                f"clients that do not read are still held after {waited:.0f} s: {dict(held)}"
            )
            time.sleep(0.1)
        dropped_s = time.monotonic() - started
        seen = [after - before for after, before in zip(reading.updates(), seen_before, strict=True)]
        assert min(seen) > max(seen) / 2 > 1, f"the clients that read got {min(seen)} to {max(seen)} updates"
        at_drop = reading.updates()
        cluster.wait_until(
            lambda: all(now > then for now, then in zip(reading.updates(), at_drop, strict=True)),
            "all read on",
        )
        assert all(reader.is_open for reader in reading.readers)
        return {
            "dropped": SILENT,
            "dropped_after_s": dropped_s,
            "updates": min(seen),
            "growth_mib": most_mib - before_mib,
        }
    finally:
        reading.finish()
        if silent is not None:
            silent.close()


@pytest.mark.fault("F17")
@pytest.mark.slow_fault
@pytest.mark.timeout(400)
def test_clients_that_never_read_are_dropped_and_the_others_read_on(
    own_broker: LocalBroker, tmp_path: Path
) -> None:
    cluster = Cluster(own_broker, tmp_path)
    load = Load(
        own_broker.bootstrap,
        CUSTOMER,
        [],
        rate=UPDATES,
        events=0,
        source=itertools.islice(numbers(), SCENARIOS, None),
    )
    first = Load(
        own_broker.bootstrap,
        CUSTOMER,
        [],
        rate=5_000,
        events=0,
        source=itertools.islice(numbers(), SCENARIOS),
    )
    dashboard: subprocess.Popen[bytes] | None = None
    try:
        cluster.start_worker()
        cluster.wait_ready()
        first.start()
        first.join()
        settled = settle(cluster)
        dashboard, port = start_dashboard(cluster)
        watch = Watch(cluster, lambda: ["w0"])
        load.start()
        watch.start()
        of_worker = crowd(
            cluster, cluster.ports["w0"], f"/v1/{CUSTOMER}/ctr/stream?{QUERY}", cluster.workers["w0"].pid
        )
        of_dashboard = crowd(cluster, port, f"/dashboard/{CUSTOMER}/ctr/stream?{QUERY}", dashboard.pid)
        watch.finish()
        load.finish()
        cluster.wait_drained()
        _, lost, doubled = compare(cluster, load)
        assert watch.statuses[503] == 0, watch.statuses
        assert watch.statuses[0] < watch.statuses[200] / 100, (
            watch.statuses
        )  # this process is busy too: it reads 50 MB a second
        found = {
            f"{name}_{what}": number
            for name, each in (("worker", of_worker), ("dashboard", of_dashboard))
            for what, number in each.items()
        }
        growth = {name: number for name, number in found.items() if name.endswith("growth_mib")}
        effect = {
            "lookups": watch.statuses[200],
            **{name: found[name] for name in found.keys() - growth.keys()},
        }
        outcome = Outcome(
            "F17",
            settled + first.delivered + load.delivered,
            lost,
            doubled,
            effect,
            {**growth, "longest_unavailable_s": watch.longest_seconds},
            watch.reader,
        )
        outcome.must_be_exact()
        assert max(growth.values()) < MOST_GROWTH_MIB, growth
        assert cluster.stop("w0") == 0
    finally:
        if load.is_alive():
            load.finish()
        if dashboard is not None:
            dashboard.kill()
            dashboard.wait()
        cluster.close()
