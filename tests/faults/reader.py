"""A reader that asks lookups during a fault, about users who get events all the while, and judges every answer.

It knows when Kafka acknowledged each event. So it sees old state that is answered as fresh, which users without events cannot show.
"""

import json
import threading
import time
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from confluent_kafka import Producer

from events.model import user_key
from events.partitions import partition_of
from events.topics import JOURNAL
from tables.ctr.window_keys import scenario_key
from tests.faults.cluster import CUSTOMER, Cluster

PAUSE_SECONDS = 0.1
ANSWER_SECONDS = 4.0
KINDS = ("fresh", "marked", "refused", "unmarked_stale")


@dataclass
class Probe:
    """A user and a scenario of one partition, and when each of their clicks was sent and acknowledged (monotonic seconds)."""

    raw: str
    user: str
    scenario: str
    sent: int = 0
    acknowledged: list[float] = field(default_factory=list)

    def must_have(self, moment: float) -> int:
        """Return how many clicks had been acknowledged by then."""
        return bisect_right(self.acknowledged, moment)


class Answer(NamedTuple):
    """An answer of status 200: the clicks that it knows of, and its mark."""

    asked: float
    clicks: int
    stale_ms: int | None


def judged(answer: Answer, probe: Probe, session_seconds: float) -> str:
    """Return which of ``KINDS`` an answer is, or ``invented`` if it has more clicks than were sent.

    Without a mark, it must have all clicks acknowledged one session before it was asked for (docs/lookups.md). With a mark, all
    that are older than the mark. The last third of a session is the margin of both.
    """
    if answer.clicks > probe.sent:
        return "invented"
    marked = answer.stale_ms is not None
    age = answer.stale_ms / 1000 + session_seconds / 3 if answer.stale_ms is not None else session_seconds
    if answer.clicks < probe.must_have(answer.asked - age):
        return "unmarked_stale"
    return "marked" if marked else "fresh"


