"""Proof that the fault tests can fail: without one of the protections, each finds counts that are lost or doubled.

The module also holds the fault behind the first two: a worker dies in the middle of a flush.
The broker then has the rows and not yet the position; with all protections on, the counts are exact.
"""

import time
from pathlib import Path

import pytest

from app.local.broker import LocalBroker
from tests.faults.cluster import CUSTOMER, Cluster
from tests.faults.ledger import Outcome, compare
from tests.faults.load import USERS, Load
from tests.faults.reader import Reader
from tests.faults.test_repeated_events import repeats
from tests.faults.test_worker_frozen import zombie

PROGRAM = "tests.faults.sabotage"
RATE = 800


def crashes(broker: LocalBroker, directory: Path, *, times: int) -> Outcome:
    """Let the worker die ``times`` times in the middle of a flush, under load."""
    cluster = Cluster(broker, directory, program=PROGRAM)
    users = [cluster.customer.rules.user(f"visitor-{number}") for number in range(USERS)]
    load = Load(broker.bootstrap, CUSTOMER, users, rate=RATE, events=RATE * 50)
    reader = Reader(cluster)
    longest_seconds = 0.0
    try:
        cluster.start_worker(CRASH_AT_FLUSH="20")
        cluster.wait_ready()
        load.start()
        reader.start()
        for crash in range(times):
            died = cluster.workers["w0"]
            cluster.wait_until(lambda died=died: died.poll() is not None, "the worker dies in a flush")
            assert died.returncode == -9, cluster.log("w0")[-3000:]
            started = time.monotonic()
            cluster.start_worker(CRASH_AT_FLUSH="20" if crash < times - 1 else "0")
            cluster.wait_ready()
            longest_seconds = max(longest_seconds, time.monotonic() - started)
        load.finish()
        reader.finish()
        cluster.wait_drained()
        _, lost, doubled = compare(cluster, load)
        return Outcome(
            "F1 in a flush",
            load.delivered,
            lost,
            doubled,
            {"crashes_in_a_flush": times},
            {"longest_unavailable_s": longest_seconds},
            reader,
        )
    finally:
        cluster.close()


@pytest.mark.fault("F1", "sabotage")
@pytest.mark.slow_fault
@pytest.mark.timeout(300)
def test_worker_that_dies_in_a_flush_loses_and_doubles_nothing(
    own_broker: LocalBroker, tmp_path: Path, is_long: bool
) -> None:
    crashes(own_broker, tmp_path, times=5 if is_long else 2).must_be_exact()


def _must_be_wrong(name: str, outcome: Outcome) -> Outcome:
    print(f"SABOTAGE={name} {outcome}")
    for effect, value in outcome.effect.items():
        assert value > 0, f"the fault had no effect, {effect} is 0: {outcome}"
    assert outcome.lost + outcome.doubled > 0, f"{name} went unnoticed: {outcome}"
    return outcome


@pytest.mark.fault("sabotage")
@pytest.mark.slow_fault
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("name", "wrong"), [("no-transaction", "doubled"), ("ack-first", "lost")])
def test_flush_in_parts_is_found(
    own_broker: LocalBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, wrong: str
) -> None:
    monkeypatch.setenv("SABOTAGE", name)
    outcome = _must_be_wrong(name, crashes(own_broker, tmp_path, times=2))
    assert getattr(outcome, wrong) > 0


@pytest.mark.fault("sabotage")
@pytest.mark.slow_fault
@pytest.mark.timeout(400)
def test_missing_fence_is_found(
    own_broker: LocalBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SABOTAGE", "no-fence")
    _must_be_wrong("no-fence", zombie(own_broker, tmp_path, takes_back=False, rounds=3, program=PROGRAM))


@pytest.mark.fault("sabotage")
@pytest.mark.slow_fault
@pytest.mark.timeout(300)
def test_missing_eid_is_found(
    own_broker: LocalBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SABOTAGE", "no-eid")
    outcome = _must_be_wrong("no-eid", repeats(own_broker, tmp_path, events=1_500, kills=1, program=PROGRAM))
    assert outcome.doubled > 0
