"""F20: files of a worker's state are damaged in nine ways under load; each partition is rebuilt, and every count stays exact.

The short form is tests/integration/test_store_damage.py.
"""

import time
from pathlib import Path

import pytest

from app.local.broker import LocalBroker
from tests.faults.cluster import CUSTOMER, Cluster
from tests.faults.ledger import SETTLED, Outcome, Watch, compare, pages_differ, settle
from tests.faults.load import USERS, Load
from tests.support.damage import KINDS

RATE = 300
PAST = 20_000
"""Events before the fault, by as many users: enough rows for several blocks in each table file."""
SET_ASIDE = "and rebuilt from the changelogs"


def damages(broker: LocalBroker, directory: Path) -> Outcome:
    """Stop the worker, damage one partition, and start it again, for each kind of damage."""
    cluster = Cluster(broker, directory)
    raws = [f"visitor-{number}" for number in range(USERS)]
    users = [cluster.customer.rules.user(raw) for raw in raws]
    load = Load(broker.bootstrap, CUSTOMER, users, rate=RATE, events=RATE * 900)
    past_raws = [f"past-{number}" for number in range(PAST)]
    past_users = [cluster.customer.rules.user(raw) for raw in past_raws]
    state_dir = cluster.data_dir("w0") / "state"
    untouched = 0
    try:
        cluster.start_worker()
        cluster.wait_ready()
        past = Load(broker.bootstrap, CUSTOMER, past_users, 100_000, PAST)
        past.start()
        past.join()
        settled = settle(cluster) + past.delivered
        watch = Watch(cluster, lambda: ["w0"])
        watch.start()
        load.start()
        for done, (kind, damage) in enumerate(KINDS.items()):
            number = done % cluster.partitions
            cluster.stop("w0")
            others = {
                path.name: path.stat().st_ino for path in state_dir.iterdir() if path.name != str(number)
            }
            damage(state_dir / str(number))
            cluster.start_worker()
            cluster.wait_ready()
            _read_until(cluster, past_raws, done + 1, kind)
            cluster.wait_ready()
            here = {path.name: path.stat().st_ino for path in state_dir.iterdir()}
            untouched += sum(here.get(name) == others[name] for name in others if name.isdecimal())
        load.finish()
        watch.finish()
        cluster.wait_drained()
        truth, lost, doubled = compare(cluster, load)
        assert untouched == len(KINDS) * (cluster.partitions - 1)
        assert cluster.stop("w0") == 0
        cluster.start_worker()
        cluster.wait_ready()
        return Outcome(
            "F20",
            load.delivered + settled,
            lost,
            doubled,
            {
                "kinds": len(KINDS),
                "set_aside": cluster.log("w0").count(SET_ASIDE),
                "right": watch.statuses[200],
            },
            {
                "refused": watch.statuses[503],
                "longest_unavailable_s": watch.longest_seconds,
                "differing_pages": pages_differ(cluster, truth, [*raws[::30], *SETTLED]),
            },
            watch.reader,
        )
    finally:
        cluster.close()


def _read_until(cluster: Cluster, raws: list[str], times: int, kind: str) -> None:
    """Look up users until the worker has set aside as many directories. Each answer must be 200 or 503."""
    deadline = time.monotonic() + 60
    for raw in raws:
        if cluster.log("w0").count(SET_ASIDE) >= times:
            break
        status, _ = cluster.get(f"/v1/{CUSTOMER}/users/{raw}")
        assert status in (200, 503), (kind, raw, status)
        assert time.monotonic() < deadline, kind
    cluster.wait_until(lambda: cluster.log("w0").count(SET_ASIDE) == times, f"{kind} is set aside")


@pytest.mark.fault("F20")
@pytest.mark.slow_fault
@pytest.mark.timeout(400)
def test_damaged_files_lose_and_double_nothing(own_broker: LocalBroker, tmp_path: Path) -> None:
    outcome = damages(own_broker, tmp_path)
    outcome.must_be_exact()
    assert outcome.more["differing_pages"] == 0
