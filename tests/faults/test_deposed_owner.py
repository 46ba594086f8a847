"""F19: a worker loses its link to Kafka but not its HTTP, or sleeps past its session: no old answer of it seems fresh."""

import time
from collections import Counter
from pathlib import Path

import pytest

from app.local.tcp_ports import free_port
from tests.conftest import BrokerFactory
from tests.faults.cluster import CUSTOMER, Cluster
from tests.faults.ledger import Outcome, compare
from tests.faults.load import Load
from tests.faults.reader import Reader
from tests.support.second_listener import broker_with_a_second_listener
from tests.support.tcp_proxy import Link, TcpProxy

SESSION_MS, MAX_STALE_MS = 3_000, 8_000
RATE = 100


def deposed(make: BrokerFactory, directory: Path, *, cut_s: float, asleep_s: float, away_s: float) -> Outcome:
    """Depose w0 by a cut link and by SIGSTOP, then take the broker away; w1 and the events go on."""
    behind, front = free_port("127.0.0.1"), free_port("127.0.0.1")
    broker = broker_with_a_second_listener(make, behind, front)
    env = {
        "UPTAKE_SESSION_TIMEOUT_MS": str(SESSION_MS),
        "UPTAKE_MAX_STALE_MS": str(MAX_STALE_MS),
    }
    cluster = Cluster(broker, directory / "cluster", partitions=2, env=env)
    users = [cluster.customer.rules.user(f"visitor-{number}") for number in range(50)]
    load = Load(broker.bootstrap, CUSTOMER, users, rate=RATE, events=RATE * 900)
    reader = Reader(cluster, "w0", "w1")

    everywhere = {(name, number) for name in ("w0", "w1") for number in (0, 1)}

    def balanced() -> bool:
        return [len(cluster.partitions_of(name)) for name in ("w0", "w1")] == [1, 1]

    with TcpProxy.running(front, behind) as link:
        try:
            cluster.start_worker("w0", UPTAKE_KAFKA=f"127.0.0.1:{front}")
            cluster.wait_ready("w0")
            cluster.start_worker("w1")
            cluster.wait_until(balanced, "both own a partition")
            load.start()
            reader.start()
            (lost_one,) = map(int, cluster.partitions_of("w0"))

            link.make(Link.HALF_OPEN)
            cut = reader.silent_since = time.monotonic()
            reader.silent = {("w0", lost_one)}
            cluster.wait_until(lambda: len(cluster.partitions_of("w1")) == 2, "w1 takes over")
            before = Counter(reader.by)
            cluster.wait_until(lambda: time.monotonic() - cut > cut_s, "the link is cut for long", cut_s + 5)
            hops = reader.by["fresh", "w0", 1 - lost_one] - before["fresh", "w0", 1 - lost_one]
            by_link = (reader.by["marked", "w0", lost_one], reader.by["refused", "w0", lost_one])
            reader.silent_since = None
            link.make(Link.OPEN)
            recovered = cluster.wait_until(balanced, "w0 is well again", 30)

            cluster.freeze("w0")
            frozen = time.monotonic()
            cluster.wait_until(lambda: len(cluster.partitions_of("w1")) == 2, "w1 takes over again")
            cluster.wait_until(
                lambda: time.monotonic() - frozen > asleep_s, "w0 sleeps for long", asleep_s + 5
            )
            not_fresh = reader.not_fresh("w0")
            cluster.thaw("w0")
            reader.look("w0")  # before it can have heard from Kafka
            by_sleep = reader.not_fresh("w0") - not_fresh
            cluster.wait_until(balanced, "w0 is well again", 30)

            before = Counter(reader.by)
            cluster.wait_until(
                lambda: all((reader.by - before)["fresh", name, number] > 5 for name, number in everywhere),
                "both answer as fresh",
            )
            marked_before = reader.counts["marked"]
            broker.freeze()
            away = reader.silent_since = time.monotonic()
            reader.silent = everywhere
            cluster.wait_until(lambda: time.monotonic() - away > away_s, "no broker", away_s + 5)
            reader.silent_since = None
            broker.thaw()
            by_broker = reader.counts["marked"] - marked_before
            cluster.wait_until(balanced, "both are well again", 30)

            load.finish()
            reader.finish()
            cluster.wait_drained()
            _, lost, doubled = compare(cluster, load)
            assert [cluster.stop(name) for name in ("w0", "w1")] == [0, 0]
            effect: dict[str, float] = {
                "marked_by_cut": by_link[0],
                "refused_by_cut": by_link[1],
                "fresh_by_hop": hops,
                "not_fresh_after_sleep": by_sleep,
                "marked_without_broker": by_broker,
                "fresh": reader.counts["fresh"],
            }
            more: dict[str, float] = {"well_again_s": recovered}
            return Outcome("F19", load.delivered, lost, doubled, effect, more, reader)
        finally:
            broker.thaw()
            cluster.close()


@pytest.mark.fault("F19")
@pytest.mark.timeout(600)
def test_no_old_answer_of_a_deposed_owner_seems_fresh(
    broker_factory: BrokerFactory, tmp_path: Path, is_long: bool
) -> None:
    seconds = (60, 30, 20) if is_long else (10, 5, 5)
    outcome = deposed(broker_factory, tmp_path, cut_s=seconds[0], asleep_s=seconds[1], away_s=seconds[2])
    outcome.must_be_exact()
