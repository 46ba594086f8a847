"""F1 and F2: a worker is killed with -9 repeatedly under load, and loses its disk; every count stays exact.

This is the basic proof of exactness.
"""

import random
import time
from pathlib import Path

import pytest

from app.local.broker import LocalBroker
from tests.faults.cluster import CUSTOMER, SESSION_MS, Cluster
from tests.faults.ledger import Outcome, by_login
from tests.faults.load import USERS, Load, mixed
from tests.faults.oracle import fold, kept, lost_and_doubled
from tests.faults.reader import Reader
from tests.faults.storm import STORM_SHARE, Storm

RATE = 800
MOVED_TO = {2: -1, 4: 0}
"""The kills after which the test moves the group's offsets, and where to: the end (-1) or the beginning."""


@pytest.mark.fault("F1", "F2")
@pytest.mark.timeout(280)
def test_kills_and_a_lost_disk_lose_and_double_nothing(
    own_broker: LocalBroker, tmp_path: Path, is_long: bool
) -> None:
    kills, seconds = (10, 50) if is_long else (5, 20)
    cluster = Cluster(own_broker, tmp_path)
    users = [cluster.customer.rules.user(f"visitor-{number}") for number in range(USERS)]
    storm = Storm(CUSTOMER, cluster.customer.rules.user)
    source = storm.mixed_into(mixed(CUSTOMER, users, int(RATE * seconds * (1 - STORM_SHARE))))
    load = Load(own_broker.bootstrap, CUSTOMER, users, rate=RATE, events=0, source=source)
    reader = Reader(cluster)
    draw = random.Random(11)
    longest_seconds = 0.0
    replayed = 0
    try:
        cluster.start_worker()
        start_seconds = cluster.wait_ready()  # of an undisturbed worker on this machine
        load.start()
        reader.start()
        for kill in range(kills):
            time.sleep(draw.uniform(0.3, 1.5))  # some kills hit a flush, which comes every 0.2 s
            status, body = cluster.get("/v1/status")
            cluster.kill("w0")
            if status == 200:
                replayed += body["lag"]
            if kill == kills // 2:
                cluster.wipe("w0")
            if kill in MOVED_TO:  # workers must not resume from the group's offsets
                cluster.move_group("uptake.events", MOVED_TO[kill])
            cluster.start_worker()
            longest_seconds = max(longest_seconds, cluster.wait_ready())
        load.join()
        reader.finish()
        assert load.failed == 0
        cluster.wait_drained()

        expected, found = fold(own_broker.bootstrap), kept(own_broker.bootstrap)
        lost, doubled = lost_and_doubled(expected, found)
        Outcome(
            "F1+F2",
            load.delivered,
            lost,
            doubled,
            {"kills": kills, "wiped": 1, "in_flight_at_kills": replayed} | by_login(expected),
            {"longest_unavailable_s": longest_seconds},
            reader,
        ).must_be_exact()
        assert all((expected.shown, expected.bought, expected.clicked, expected.windows, expected.revenue))
        assert found.revenue == expected.revenue
        assert longest_seconds < SESSION_MS / 1000 + 5 + start_seconds

        _lookups_agree(cluster, expected.shown)
        assert cluster.stop("w0") == 0
    finally:
        cluster.close()


def _lookups_agree(cluster: Cluster, shown: dict[tuple[str, str], int]) -> None:
    for number in range(0, USERS, 20):
        raw = f"visitor-{number}"
        key = f"{CUSTOMER}|{cluster.customer.rules.user(raw)}"
        status, answer = cluster.get(
            f"/v1/{CUSTOMER}/users/{raw}/exclusions?threshold=1&within=P1D&reasons=rendered"
        )
        assert status == 200
        found = {f"{each['itemtype']}/{each['item']}": each["count"] for each in answer["excluded"]}
        expected = {item: count for (user, item), count in shown.items() if user == key}
        assert found.keys() == expected.keys()
        assert all(found[item] == min(count, 16) or found[item] == count for item, count in expected.items())
