"""The true totals: a plain fold of the raw topic, by a reader (librdkafka) and code independent of Uptake's.

It compares with the changelogs, from which a wiped disk would be rebuilt; the tests also compare with HTTP lookups.
"""

import json
import time
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from benchmarks.ledger import SHOWN_TABLES, shown_by_key
from tests.faults.user_log import Logs, UserLog, attributed, resting
from tests.support.attribution_oracle import Entry

HOUR_MS = 3_600_000
MINUTE_MS = 60_000
DAY_MS = 24 * HOUR_MS
SKEW_MS = 300_000
KEEP_HOURS_MS = 400 * DAY_MS
KEEP_MINUTES_MS = 7 * DAY_MS
COUNTERS = (
    "rendered",
    "clicks",
    "attributed_clicks",
    "clicked_calls",
    "unlabelled_impressions",
    "basket",
    "purchases",
)
"""The counters of windows that are compared."""
REVENUE = "revenue"
"""The revenue of a window in EUR, in millionths."""


@dataclass
class Truth:
    """Totals that follow from a raw topic. Users are Kafka keys, items are ``itemtype/item``.

    What a login moved counts with the user with whom it rests.
    """

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
    logins: int = 0
    linked_purchases: int = 0
    """Attributed purchases of users who logged in or were logged into."""
    through_logins: int = 0
    """How many fewer these would be if nobody had logged in."""
    impossible: int = 0
    """Windows with more attributed clicks than shown items, or with a count below 0."""


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
    folding = Folding()
    for message in dump(bootstrap, topic):
        if (message.partition(), message.offset()) in skip:
            continue
        try:
            event = json.loads(message.value(), parse_float=Decimal)
            _, user = event["type"], message.key().decode()
        except (TypeError, ValueError, KeyError):
            continue  # it becomes a dead letter, which other tests check
        _hold(event, message.timestamp()[1], max_age_ms, folding.truth)
        folding.add(user, event)
    return folding.finish()


class Folding:
    """A fold of events: those of each user in log order, those of different users in any order."""

    def __init__(self) -> None:
        self.truth = Truth()
        self._logs: Logs = {}
        self._seen: dict[tuple[str, str], int] = {}

    def add(self, user: str, event: dict[str, Any]) -> None:
        """Add an event, and count what does not depend on other events."""
        self.truth.records += 1
        eid, received_ms = event.get("eid"), event["received_ms"]
        if eid is not None:
            if received_ms - self._seen.get((user, eid), -DAY_MS) < DAY_MS:
                self.truth.repeats += 1
                return
            self._seen[user, eid] = received_ms
        kind, at, scenario = event["type"], event["time_ms"], event.get("scenario")
        log, prefix = self._logs.setdefault(user, UserLog()), f"{event.get('itemtype', 1)}/"
        if kind == "login":
            self.truth.logins += 1
            log.add(received_ms, Entry("login", at, target=f"{event['customer']}|{event['target']}"))
        elif kind == "rendered":
            items = tuple(prefix + item for item in event["items"])
            log.stretch.shown.update(set(items))  # listed twice, it is one showing
            log.add(received_ms, Entry("show", at, items, scenario, event.get("request_id")))
            self._count(scenario or "unknown", at, "rendered", len(items))
        elif kind == "click":
            log.stretch.clicked[prefix + event["item"]] += 1
        elif kind == "clickrecommended":
            item = prefix + event["item"]
            log.add(received_ms, Entry("click", at, (item,), scenario, event.get("request_id")))
            self._count(scenario or "unknown", at, "clicks")
        elif kind == "basket":
            log.add(received_ms, Entry("basket", at, (prefix + event["item"],)))
        elif kind == "buy":
            units = Decimal(str(event.get("quantity", 1)))
            price = Decimal(str(event.get("price", 0))) * units
            log.stretch.bought[prefix + event["item"]] += millionths(units)
            if price:
                assert event["currency"] == "EUR"
                self.truth.revenue["EUR"] = self.truth.revenue.get("EUR", Decimal(0)) + price
            log.add(received_ms, Entry("buy", at, (prefix + event["item"],), price=millionths(price)))

    def finish(self) -> Truth:
        """Return the totals, with what logins moved at the users with whom it rests."""
        truth = self.truth
        for user, stretch in resting(self._logs):
            for totals, counts in (
                (truth.shown, stretch.shown),
                (truth.clicked, stretch.clicked),
                (truth.bought, stretch.bought),
            ):
                totals.update({(user, item): count for item, count in counts.items()})
        found = attributed(self._logs)
        truth.linked_purchases, truth.through_logins = found.linked_purchases, found.through_logins
        for (counter, minute, scenario), count in found.counted.items():
            if count:
                self._count(scenario, minute * MINUTE_MS, counter, count)
        return truth

    def _count(self, scenario: str, time_ms: int, counter: str, amount: int = 1) -> None:
        minute = time_ms - time_ms % MINUTE_MS
        self.truth.windows[scenario, time_ms - time_ms % HOUR_MS, counter] += amount
        self.truth.by_minute[scenario, minute, counter] += amount
        self.truth.minutes.add((scenario, minute))


