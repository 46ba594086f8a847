"""F7: a worker is frozen past its session with a flush in flight, another takes over, and the first wakes up.

What the first one then writes must count nowhere: not in the changelogs, and not on its own disk.
"""

import time
from pathlib import Path
from typing import Any

import pytest

from app.local.broker import LocalBroker
from events.topics import changelog
from tests.conftest import BrokerFactory
from tests.faults.cluster import CUSTOMER, Cluster
from tests.faults.compaction import EAGER, compact_eagerly, compacted_away
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

RATE = 500


def unflushed(partitions: dict[str, Any]) -> int:
    """Return how many records are folded but in no committed flush."""
    return sum(
        position - each["durable"].get(topic, 0)
        for each in partitions.values()
        for topic, position in each["positions"].items()
    )


def freeze_in_flush(cluster: Cluster, name: str) -> int:
    """Freeze a worker with a flush in flight; return how many records it had folded but not made durable.

    The broker is frozen first, so that the flush stays in flight until the worker is frozen too; then the broker thaws.
    """
    for _ in range(20):
        cluster.broker.freeze()
        try:
            deadline = time.monotonic() + 0.7  # shorter than the session
            counts: list[int] = []
            while time.monotonic() < deadline:
                counts.append(unflushed(cluster.partitions_of(name)))
                time.sleep(0.05)
            if min(counts[-8:]) > 0:  # for longer than the flush interval
                cluster.freeze(name)
                return counts[-1]
        finally:
            cluster.broker.thaw()
        time.sleep(0.3)
    raise AssertionError(f"{name} never had a flush on its way")


def zombie(
    broker: LocalBroker,
    directory: Path,
    *,
    takes_back: bool,
    rounds: int = 1,
    asleep_seconds: float = 0,
    pages_step: int = 1,
    program: str = "app",
    compacts: bool = False,
) -> Outcome:
    """Freeze w0 until w1 has taken over and worked for a while, then wake w0. ``takes_back``: kill w1 before that.

    In the end both disks are wiped, and the tables are read from the changelogs.
    ``compacts``: the broker compacts the changelogs the whole time (it needs ``compaction.EAGER``).
    """
    cluster = Cluster(broker, directory, program=program)
    if compacts:
        compact_eagerly(broker.bootstrap)
    raws = [f"visitor-{number}" for number in range(USERS)]
    users = [cluster.customer.rules.user(raw) for raw in raws]
    storm = Storm(CUSTOMER, cluster.customer.rules.user)
    source = storm.mixed_into(mixed(CUSTOMER, users, RATE * 300))
    load = Load(broker.bootstrap, CUSTOMER, users, rate=RATE, events=0, source=source)
    in_flight = fenced = 0
    name = "F7b" if takes_back else "F7"
    awake = {"w0", "w1"}
    watch = Watch(cluster, lambda: sorted(awake))
    try:
        cluster.start_worker("w0")
        cluster.wait_ready("w0")
        settled = settle(cluster)
        cluster.start_worker("w1")
        cluster.wait_until(
            lambda: cluster.partitions_of("w0") and cluster.partitions_of("w1"), "both have partitions"
        )
        load.start()
        watch.start()
        done = 0
        while done < rounds or (program == "app" and not fenced and done < rounds + 4):
            done += 1
            cluster.wait_until(
                lambda: sum(each["flushes"] for each in cluster.partitions_of("w0").values()) > 8,
                "w0 flushes",
            )
            before = (cluster.log("w0").count("is lost"), cluster.log("w0").count(" ready: "))
            awake.discard("w0")
            in_flight += freeze_in_flush(cluster, "w0")
            cluster.wait_until(
                lambda: len(cluster.partitions_of("w1")) == cluster.partitions, "w1 takes over"
            )
            cluster.wait_until(
                lambda: all(each["flushes"] > 3 for each in cluster.partitions_of("w1").values()),
                "w1 flushes all",
            )
            time.sleep(asleep_seconds)
            if takes_back:
                awake.discard("w1")
                cluster.kill("w1")
            cluster.thaw("w0")
            awake.add("w0")
            # A frozen flush that lacked only its end is committed at once on thawing; then nothing is refused.
            cluster.wait_until(
                lambda before=before: cluster.log("w0").count(" ready: ") > before[1],
                "w0 notices that it lost its session",
            )
            if takes_back:
                cluster.wait_until(
                    lambda: len(cluster.partitions_of("w0")) == cluster.partitions, "w0 has all again"
                )
                cluster.start_worker("w1")
                awake.add("w1")
            cluster.wait_until(
                lambda: cluster.partitions_of("w0") and cluster.partitions_of("w1"),
                "both have partitions again",
            )
            fenced += cluster.log("w0").count("is lost") - before[0]
        load.finish()
        watch.finish()
        cluster.wait_drained()
        truth, lost, doubled = compare(cluster, load)
        for worker in ("w0", "w1"):
            cluster.kill(worker)
            cluster.wipe(worker)
        gone, offsets = 0, 0
        if compacts:
            gone, offsets = compacted_away(broker.bootstrap, changelog("impressions"))
            # Without compaction, 4 % is gone: the markers. With it, half and more, as far as the cleaner came.
            assert gone > offsets / 4, f"{gone} of {offsets}: the changelog was not compacted"
        cluster.start_worker("w0")
        restored_seconds = cluster.wait_ready("w0")
        cluster.wait_drained()
        truth, lost_again, doubled_again = compare(cluster, load)
        effect = {"frozen": done, "in_flight": in_flight} | ({"compacted_away": gone} if compacts else {})
        effect |= by_login(truth)
        if program == "app":
            effect["refused_flushes"] = fenced
            differing = pages_differ(
                cluster, truth, [*raws[::pages_step], *SETTLED, *storm.accounts[:PAGES_OF_ACCOUNTS]]
            )
        else:
            differing = 0
        return Outcome(
            name,
            load.delivered + settled,
            lost + lost_again,
            doubled + doubled_again,
            effect,
            {
                "differing_pages": differing,
                "lookups": watch.statuses[200],
                "lookups_503": watch.statuses[503],
                "longest_unavailable_s": watch.longest_seconds,
                "restored_s": restored_seconds,
            },
            watch.reader,
        )
    finally:
        cluster.close()


@pytest.mark.slow_fault
@pytest.mark.fault("F7")
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "takes_back",
    [
        pytest.param(False, id="another_keeps_them"),
        pytest.param(True, id="it_gets_them_back", marks=pytest.mark.slow_fault),
    ],
)
def test_worker_that_wakes_up_after_its_session_changes_nothing(
    broker_factory: BrokerFactory, tmp_path: Path, is_long: bool, takes_back: bool
) -> None:
    outcome = zombie(
        broker_factory(properties=EAGER),
        tmp_path,
        takes_back=takes_back,
        rounds=4 if is_long else 1,
        asleep_seconds=10 if is_long else 0,
        pages_step=1 if is_long else 10,
        compacts=True,
    )
    outcome.must_be_exact()
    assert outcome.more["differing_pages"] == 0
