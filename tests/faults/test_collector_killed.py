"""F3 and F13: broker and collector are killed under load; events answered 2xx count once, in order, refused ones never."""

import asyncio
import time
from pathlib import Path

import pytest

from app.base.settings import Settings
from app.customers.customer_registry import create_customers_file
from app.kafka.topics import ensure_topics
from app.local.broker import LocalBroker
from tests.conftest import BrokerFactory
from tests.faults.cluster import CUSTOMER
from tests.faults.collectors import CollectorProcess
from tests.faults.http_load import HttpLoad, Verdict
from tests.faults.ledger import Outcome

PARTITIONS = 3


class Case:
    """A broker of its own, a collector and a load, from start to verdict."""

    def __init__(self, broker: LocalBroker, directory: Path) -> None:
        self.broker = broker
        customers_file = directory / "uptake.toml"
        create_customers_file(customers_file, CUSTOMER)
        asyncio.run(ensure_topics(Settings(kafka=broker.bootstrap, partitions=PARTITIONS)))
        self.collector = CollectorProcess(
            broker.bootstrap, directory / "collector", customers_file, PARTITIONS, UPTAKE_STALL_MS="500"
        )
        self.load = HttpLoad(self.collector.port, CUSTOMER, directory / "ledger")
        self.spooled = 0
        self.spooled_most = 0

    def begin(self) -> None:
        self.collector.start()
        self.collector.wait_until(lambda body: body["ready"] and not body["warnings"], "Kafka is there")
        self.load.start()
        self.more(50)

    def more(self, count: int, timeout_seconds: float = 60) -> None:
        """Wait until ``count`` more events were answered 2xx."""
        target, started = self.load.count("ok") + count, time.monotonic()
        while self.load.count("ok") < target:
            assert time.monotonic() - started < timeout_seconds, (
                f"nothing is taken\n{self.collector.ready()}\n{self.collector.log()[-3000:]}"
            )
            self._look()
            time.sleep(0.02)

    def pass_time(self, seconds: float) -> None:
        """Let the load continue, and watch the spool."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            self._look()
            time.sleep(0.1)

    def _look(self) -> None:
        _, body = self.collector.ready()
        self.spooled_most = max(self.spooled_most, body.get("spool", {}).get("events", 0))

    def broker_back(self) -> None:
        self.broker.start()

    def end(self, fault: str, **effect: float) -> Verdict:
        """Wait until the spool is empty, compare, and print the fault's line."""
        drained_s = self.collector.wait_until(
            lambda body: not body["spool"]["events"], "the spool is drained"
        )
        self.more(50)
        self.load.finish()
        self.collector.wait_until(lambda body: not body["spool"]["events"], "the spool is drained")
        verdict = self.load.judge(self.broker.bootstrap)
        Outcome(
            fault,
            verdict.outcomes.total(),
            verdict.lost,
            verdict.doubled,
            {**effect, "ok": verdict.outcomes["ok"]},
            {
                "fail": verdict.outcomes["fail"],
                "unknown": verdict.outcomes["unknown"],
                "repeats": verdict.repeats,
                "most_spooled": self.spooled_most,
                "drained_s": drained_s,
                "longest_answer_s": max(client.longest_seconds for client in self.load.clients),
            },
        ).must_be_exact()
        assert (verdict.of_failed, verdict.out_of_order) == (0, 0)
        return verdict

    def close(self) -> None:
        self.load.finish()
        self.collector.close()


@pytest.mark.fault("F3", "F13")
@pytest.mark.timeout(300)
def test_broker_away_and_collector_killed_lose_nothing_acknowledged(
    own_broker: LocalBroker, tmp_path: Path, is_long: bool
) -> None:
    seconds, kills = (60.0, 10) if is_long else (2.0, 2)
    case = Case(own_broker, tmp_path)
    try:
        case.begin()
        own_broker.kill()
        for _ in range(kills):
            case.more(30)
            case.pass_time(max(0.2, seconds / kills - 2))
            case.collector.kill()
            case.collector.start()
        case.more(30)
        case.broker_back()
        verdict = case.end("F3 with collector killed", kills=kills, spooled=case.spooled_most)
        # A collector refuses events while it reads the spool at its start.
        assert verdict.outcomes["fail"] <= len(case.load.clients) * kills
    finally:
        case.close()


@pytest.mark.fault("F3")
@pytest.mark.slow_fault
@pytest.mark.timeout(600)
def test_broker_killed_loses_and_doubles_nothing(
    own_broker: LocalBroker, tmp_path: Path, is_long: bool
) -> None:
    times, seconds = (5, 20.0) if is_long else (2, 5.0)
    case = Case(own_broker, tmp_path)
    try:
        case.begin()
        for _ in range(times):
            own_broker.kill()
            case.pass_time(seconds)
            assert case.collector.ready()[0] == 200, "the spool takes the broker's place"
            case.broker_back()
            case.collector.wait_until(lambda body: not body["spool"]["events"], "the spool is drained")
            case.more(50)
        case.end("F3", kills=times, spooled=case.spooled_most)
    finally:
        case.close()


@pytest.mark.fault("F13")
@pytest.mark.slow_fault
@pytest.mark.timeout(600)
@pytest.mark.parametrize("how", ["SIGTERM", "kill"])
def test_collector_stopped_or_killed_under_load(
    own_broker: LocalBroker, tmp_path: Path, is_long: bool, how: str
) -> None:
    times = 10 if is_long else 3
    case = Case(own_broker, tmp_path)
    longest = 0.0
    try:
        case.begin()
        for _ in range(times):
            case.more(50)
            if how == "SIGTERM":
                longest = max(longest, case.collector.stop())
            else:
                case.collector.kill()
            case.collector.start()
        verdict = case.end(f"F13 {how}", times=times)
        assert longest < 10
        if how == "SIGTERM":
            assert verdict.outcomes["unknown"] == 0, "a request in flight failed"
            assert "stopped with" not in case.collector.log()
    finally:
        case.close()


@pytest.mark.fault("F3")
@pytest.mark.slow_fault
@pytest.mark.timeout(300)
def test_collector_that_never_reached_kafka_takes_events(
    broker_factory: BrokerFactory, tmp_path: Path
) -> None:
    broker = broker_factory()
    case = Case(broker, tmp_path)
    broker.kill()
    try:
        case.collector.start()
        case.load.start()
        case.more(200)
        assert case.collector.stop() < 10
        assert "stay in the spool" in case.collector.log()
        case.collector.start()
        case.more(50)
        case.broker_back()
        case.end("F3 from the start", spooled=case.spooled_most)
    finally:
        case.close()
