"""F16: one user is shown 100,000 items, and one customer sends 90 % of the load; caps hold, others notice little.

Spans with this load alternate with spans of evenly spread load, in one run.
The test compares their lookups and asserts no absolute time.
"""

import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles

import pytest

from app.customers.customer_edit import add_customer
from app.local.broker import LocalBroker
from tests.faults.cluster import CUSTOMER, Cluster
from tests.faults.ledger import SETTLED, Outcome, pages_differ, settle
from tests.faults.load import Event, Load, mixed
from tests.faults.oracle import fold, kept, lost_and_doubled, values
from tests.faults.reader import Reader

HEAVY = "10000"
OTHERS = [str(20_000 + number) for number in range(9)]
USER = f"k1.{'busiest':a<26}"
KEY = f"{HEAVY}|{USER}"
ITEMS_A_LIST = 20
CAP, MAX_TIMES, MAX_VALUE_BYTES = 2_000, 16, 1_000_000


def busiest(items: int) -> Iterator[Event]:
    """Yield the impressions of one user: ``items`` different ones, then the last 2,000 in this order, again and again."""
    ids = [f"{number:08d}-0000-4000-8000-{number:012d}" for number in range(items)]  # as long as a UUID
    for start in range(0, items, ITEMS_A_LIST):
        yield _rendered(ids[start : start + ITEMS_A_LIST])
    while True:
        for start in range(items - CAP, items, ITEMS_A_LIST):
            yield _rendered(ids[start : start + ITEMS_A_LIST])


def _rendered(items: list[str]) -> Event:
    now_ms = int(time.time() * 1000)
    return {
        "type": "rendered",
        "customer": HEAVY,
        "user": USER,
        "items": items,
        "scenario": "home",
        "time_ms": now_ms,
        "received_ms": now_ms,
    }


class Spans:
    """A load that alternates: in odd spans one customer sends 90 % of it, in even ones all customers send alike."""

    def __init__(self, seconds: float, count: int, seed: int) -> None:
        self.seconds, self.count = seconds, count
        self.started = 0.0
        self._draw = random.Random(seed)
        self._sources = {
            customer: mixed(customer, [f"k{number}.{'a' * 26}" for number in range(100)], 10**9, seed)
            for customer in (HEAVY, *OTHERS)
        }

    def at(self, moment: float) -> int:
        """Return the number of the span that holds a moment (monotonic seconds)."""
        return int((moment - self.started) / self.seconds)

    def events(self, busy: Iterator[Event]) -> Iterator[Event]:
        self.started = time.monotonic()
        while (span := self.at(time.monotonic())) < self.count:
            if span % 2:
                is_heavy = self._draw.random() < 0.9
                if is_heavy and self._draw.random() < 0.2:
                    yield next(busy)
                    continue
                customer = HEAVY if is_heavy else self._draw.choice(OTHERS)
            else:
                customer = self._draw.choice((HEAVY, *OTHERS))
            yield next(self._sources[customer])


class Lookups(threading.Thread):
    """Looks up quiet users of another customer, about 100 times a second, over one connection.

    Keeps (when, ms) of each answer.
    """

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(daemon=True)
        self._port, self._finished = cluster.ports["w0"], threading.Event()
        self.taken: list[tuple[float, float]] = []
        self.failed: list[int] = []

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        while not self._finished.is_set():
            for raw in SETTLED:
                started = time.perf_counter()
                connection.request("GET", f"/v1/{CUSTOMER}/users/{raw}/exclusions?threshold=1&within=P1D")
                answer = connection.getresponse()
                answer.read()
                self.taken.append((time.monotonic(), 1000 * (time.perf_counter() - started)))
                if answer.status != 200:
                    self.failed.append(answer.status)
                time.sleep(0.008)
        connection.close()

    def finish(self) -> None:
        self._finished.set()
        self.join()

    def p99_ms(self, spans: Spans) -> dict[int, float]:
        """Return the 99th percentile of each span in ms, without the span's first half second."""
        found: dict[int, list[float]] = {}
        for moment, taken_ms in self.taken:
            span = spans.at(moment)
            if 0 <= span < spans.count and moment - spans.started - span * spans.seconds > 0.5:
                found.setdefault(span, []).append(taken_ms)
        return {span: quantiles(times, n=100)[98] for span, times in found.items()}


