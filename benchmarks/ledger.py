"""Independent reader that folds a journal and a contestant's changelog, and checks that every event is counted once.

It imports no module of Uptake. It uses librdkafka, the standard library's JSON and plain dictionaries; msgspec unpacks the rows.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from confluent_kafka import Consumer, TopicPartition

Shown = dict[bytes, dict[str, int]]
"""User -> item -> how often it was shown; or table -> item -> its count over all users."""

UserOf = Callable[[bytes], bytes | None]
"""Returns the user of a changelog record's key, or None if the record is of another table."""


@dataclass(frozen=True)
class Verdict:
    """How many counts a changelog lacks, and how many it has in excess."""

    lost: int
    doubled: int

    @property
    def is_exact(self) -> bool:
        """Whether both are 0."""
        return self.lost == self.doubled == 0

    def __str__(self) -> str:
        return f"lost {self.lost} doubled {self.doubled}"


def count_journal(bootstrap: str, topic: str) -> Shown:
    """Return how many lists of a journal show each item to each user, by plain counting."""
    shown: Shown = {}
    for key, value in committed(bootstrap, topic):
        event = json.loads(value)
        items = shown.setdefault(key, {})
        for item in dict.fromkeys(event["items"]):
            items[item] = items.get(item, 0) + 1
    return shown


def count_changelog(bootstrap: str, topic: str, user_of: UserOf) -> Shown:
    """Return the same counts from the last row of each user in a changelog of `rendered` rows (docs/topics-and-tables.md)."""
    rows: dict[bytes, Any] = {}
    for key, value in committed(bootstrap, topic):
        user = user_of(key)
        if user is not None:
            rows[user] = value
    return {
        user: dict(map(_count, msgspec.msgpack.decode(row)[0].split(b"\xc1")[1:]))
        for user, row in rows.items()
        if row is not None
    }


def _count(entry: bytes) -> tuple[str, int]:
    """Return the item of an entry and how often it was shown: its first number if it has one, else its number of 8-byte times."""
    key, _, body = entry.partition(b"\xff")
    head, _, times = body.rpartition(b";")
    return key.decode().partition("/")[2], int(head.split(b",")[0]) if head else len(times) // 8


def count_items(bootstrap: str, topic: str) -> Shown:
    """Return the totals of a shop's journal: for each table, how often each item was shown or clicked, or how many were bought."""
    totals: Shown = {b"rendered": {}, b"clicked": {}, b"purchases": {}}
    for _, value in committed(bootstrap, topic):
        event = json.loads(value)
        if event["type"] == "rendered":
            for item in dict.fromkeys(event["items"]):
                _add(totals[b"rendered"], item, 1)
        elif event["type"] == "click":
            _add(totals[b"clicked"], event["item"], 1)
        elif event["type"] == "buy":
            _add(totals[b"purchases"], event["item"], event.get("quantity", 1))
    return totals


def count_kept_items(bootstrap: str, changelogs: Mapping[bytes, str]) -> Shown:
    """Return the same totals from the last rows in changelogs (table -> topic).

    The second row that a login leaves under the former user is skipped, because its counts are in the target's row.
    """
    totals: Shown = {}
    for table, topic in changelogs.items():
        rows = dict(committed(bootstrap, topic))
        items = totals[table] = {}
        for key, row in rows.items():
            if row is None or key.endswith(b"\0moved"):
                continue
            kept = msgspec.msgpack.decode(row)[0]
            if table == b"rendered":
                counted = dict(map(_count, kept.split(b"\xc1")[1:]))
            else:
                counted = {item.partition("/")[2]: entry[0] for item, entry in kept.items()}
            for item, number in counted.items():
                if number:
                    _add(items, item, number)
    return totals


def _add(counts: dict[str, int], item: str, number: int) -> None:
    counts[item] = counts.get(item, 0) + number


def compare(expected: Shown, found: Shown) -> Verdict:
    """Return how many counts ``found`` lacks, and how many it has in excess."""
    lost = doubled = 0
    for user in expected.keys() | found.keys():
        want, have = expected.get(user, {}), found.get(user, {})
        if want == have:
            continue
        for item in want.keys() | have.keys():
            difference = have.get(item, 0) - want.get(item, 0)
            lost += max(0, -difference)
            doubled += max(0, difference)
    return Verdict(lost, doubled)


def count_rendered(bootstrap: str, topic: str, since: Mapping[int, int]) -> int:
    """Return how many `rendered` events with items a topic holds, from the offsets ``since`` on."""
    found = (json.loads(value) for _, value in committed(bootstrap, topic, since))
    return sum(event["type"] == "rendered" and bool(event["items"]) for event in found)


def committed(
    bootstrap: str, topic: str, since: Mapping[int, int] | None = None
) -> Iterator[tuple[bytes, Any]]:
    """Yield key and value of every committed record of a topic from the offsets ``since`` on, in log order per partition."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "benchmark-ledger",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
        }
    )
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        if not partitions:
            raise RuntimeError(f"there is no topic {topic}")
        consumer.assign(
            [TopicPartition(topic, number, (since or {}).get(number, 0)) for number in partitions]
        )
        still_open = set(partitions)
        while still_open:
            for message in consumer.consume(10_000, timeout=1.0):
                if message.error() is None:
                    yield message.key(), message.value()
                else:
                    still_open.discard(message.partition())
    finally:
        consumer.close()
