"""The true totals: a plain fold of the raw topic, by a reader (librdkafka) and code independent of Uptake's.

It compares with the changelogs, from which a wiped disk would be rebuilt; the tests also compare with HTTP lookups.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from tests.faults.attribution_row import AttributionRow

HOUR_MS = 3_600_000
MINUTE_MS = 60_000
DAY_MS = 24 * HOUR_MS
SKEW_MS = 300_000
KEEP_HOURS_MS = 90 * DAY_MS


@dataclass
class Truth:
    """Totals that follow from a raw topic. Users are Kafka keys, items are ``itemtype/item``."""

    shown: Counter[tuple[str, str]] = field(default_factory=Counter)
    clicked: Counter[tuple[str, str]] = field(default_factory=Counter)
    bought: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(user, item) -> millionths of a unit"""
    revenue: dict[str, Decimal] = field(default_factory=dict)
    windows: Counter[tuple[str, int, str]] = field(default_factory=Counter)
    """(scenario, hour start, counter) -> count"""
    by_minute: Counter[tuple[str, int, str]] = field(default_factory=Counter)
    """(scenario, minute start, counter) -> count"""
    minutes: set[tuple[str, int]] = field(default_factory=set)
    """(scenario, minute start) of the windows that are not empty"""
    records: int = 0
    """Readable events in the raw topic, repeats included."""
    repeats: int = 0
    clamped: int = 0


def dump(bootstrap: str, topic: str) -> Iterator[Any]:
    """Yield every committed record of a topic, in log order per partition."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "oracle",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
        }
    )
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        open_partitions = set(partitions)
        while open_partitions:
            for message in consumer.consume(10_000, timeout=1.0):
                error = message.error()
                if error is None:
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:
                    open_partitions.discard(message.partition())
                else:
                    raise KafkaException(error)
    finally:
        consumer.close()


def latest(bootstrap: str, topic: str) -> dict[bytes, bytes]:
    """Return the last value of each key of a compacted topic, without deleted keys."""
    values = {message.key(): message.value() for message in dump(bootstrap, topic)}
    return {key: value for key, value in values.items() if value is not None}


def values(bootstrap: str, prefix: str, suffix: str) -> Iterator[tuple[str, bytes]]:
    """Yield (topic, value) for every record of the topics with this prefix and suffix, without deletions."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "oracle"})
    topics = [
        name
        for name in consumer.list_topics(timeout=10).topics
        if name.startswith(prefix) and name.endswith(suffix)
    ]
    consumer.close()
    assert topics
    for topic in topics:
        for message in dump(bootstrap, topic):
            if message.value() is not None:
                yield topic, message.value()


def fold(
    bootstrap: str,
    topic: str = "uptake.events",
    skip: Collection[tuple[int, int]] = frozenset(),
    max_age_ms: int | None = DAY_MS,
) -> Truth:
    """Fold a raw topic in log order, by the rules of docs/events.md.

    ``skip`` names records that are not events, by (partition, offset).
    ``max_age_ms`` is None for the history lane, where an event may be of any age.
    """
    truth = Truth()
    seen: dict[tuple[str, str], int] = {}
    rows: dict[str, AttributionRow] = {}
    for message in dump(bootstrap, topic):
        if (message.partition(), message.offset()) in skip:
            continue
        try:
            event = json.loads(message.value(), parse_float=Decimal)
            kind, user = event["type"], message.key().decode()
        except (TypeError, ValueError, KeyError):
            continue  # it becomes a dead letter, which other tests check
        truth.records += 1
        _hold(event, message.timestamp()[1], max_age_ms, truth)
        eid, received_ms = event.get("eid"), event["received_ms"]
        if eid is not None:
            if received_ms - seen.get((user, eid), -DAY_MS) < DAY_MS:
                truth.repeats += 1
                continue
            seen[user, eid] = received_ms
        prefix = f"{event.get('itemtype', 1)}/"
        if kind == "rendered":
            for item in dict.fromkeys(event["items"]):  # listed twice, it is one showing
                truth.shown[user, prefix + item] += 1
            _count(truth, event["scenario"], event["time_ms"], "rendered", len(event["items"]))
            _row_of(rows, user, truth).show(event)
        elif kind == "click":
            truth.clicked[user, prefix + event["item"]] += 1
        elif kind == "clickrecommended":
            _count(truth, event["scenario"], event["time_ms"], "clicks")
            _row_of(rows, user, truth).click(event)
        elif kind == "buy":
            units = Decimal(event.get("quantity", 1))
            truth.bought[user, prefix + event["item"]] += millionths(units)
            if "price" in event:
                amount = Decimal(event["price"]) * units
                truth.revenue[event["currency"]] = truth.revenue.get(event["currency"], Decimal(0)) + amount
    return truth