def skew(
    broker: LocalBroker, directory: Path, *, items: int, rate: int, seconds: float, spans: int
) -> Outcome:
    """Show one user ``items`` items, then alternate spans of even and uneven load."""
    cluster = Cluster(broker, directory)
    between = Spans(seconds, spans, seed=16)
    busy = busiest(items)
    first = Load(
        broker.bootstrap,
        HEAVY,
        [],
        rate=5_000,
        events=0,
        source=(next(busy) for _ in range(items // ITEMS_A_LIST)),
    )
    second = Load(broker.bootstrap, HEAVY, [], rate=rate, events=0, source=between.events(busy))
    reader = Reader(cluster)
    try:
        for customer in (HEAVY, *OTHERS):
            add_customer(cluster.customers_file, customer)
        cluster.start_worker()
        cluster.wait_ready()
        settled = settle(cluster)
        reader.start()
        first.start()
        first.join()
        cluster.wait_until(lambda: cluster.get("/v1/status")[1]["lag"] < 100, "it has caught up")
        lookups = Lookups(cluster)
        lookups.start()
        second.start()
        second.join()
        lookups.finish()
        reader.finish()
        cluster.wait_drained()
        p99_ms = lookups.p99_ms(between)
        even_ms, uneven_ms = (median(p99_ms[span] for span in range(first, spans, 2)) for first in (0, 1))
        assert lookups.failed == []

        truth, found = fold(broker.bootstrap), kept(broker.bootstrap)
        truth_busy, found_busy = (
            Counter({item: count for (user, item), count in totals.shown.items() if user == KEY})
            for totals in (truth, found)
        )
        assert len(truth_busy) == items
        assert len(found_busy) == CAP
        for item, count in found_busy.items():  # items within the cap count exactly, since they last came in
            assert count == truth_busy[item], item
            assert int(item[2:10]) >= items - CAP, f"{item} is not of the last {CAP}"
        for totals in (truth, found):
            for name in [name for name in totals.shown if name[0] == KEY]:
                del totals.shown[name]
        lost, doubled = lost_and_doubled(truth, found)
        largest = max(len(value) for _, value in values(broker.bootstrap, "uptake.", ".changelog"))
        assert 100_000 < largest < MAX_VALUE_BYTES, largest
        differing = pages_differ(cluster, truth, SETTLED)
        assert cluster.stop("w0") == 0
        return Outcome(
            "F16",
            settled + first.delivered + second.delivered,
            lost,
            doubled,
            {"items_of_one_user": items, "lookups": len(lookups.taken), "largest_value_bytes": largest},
            {
                "p99_even_ms": even_ms,
                "p99_uneven_ms": uneven_ms,
                "p99_ratio_percent": 100 * uneven_ms / even_ms,
                "differing_pages": differing,
            },
            reader,
        )
    finally:
        cluster.close()


@pytest.mark.fault("F16")
@pytest.mark.slow_fault
@pytest.mark.timeout(600)
def test_one_user_and_one_customer_of_great_weight_leave_the_others_alone(
    own_broker: LocalBroker, tmp_path: Path, is_long: bool
) -> None:
    seconds, spans = (6.0, 16) if is_long else (3.0, 6)
    outcome = skew(own_broker, tmp_path, items=100_000, rate=1_000, seconds=seconds, spans=spans)
    outcome.must_be_exact()
    assert outcome.more["differing_pages"] == 0
    assert outcome.more["p99_uneven_ms"] < 2 * outcome.more["p99_even_ms"], str(outcome)
