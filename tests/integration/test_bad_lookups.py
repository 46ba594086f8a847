"""Two real workers get bad lookups: each has its documented answer, and nothing on any disk holds the user's id."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from tests.faults.cluster import Cluster, started_cluster
from tests.support.bad_lookups import MARK, BadLookup, bad_lookups
from tests.support.live_collector import parse_answer

pytestmark = pytest.mark.broker

PARTITIONS = 4
CLIENTS = 8


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    monkeypatch.setenv("UPTAKE_REQUEST_TIMEOUT_MS", "1000")
    with started_cluster(tmp_path_factory.mktemp("bad-lookups"), PARTITIONS) as cluster:
        yield cluster


def status_of(port: int, request: bytes) -> int:
    """Return the status of the answer to these bytes; 0 if the connection is closed without one."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        # The server may refuse a request before it has read all of it; sending the rest may then fail.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(request)
        answer = b""
        while piece := connection.recv(65_536):
            answer += piece
    return parse_answer(answer).status


def test_bad_lookups_are_answered_as_documented_and_leave_nothing_on_a_disk(cluster: Cluster) -> None:
    cluster.start_worker("w1")
    cluster.wait_until(
        lambda: all(len(cluster.partitions_of(name)) == PARTITIONS / 2 for name in ("w0", "w1")),
        "each worker has half of the partitions, so that one of them asks the other",
    )
    for name in ("w0", "w1"):
        cluster.wait_ready(name)  # while the group rebalances, a good lookup is 503
    cases: list[tuple[BadLookup, int]] = [
        (case, cluster.ports[name]) for case in bad_lookups() for name in ("w0", "w1")
    ]
    with ThreadPoolExecutor(CLIENTS) as clients:
        statuses = list(clients.map(lambda each: status_of(each[1], each[0].request), cases))
    wrong = [
        f"{case.name}: {status}, expected {case.status}"
        for (case, _), status in zip(cases, statuses, strict=True)
        if status != case.status
    ]
    assert not wrong, "\n".join(wrong)
    assert [cluster.stop(name) for name in ("w0", "w1")] == [0, 0]

    files = [path for path in cluster.directory.parent.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"w0.log", "w1.log"}
    assert [path for path in files if MARK.encode() in path.read_bytes()] == []
    for name in ("w0", "w1"):
        assert "Traceback" not in cluster.log(name)
