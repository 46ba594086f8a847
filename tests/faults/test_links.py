"""F5: every link breaks in every way in which links break; nothing is lost or doubled, and no old answer seems fresh."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from app.local.broker import LocalBroker
from app.local.tcp_ports import free_port
from tests.conftest import BrokerFactory
from tests.faults.cluster import CUSTOMER, Cluster
from tests.faults.collectors import CollectorProcess
from tests.faults.http_load import HttpLoad
from tests.faults.ledger import Outcome, compare, pages_differ
from tests.faults.load import Load
from tests.faults.reader import Reader
from tests.support.tcp_proxy import Link, TcpProxy

HOST = "127.0.0.1"
HTTP_PAUSE_SECONDS = 0.5
"""A table keeps 2,000 items of a user: a client of the long form clicks on fewer."""
RATE = 40
SHORT_SESSION = {"UPTAKE_SESSION_TIMEOUT_MS": "3000", "UPTAKE_HEARTBEAT_MS": "1000"}
LONG_SESSION = {"UPTAKE_SESSION_TIMEOUT_MS": "10000", "UPTAKE_HEARTBEAT_MS": "3000"}  # as in production
WELL_SECONDS = 30.0
RESET_SECONDS = 1.5
WORKER, BOTH, COLLECTOR, HOP = "worker-broker", "workers-broker", "collector-broker", "worker-worker"
VISITORS = [f"visitor-{number}" for number in range(60)]
Step = tuple[str, Link | None, float]
"""The link, how it breaks (None: resets every 1.5 s), and for how many seconds."""

SHORT: list[Step] = [(WORKER, Link.BLACK_HOLE, 4), (WORKER, None, 4), (HOP, Link.BLACK_HOLE, 2)]
LONG: list[Step] = [
    (WORKER, Link.HALF_OPEN, 60),
    (WORKER, Link.BLACK_HOLE, 60),
    (WORKER, Link.CUT, 30),
    (WORKER, None, 30),
    (WORKER, Link.THIN, 20),
    (WORKER, Link.SLOW, 20),
    (WORKER, Link.BLACK_HOLE, 10),
    (WORKER, Link.CUT, 5),
    (BOTH, Link.BLACK_HOLE, 60),
    (BOTH, Link.HALF_OPEN, 30),
    (BOTH, None, 30),
    (COLLECTOR, Link.HALF_OPEN, 60),
    (COLLECTOR, Link.BLACK_HOLE, 60),
    (COLLECTOR, Link.CUT, 30),
    (COLLECTOR, None, 30),
    (COLLECTOR, Link.THIN, 20),
    (COLLECTOR, Link.SLOW, 10),
    (COLLECTOR, Link.CUT, 5),
    (HOP, Link.HALF_OPEN, 30),
    (HOP, Link.BLACK_HOLE, 60),
    (HOP, Link.CUT, 20),
    (HOP, None, 20),
    (HOP, Link.THIN, 10),
    (HOP, Link.SLOW, 10),
]


class Links:
    """A broker to which each client has a proxy of its own: both workers and the collector. So have the hops between the workers."""

    def __init__(self, stack: ExitStack, make: BrokerFactory) -> None:
        own, controller, *others = (free_port(HOST) for _ in range(12))
        behind, front = others[:3], others[3:6]
        names = ("FIRST", "SECOND", "COLLECTOR")
        listeners = [
            f"PLAINTEXT://{HOST}:{own}",
            *(f"{name}://{HOST}:{port}" for name, port in zip(names, behind, strict=True)),
            f"CONTROLLER://{HOST}:{controller}",
        ]
        advertised = [
            f"PLAINTEXT://{HOST}:{own}",
            *(f"{name}://{HOST}:{port}" for name, port in zip(names, front, strict=True)),
        ]
        protocols = ["PLAINTEXT", "CONTROLLER", *names]
        self.broker: LocalBroker = make(
            port=own,
            properties={
                "listeners": ",".join(listeners),
                "advertised.listeners": ",".join(advertised),
                "controller.quorum.voters": f"1@{HOST}:{controller}",
                "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in protocols),
            },
        )
        *self.by_worker, self.by_collector = (f"{HOST}:{port}" for port in front)
        self.worker_ports, self.hop_ports = others[6:8], others[8:10]
        first, second, collector, *hops = (
            stack.enter_context(TcpProxy.running(port, target))
            for port, target in zip((*front, *self.hop_ports), (*behind, *self.worker_ports), strict=True)
        )
        self.proxies: dict[str, list[TcpProxy]] = {
            WORKER: [first],
            BOTH: [first, second],
            COLLECTOR: [collector],
            HOP: hops,
        }

    @contextmanager
    def broken(self, name: str, link: Link | None) -> Iterator[None]:
        """Break a link while the block runs."""
        over = threading.Event()

        def reset() -> None:
            while not over.wait(RESET_SECONDS):
                for proxy in self.proxies[name]:
                    proxy.reset()

        resetting = threading.Thread(target=reset)
        for proxy in self.proxies[name]:
            proxy.make(link or Link.OPEN)
        if link is None:
            resetting.start()
        try:
            yield
        finally:
            over.set()
            if link is None:
                resetting.join()
            for proxy in self.proxies[name]:
                proxy.make(Link.OPEN)

    def effect(self, name: str) -> tuple[int, int]:
        """Return the resets, and the bytes lost or held back, of a link so far."""
        return (
            sum(proxy.resets for proxy in self.proxies[name]),
            sum(proxy.held_bytes for proxy in self.proxies[name]),
        )


class System:
    """Two workers and a collector under load, behind the links."""

    def __init__(
        self, stack: ExitStack, make: BrokerFactory, directory: Path, session: dict[str, str], partitions: int
    ) -> None:
        self.links = Links(stack, make)
        broker = self.links.broker
        self.cluster = Cluster(broker, directory / "cluster", partitions=partitions, env=session)
        stack.callback(self.cluster.close)
        self.collector = CollectorProcess(
            self.links.by_collector,
            directory / "collector",
            self.cluster.customers_file,
            self.cluster.partitions,
            UPTAKE_STALL_MS="500",
        )
        stack.callback(self.collector.close)
        users = [self.cluster.customer.rules.user(raw) for raw in VISITORS]
        self.load = Load(broker.bootstrap, CUSTOMER, users, rate=RATE, events=RATE * 3_600)
        self.http = HttpLoad(self.collector.port, CUSTOMER, directory / "ledger", HTTP_PAUSE_SECONDS)
        self.reader = Reader(self.cluster, "w0", "w1")

    def start(self) -> None:
        for number, kafka in enumerate(self.links.by_worker):
            name = f"w{number}"
            self.cluster.ports[name] = self.links.worker_ports[number]
            advertised = f"http://{HOST}:{self.links.hop_ports[number]}"
            self.cluster.start_worker(name, UPTAKE_KAFKA=kafka, UPTAKE_ADVERTISE=advertised)
        self.collector.start()
        self.wait_well("the system is well")
        self.load.start()
        self.http.start()
        self.reader.start()

    def wait_well(self, what: str, timeout_seconds: float = 60) -> float:
        """Wait until both workers own a half and answer fresh about every user, and the collector has nothing to warn of."""
        return self.cluster.wait_until(self._is_well, what, timeout_seconds)

    def _is_well(self) -> bool:
        code, body = self.collector.ready()
        if code != 200 or body["warnings"] or body["spool"]["events"]:
            return False
        for name in ("w0", "w1"):
            if len(self.cluster.partitions_of(name)) != self.cluster.partitions // 2:
                return False
            _, status = self.cluster.get("/v1/status", name)
            if status["warnings"] or status["lag"] > 2 * RATE:
                return False
            for probe in self.reader.probes:
                code, answer = self.cluster.get(f"/v1/{CUSTOMER}/users/{probe.raw}", name)
                if code != 200 or "stale_ms" in answer:
                    return False
        return True

    def finish(self) -> None:
        self.load.finish()
        self.http.finish()
        self.reader.finish()
        self.collector.wait_until(lambda body: not body["spool"]["events"], "the spool is drained")
        self.cluster.wait_drained()


def breakings(
    make: BrokerFactory, directory: Path, steps: list[Step], session: dict[str, str], partitions: int
) -> tuple[Outcome, dict[str, Any]]:
    """Break one link after another; return the result, and what each step did."""
    with ExitStack() as stack:
        system = System(stack, make, directory, session, partitions)
        system.start()
        did: dict[str, Any] = {}
        for number, (name, link, seconds) in enumerate(steps):
            before = system.links.effect(name)
            with system.links.broken(name, link):
                time.sleep(seconds)
            what = "resets" if link is None else link.value
            took = system.wait_well(f"well again after {name} {what} of {seconds} s", WELL_SECONDS)
            resets, held = (now - then for now, then in zip(system.links.effect(name), before, strict=True))
            did[f"{number} {name} {what} {seconds}s"] = {
                "resets": resets,
                "held": held,
                "well_s": round(took, 1),
            }
            print(
                f"F5 {name} {what} {seconds} s: {resets} resets, {held} bytes held, well again after {took:.1f} s"
            )
        system.finish()
        truth, lost, doubled = compare(system.cluster, system.load)
        verdict = system.http.judge(system.links.broker.bootstrap)
        assert (verdict.of_failed, verdict.out_of_order) == (0, 0)
        assert all(worker.poll() is None for worker in system.cluster.workers.values()), "a worker ended"
        for log in (system.cluster.log("w0"), system.cluster.log("w1"), system.collector.log()):
            assert "Task exception was never retrieved" not in log, "a task ended unseen"
        effect = {
            "faults": len(steps),
            "resets": sum(each["resets"] for each in did.values()),
            "bytes_held": sum(each["held"] for each in did.values()),
            "over_http": verdict.outcomes["ok"],
        }
        more = {
            "http_unknown": verdict.outcomes["unknown"],
            "well_again_s": max(each["well_s"] for each in did.values()),
            "longest_unavailable_s": system.reader.longest_seconds,
            "differing_pages": sum(
                pages_differ(system.cluster, truth, VISITORS, name) for name in ("w0", "w1")
            ),
        }
        lost, doubled = lost + verdict.lost, doubled + verdict.doubled
        return Outcome("F5", system.load.delivered, lost, doubled, effect, more, system.reader), did


@pytest.mark.fault("F5")
@pytest.mark.slow_fault
@pytest.mark.timeout(1_800)
def test_broken_links_lose_and_double_nothing_and_no_old_answer_seems_fresh(
    broker_factory: BrokerFactory, tmp_path: Path, is_long: bool
) -> None:
    form = (LONG, LONG_SESSION, 4) if is_long else (SHORT, SHORT_SESSION, 2)
    outcome, did = breakings(broker_factory, tmp_path, *form)
    outcome.must_be_exact()
    assert outcome.more["differing_pages"] == 0
    for step, effect in did.items():
        assert effect["resets"] or effect["held"], f"the fault had no effect: {step}"
