"""The watchdog: a worker that hangs raises an alarm and ends, for its supervisor to restart; a frozen broker causes neither."""

import time
from pathlib import Path

import pytest

from app.local.broker import LocalBroker
from tests.faults.cluster import CUSTOMER, Cluster
from tests.faults.ledger import Outcome, compare
from tests.faults.load import Load
from tests.faults.reader import Reader

ALARM_MS, EXIT_MS = 1_000, 2_500
STALLED = "has been stalled at"


def flushes(cluster: Cluster) -> int:
    """Return how many flushes the open partitions have made."""
    return sum(each["flushes"] for each in cluster.partitions_of("w0").values())


def hangs(broker: LocalBroker, directory: Path, *, kinds: tuple[str, ...], frozen_seconds: float) -> Outcome:
    """Freeze the broker for a while; then let the worker hang in each of these ways under load, and restart it."""
    file = directory / "hang"
    env = {
        "HANG_FILE": str(file),
        "UPTAKE_WATCHDOG_ALARM_MS": str(ALARM_MS),
        "UPTAKE_WATCHDOG_EXIT_MS": str(EXIT_MS),
    }
    cluster = Cluster(broker, directory / "cluster", partitions=2, program="tests.faults.hanging", env=env)
    users = [cluster.customer.rules.user(f"visitor-{number}") for number in range(50)]
    load = Load(broker.bootstrap, CUSTOMER, users, rate=200, events=200 * 300)
    reader = Reader(cluster)
    alarms = 0
    try:
        cluster.start_worker()
        cluster.wait_ready()
        load.start()
        reader.start()
        cluster.wait_until(lambda: flushes(cluster) > 3, "it flushes")
        broker.freeze()
        time.sleep(frozen_seconds)
        frozen = flushes(cluster)
        broker.thaw()
        # A broker that was frozen itself may not have noticed that the session was over: then the worker stays in the group.
        cluster.wait_until(lambda: flushes(cluster) > frozen, "it flushes again")
        assert STALLED not in cluster.log("w0")
        for kind in kinds:
            log_before = len(cluster.log("w0"))
            file.write_text(kind)
            if kind == "flush":
                cluster.wait_until(
                    lambda: cluster.get("/v1/status")[1]["alarms"], "the status shows an alarm"
                )
                status, body = cluster.get("/health/ready")
                assert (status, body["ready"]) == (503, False)
                assert {alarm["alarm"] for alarm in body["alarms"]} == {"stands_still"}
            assert cluster.workers["w0"].wait(30) == (2 if kind == "flush" else 1)
            said = cluster.log("w0")[log_before:]
            assert STALLED in said
            assert "Likely causes" in said
            assert "the worker stops" in said or kind == "loop"
            alarms += 1
            file.unlink()
            cluster.start_worker()
            cluster.wait_ready()
        load.finish()
        reader.finish()
        cluster.wait_drained()
        _, lost, doubled = compare(cluster, load)
        assert cluster.stop("w0") == 0
        effect = {"hangs": alarms, "frozen_s": frozen_seconds}
        return Outcome("watchdog", load.delivered, lost, doubled, effect, reader=reader)
    finally:
        cluster.close()


@pytest.mark.fault("watchdog")
@pytest.mark.slow_fault
@pytest.mark.timeout(300)
def test_worker_that_hangs_is_told_of_and_ends_and_a_frozen_broker_is_waited_for(
    own_broker: LocalBroker, tmp_path: Path, is_long: bool
) -> None:
    kinds = ("loop", "flush", "flush") if is_long else ("flush", "loop")
    hangs(own_broker, tmp_path, kinds=kinds, frozen_seconds=12 if is_long else 6).must_be_exact()
