"""Attribution through logins equals the oracle for drawn logs, whatever the order in which logs and transfers are folded."""

import random
from collections import Counter
from decimal import Decimal

import msgspec
import pytest

from events.model import EventBase
from tables.ctr.window_keys import SCENARIO
from tests.support.attribution_oracle import MINUTE, Entry, expected
from tests.support.builders import NOW_MS, a_basket, a_buy, a_clickrecommended, a_login, a_rendered
from tests.support.overlays import Cluster, drained_panes

COUNTERS = (
    "attributed_clicks",
    "clicked_calls",
    "unlabelled_impressions",
    "basket",
    "purchases",
)
START_MS = NOW_MS - NOW_MS % MINUTE

Logs = dict[str, list[Entry]]


def event_of(user: str, entry: Entry) -> EventBase:
    time_ms = START_MS + entry.at
    base = {"user": user, "time_ms": time_ms, "received_ms": START_MS + 10_000 * MINUTE}
    if entry.kind == "login":
        return a_login(target=entry.target, **base)
    if entry.kind == "show":
        return a_rendered(items=entry.items, scenario=entry.scenario, request_id=entry.request, **base)
    item = entry.items[0]
    if entry.kind == "click":
        return a_clickrecommended(item=item, scenario=entry.scenario, request_id=entry.request, **base)
    if entry.kind == "buy":
        return a_buy(item=item, price=Decimal(entry.price), currency="EUR", **base)
    return a_basket(item=item, **base)


def counted(cluster: Cluster) -> tuple[Counter[tuple[str, int, str]], Counter[tuple[str, int, str]]]:
    """Return what the counters say by (counter, minute, scenario), and what was shown and called."""
    found: Counter[tuple[str, int, str]] = Counter()
    shown: Counter[tuple[str, int, str]] = Counter()
    for overlay in cluster.overlays:
        for key, pane in drained_panes(overlay, lambda _: None, NOW_MS).items():
            if key.dimension != SCENARIO:
                continue
            minute = (key.start_ms - START_MS) // MINUTE
            counts = msgspec.structs.asdict(pane.counts)
            for name in COUNTERS:
                found[name, minute, key.scenario] += counts[name]
            found["revenue", minute, key.scenario] += int(counts["revenue"].get("EUR", 0))
            shown["attributed_clicks", minute, key.scenario] += counts["rendered"]
            shown["clicked_calls", minute, key.scenario] += counts["calls"]
    return Counter({key: count for key, count in found.items() if count}), shown


def folded(logs: Logs, chooser: random.Random) -> Cluster:
    """Fold logs in a random interleaving with the transfers between the users."""
    cluster = Cluster(chooser.choice((1, 2, 4)))
    waiting = {user: list(log) for user, log in logs.items() if log}
    laziness = chooser.random()
    while waiting:
        if chooser.random() < laziness and cluster.deliver(chooser):
            continue
        user = chooser.choice(sorted(waiting))
        cluster.fold(event_of(user, waiting[user].pop(0)))
        if not waiting[user]:
            del waiting[user]
    cluster.settle(chooser)
    return cluster


def must_equal(logs: Logs, chooser: random.Random) -> None:
    found, shown = counted(folded(logs, chooser))
    assert found == expected(logs), logs
    for (counter, minute, scenario), count in found.items():
        if counter in ("attributed_clicks", "clicked_calls"):
            assert count <= shown[counter, minute, scenario], logs
        assert count > 0, logs


def drawn(chooser: random.Random) -> Logs:
    """Draw logs of a few users, most of their events about few items, with some out of order."""
    users = "abcdef"[: chooser.choice((2, 3, 4, 6))]
    logs: Logs = {user: [] for user in users}
    clock = {user: chooser.randint(0, 3) for user in users}
    items = "12"[: chooser.choice((1, 2))]
    step = chooser.choice(((0, 1, 2, 3), (0, 5, 20)))
    for _ in range(chooser.choice((4, 8, 20, 40))):
        user = chooser.choice(users)
        clock[user] += chooser.choice(step)
        at = clock[user] - (chooser.randint(0, 5) if chooser.random() < 0.3 else 0)
        kind = chooser.choices(("login", "show", "click", "basket", "buy"), (25, 25, 25, 10, 15))[0]
        logs[user].append(
            Entry(
                kind,
                max(0, at) * MINUTE,
                tuple(chooser.choice(items) for _ in range(chooser.randint(1, 3) if kind == "show" else 1)),
                chooser.choice(("p", "q", None)),
                chooser.choice((None, None, "r", "s")),
                chooser.choice(users),
                chooser.choice((1, 10, 100)),
            )
        )
    for user, log in logs.items():
        logs[user] = [entry for entry in log if entry.kind != "login" or entry.target != user]
    return logs


@pytest.mark.parametrize("seed", range(20))
def test_counts_equal_the_oracle_in_every_order(seed: int) -> None:
    chooser = random.Random(seed)
    for _ in range(100):
        logs = drawn(chooser)
        for _ in range(5):
            must_equal(logs, chooser)