def millionths(units: Decimal) -> int:
    """Return units, or an amount of money, in millionths of one."""
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


def kept(bootstrap: str) -> Truth:
    """Return the totals that the tables hold, read from the changelogs and from uptake.ctr.windows."""
    truth = Truth()
    for user, items in shown_by_key(*(_rows(bootstrap, table) for table in SHOWN_TABLES)).items():
        if not user.endswith(b"\0moved"):
            truth.shown.update({(user.decode(), item): count for item, count in items.items()})
    for user, row in _own_rows(bootstrap, "clicked"):
        for item, clicked in row[0].items():
            truth.clicked[user, item] += clicked[0]
    for user, row in _own_rows(bootstrap, "purchases"):
        for item, bought in row[0].items():
            truth.bought[user, item] += bought[0] * 10**6 + bought[6]
            for currency, amount in bought[1].items():
                truth.revenue[currency] = truth.revenue.get(currency, Decimal(0)) + Decimal(amount)
    recent_ms = int(time.time() * 1000) - KEEP_MINUTES_MS
    for value in latest(bootstrap, "uptake.ctr.windows").values():
        window = json.loads(value)
        if window["dimension"] == "scenario" and window["granularity"] == "minute":
            truth.minutes.add((window["scenario"], window["start_ms"]))
        if window["dimension"] == "scenario" and window["granularity"] == "hour":
            for counter in COUNTERS:
                truth.windows[window["scenario"], window["start_ms"], counter] += window[counter]
            revenue = millionths(Decimal(window["revenue"].get("EUR", "0")))
            truth.windows[window["scenario"], window["start_ms"], REVENUE] += revenue
        if window["start_ms"] > recent_ms:  # an older one may be without what it began with
            is_possible = window["attributed_clicks"] <= window["rendered"]
            truth.impossible += not is_possible or min(window[counter] for counter in COUNTERS) < 0
    for counts in (truth.shown, truth.clicked, truth.bought, truth.windows):
        for name in [name for name, count in counts.items() if not count]:
            del counts[name]
    return truth


def _rows(bootstrap: str, table: str) -> dict[bytes, Any]:
    rows = latest(bootstrap, f"uptake.{table}.changelog").items()
    return {key: msgspec.msgpack.decode(value) for key, value in rows}


def _own_rows(bootstrap: str, table: str) -> Iterator[tuple[str, Any]]:
    """Yield user and row of a table, without the second rows that keep what a login moved: that counts with its target."""
    for key, row in _rows(bootstrap, table).items():
        if b"\0" not in key:
            yield key.decode(), row


def lost_and_doubled(expected: Truth, found: Truth) -> tuple[int, int]:
    """Return how many counts are missing and how many are too many, over all totals."""
    lost, doubled = 0, found.impossible
    for name in ("shown", "clicked", "bought", "windows"):
        want, have = getattr(expected, name), getattr(found, name)
        lost += _counts_in(want - have)
        doubled += _counts_in(have - want)
    for currency in expected.revenue.keys() | found.revenue.keys():
        difference = found.revenue.get(currency, Decimal(0)) - expected.revenue.get(currency, Decimal(0))
        lost += difference < 0
        doubled += difference > 0
    return lost, doubled


def _counts_in(difference: Counter[Any]) -> int:
    """Return the sum of a difference. The revenue of a window is one count, however much differs."""
    return sum(1 if name[-1] == REVENUE else count for name, count in difference.items())
