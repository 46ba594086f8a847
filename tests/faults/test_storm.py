"""The truth of the fault tests agrees with the tables about a storm of logins, in whatever order partitions and transfers are folded."""

import json
import random
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from decimal import Decimal
from hashlib import md5
from typing import Any

import msgspec
import pytest

from events.codec import decode
from events.model import user_key
from tables.ctr.window_keys import SCENARIO
from tables.fold import fold_attribution
from tests.faults.attribution_row import KEEP, KEEP_MS, AttributionRow, Received
from tests.faults.load import Event, mixed
from tests.faults.oracle import COUNTERS, REVENUE, Folding, Truth, lost_and_doubled, millionths
from tests.faults.storm import Storm
from tests.support.attribution_oracle import MINUTE, Entry, expected
from tests.support.builders import CUSTOMER, NOW_MS
from tests.support.overlays import Cluster, drained_panes

MIXED_USERS, MIXED_EVENTS = 60, 3_000
TABLES: dict[str, Callable[[Any], int]] = {
    "rendered": lambda entry: entry.total,
    "clicked": lambda entry: entry.count,
    "purchases": lambda entry: entry.whole * 10**6 + entry.millionths,
}


_DIGITS = str.maketrans("0189", "ghij")


def pseudonym(raw: str) -> str:
    """Return a user in the form of a pseudonym, another one for each raw id."""
    return f"k1.{md5(raw.encode(), usedforsecurity=False).hexdigest().translate(_DIGITS)[:26]}"


def stormy(seed: int) -> list[Event]:
    users = [pseudonym(f"visitor-{number}") for number in range(MIXED_USERS)]
    storm = Storm(CUSTOMER, pseudonym, seed)
    return [dict(event) for event in storm.mixed_into(mixed(CUSTOMER, users, MIXED_EVENTS, seed))]


def folded(events: list[Event], chooser: random.Random) -> Cluster:
    """Fold each user's events in order, and everything else in a random order."""
    cluster = Cluster(3)
    waiting: dict[str, deque[Event]] = defaultdict(deque)
    for event in events:
        waiting[event["user"]].append(event)
    while waiting:
        if chooser.random() < 0.4 and cluster.deliver(chooser):
            continue
        user = chooser.choice(list(waiting))
        cluster.fold(decode(json.dumps(waiting[user].popleft()).encode()))
        if not waiting[user]:
            del waiting[user]
    cluster.settle(chooser)
    return cluster


def windows(cluster: Cluster) -> Counter[tuple[str, int, str]]:
    found: Counter[tuple[str, int, str]] = Counter()
    for overlay in cluster.overlays:
        for key, pane in drained_panes(overlay, lambda _: None, NOW_MS).items():
            if key.dimension == SCENARIO:
                counts = msgspec.structs.asdict(pane.counts)
                for name in COUNTERS:
                    found[key.scenario, key.start_ms, name] += counts[name]
                found[key.scenario, key.start_ms, REVENUE] += millionths(
                    counts["revenue"].get("EUR", Decimal(0))
                )
    return found


def rows(cluster: Cluster, users: set[str], table: str) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for user in users:
        key = user_key(CUSTOMER, user).decode()
        for item, entry in cluster.items(table, user).items():
            found[key, item] += TABLES[table](entry)
    return found


def truth_of(events: list[Event]) -> Truth:
    folding = Folding()
    for event in events:
        folding.add(user_key(CUSTOMER, event["user"]).decode(), dict(event))
    return folding.finish()


@pytest.mark.parametrize("seed", range(3))
def test_truth_of_a_storm_is_what_the_tables_hold_in_every_order(seed: int) -> None:
    events = stormy(seed)
    truth = truth_of(events)
    assert truth.through_logins > 10
    users = {event[name] for event in events for name in ("user", "target") if name in event}
    for order in range(3):
        cluster = folded(events, random.Random(100 * seed + order))
        assert without_zeros(windows(cluster)) == without_zeros(truth.by_minute)
        for table, totals in zip(TABLES, (truth.shown, truth.clicked, truth.bought), strict=True):
            assert without_zeros(rows(cluster, users, table)) == without_zeros(totals)


def test_truth_notices_logins_that_leave_impressions_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    events = stormy(0)
    monkeypatch.setattr(fold_attribution, "log_in", lambda *_: (None, {}))
    counted = windows(folded(events, random.Random(0)))
    truth = truth_of(events)
    found = Truth(windows=counted)
    lost, _ = lost_and_doubled(Truth(windows=truth.by_minute), found)
    purchases = sum((truth.by_minute - counted)[key] for key in truth.by_minute if key[-1] == "purchases")
    assert lost > purchases > 10


def without_zeros(counts: Counter[Any]) -> dict[Any, int]:
    return {key: count for key, count in counts.items() if count}


def test_row_counts_what_the_rule_says_while_it_keeps_everything() -> None:
    chooser = random.Random(1)
    for _ in range(200):
        log = [
            Entry(
                chooser.choice(("show", "click", "basket", "buy")),
                chooser.randrange(90) * MINUTE,
                (chooser.choice("12"),),
                chooser.choice("pq"),
                price=5,
            )
            for _ in range(chooser.randrange(40))
        ]
        row = AttributionRow()
        row.add(Received(NOW_MS, entry) for entry in log)
        assert without_zeros(row.counted) == expected({"user": log})


def test_row_drops_the_oldest_with_what_belongs_to_them() -> None:
    """What was counted stays; a click on an impression that was dropped counts no more."""
    shows = [Entry("show", number, (str(number),), "p") for number in range(KEEP + 1)]
    sold = [Entry("click", 5, ("0",), "p"), Entry("buy", 5, ("0",), price=7)]
    clicks = [Entry("click", 200, (item,), "p") for item in "01"]
    row = AttributionRow()
    row.add(Received(NOW_MS, entry) for entry in (*shows[:2], *sold, *shows[2:], *clicks))
    assert without_zeros(row.counted) == {
        ("attributed_clicks", 0, "p"): 2,
        ("purchases", 0, "p"): 1,
        ("revenue", 0, "p"): 7,
    }


def test_row_drops_what_was_received_more_than_25_hours_before() -> None:
    log = [
        Received(NOW_MS, Entry("show", 0, ("1",), "p")),
        Received(NOW_MS, Entry("show", 0, ("2",), "p")),
        Received(NOW_MS + 5, Entry("click", 1, ("2",), "p")),
        Received(NOW_MS + KEEP_MS + 1, Entry("show", 2, ("3",), "p")),
        *(Received(NOW_MS, Entry("click", 3, (item,), "p")) for item in "12"),
        Received(NOW_MS, Entry("buy", 3, ("2",), price=1)),
    ]
    row = AttributionRow()
    row.add(log)
    assert without_zeros(row.counted) == {
        ("attributed_clicks", 0, "p"): 1,
        ("purchases", 0, "p"): 1,
        ("revenue", 0, "p"): 1,
    }