def millionths(units: Decimal) -> int:
    """Return units in millionths of one."""
    found = units * 10**6
    assert found == int(found), units
    return int(found)


def _hold(event: dict[str, Any], appended_ms: int, max_age_ms: int | None, truth: Truth) -> None:
    """Clamp the times of an event: receipt by the broker's clock, and event time to its maximum age before receipt."""
    said = event.get("time_ms", 0)
    received_ms = event.get("received_ms") or appended_ms
    if received_ms > appended_ms + SKEW_MS:
        received_ms = appended_ms
    event["received_ms"] = received_ms
    event["time_ms"] = min(said or received_ms, received_ms)
    if max_age_ms is not None:
        event["time_ms"] = max(event["time_ms"], received_ms - max_age_ms)
    truth.clamped += said not in (0, event["time_ms"])


def _count(truth: Truth, scenario: str, time_ms: int, counter: str, amount: int = 1) -> None:
    truth.windows[scenario, time_ms - time_ms % HOUR_MS, counter] += amount
    truth.by_minute[scenario, time_ms - time_ms % MINUTE_MS, counter] += amount
    truth.minutes.add((scenario, time_ms - time_ms % MINUTE_MS))


def _row_of(rows: dict[str, AttributionRow], user: str, truth: Truth) -> AttributionRow:
    if user not in rows:
        rows[user] = AttributionRow(
            lambda place, amount: _count(truth, place[0], place[1], "attributed_clicks", amount)
        )
    return rows[user]


def kept(bootstrap: str) -> Truth:
    """Return the totals that the tables hold, read from the changelogs and from uptake.ctr.windows."""
    truth = Truth()
    for key, value in latest(bootstrap, "uptake.rendered.changelog").items():
        for entry in msgspec.msgpack.decode(value)[0].split(b"\xc1")[1:]:
            item, _, body = entry.partition(b"\xff")
            head, _, times = body.rpartition(b";")
            truth.shown[_user(key), item.decode()] += int(head.split(b",")[0]) if head else len(times) // 8
    for key, value in latest(bootstrap, "uptake.clicked.changelog").items():
        for item, clicked in msgspec.msgpack.decode(value)[0].items():
            truth.clicked[_user(key), item] += clicked[0]
    for key, value in latest(bootstrap, "uptake.purchases.changelog").items():
        for item, bought in msgspec.msgpack.decode(value)[0].items():
            truth.bought[_user(key), item] += bought[0] * 10**6 + bought[6]
            for currency, amount in bought[1].items():
                truth.revenue[currency] = truth.revenue.get(currency, Decimal(0)) + Decimal(amount)
    for value in latest(bootstrap, "uptake.ctr.windows").values():
        window = json.loads(value)
        if window["dimension"] == "scenario" and window["granularity"] == "minute":
            truth.minutes.add((window["scenario"], window["start_ms"]))
        if window["dimension"] == "scenario" and window["granularity"] == "hour":
            for counter in ("rendered", "clicks", "attributed_clicks"):
                truth.windows[window["scenario"], window["start_ms"], counter] += window[counter]
    for counts in (truth.shown, truth.clicked, truth.bought, truth.windows):
        for name in [name for name, count in counts.items() if not count]:
            del counts[name]
    return truth


def _user(row: bytes) -> str:
    return row.partition(b"\0")[0].decode()


def lost_and_doubled(expected: Truth, found: Truth) -> tuple[int, int]:
    """Return how many counts are missing and how many are too many, over all totals."""
    lost = doubled = 0
    for name in ("shown", "clicked", "bought", "windows"):
        want, have = getattr(expected, name), getattr(found, name)
        lost += sum((want - have).values())
        doubled += sum((have - want).values())
    for currency in expected.revenue.keys() | found.revenue.keys():
        difference = found.revenue.get(currency, Decimal(0)) - expected.revenue.get(currency, Decimal(0))
        lost += difference < 0
        doubled += difference > 0
    return lost, doubled