class Reader:
    """Sends clicks of one user of each partition, and asks these workers about them until ``finish``. A worker may come later.

    With ``past_ms``, the clicks are of that time and count in no window, so no watermark moves. CTR is then not asked for.
    """

    def __init__(self, cluster: Cluster, *workers: str, past_ms: int | None = None) -> None:
        self._past_ms = past_ms
        self._cluster, self._session = cluster, cluster.session_seconds
        self.probes = [_probe(cluster, number) for number in range(cluster.partitions)]
        self._producer = Producer(
            {
                "bootstrap.servers": cluster.broker.bootstrap,
                "enable.idempotence": True,
                "partitioner": "murmur2",
                "linger.ms": 0,
                "log_level": 0,
            }
        )
        self._finished, self._lock = threading.Event(), threading.Lock()
        self.counts: Counter[str] = Counter()
        self.by: Counter[tuple[str, str, int]] = Counter()
        """Answers by kind, worker, and partition of the user."""
        self.odd: list[Any] = []
        """The answers for which a test fails."""
        self.silent: set[tuple[str, int]] = set()
        self.silent_since: float | None = None
        """Workers that cannot hear from Kafka of these partitions, and since when: a session later no answer may be without a mark."""
        self.longest_seconds = 0.0
        """The longest time for which no worker answered about one of the users."""
        self._answered: dict[int, float] = {}
        self._threads = [threading.Thread(target=self._produce, daemon=True)]
        self._threads += [
            threading.Thread(target=self._read, args=(name,), daemon=True) for name in workers or ("w0",)
        ]
        cluster.on_close.append(self._finished.set)

    def start(self) -> None:
        """Begin. It may begin before the workers answer."""
        for thread in self._threads:
            thread.start()

    @property
    def sent(self) -> int:
        """How many clicks were sent."""
        return sum(probe.sent for probe in self.probes)

    def line(self) -> dict[str, int]:
        """Return the counts for the line of a result."""
        return {kind: self.counts[kind] for kind in KINDS}

    def must_be_right(self) -> None:
        """Fail if an answer was neither fresh, marked nor refused, or if none was fresh: then nothing was shown."""
        assert not self.odd, (len(self.odd), self.odd[:5])
        assert self.counts["fresh"] > 0, self.counts

    def finish(self) -> None:
        """Stop, and wait until Kafka has acknowledged all clicks."""
        self._finished.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        assert self._producer.flush(60) == 0

    def _produce(self) -> None:
        while not self._finished.is_set():
            for probe in self.probes:
                event = self._click(probe)
                probe.sent += 1
                self._producer.produce(
                    JOURNAL,
                    json.dumps(event).encode(),
                    user_key(CUSTOMER, probe.user),
                    on_delivery=lambda error, _, probe=probe: self._acknowledged(probe, error),
                )
            self._producer.poll(0)
            self._finished.wait(PAUSE_SECONDS)

    def _click(self, probe: Probe) -> dict[str, Any]:
        time_ms = time.time_ns() // 1_000_000 if self._past_ms is None else self._past_ms
        kind = {"type": "clickrecommended", "scenario": probe.scenario}
        if self._past_ms is not None:
            kind = {"type": "click"}
        of = {
            "customer": CUSTOMER,
            "user": probe.user,
            "item": "1",
            "time_ms": time_ms,
            "received_ms": time_ms,
        }
        return kind | of

    def _acknowledged(self, probe: Probe, error: Any) -> None:
        if error is None:
            probe.acknowledged.append(time.monotonic())

    def _read(self, name: str) -> None:
        while not self._finished.is_set():
            for number, probe in enumerate(self.probes):
                user = f"/v1/{CUSTOMER}/users/{probe.raw}"
                paths = [user, f"{user}/exclusions?reasons=clicked", f"{user}?max_stale_ms=0"]
                if self._past_ms is None:
                    paths.append(f"/v1/{CUSTOMER}/ctr?scenario={probe.scenario}")
                for path in paths:
                    self._ask(name, number, path)
                    self._finished.wait(0.02)

    def _ask(self, name: str, number: int, path: str) -> None:
        if name not in self._cluster.ports:
            return
        asked = time.monotonic()
        status, body = self._cluster.get(path, name, ANSWER_SECONDS)
        if status == 200:
            self._note_answer(number)
        if status == 0:
            return
        answer = Answer(asked, _clicks(body), body.get("stale_ms")) if status == 200 else None
        if answer is not None:
            kind = judged(answer, self.probes[number], self._session)
            since = self.silent_since if (name, number) in self.silent else None
            if kind == "fresh" and since is not None and asked - since > self._session:
                kind = "unmarked_stale"
            elif kind == "unmarked_stale" and "/ctr" in path:
                return  # windows that are not final may lack what other partitions have not forwarded yet
            if kind == "marked" and "max_stale_ms=0" in path:
                kind = "marked although only fresh ones were allowed"
        else:
            kind = "refused" if status == 503 else f"status {status}"
        with self._lock:
            self.counts[kind] += 1
            self.by[kind, name, number] += 1
            if kind not in ("fresh", "marked", "refused"):
                must = self.probes[number].must_have(asked - self._session)
                self.odd.append((kind, name, number, path, answer, must, round(time.monotonic() - asked, 3)))

    def look(self, name: str) -> None:
        """Ask a worker about each user now, in addition to the regular questions."""
        for number, probe in enumerate(self.probes):
            self._ask(name, number, f"/v1/{CUSTOMER}/users/{probe.raw}")

    def not_fresh(self, name: str) -> int:
        """Return how many answers of a worker were marked or refused."""
        return sum(
            count
            for (kind, who, _), count in self.by.items()
            if who == name and kind in ("marked", "refused")
        )

    def _note_answer(self, number: int) -> None:
        now = time.monotonic()
        with self._lock:
            self.longest_seconds = max(self.longest_seconds, now - self._answered.get(number, now))
            self._answered[number] = now


def _probe(cluster: Cluster, number: int) -> Probe:
    rules = cluster.customer.rules
    raw = next(
        raw
        for raw in (f"live-{each}" for each in range(10_000))
        if partition_of(user_key(CUSTOMER, rules.user(raw)), cluster.partitions) == number
    )
    scenario = next(
        each
        for each in (f"live-{each}" for each in range(10_000))
        if partition_of(scenario_key(CUSTOMER, each), cluster.partitions) == number
    )
    return Probe(raw, rules.user(raw), scenario)


def _clicks(body: Any) -> int:
    """Return the clicks that an answer knows of: CTR, a user's page, or exclusions."""
    if "total" in body:
        return int(body["total"]["clicks"])
    if "clicked" in body:
        return sum(each["count"] + each["recommended"] for each in body["clicked"])
    return sum(each["count"] for each in body["excluded"])
