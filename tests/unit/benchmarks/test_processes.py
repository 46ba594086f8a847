"""A contestant is measured once it listens, and one that ends before is an error."""

import os
import time
from pathlib import Path

import pytest

from app.local.tcp_ports import free_port
from benchmarks.processes import Contestant, ContestantError, disk_bytes, running

LISTENS_LATE = """
import socket, sys, time
print("ready", flush=True)
time.sleep(0.3)
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
    server.accept()
    time.sleep(60)
"""


def test_contestant_that_says_ready_is_waited_for_until_it_listens(tmp_path: Path) -> None:
    port = free_port()
    server = Contestant("server", ["-c", LISTENS_LATE, str(port)], tmp_path, {})
    with running(server):
        server.wait_for("ready", 20)
        said = time.monotonic()
        server.wait_for_port(port, 20)
        assert time.monotonic() - said > 0.1


def test_contestant_that_ends_before_it_listens_is_an_error(tmp_path: Path) -> None:
    server = Contestant("server", ["-c", "raise SystemExit('no room')"], tmp_path, {})
    with running(server), pytest.raises(ContestantError, match="status 1: no room"):
        server.wait_for_port(free_port(), 20)


def test_contestant_that_never_listens_is_an_error(tmp_path: Path) -> None:
    server = Contestant("server", ["-c", "import time; time.sleep(60)"], tmp_path, {})
    with running(server), pytest.raises(ContestantError, match="does not listen on port"):
        server.wait_for_port(free_port(), 0.2)


WRITES_BY_A_CHILD = """
import subprocess, sys, time
write = "import sys; open(sys.argv[1], 'wb').write(bytes(1 << 20))"
subprocess.run([sys.executable, "-c", write, sys.argv[1]], check=True)
print("written", flush=True)
time.sleep(60)
"""


def test_bytes_to_disk_are_those_of_the_whole_tree(tmp_path: Path) -> None:
    before = disk_bytes(os.getpid())
    (tmp_path / "probe").write_bytes(bytes(1 << 20))
    if disk_bytes(os.getpid()) == before:
        pytest.skip("the temporary directory is in memory")
    writer = Contestant("writer", ["-c", WRITES_BY_A_CHILD, str(tmp_path / "data")], tmp_path, {})
    with running(writer):
        writer.wait_for("written", 20)
        assert 1 << 20 <= writer.disk_bytes < 2 << 20
