"""F10: a client sends each event one to five times, and the worker is killed in between; each event counts once."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.local.broker import LocalBroker
from tests.faults.cluster import CUSTOMER, Cluster
from tests.faults.ledger import Outcome, compare
from tests.faults.load import Event, Load, mixed
from tests.faults.reader import Reader

USERS = 200
SPREAD = 1_000  # maximum number of other events between an event and its repeat


def repeated(events: Iterator[Event], seed: int) -> Iterator[Event]:
    """Yield each event 1 to 5 times under an ``eid`` of its own; repeats come later, and are received later."""
    draw = random.Random(seed)
    waiting: dict[int, list[Event]] = {}
    for number, event in enumerate(events):
        event["eid"] = f"r{number}"
        yield event
        for _ in range(draw.randrange(5)):
            waiting.setdefault(number + draw.randrange(1, SPREAD), []).append(event)
        for repeat in waiting.pop(number, ()):
            yield repeat | {"received_ms": int(time.time() * 1000)}
    for repeats in waiting.values():
        yield from repeats


def repeats(
    broker: LocalBroker, directory: Path, *, events: int, kills: int, program: str = "app"
) -> Outcome:
    """Send ``events`` distinct events, and kill the worker at even distances."""
    cluster = Cluster(broker, directory, program=program)
    users = [cluster.customer.rules.user(f"visitor-{number}") for number in range(USERS)]
    source = repeated(mixed(CUSTOMER, users, events, seed=3), seed=4)
    load = Load(broker.bootstrap, CUSTOMER, users, rate=1_500, events=0, source=source)
    reader = Reader(cluster)
    try:
        cluster.start_worker()
        longest_seconds = cluster.wait_ready()
        load.start()
        reader.start()
        for kill in range(kills):
            cluster.wait_until(
                lambda kill=kill: load.sent > 3 * events * (kill + 1) / (kills + 1) or not load.is_alive(),
                "the load goes on",
                timeout_seconds=240,
            )
            cluster.kill("w0")
            cluster.start_worker()
            longest_seconds = max(longest_seconds, cluster.wait_ready())
        load.join()
        reader.finish()
        cluster.wait_drained()
        truth, lost, doubled = compare(cluster, load)
        assert truth.records - truth.repeats == events + reader.sent
        assert cluster.stop("w0") == 0
        return Outcome(
            "F10",
            load.delivered,
            lost,
            doubled,
            {"repeats": truth.repeats, "kills": kills},
            {"distinct": events, "longest_unavailable_s": longest_seconds},
            reader,
        )
    finally:
        cluster.close()


@pytest.mark.slow_fault
@pytest.mark.fault("F10")
@pytest.mark.timeout(600)
def test_event_sent_up_to_five_times_counts_once(
    own_broker: LocalBroker, tmp_path: Path, is_long: bool
) -> None:
    events, kills = (40_000, 5) if is_long else (1_500, 1)
    repeats(own_broker, tmp_path, events=events, kills=kills).must_be_exact()
