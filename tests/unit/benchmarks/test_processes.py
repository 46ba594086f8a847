"""A contestant is measured once it listens, and one that ends before is an error."""

import time
from pathlib import Path

import pytest

from app.local.tcp_ports import free_port
from benchmarks.processes import Contestant, ContestantError, running

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
