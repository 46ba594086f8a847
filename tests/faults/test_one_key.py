"""F15: a million increments of one key, with kills in between; the count is exactly a million."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.local.broker import LocalBroker
from tests.faults.cluster import CUSTOMER, Cluster
from tests.faults.ledger import Outcome, compare, pages_differ
from tests.faults.load import Event, Load
from tests.faults.reader import Reader


def increments(user: str, count: int) -> Iterator[Event]:
    """Yield clicks of one user on one item."""
    event: Event = {"type": "click", "customer": CUSTOMER, "user": user, "item": "7"}
    for _ in range(count):
        now_ms = int(time.time() * 1000)
        yield event | {"time_ms": now_ms, "received_ms": now_ms}


def one_key(broker: LocalBroker, directory: Path, *, count: int, kills: int) -> Outcome:
    """Click ``count`` times as fast as the journal takes them, and kill the worker ``kills`` times while it folds."""
    cluster = Cluster(broker, directory)
    user = cluster.customer.rules.user("busy")
    load = Load(broker.bootstrap, CUSTOMER, [], rate=40_000, events=0, source=increments(user, count))
    reader = Reader(cluster)
    longest_seconds, in_flight = 0.0, 0
    try:
        cluster.start_worker()
        cluster.wait_ready()
        load.start()
        reader.start()
        for kill in range(kills):
            before = _durable(cluster)
            target = count * (kill + 1) // (kills + 1)
            cluster.wait_until(
                lambda before=before, target=target: (
                    _durable(cluster) > max(before, min(target, load.delivered - 1))
                ),
                "the worker folds",
                timeout_seconds=120,
            )
            status, body = cluster.get("/v1/status")
            in_flight += body["lag"] if status == 200 else 0
            cluster.kill("w0")
            cluster.start_worker()
            longest_seconds = max(longest_seconds, cluster.wait_ready())
        load.join()
        reader.finish()
        cluster.wait_drained(timeout_seconds=240)
        truth, lost, doubled = compare(cluster, load)
        assert sum(truth.clicked.values()) == count
        differing = pages_differ(cluster, truth, ["busy"])
        assert cluster.stop("w0") == 0
        return Outcome(
            "F15",
            load.delivered,
            lost,
            doubled,
            {"kills": kills, "in_flight_at_kills": in_flight},
            {"longest_unavailable_s": longest_seconds, "differing_pages": differing},
            reader,
        )
    finally:
        cluster.close()


def _durable(cluster: Cluster) -> int:
    return max(
        (each["durable"].get("uptake.events", 0) for each in cluster.partitions_of("w0").values()), default=0
    )


@pytest.mark.fault("F15")
@pytest.mark.slow_fault
@pytest.mark.timeout(900)
def test_a_million_increments_of_one_key_are_a_million(
    own_broker: LocalBroker, tmp_path: Path, is_long: bool
) -> None:
    count, kills = (1_000_000, 10) if is_long else (100_000, 3)
    outcome = one_key(own_broker, tmp_path, count=count, kills=kills)
    outcome.must_be_exact()
    assert outcome.more["differing_pages"] == 0
