"""No rate exceeds 1, and no counter is negative, in any window of any dimension, whatever the traffic and the order of arrival."""

import random
from collections import defaultdict
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from events.model import NO_PROFILE_USER, BotCount
from tables.ctr.panes import COUNTERS, Counts, add
from tables.ctr.rates import rates
from tables.ctr.window_keys import SCENARIO, WindowKey
from tests.support.builders import (
    MINUTE_MS,
    NOW_MS,
    a_basket,
    a_bots,
    a_buy,
    a_clickrecommended,
    a_consume,
    a_login,
    a_playback,
    a_recommended,
    a_rendered,
    a_served_list,
    a_viewed,
)
from tests.support.overlays import Cluster, drained_panes

USERS = "abcd"
ITEMS = "1234"
REQUESTS = (None, None, "r", "s")


def drawn(chooser: random.Random, time_ms: int) -> Any:
    """Draw an event of a shop whose pages send sometimes this and sometimes that, out of order."""
    base: dict[str, Any] = {
        "user": chooser.choice((*USERS * 3, NO_PROFILE_USER)),
        "time_ms": time_ms - chooser.choice((0, 0, 0, 1, 20)) * MINUTE_MS,
        "received_ms": time_ms,
        "variant": chooser.choice((None, "A", "B")),
        "row": chooser.choice((None, 0, 1)),
        "rank": chooser.choice((None, 0, 3)),
    }
    place = {"scenario": chooser.choice((None, "home", "mail")), "request_id": chooser.choice(REQUESTS)}
    items = tuple(chooser.choices(ITEMS, k=chooser.randint(1, 4)))
    kind = chooser.choices(range(9), (30, 5, 10, 30, 8, 5, 8, 4, 4))[0]
    if kind <= 1:
        fallback = chooser.choice((None, None, "all"))
        return (a_rendered, a_viewed)[kind](items=items, fallback_scenario=fallback, **base, **place)
    if kind == 2:
        served = a_served_list(items=items, scenario=place["scenario"], variant=chooser.choice((None, "C")))
        return a_recommended(request_id=place["request_id"] or "t", lists=(served,), **base)
    item = {"item": items[0], **base}
    if kind == 3:
        return a_clickrecommended(**item, **place)
    if kind == 4:
        return a_buy(price=chooser.choice((None, Decimal("9.99"))), **item)
    if kind == 5:
        return chooser.choice((a_basket, a_consume))(**item)
    if kind == 6:
        return a_playback(position_ms=chooser.randint(0, 90_000), **item)
    if kind == 7:
        return a_login(target=chooser.choice(USERS), **base)
    return a_bots(BotCount(chooser.randint(1, 9), place["scenario"]), **base | {"user": NO_PROFILE_USER})


def test_name_that_two_partitions_count_differently_has_no_rate_above_1() -> None:
    """With too many names, the showings of one count as ``other`` in a partition, and its clicks by themselves in another."""
    cluster, windows = Cluster(2, max_scenarios=1), defaultdict[str, Counts](Counts)
    full, empty = (
        next(user for user in map(str, range(100)) if cluster.home(user) == home) for home in (0, 1)
    )
    cluster.fold(a_rendered(user=full, items=("1", "2"), scenario="mail"))
    cluster.fold(a_rendered(user=full, items=("1", "2", "3"), scenario="home"))
    cluster.fold(a_rendered(user=empty, items=("9",), scenario="home"))
    cluster.fold(a_login(user=full, target=empty, time_ms=NOW_MS + 1))
    cluster.settle()
    for item in "123":
        cluster.fold(a_clickrecommended(user=empty, item=item, scenario=None, time_ms=NOW_MS + 2))
    for overlay in cluster.overlays:
        name_of = overlay.places.namer(NOW_MS)
        for key, pane in drained_panes(overlay, lambda _: None, NOW_MS, name_of).items():
            if key.dimension == SCENARIO:
                add(windows[key.scenario], pane.counts)
    found = rates(windows["home"])["ctr_rendered"]
    assert (found.numerator, found.denominator) == (3, 1), "the case that this test is about"
    assert (found.value, found.reason) == (None, "attributed_clicks exceeds rendered")


@pytest.mark.parametrize("seed", range(40))
def test_no_rate_exceeds_1_and_no_counter_is_negative(seed: int) -> None:
    chooser = random.Random(seed)
    cluster = Cluster(chooser.choice((1, 2, 4)))
    windows: defaultdict[WindowKey, Counts] = defaultdict(Counts)

    def check() -> None:
        for overlay in cluster.overlays:
            for key, pane in drained_panes(overlay, lambda _: None, NOW_MS).items():
                add(windows[key], pane.counts)
        for key, counts in windows.items():
            assert counts.attributed_clicks <= counts.rendered, (key, counts)
            assert counts.clicked_calls <= counts.calls, (key, counts)
            assert all(getattr(counts, name) >= 0 for name in COUNTERS), (key, counts)
            assert all(amount >= 0 for amount in counts.revenue.values()), (key, counts)
            for name in ("ctr_rendered", "ctr_calls"):
                assert (rates(counts)[name].value or 0) <= 1

    time_ms, step = NOW_MS, chooser.choice((1_000, 20_000, 5 * MINUTE_MS))
    for number in range(400):
        time_ms += chooser.randint(0, step)
        cluster.fold(drawn(chooser, time_ms))
        while chooser.random() < 0.3 and cluster.deliver(chooser):
            pass
        if number % 40 == 0:
            check()
    cluster.settle(chooser)
    check()
    total = Counts()
    for counts in windows.values():
        add(total, counts)
    rare = {"revenue", "unlabelled_impressions", "clicked_calls"} if step > MINUTE_MS else set()
    rare |= {"user_totals"}  # no experiment
    idle = {name for name, count in msgspec.structs.asdict(total).items() if not count}
    assert idle <= rare, "the traffic has everything"
