"""F8: a disk is full: the spool's, the log's, or that of a worker's state. It is reported, and no acknowledged event is lost."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app.base.settings import Settings
from app.customers.customer_registry import create_customers_file
from app.kafka.topics import ensure_topics
from app.local.broker import LocalBroker
from tests.faults.cluster import CUSTOMER, Cluster
from tests.faults.collectors import CollectorProcess
from tests.faults.http_load import HttpLoad
from tests.faults.ledger import Outcome, compare
from tests.faults.load import USERS, Load
from tests.faults.reader import Reader
from tests.faults.small_disk import small_disk

PARTITIONS = 3


def until(holds: Callable[[], bool], what: str, timeout_seconds: float = 60) -> None:
    started = time.monotonic()
    while not holds():
        assert time.monotonic() - started < timeout_seconds, f"not within {timeout_seconds} s: {what}"
        time.sleep(0.05)


@pytest.mark.fault("F8")
@pytest.mark.slow_fault
@pytest.mark.timeout(300)
@pytest.mark.parametrize("full", ["spool", "log"])
def test_collector_whose_disk_is_full(own_broker: LocalBroker, tmp_path: Path, full: str) -> None:
    customers_file = tmp_path / "uptake.toml"
    create_customers_file(customers_file, CUSTOMER)
    asyncio.run(ensure_topics(Settings(kafka=own_broker.bootstrap, partitions=PARTITIONS)))
    with small_disk(tmp_path / "disk", 8 * 1_048_576) as disk:
        directory = disk.path if full == "log" else tmp_path / "collector"
        spool = disk.path if full == "spool" else tmp_path / "spool"
        collector = CollectorProcess(
            own_broker.bootstrap,
            directory,
            customers_file,
            PARTITIONS,
            UPTAKE_STALL_MS="500",
            UPTAKE_SPOOL_DIR=str(spool),
            UPTAKE_LOG_LEVEL="debug" if full == "log" else "info",
        )
        load = HttpLoad(collector.port, CUSTOMER, tmp_path / "ledger")
        effect: dict[str, float] = {}
        try:
            collector.start()
            collector.wait_until(lambda body: not body["warnings"], "Kafka is there")
            load.start()
            until(lambda: load.count("ok") > 50, "events are taken")
            own_broker.kill()
            until(lambda: collector.ready()[1]["spool"]["events"] > 20, "events are spooled")
            if full == "spool":
                disk.fill(left_bytes=100_000)
                collector.wait_until(lambda body: not body["ready"], "readiness goes off")
                assert any("No space left" in each for each in collector.ready()[1]["problems"])
                until(lambda: load.count("fail") > 20, "events are refused")
                effect["refused"] = load.count("fail")
                taken = load.count("ok")
                disk.free()
                collector.wait_until(lambda body: body["ready"], "it is ready again by itself")
                until(lambda: load.count("ok") > taken + 20, "events are spooled again")
            else:
                disk.fill()
                lines = len(collector.log())
                taken = load.count("ok")
                until(lambda: load.count("ok") > taken + 200, "events are taken all the same")
                effect["taken_without_a_log"] = load.count("ok") - taken
                assert len(collector.log()) - lines < 100_000
                disk.free()
            own_broker.start()
            collector.wait_until(lambda body: not body["spool"]["events"], "the spool is drained")
            load.finish()
            collector.wait_until(lambda body: not body["spool"]["events"], "the spool is drained")
            assert collector.stop() < 10
            verdict = load.judge(own_broker.bootstrap)
            outcomes = verdict.outcomes
            Outcome(
                f"F8 {full}",
                outcomes.total(),
                verdict.lost,
                verdict.doubled,
                {**effect, "ok": outcomes["ok"]},
                {"fail": outcomes["fail"], "unknown": outcomes["unknown"], "repeats": verdict.repeats},
            ).must_be_exact()
            assert (verdict.of_failed, verdict.out_of_order) == (0, 0)
        finally:
            load.finish()
            collector.close()


@pytest.mark.fault("F8")
@pytest.mark.slow_fault
@pytest.mark.timeout(300)
def test_worker_whose_disk_is_full(own_broker: LocalBroker, tmp_path: Path) -> None:
    """The worker ends with a message and answers no lookup; with space again, it resumes from its position."""
    with small_disk(tmp_path / "w0") as disk:
        cluster = Cluster(own_broker, tmp_path)
        users = [cluster.customer.rules.user(f"visitor-{number}") for number in range(USERS)]
        load = Load(own_broker.bootstrap, CUSTOMER, users, rate=400, events=400 * 600)
        reader = Reader(cluster)
        ended = 0
        try:
            cluster.start_worker()
            cluster.wait_ready()
            load.start()
            reader.start()
            cluster.wait_until(lambda: load.delivered > 800, "events are delivered")
            disk.fill()
            cluster.wait_until(lambda: cluster.workers["w0"].poll() is not None, "the worker ends", 90)
            assert cluster.workers["w0"].returncode == 2
            assert "the worker stops: the state in" in cluster.log("w0")
            assert "make room on its disk" in cluster.log("w0")
            ended += 1
            cluster.start_worker()  # as a supervisor does
            cluster.wait_until(lambda: cluster.workers["w0"].poll() is not None, "the worker ends again", 90)
            assert cluster.workers["w0"].returncode == 2
            ended += 1
            disk.free()
            cluster.start_worker()
            cluster.wait_ready()
            load.finish()
            reader.finish()
            cluster.wait_drained()
            _, lost, doubled = compare(cluster, load)
            Outcome(
                "F8 state", load.delivered, lost, doubled, {"ended": ended}, reader=reader
            ).must_be_exact()
            assert cluster.stop("w0") == 0
        finally:
            cluster.close()
