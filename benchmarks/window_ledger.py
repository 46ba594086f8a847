"""Independent counts of windows: of a journal by plain counting, and of what a contestant wrote, while it writes.

It imports no module of Uptake. It uses librdkafka and the standard library's JSON.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from benchmarks.ledger import Shown, committed

MINUTE_MS = 60_000
SHOWN, CLICKED = "shown", "clicked"

Headers = Sequence[tuple[str, bytes]]
Window = tuple[bytes, dict[str, int]]
"""``customer|scenario|start`` of a minute, and what was shown and clicked in it."""

WindowOf = Callable[[bytes, Any, Headers], Window | None]
"""Returns the window of a record, or None if the record is about something else. Its value is None if the window was deleted."""


def count_minutes(bootstrap: str, topic: str) -> Shown:
    """Return what each minute of each scenario of a journal shows, and what is clicked there, by plain counting."""
    found: Shown = {}
    for _, value in committed(bootstrap, topic):
        event = json.loads(value)
        name = _name(event["customer"], event["scenario"], event["time_ms"] // MINUTE_MS * MINUTE_MS)
        counts = found.setdefault(name, {SHOWN: 0, CLICKED: 0})
        if event["type"] == "rendered":
            counts[SHOWN] += len(event["items"])
        else:
            counts[CLICKED] += 1
    return found


def window_of_ours(key: bytes, value: Any, _headers: Headers) -> Window | None:
    """Return the window of a record of `uptake.ctr.windows`: a minute of a scenario, without its parts."""
    customer, scenario, dimension, granularity, start_ms, *_ = key.split(b"\x1f")
    if dimension != b"scenario" or granularity != b"minute":
        return None
    window = {} if value is None else json.loads(value)
    counts = {SHOWN: window.get("rendered", 0), CLICKED: window.get("clicks", 0)}
    return _name(customer.decode(), scenario.decode(), int(start_ms)), counts


def window_of_quix(key: bytes, value: Any, headers: Headers) -> Window | None:
    """Return the window of a record of the changelog of Quix Streams: ``key|start|end``, both times as 8 bytes."""
    if dict(headers or ()).get("__column_family__", b"default") != b"default":
        return None
    name, start_ms = key[:-18], int.from_bytes(key[-17:-9], "big")
    window = {} if value is None else json.loads(value)
    counts = {
        each: next((number for column, number in window.items() if column.startswith(f"{each}/")), 0)
        for each in (SHOWN, CLICKED)
    }
    customer, _, scenario = name.strip(b'"').decode().partition("|")
    return _name(customer, scenario, start_ms), counts


def _name(customer: str, scenario: str, start_ms: int) -> bytes:
    return f"{customer}|{scenario}|{start_ms}".encode()


def total(windows: Shown) -> int:
    """Return the sum of all counts."""
    return sum(sum(counts.values()) for counts in windows.values())


class WindowReader:
    """Follows a compacted topic from its beginning and keeps the last counts of each window. Close it in the end."""

    def __init__(self, bootstrap: str, topic: str, window_of: WindowOf) -> None:
        self._window_of = window_of
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "benchmark-windows",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
            }
        )
        partitions = self._consumer.list_topics(topic, timeout=10).topics[topic].partitions
        self._consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        self.windows: Shown = {}
        self.total = 0
        """The sum of all counts."""
        self.records = 0
        """Records so far, with several of one window."""

    def read(self, timeout_seconds: float = 0.0) -> int:
        """Read what is there, and return the number of records."""
        messages = self._consumer.consume(10_000, timeout=timeout_seconds)
        for message in messages:
            if message.error() is not None:
                continue
            self.records += 1
            window = self._window_of(message.key(), message.value(), message.headers() or ())
            if window is not None:
                name, counts = window
                before = self.windows.get(name)
                self.total += sum(counts.values()) - (0 if before is None else sum(before.values()))
                self.windows[name] = counts
        return len(messages)

    def read_to(self, wanted: int) -> bool:
        """Read what is there, and return whether all counts together are at least ``wanted``."""
        self.read()
        return self.total >= wanted

    def read_all(self, quiet_seconds: float = 1.0) -> Shown:
        """Read until nothing comes for a while, and return the windows."""
        while self.read(quiet_seconds):
            pass
        return self.windows

    def close(self) -> None:
        self._consumer.close()
