"""A worker is killed while another keeps copies of its partitions: lookups get marked older answers, restores are short."""

import re
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from confluent_kafka import Consumer, TopicPartition

from app.local.broker import LocalBroker
from events.partitions import partition_of
from events.topics import POSITIONS, changelog
from tables.declare import BY_NAME
from tests.faults.cluster import CUSTOMER, Cluster
from tests.faults.ledger import SETTLED, Outcome, compare, pages_differ, settle
from tests.faults.load import USERS, Load
from tests.faults.reader import Reader

RATE = 300
RESTORED = re.compile(r"restored (\d+) records")
MAX_STALE_MS = 60_000
PAST = 4_000
"""Events before the fault, by about as many users: what an heir without a copy would have to read."""


def takeover(broker: LocalBroker, directory: Path, *, warm_seconds: float, kills: int) -> Outcome:
    """Kill the owner of half the partitions ``kills`` times under load, each time with warm copies in the other worker."""
    cluster = Cluster(broker, directory, env={"UPTAKE_STANDBYS": "1"})
    raws = [f"visitor-{number}" for number in range(USERS)]
    users = [cluster.customer.rules.user(raw) for raw in raws]
    load = Load(broker.bootstrap, CUSTOMER, users, rate=RATE, events=RATE * 900)
    reader = Reader(cluster, "w0", "w1")
    marked = refused = restored = total = 0
    oldest_ms = 0
    try:
        for name in ("w0", "w1"):
            cluster.start_worker(name)
        for name in ("w0", "w1"):
            cluster.wait_ready(name)
        _wait_balanced(cluster)
        visitors = [cluster.customer.rules.user(f"past-{number}") for number in range(PAST)]
        past = Load(broker.bootstrap, CUSTOMER, visitors, 100_000, PAST)
        past.start()
        past.join()
        settled = settle(cluster) + past.delivered
        load.start()
        reader.start()
        time.sleep(warm_seconds)
        for number in range(kills):
            _wait_balanced(cluster)
            dying, heir = _owner_and_heir(cluster)
            orphans = {int(each) for each in cluster.partitions_of(dying)}
            _wait_warm(cluster, heir, orphans)
            told = len(cluster.log(heir))
            total += _changelog_records(broker.bootstrap, orphans)
            cluster.kill(dying)
            theirs = _users_of(cluster, orphans)
            deadline = time.monotonic() + 30
            while len(cluster.partitions_of(heir)) < cluster.partitions:
                assert time.monotonic() < deadline, cluster.log(heir)[-3000:]
                for raw in theirs:
                    stale_ms = _asked(cluster, heir, raw).stale_ms
                    marked += stale_ms is not None
                    oldest_ms = max(oldest_ms, stale_ms or 0)
                refused += _get(cluster, heir, theirs[0], "")[0] == 503
            restored += sum(map(int, RESTORED.findall(cluster.log(heir)[told:])))
            for raw in theirs:
                cluster.wait_until(
                    lambda raw=raw, heir=heir: _asked(cluster, heir, raw) == Answered(200, None),
                    "the new owner has read what was there",
                    30,
                )
            if number + 1 < kills:
                cluster.start_worker(dying)
                cluster.wait_ready(dying)
        load.finish()
        reader.finish()
        cluster.wait_drained()
        truth, lost, doubled = compare(cluster, load)
        assert restored < total / 5, (
            f"{restored} of {total} records were read again: the copies were not used"
        )
        return Outcome(
            "standby",
            load.delivered + settled,
            lost,
            doubled,
            {
                "kills": kills,
                "stale_answers": marked,
                "refused_unless_allowed": refused,
                "in_changelogs": total,
            },
            {
                "restored": restored,
                "oldest_stale_ms": oldest_ms,
                "differing_pages": pages_differ(cluster, truth, [*raws[::30], *SETTLED], heir),
            },
            reader,
        )
    finally:
        cluster.close()


def _wait_balanced(cluster: Cluster) -> None:
    half = cluster.partitions // 2
    cluster.wait_until(
        lambda: all(len(cluster.partitions_of(name)) == half for name in cluster.workers),
        "each worker has half of the partitions",
    )


def _owner_and_heir(cluster: Cluster) -> tuple[str, str]:
    """Return the worker that owns the first of the settled users, and the other one."""
    key = f"{CUSTOMER}|{cluster.customer.rules.user(next(iter(SETTLED)))}".encode()
    home = str(partition_of(key, cluster.partitions))
    return ("w0", "w1") if home in cluster.partitions_of("w0") else ("w1", "w0")


def _wait_warm(cluster: Cluster, name: str, partitions: set[int]) -> None:
    def is_warm() -> bool:
        status, body = cluster.get("/v1/status", name)
        copies: dict[str, Any] = body["standbys"] if status == 200 else {}
        return {int(number) for number in copies} == partitions and all(
            each["lag"] is not None and each["lag"] < RATE and each["stale_ms"] is not None
            for each in copies.values()
        )

    cluster.wait_until(is_warm, f"{name} has copies of {partitions}")


def _users_of(cluster: Cluster, partitions: set[int]) -> list[str]:
    """Return the settled users (raw ids) of these partitions."""
    keys = {raw: f"{CUSTOMER}|{cluster.customer.rules.user(raw)}".encode() for raw in SETTLED}
    return [raw for raw, key in keys.items() if partition_of(key, cluster.partitions) in partitions]


def _get(cluster: Cluster, name: str, raw: str, more: str) -> tuple[int, Any]:
    return cluster.get(
        f"/v1/{CUSTOMER}/users/{raw}/exclusions?threshold=1&within=P1D&reasons=rendered{more}", name
    )


class Answered(NamedTuple):
    """An answer about a settled user: right, or refused because the new owner has not read yet what waited for it."""

    status: int
    stale_ms: int | None


def _asked(cluster: Cluster, name: str, raw: str) -> Answered:
    status, answer = _get(cluster, name, raw, f"&max_stale_ms={MAX_STALE_MS}")
    if status == 503:
        assert "when it was opened" in answer["sentence"], (raw, answer)
        return Answered(status, None)
    assert status == 200, (raw, status, answer)
    assert {each["item"]: each["count"] for each in answer["excluded"]} == SETTLED[raw]
    stale_ms: int | None = answer.get("stale_ms")
    assert stale_ms is None or 0 <= stale_ms <= MAX_STALE_MS
    return Answered(status, stale_ms)


def _changelog_records(bootstrap: str, partitions: set[int]) -> int:
    """Return how many records a worker without any copy would have to read."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "counter", "log_level": 0})
    try:
        found = 0
        for topic in (*(changelog(table) for table in BY_NAME), POSITIONS):
            for number in partitions:
                low, high = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10)
                found += high - low
        return found
    finally:
        consumer.close()


@pytest.mark.fault("standby")
@pytest.mark.slow_fault
@pytest.mark.timeout(300)
def test_copies_answer_while_their_owner_is_gone_and_make_its_heir_quick(
    own_broker: LocalBroker, tmp_path: Path, is_long: bool
) -> None:
    kills, warm_seconds = (6, 10.0) if is_long else (1, 2.0)
    outcome = takeover(own_broker, tmp_path, warm_seconds=warm_seconds, kills=kills)
    outcome.must_be_exact()
    assert outcome.more["differing_pages"] == 0
