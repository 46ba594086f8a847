"""F4: the broker is frozen for less and for more than the session and transaction timeouts; once the worker is killed too.

Work that waits for a frozen broker continues when the broker thaws.
If the broker aborts a transaction because of its age, the worker loses the partition, but no counts.
"""

import time
from pathlib import Path

import pytest

from app.local.broker import LocalBroker
from tests.conftest import BrokerFactory
from tests.faults.cluster import CUSTOMER, Cluster
from tests.faults.ledger import SETTLED, Outcome, Watch, compare, pages_differ, settle
from tests.faults.load import USERS, Load
from tests.faults.reader import Reader
from tests.faults.test_worker_frozen import freeze_in_flush

RATE = 150
LONG = {"UPTAKE_SESSION_TIMEOUT_MS": "10000", "UPTAKE_HEARTBEAT_MS": "3000"}  # the defaults of production
# Shorter than the freeze, which the watchdog must wait out.
LONG |= {"UPTAKE_WATCHDOG_ALARM_MS": "15000", "UPTAKE_WATCHDOG_EXIT_MS": "30000"}
SHORT = {"UPTAKE_TRANSACTION_TIMEOUT_MS": "3000"}
SHORT |= {"UPTAKE_WATCHDOG_ALARM_MS": "3000", "UPTAKE_WATCHDOG_EXIT_MS": "6000"}
AGED = {"transaction.abort.timed.out.transaction.cleanup.interval.ms": "500"}


def freezes(
    broker: LocalBroker, directory: Path, *, seconds: list[float], kills: bool, env: dict[str, str]
) -> Outcome:
    """Freeze the broker for each of these times while a load waits; ``kills``: kill the worker in each freeze."""
    cluster = Cluster(broker, directory, env=env)
    raws = [f"visitor-{number}" for number in range(USERS)]
    users = [cluster.customer.rules.user(raw) for raw in raws]
    load = Load(broker.bootstrap, CUSTOMER, users, rate=RATE, events=RATE * 600)
    watch = Watch(cluster, lambda: ["w0"])
    frozen = 0.0
    back: list[float] = []
    ended = 0
    try:
        cluster.start_worker()
        cluster.wait_ready()
        settled = settle(cluster)
        load.start()
        watch.start()
        for each in seconds:
            done = load.delivered
            cluster.wait_until(lambda done=done: load.delivered > done + RATE, "events are delivered")
            broker.freeze()
            started = time.monotonic()
            try:
                time.sleep(each / 2)
                delivered = load.delivered
                if kills:
                    cluster.kill("w0")
                    cluster.start_worker()
                time.sleep(max(0.0, each - (time.monotonic() - started)))
                assert load.delivered == delivered, "the broker was not frozen"
            finally:
                broker.thaw()
            frozen += time.monotonic() - started
            thawed = load.delivered
            started = time.monotonic()
            while not (load.delivered > thawed and _is_up_to_date(cluster)):
                assert time.monotonic() - started < 60, f"not caught up:\n{cluster.log('w0')[-3000:]}"
                if cluster.workers["w0"].poll() is not None:  # restart it, as a supervisor does
                    ended += 1
                    cluster.start_worker()
                time.sleep(0.05)
            back.append(time.monotonic() - started)
        load.finish()
        watch.finish()
        cluster.wait_drained()
        assert "has been stalled" not in cluster.log("w0"), "the watchdog does not wait for a frozen broker"
        truth, lost, doubled = compare(cluster, load)
        outcome = Outcome(
            "F4 with kills" if kills else "F4",
            load.delivered + settled,
            lost,
            doubled,
            {"freezes": len(seconds), "frozen_s": frozen},
            {
                "kills": len(seconds) if kills else 0,
                "partitions_lost": cluster.log("w0").count("is lost"),
                "worker_ended_itself": ended,
                "longest_to_caught_up_s": max(back),
                "lookups": watch.statuses[200],
                "lookups_503": watch.statuses[503],
                "longest_unavailable_s": watch.longest_seconds,
                "differing_pages": pages_differ(cluster, truth, [*raws, *SETTLED]),
            },
            watch.reader,
        )
        assert cluster.stop("w0") == 0
        return outcome
    finally:
        cluster.close()


