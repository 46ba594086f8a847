"""F6: a second worker is started and stopped repeatedly; each partition moves, and no lookup is ever wrong."""

import time
from pathlib import Path

import pytest

from app.local.broker import LocalBroker
from tests.faults.cluster import CUSTOMER, Cluster
from tests.faults.ledger import (
    PAGES_OF_ACCOUNTS,
    SETTLED,
    Outcome,
    Watch,
    by_login,
    compare,
    pages_differ,
    settle,
)
from tests.faults.load import USERS, Load, mixed
from tests.faults.storm import Storm

RATE = 150
SESSION_MS = 5_000


def comings(broker: LocalBroker, directory: Path, *, times: int, period_seconds: float) -> Outcome:
    """Start a second worker every ``period_seconds``; stop it (SIGTERM) when half the period has passed."""
    cluster = Cluster(
        broker, directory, env={"UPTAKE_SESSION_TIMEOUT_MS": str(SESSION_MS), "UPTAKE_HEARTBEAT_MS": "1000"}
    )
    raws = [f"visitor-{number}" for number in range(USERS)]
    users = [cluster.customer.rules.user(raw) for raw in raws]
    storm = Storm(CUSTOMER, cluster.customer.rules.user)
    source = storm.mixed_into(mixed(CUSTOMER, users, RATE * 900))
    load = Load(broker.bootstrap, CUSTOMER, users, rate=RATE, events=0, source=source)
    watch = Watch(cluster, lambda: list(cluster.workers))
    moved = 0
    try:
        cluster.start_worker("w0")
        cluster.wait_ready("w0")
        settled = settle(cluster)
        load.start()
        watch.start()
        for _ in range(times):
            started = time.monotonic()
            cluster.start_worker("w1")
            cluster.wait_until(lambda: cluster.partitions_of("w1"), "w1 has partitions")
            moved += len(cluster.partitions_of("w1"))
            time.sleep(max(0.0, started + period_seconds / 2 - time.monotonic()))
            assert cluster.stop("w1") == 0
            cluster.wait_until(
                lambda: len(cluster.partitions_of("w0")) == cluster.partitions, "w0 has all again"
            )
            time.sleep(max(0.0, started + period_seconds - time.monotonic()))
        load.finish()
        watch.finish()
        cluster.wait_drained()
        truth, lost, doubled = compare(cluster, load)
        return Outcome(
            "F6",
            load.delivered + settled,
            lost,
            doubled,
            {"comings": times, "partitions_moved": moved} | by_login(truth),
            {
                "lookups": watch.statuses[200],
                "lookups_503": watch.statuses[503],
                "wrong_lookups": len(watch.wrong),
                "longest_unavailable_s": watch.longest_seconds,
                "differing_pages": pages_differ(
                    cluster, truth, [*raws, *SETTLED, *storm.accounts[:PAGES_OF_ACCOUNTS]]
                ),
            },
            watch.reader,
        )
    finally:
        cluster.close()


@pytest.mark.fault("F6")
@pytest.mark.slow_fault
@pytest.mark.timeout(900)
def test_worker_that_comes_and_goes_loses_and_doubles_nothing(
    own_broker: LocalBroker, tmp_path: Path, is_long: bool
) -> None:
    times, period_seconds = (10, 15.0) if is_long else (3, 5.0)
    outcome = comings(own_broker, tmp_path, times=times, period_seconds=period_seconds)
    outcome.must_be_exact()
    assert outcome.more["differing_pages"] == 0
    assert outcome.more["longest_unavailable_s"] < 2 * SESSION_MS / 1000
