"""Independent reader that folds a journal and a contestant's changelog, and checks that every event is counted once.

It imports no module of Uptake. It uses librdkafka, the standard library's JSON and plain dictionaries; msgspec unpacks the rows.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
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
        user: {
            key.partition("/")[2]: count
            for key, count in map(_count, msgspec.msgpack.decode(row)[0].split(b"\xc1")[1:])
        }
        for user, row in rows.items()
        if row is not None
    }


def count_tables(bootstrap: str, topic_of: Callable[[str], str]) -> Shown:
    """Return the same counts from the tables of our workers. ``topic_of`` returns the changelog of a table.

    A row of `rendered` may lack the newest lists. These are in the user's log: its row of `impressions` and its last buckets
    (docs/topics-and-tables.md). Workers of former versions have no such log. The second row of a user who logged in is another user here.
    """
    found = shown_by_key(*(_last_rows(bootstrap, topic_of(table)) for table in SHOWN_TABLES))
    return {
        user: {key.partition("/")[2]: count for key, count in items.items()} for user, items in found.items()
    }


SHOWN_TABLES = ("rendered", "impressions", "impression_buckets")


def shown_by_key(
    rendered: Mapping[bytes, Any], logs: Mapping[bytes, Any], buckets: Mapping[bytes, Any]
) -> dict[bytes, dict[str, int]]:
    """Return how often each item key (``itemtype/item``) was shown to each user, from decoded rows of ``SHOWN_TABLES``."""
    shown: dict[bytes, dict[str, int]] = {}
    for user in rendered.keys() | logs.keys():
        row, log = rendered.get(user, [b""]), logs.get(user, [])
        items = shown[user] = dict(map(_count, row[0].split(b"\xc1")[1:]))
        if len(log) > _APPENDED:
            merged = row[_MERGED_IN_ROW] if len(row) > _MERGED_IN_ROW else 0
            for key in _unmerged_keys(user, log, merged, buckets):
                _add(items, key.decode(), 1)
    return shown


_APPENDED, _FIRST_BUCKET, _FACTS = 12, 14, 15
"""Fields of a row of `impressions`."""
_MERGED_IN_ROW = 2
_FACTS_BYTES = 7


def _last_rows(bootstrap: str, topic: str) -> dict[bytes, Any]:
    rows = dict(committed(bootstrap, topic))
    return {key: msgspec.msgpack.decode(row) for key, row in rows.items() if row is not None}


def _unmerged_keys(user: bytes, log: list[Any], merged: int, buckets: Mapping[bytes, Any]) -> Iterator[bytes]:
    """Yield the items that a user's log shows after its first ``merged`` entries, each once for a list."""
    entries = list(_entries(log[0]))
    number = log[_FIRST_BUCKET] + len(log[_FACTS]) // _FACTS_BYTES
    missing = log[_APPENDED] - merged
    while len(entries) < missing:
        number -= 1
        entries = [*_entries(buckets[user + b"\0" + number.to_bytes(4, "big")][0]), *entries]
    for keys, is_shown in entries[len(entries) - missing :] if missing > 0 else ():
        if is_shown:
            yield from dict.fromkeys(keys)


def _entries(run: bytes) -> Iterator[tuple[list[bytes], bool]]:
    """Yield the item keys of each entry of a log, and whether it is a list that was shown."""
    at = 0
    while at < len(run):
        length, keys = int.from_bytes(run[at : at + 4], "big"), int.from_bytes(run[at + 4 : at + 8], "big")
        yield run[at + 24 : at + 24 + keys].split(b"\xff"), length > 8 + keys
        at += 16 + length


def _count(entry: bytes) -> tuple[str, int]:
    """Return the item key of an entry and how often it was shown: its first number if it has one, else its number of 8-byte times."""
    key, _, body = entry.partition(b"\xff")
    head, _, times = body.rpartition(b";")
    return key.decode(), int(head.split(b",")[0]) if head else len(times) // 8


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


def count_kept_items(bootstrap: str, tables: Iterable[str], topic_of: Callable[[str], str]) -> Shown:
    """Return the same totals from the last rows in the changelogs of these tables.

    The second row that a login leaves under the former user is skipped, because its counts are in the target's row.
    """
    totals: Shown = {}
    for table in tables:
        items = totals[table.encode()] = {}
        if table == "rendered":
            users = count_tables(bootstrap, topic_of)
        else:
            users = {
                user: {item.partition("/")[2]: entry[0] for item, entry in row[0].items()}
                for user, row in _last_rows(bootstrap, topic_of(table)).items()
            }
        for user, counted in users.items():
            for item, number in counted.items():
                if number and not user.endswith(b"\0moved"):
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
