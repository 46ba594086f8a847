"""The result of a fault: one line of numbers, from comparing totals in the changelogs and over HTTP with the truth."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tests.faults.cluster import CUSTOMER, Cluster
from tests.faults.load import Load
from tests.faults.oracle import Truth, fold, kept, lost_and_doubled, millionths
from tests.faults.reader import Reader

SETTLED = {f"settled-{number}": {str(item): 1 + item % 3 for item in range(1, 6)} for number in range(8)}
"""Users without new events during the fault: each lookup of them has exactly one right answer."""


PAGES_OF_ACCOUNTS = 50
"""Accounts of a storm whose pages are compared, at most."""


@dataclass
class Outcome:
    """The line that a fault prints. ``effect`` says what the fault did; none of its numbers may be 0."""

    fault: str
    sent: int
    lost: int
    doubled: int
    effect: dict[str, float]
    more: dict[str, float] = field(default_factory=dict)
    reader: Reader | None = None
    """What asked lookups during the fault. None where no worker runs."""

    def __str__(self) -> str:
        reads = {} if self.reader is None else self.reader.line()
        exact = {"lost": self.lost, "doubled": self.doubled}
        numbers = {"sent": self.sent, **self.effect, **exact, **reads, **self.more}
        return f"{self.fault} " + " ".join(
            f"{name} {round(value, 1) if isinstance(value, float) else value}"
            for name, value in numbers.items()
        )

    def must_be_exact(self) -> None:
        """Print the line; fail if a count or a lookup is wrong, or the fault had no effect."""
        print(self)
        for name, value in self.effect.items():
            assert value > 0, f"the fault had no effect, {name} is 0: {self}"
        assert (self.lost, self.doubled) == (0, 0), str(self)
        if self.reader is not None:
            self.reader.must_be_right()


def compare(cluster: Cluster, load: Load) -> tuple[Truth, int, int]:
    """Return the truth, and how many counts of changelogs and windows are missing or too many.

    Fails unless the whole load was delivered.
    """
    assert load.failed == 0
    truth, found = fold(cluster.broker.bootstrap), kept(cluster.broker.bootstrap)
    assert truth.records >= load.delivered > 0
    assert load.delivered == load.sent
    return truth, *lost_and_doubled(truth, found)


def by_login(truth: Truth) -> dict[str, float]:
    """Return what a load with a storm shows of logins, for the effect in a result."""
    return {
        "logins": truth.logins,
        "purchases": truth.linked_purchases,
        "purchases_through_logins": truth.through_logins,
    }


def pages_differ(cluster: Cluster, truth: Truth, users: Iterable[str], name: str = "w0") -> int:
    """Return by how many counts a worker's pages of these users (raw ids) differ from the truth."""
    difference = 0
    for raw in users:
        key = f"{CUSTOMER}|{cluster.customer.rules.user(raw)}"
        status, page = cluster.get(f"/v1/{CUSTOMER}/users/{raw}", name)
        assert status == 200, (status, page)
        for entry in page["purchases"]:
            entry["count"] = millionths(Decimal(str(entry["quantity"])))
        for table, totals in (
            ("rendered", truth.shown),
            ("clicked", truth.clicked),
            ("purchases", truth.bought),
        ):
            found = {f"{each['itemtype']}/{each['item']}": each["count"] for each in page[table]}
            expected = {item: count for (user, item), count in totals.items() if user == key}
            for item in found.keys() | expected.keys():
                difference += abs(found.get(item, 0) - expected.get(item, 0))
    return difference


def settle(cluster: Cluster) -> int:
    """Send the events of the settled users and wait until the tables hold them; return the number of events."""
    now_ms = int(time.time() * 1000)
    events = [
        {
            "type": "rendered",
            "customer": CUSTOMER,
            "user": cluster.customer.rules.user(raw),
            "items": [item],
            "scenario": "home",
            "time_ms": now_ms,
            "received_ms": now_ms,
        }
        for raw, items in SETTLED.items()
        for item, count in items.items()
        for _ in range(count)
    ]
    load = Load(cluster.broker.bootstrap, CUSTOMER, [], rate=100_000, events=0, source=events)
    load.start()
    load.join()
    assert load.delivered == len(events)
    cluster.wait_drained()
    return len(events)


class Watch(threading.Thread):
    """Looks up the settled users 50 times a second, at the workers that ``names`` returns; fails on a wrong answer.

    An answer is right, or it is 503 (0: the worker does not listen).
    ``longest_seconds`` is the longest time without an answer for one of the users. ``reader`` looks up users with events meanwhile.
    """

    def __init__(self, cluster: Cluster, names: Callable[[], list[str]]) -> None:
        super().__init__(daemon=True)
        self._cluster, self._names = cluster, names
        self.reader = Reader(cluster, "w0", "w1")
        self._finished = threading.Event()
        self.statuses: Counter[int] = Counter()
        self.wrong: list[Any] = []
        self.longest_seconds = 0.0

    def start(self) -> None:
        super().start()
        self.reader.start()

    def run(self) -> None:
        answered = dict.fromkeys(SETTLED, time.monotonic())
        while not self._finished.is_set():
            for raw, expected in SETTLED.items():
                for name in self._names():
                    status, answer = self._cluster.get(
                        f"/v1/{CUSTOMER}/users/{raw}/exclusions?threshold=1&within=P1D&reasons=rendered",
                        name,
                        timeout_seconds=2,
                    )
                    self.statuses[status] += 1
                    if status == 200:
                        now = time.monotonic()
                        self.longest_seconds = max(self.longest_seconds, now - answered[raw])
                        answered[raw] = now
                        found = {each["item"]: each["count"] for each in answer["excluded"]}
                        if found != expected:
                            self.wrong.append((name, raw, found))
                    elif status not in (0, 503):
                        self.wrong.append((name, raw, status, answer))
                    time.sleep(0.01)
        now = time.monotonic()
        self.longest_seconds = max(self.longest_seconds, *(now - then for then in answered.values()))

    def finish(self) -> None:
        """Stop; fail if an answer was wrong, or if none was right."""
        self._finished.set()
        self.reader.finish()
        self.join()
        assert not self.wrong, self.wrong[:5]
        assert self.statuses[200] > 0, self.statuses
