"""A partition whose store is damaged under load is rebuilt alone: the others fold, flush and answer, and every count stays exact."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from app.local.broker import LocalBroker
from events.topics import changelog
from tests.faults.cluster import CUSTOMER, Cluster
from tests.faults.ledger import compare, pages_differ
from tests.faults.load import Load
from tests.faults.reader import Reader
from tests.support.damage import overwrite

PARTITIONS = 4


class Busy:
    """A worker on a Kafka of its own, under load and with a reader. Nothing of the past users is in its memory."""

    def __init__(self, broker: LocalBroker, directory: Path) -> None:
        # With a short session a busy machine alone would make answers carry a mark.
        env = {"UPTAKE_SESSION_TIMEOUT_MS": "20000"}
        self.cluster = Cluster(broker, directory, partitions=PARTITIONS, env=env)
        self.raws = {name: [f"{name}-{number}" for number in range(1_000)] for name in ("past", "now")}
        users = {
            name: [self.cluster.customer.rules.user(raw) for raw in raws] for name, raws in self.raws.items()
        }
        self.past = Load(broker.bootstrap, CUSTOMER, users["past"], rate=100_000, events=8_000)
        self.load = Load(broker.bootstrap, CUSTOMER, users["now"], rate=300, events=300 * 120)
        self.reader = Reader(self.cluster, "w0", "w1")
        self.foreign = Producer(
            {"bootstrap.servers": broker.bootstrap, "transactional.id": "foreign", "log_level": 0}
        )
        self.foreign.init_transactions(20)

    def start(self) -> None:
        self.cluster.start_worker()
        self.cluster.wait_ready()
        self.past.start()
        self.past.join()
        self.cluster.wait_drained()
        assert self.cluster.stop("w0") == 0  # writes all rows into table files
        self.cluster.start_worker()
        self.cluster.wait_ready()
        self.load.start()
        self.reader.start()
        by = self.reader.by
        self.cluster.wait_until(
            lambda: all(by["fresh", "w0", each] for each in range(PARTITIONS)), "answers come"
        )

    def damage(self, partition: int) -> None:
        """Damage a partition, and wait until it is rebuilt. That lasts as long as the foreign transaction, which hides rows of it."""
        self.foreign.begin_transaction()
        self.foreign.produce(changelog("clicked"), b"{}", b"key", partition)
        assert self.foreign.flush(20) == 0
        overwrite(self.cluster.data_dir("w0") / "state" / str(partition))
        unread = iter(self.raws["past"])
        self.cluster.wait_until(
            lambda: (
                self.cluster.get(f"/v1/{CUSTOMER}/users/{next(unread)}")[0] != 0
                and self.is_rebuilding(partition)
            ),
            "the damage is found",
        )

    def folded(self, partitions: Iterable[int]) -> dict[int, int]:
        """Return how many records each partition has folded since it was opened."""
        found = self.cluster.partitions_of("w0")
        return {number: found.get(str(number), {}).get("folded", 0) for number in partitions}

    def is_rebuilding(self, partition: int) -> bool:
        stores = self.cluster.get("/v1/status")[1]["damaged_stores"]
        return (partition, True) in [(each["partition"], each["rebuilding"]) for each in stores]

    def must_be_exact(self, name: str) -> None:
        """End the load; fail if a lookup was wrong, or anything was lost or doubled."""
        self.load.finish()
        self.reader.finish()
        self.cluster.wait_drained()
        self.reader.must_be_right()
        truth, *wrong = compare(self.cluster, self.load)
        assert wrong == [0, 0]
        raws = [raw for raws in self.raws.values() for raw in raws[::10]]
        assert pages_differ(self.cluster, truth, raws, name) == 0


@pytest.fixture
def busy(own_broker: LocalBroker, tmp_path: Path) -> Iterator[Busy]:
    busy = Busy(own_broker, tmp_path / "busy")
    try:
        busy.start()
        yield busy
    finally:
        busy.cluster.close()


@pytest.mark.fault("F20")
@pytest.mark.timeout(240)
def test_others_fold_and_answer_while_a_partition_is_rebuilt_under_load(busy: Busy) -> None:
    damaged, others = 1, [0, 2, 3]
    by = busy.reader.by
    before = busy.folded(others)
    busy.damage(damaged)
    at_first, seen = busy.folded(others), dict(by)
    busy.cluster.wait_until(
        lambda: all(
            by["fresh", "w0", each] > seen["fresh", "w0", each] + 20
            and busy.folded(others)[each] > at_first[each] + 200
            for each in others
        ),
        "others fold and answer",
    )
    assert busy.is_rebuilding(damaged), "it waits for the transaction"
    busy.foreign.abort_transaction(20)
    busy.cluster.wait_ready()
    after = busy.folded(others)
    busy.must_be_exact("w0")
    assert by["refused", "w0", damaged] > 0
    disturbed = {(kind, each): by[kind, "w0", each] for kind in ("refused", "marked") for each in others}
    assert set(disturbed.values()) == {0}, disturbed
    assert all(before[each] <= at_first[each] < after[each] for each in others), "none was opened again"
    assert busy.cluster.log("w0").count("opening partitions") == 2


@pytest.mark.fault("F20")
@pytest.mark.slow_fault
@pytest.mark.timeout(240)
def test_rebalance_and_stop_during_a_rebuild_lose_and_double_nothing(busy: Busy) -> None:
    cluster = busy.cluster
    busy.damage(1)
    cluster.start_worker("w1")
    cluster.wait_until(lambda: cluster.log("w0").count("opening partitions") == 3, "a rebalance")
    busy.foreign.abort_transaction(20)
    cluster.wait_ready("w1")
    cluster.wait_ready("w0")
    number = min(map(int, cluster.partitions_of("w0")))
    busy.damage(number)
    assert cluster.stop("w0") == 0
    busy.foreign.abort_transaction(20)
    cluster.wait_ready("w1")
    busy.must_be_exact("w1")
    assert "Traceback" not in cluster.log("w0") + cluster.log("w1")
