"""F20, the short form: a worker sets damaged state aside, rebuilds it from the changelogs, and answers as before."""

import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from events.codec import encode
from events.model import user_key
from events.partitions import partition_of
from events.topics import JOURNAL
from tests.faults.cluster import CUSTOMER, Cluster, started_cluster
from tests.support.builders import a_click, a_rendered
from tests.support.damage import KINDS, largest_sst, overwrite, zero_block

pytestmark = pytest.mark.broker

PARTITIONS = 4
USERS = 1_600
UNREAD = 0
"""The partition whose damage no opening finds, only a read."""
AT_OPENING = {1: "CURRENT missing", 2: "MANIFEST garbage"}
INTACT = 3


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with started_cluster(tmp_path, PARTITIONS) as cluster:
        yield cluster


def write_events(cluster: Cluster) -> dict[str, int]:
    """Write events of all users, and wait until they are folded. Return the partition of each user."""
    producer = Producer(
        {"bootstrap.servers": cluster.broker.bootstrap, "partitioner": "murmur2", "log_level": 0}
    )
    now_ms = time.time_ns() // 1_000_000
    partitions: dict[str, int] = {}
    for number in range(USERS):
        raw_user = f"user{number}"
        user = cluster.customer.rules.user(raw_user)
        partitions[raw_user] = partition_of(user_key(CUSTOMER, user), PARTITIONS)
        items = tuple(str(number * 7 + place) for place in range(8))
        for event in (
            a_rendered(user=user, items=items, time_ms=now_ms - 5_000, received_ms=now_ms),
            a_click(user=user, item=items[0], time_ms=now_ms - 4_000, received_ms=now_ms),
        ):
            producer.produce(JOURNAL, encode(event), user_key(CUSTOMER, user))
    assert producer.flush(20) == 0
    cluster.wait_drained()
    return partitions


def ask(cluster: Cluster, user: str, as_of_ms: int, name: str = "w0") -> tuple[int, Any]:
    return cluster.get(f"/v1/{CUSTOMER}/users/{user}?as_of_ms={as_of_ms}", name)


def answers(cluster: Cluster, users: Iterable[str], as_of_ms: int, name: str = "w0") -> dict[str, Any]:
    """Return the fresh answer for each user. Until then it must be 503 or marked as stale, never another failure."""
    found: dict[str, Any] = {}

    def is_answered(user: str) -> bool:
        status, found[user] = ask(cluster, user, as_of_ms, name)
        assert status in (200, 503), (user, status)
        return status == 200 and "stale_ms" not in found[user]

    for user in users:
        cluster.wait_until(lambda user=user: is_answered(user), f"{user} is answered", 30)
    return found


def test_damaged_partitions_are_rebuilt_and_equal_and_others_untouched(cluster: Cluster) -> None:
    users = write_events(cluster)
    as_of_ms = time.time_ns() // 1_000_000
    before = answers(cluster, users, as_of_ms)
    assert cluster.stop("w0") == 0
    state_dir = cluster.data_dir("w0") / "state"
    kinds = {UNREAD: "SST with a zeroed block", **AT_OPENING}
    for number, kind in kinds.items():
        KINDS[kind](state_dir / str(number))
    assert verified(cluster) == (1, set(kinds))

    cluster.start_worker()
    cluster.wait_ready()
    assert asides(state_dir) == set(AT_OPENING), "found at the opening"
    assert answers(cluster, users, as_of_ms) == before
    cluster.wait_ready()
    assert asides(state_dir) == set(kinds), "the rest is found by lookups"
    warnings = cluster.get("/v1/status")[1]["warnings"]
    assert [warning.split(" was damaged")[0] for warning in warnings] == [
        f"the state of partition {number}" for number in sorted(kinds)
    ]
    log = cluster.log("w0")
    assert log.count("and rebuilt from the changelogs") == len(kinds)
    assert "rebuilding partitions 1, 2, the others go on" in log
    assert "rebuilding partitions 0, the others go on" in log
    assert cluster.stop("w0") == 0
    assert verified(cluster) == (0, set())


def test_files_that_change_under_a_running_worker_cost_only_their_partitions(cluster: Cluster) -> None:
    users = write_events(cluster)
    if cluster.workers["w0"].poll() is None:
        assert cluster.stop("w0") == 0
    cluster.start_worker("w1")
    cluster.wait_ready("w1")
    as_of_ms = time.time_ns() // 1_000_000
    before = answers(cluster, users, as_of_ms, "w1")
    assert cluster.stop("w1") == 0  # writes all rows into table files
    cluster.start_worker("w1")
    cluster.wait_ready("w1")
    process = cluster.workers["w1"]
    state_dir = cluster.data_dir("w1") / "state"
    by_lookup, by_fold = 0, 1
    zero_block(largest_sst(state_dir / str(by_lookup)))  # in place: RocksDB has the file open
    assert answers(cluster, [user for user in users if users[user] != by_fold], as_of_ms, "w1") == {
        user: before[user] for user in users if users[user] != by_fold
    }
    cluster.wait_ready("w1")
    assert asides(state_dir) == {by_lookup}
    overwrite(state_dir / str(by_fold))
    write_events(cluster)
    cluster.wait_ready("w1")
    assert asides(state_dir) == {by_lookup, by_fold}, "a fold reads rows, too"
    after = answers(cluster, users, as_of_ms + 60_000, "w1")
    assert {user: before[user]["clicked"][0]["count"] + 1 for user in users} == {
        user: after[user]["clicked"][0]["count"] for user in users
    }
    assert process.poll() is None, "one process answered all the while"
    status = cluster.get("/v1/status", "w1")[1]
    assert [(each["partition"], each["rebuilding"]) for each in status["damaged_stores"]] == [
        (by_lookup, False),
        (by_fold, False),
    ]
    assert metrics(cluster, "w1")["uptake_worker_damaged_stores"] == 2
    assert "Traceback" not in cluster.log("w1")
    assert cluster.stop("w1") == 0
    cluster.start_worker()
    cluster.wait_ready()


def metrics(cluster: Cluster, name: str) -> dict[str, float]:
    """Return the metrics of a worker that have no labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{cluster.ports[name]}/metrics", timeout=5) as answer:
        lines = [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
    return {line.split()[0]: float(line.split()[1]) for line in lines if "{" not in line}


def asides(state_dir: Path) -> set[int]:
    """Return the partitions whose damaged directory was set aside."""
    return {int(path.name.partition(".")[0]) for path in state_dir.glob("*.damaged-*")}


def verified(cluster: Cluster) -> tuple[int, set[int]]:
    """Return the exit status of `uptake state verify`, and the partitions that it calls damaged."""
    done = subprocess.run(
        [sys.executable, "-m", "app", "state", "verify", "--data-dir", str(cluster.data_dir("w0"))],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if ", damaged: " in line]
    return done.returncode, {int(line.split(":")[0].removeprefix("partition ")) for line in lines}
