"""Judges every answer of a lookup by events that it produces all the while: fresh, marked, refused, or stale without saying so."""

import json
import threading
import time
import urllib.error
import urllib.request
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any

from confluent_kafka import Producer

from events.model import user_key
from events.partitions import partition_of
from events.topics import JOURNAL
from tables.ctr.window_keys import scenario_key
from tests.faults.cluster import CUSTOMER, Cluster

_PAUSE_SECONDS = 0.04
_HEADER = "Uptake-Stale-Ms"


@dataclass
class Probe:
    """A user and a scenario of one partition, and when each of their clicks was acknowledged (monotonic seconds)."""

    raw: str
    user: str
    scenario: str
    acknowledged: list[float] = field(default_factory=list)

    def clicks_by(self, moment: float) -> int:
        """Return how many clicks had been acknowledged by then."""
        return bisect_right(self.acknowledged, moment)


class Judge:
    """Produces clicks of one user a partition, and looks them up at all ``workers`` until ``finish``.

    An answer without a mark must hold every click that was acknowledged a session earlier. A marked one may lack those of its age.
    """

    def __init__(self, cluster: Cluster, workers: Sequence[str], session_ms: int) -> None:
        self._cluster, self._session = cluster, session_ms / 1000
        self.probes = [self._probe(number) for number in range(cluster.partitions)]
        self._producer = Producer(
            {
                "bootstrap.servers": cluster.broker.bootstrap,
                "enable.idempotence": True,
                "partitioner": "murmur2",
                "linger.ms": 0,
                "log_level": 0,
            }
        )
        self._finished = threading.Event()
        self.started = 0.0
        self.silent_since: float | None = None
        """Since when these workers cannot hear from Kafka of these partitions: a session later no answer of theirs may seem fresh."""
        self.silent: set[tuple[str, int]] = set()
        self.fresh: Counter[tuple[str, int]] = Counter()
        self.marked: Counter[tuple[str, int]] = Counter()
        self.refused: Counter[tuple[str, int]] = Counter()
        """Answers, by worker and partition of the user."""
        self.unmarked: list[Any] = []
        """Answers that lack events and do not say so, or not enough."""
        self.odd: list[Any] = []
        self._threads = [threading.Thread(target=self._produce, daemon=True)]
        self._threads += [threading.Thread(target=self._read, args=(name,), daemon=True) for name in workers]

    def start(self) -> None:
        """Begin; return when the first click of each user can be looked up everywhere."""
        self.started = time.monotonic()
        for thread in self._threads:
            thread.start()
        self._cluster.wait_until(
            lambda: sum(self.fresh.values()) > 20 * len(self._threads), "the judge sees fresh answers"
        )

    def finish(self) -> None:
        """Stop; print the first answers that seemed fresh and were not; fail if an answer was of another kind."""
        self._finished.set()
        for thread in self._threads:
            thread.join()
        assert self._producer.flush(30) == 0
        for each in self.unmarked[:20]:
            print("stale and not marked:", *each)
        assert not self.odd, self.odd[:3]

    def _probe(self, number: int) -> Probe:
        partitions, rules = self._cluster.partitions, self._cluster.customer.rules
        raws = (f"probe-{each}" for each in range(1_000))
        raw = next(
            raw for raw in raws if partition_of(user_key(CUSTOMER, rules.user(raw)), partitions) == number
        )
        scenarios = (f"probed-{each}" for each in range(1_000))
        scenario = next(
            each for each in scenarios if partition_of(scenario_key(CUSTOMER, each), partitions) == number
        )
        return Probe(raw, rules.user(raw), scenario)

    def _produce(self) -> None:
        while not self._finished.is_set():
            for probe in self.probes:
                now_ms = time.time_ns() // 1_000_000
                event = {
                    "type": "clickrecommended",
                    "customer": CUSTOMER,
                    "user": probe.user,
                    "item": "1",
                    "scenario": probe.scenario,
                    "time_ms": now_ms,
                    "received_ms": now_ms,
                }
                self._producer.produce(
                    JOURNAL,
                    json.dumps(event).encode(),
                    user_key(CUSTOMER, probe.user),
                    on_delivery=lambda error, _, probe=probe: self._acknowledged(probe, error),
                )
            self._producer.poll(_PAUSE_SECONDS)
            self._finished.wait(_PAUSE_SECONDS)

    @staticmethod
    def _acknowledged(probe: Probe, error: Any) -> None:
        if error is None:
            probe.acknowledged.append(time.monotonic())

    def _read(self, name: str) -> None:
        while not self._finished.is_set():
            for number, probe in enumerate(self.probes):
                user = f"/v1/{CUSTOMER}/users/{probe.raw}"
                for path in (
                    user,
                    f"{user}/exclusions?reasons=clicked",
                    f"{user}?max_stale_ms=0",
                    f"/v1/{CUSTOMER}/ctr?scenario={probe.scenario}",
                ):
                    self._judge(name, number, path)
                    self._finished.wait(0.01)

    def not_fresh(self, name: str) -> int:
        """Return how many answers of a worker were marked or refused."""
        return sum(
            each for counts in (self.marked, self.refused) for (who, _), each in counts.items() if who == name
        )

    def look(self, name: str) -> None:
        """Judge one lookup of each user at a worker now, beside the regular ones."""
        for number, probe in enumerate(self.probes):
            self._judge(name, number, f"/v1/{CUSTOMER}/users/{probe.raw}")

    def _judge(self, name: str, number: int, path: str) -> None:
        asked = time.monotonic()
        status, body, header = self._get(name, path)
        if status in (0, 503):
            self.refused[name, number] += status == 503
            return
        if status != 200 or header != body.get("stale_ms") or (header is not None and "max_stale_ms" in path):
            self.odd.append((name, path, status, header, body))
            return
        age = self._session if header is None else header / 1000 + self._session / 3
        # CTR merges what all partitions have counted, so its mark alone is judged.
        expected = 0 if "/ctr" in path else self.probes[number].clicks_by(asked - age)
        since = self.silent_since if (name, number) in self.silent else None
        is_out_of_touch = since is not None and asked - since > self._session
        found = _clicks(body)
        if found < expected or (header is None and is_out_of_touch):
            self.unmarked.append((name, path, header, found, expected, round(asked - self.started, 1)))
        elif header is None:
            self.fresh[name, number] += 1
        else:
            self.marked[name, number] += 1

    def _get(self, name: str, path: str) -> tuple[int, Any, int | None]:
        try:
            url = f"http://127.0.0.1:{self._cluster.ports[name]}{path}"
            with urllib.request.urlopen(url, timeout=4) as answer:
                mark = answer.headers.get(_HEADER)
                return answer.status, json.load(answer), None if mark is None else int(mark)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read(), None
        except (OSError, HTTPException):
            return 0, None, None


def _clicks(body: Any) -> int:
    """Return the clicks that an answer knows of: a user's page, exclusions, or CTR."""
    if "total" in body:
        return int(body["total"]["clicks"])
    if "clicked" in body:
        return sum(each["recommended"] for each in body["clicked"])
    return sum(each["count"] for each in body["excluded"])