def _is_up_to_date(cluster: Cluster) -> bool:
    status, body = cluster.get("/v1/status")
    return status == 200 and body["ready"] and body["lag"] < RATE


@pytest.mark.fault("F4")
@pytest.mark.slow_fault
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kills", [False, True], ids=["worker_waits", "worker_killed"])
def test_frozen_broker_loses_and_doubles_nothing(
    broker_factory: BrokerFactory, tmp_path: Path, is_long: bool, kills: bool
) -> None:
    broker = broker_factory(properties={} if is_long else AGED)
    seconds, env = ([1.0, 5.0, 30.0, 70.0], LONG) if is_long else ([1.0, 2.0, 6.0], SHORT)
    outcome = freezes(broker, tmp_path, seconds=seconds, kills=kills, env=env)
    outcome.must_be_exact()
    assert outcome.more["differing_pages"] == 0


def aged_transactions(broker: LocalBroker, directory: Path, *, times: int) -> Outcome:
    """Let the broker abort transactions because of their age, while the worker keeps its session.

    The worker is frozen with a flush in flight for longer than a transaction may last.
    The broker then fences it, although no other worker wants its partitions.
    """
    cluster = Cluster(
        broker, directory, env={**SHORT, "UPTAKE_SESSION_TIMEOUT_MS": "20000", "UPTAKE_HEARTBEAT_MS": "1000"}
    )
    users = [cluster.customer.rules.user(f"visitor-{number}") for number in range(USERS)]
    load = Load(broker.bootstrap, CUSTOMER, users, rate=RATE * 3, events=RATE * 900)
    reader = Reader(cluster)
    in_flight, back = 0, [0.0]
    try:
        cluster.start_worker()
        cluster.wait_ready()
        load.start()
        reader.start()
        tries = fenced = 0
        while fenced < times:
            tries += 1
            assert tries <= 4 * times, "the broker ended no transaction for its age"
            cluster.wait_until(lambda: _has_flushed(cluster, 5), "every partition flushes")
            before = cluster.log("w0").count("is lost")
            in_flight += freeze_in_flush(cluster, "w0")
            time.sleep(5)  # the transaction may last 3 s, and the broker checks twice a second
            cluster.thaw("w0")
            thawed = time.monotonic()
            # A frozen flush that lacked only its end is committed at once on thawing, and is never too old.
            cluster.wait_until(
                lambda before=before, thawed=thawed: (
                    cluster.log("w0").count("is lost") > before or time.monotonic() - thawed > 5
                ),
                "the broker fences w0",
            )
            fenced += cluster.log("w0").count("is lost") > before
            back.append(cluster.wait_until(lambda: _has_flushed(cluster, 1), "w0 has opened them again"))
        load.finish()
        reader.finish()
        cluster.wait_drained()
        _, lost, doubled = compare(cluster, load)
        outcome = Outcome(
            "F4 aged transactions",
            load.delivered,
            lost,
            doubled,
            {
                "freezes": tries,
                "in_flight": in_flight,
                "partitions_lost": cluster.log("w0").count("is lost"),
            },
            {"longest_to_caught_up_s": max(back)},
            reader,
        )
        assert cluster.stop("w0") == 0
        return outcome
    finally:
        cluster.close()


def _has_flushed(cluster: Cluster, times: int) -> bool:
    found = cluster.partitions_of("w0").values()
    return len(found) == cluster.partitions and all(each["flushes"] >= times for each in found)


@pytest.mark.fault("F4")
@pytest.mark.slow_fault
@pytest.mark.timeout(300)
def test_transaction_ended_for_its_age_loses_and_doubles_nothing(
    broker_factory: BrokerFactory, tmp_path: Path, is_long: bool
) -> None:
    aged_transactions(broker_factory(properties=AGED), tmp_path, times=5 if is_long else 2).must_be_exact()
