"""A load over HTTP as browsers and players send it, with a ledger of every request and its outcome.

Each client is one user and sends one event after another.
It writes each event to its ledger before it sends it and after the answer.

An outcome is ``ok`` (2xx), ``fail`` (4xx, 429, 503: nothing was recorded), or ``unknown`` (no answer, 500, 504).
A request that was never sent, because the collector did not listen, has no outcome.
"""

import http.client
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from tests.faults.oracle import dump

CLIENTS = 8
TIMEOUT_SECONDS = 30


@dataclass
class Verdict:
    """How the raw topic differs from a ledger: events answered 2xx that are missing, events that count too often."""

    lost: int = 0
    doubled: int = 0
    of_failed: int = 0
    """Events that were recorded although they were refused."""
    out_of_order: int = 0
    repeats: int = 0
    """Records that count only once because of their ``eid``."""
    outcomes: Counter[str] = field(default_factory=Counter)


class Client(threading.Thread):
    """One user who clicks items one after another: ``{name}-{seq}``.

    Every second event has an ``eid``, and is sent again while its outcome is unknown.
    """

    def __init__(self, name: str, port: int, customer: str, ledger: Path, pause_seconds: float) -> None:
        super().__init__(daemon=True)
        self.name, self._port, self._customer, self._pause = name, port, customer, pause_seconds
        self._ledger = ledger.open("w", buffering=1)
        self._finished = threading.Event()
        self._connection: http.client.HTTPConnection | None = None
        self.outcomes: dict[int, str] = {}
        self.longest_seconds = 0.0

    def run(self) -> None:
        seq = 0
        while not self._finished.is_set():
            outcome = self._send(seq)
            if outcome is None:
                time.sleep(0.05)
                continue
            while outcome == "unknown" and seq % 2 and not self._finished.is_set():
                again = self._send(seq)
                # A refused repeat says nothing of the attempt before, which may have been recorded.
                outcome = outcome if again in (None, "fail") else again
                time.sleep(0.05)
            self.outcomes[seq] = outcome
            self._ledger.write(f"{seq} {outcome}\n")
            seq += 1
            time.sleep(self._pause if outcome == "ok" else 0.05)
        self._ledger.close()
        if self._connection is not None:
            self._connection.close()

    def finish(self) -> None:
        self._finished.set()
        if self.ident is not None:
            self.join()

    def _send(self, seq: int) -> str | None:
        eid = f"?eid={self.name}-{seq}" if seq % 2 else ""
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(
                    "127.0.0.1", self._port, timeout=TIMEOUT_SECONDS
                )
                self._connection.connect()
        except OSError:
            self._connection = None
            return None
        self._ledger.write(f"{seq} sent\n")
        started = time.monotonic()
        try:
            self._connection.request(
                "GET", f"/api/{self._customer}/click/{self.name}/1/{self.name}-{seq}{eid}"
            )
            response = self._connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            self._connection = None
            return "unknown"
        if response.will_close:
            self._connection.close()
            self._connection = None
        self.longest_seconds = max(self.longest_seconds, time.monotonic() - started)
        if response.status in (200, 204):
            return "ok"
        return "unknown" if response.status in (500, 504) else "fail"


class HttpLoad:
    """Several clients, each with a ledger in ``directory``."""

    def __init__(self, port: int, customer: str, directory: Path, pause_seconds: float = 0.01) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.clients = [
            Client(f"client{number}", port, customer, directory / f"{number}.ledger", pause_seconds)
            for number in range(CLIENTS)
        ]

    def start(self) -> None:
        for client in self.clients:
            client.start()

    def finish(self) -> None:
        for client in self.clients:
            client.finish()

    def count(self, outcome: str) -> int:
        return sum(list(client.outcomes.values()).count(outcome) for client in self.clients)

    def judge(self, bootstrap: str, topic: str = "uptake.events") -> Verdict:
        """Compare the ledgers with the raw topic as an independent reader sees it; repeats of an ``eid`` count once."""
        verdict = Verdict(
            outcomes=Counter(each for client in self.clients for each in client.outcomes.values())
        )
        found: Counter[str] = Counter()
        order: dict[str, list[int]] = {client.name: [] for client in self.clients}
        seen: set[tuple[str, str]] = set()
        for event in events(bootstrap, topic):
            name, _, seq = event.get("item", "").rpartition("-")
            if name not in order:
                continue  # of another load
            eid = event.get("eid")
            if eid is not None and (event["user"], eid) in seen:
                verdict.repeats += 1
                continue
            seen.add((event["user"], eid))
            found[event["item"]] += 1
            order[name].append(int(seq))
        for client in self.clients:
            for seq, outcome in client.outcomes.items():
                count = found[f"{client.name}-{seq}"]
                verdict.lost += outcome == "ok" and count == 0
                verdict.doubled += max(0, count - 1)
                verdict.of_failed += outcome == "fail" and count > 0
            sure = [seq for seq in order[client.name] if client.outcomes.get(seq) == "ok"]
            verdict.out_of_order += sum(after < before for before, after in pairwise(sure))
        return verdict


def events(bootstrap: str, topic: str) -> list[dict[str, str]]:
    """Return the events of a topic, in log order per partition."""
    return [json.loads(message.value()) for message in dump(bootstrap, topic)]
