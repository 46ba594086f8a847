"""Nothing is lost or doubled for any history, any order of transfers and any restarts."""

import random
from collections import Counter
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from events.model import EventBase, Login, user_key
from tables.declare import BY_NAME
from tables.fold.fold_event import fold
from tables.fold.fold_identity import fold_transfer
from tables.fold.fold_ports import MOVED
from tables.transfers import encode
from tests.support.builders import (
    MINUTE_MS,
    NOW_MS,
    a_basket,
    a_blacklist,
    a_buy,
    a_click,
    a_clickrecommended,
    a_consume,
    a_deletefrombasket,
    a_deletefromblacklist,
    a_login,
    a_rate,
    a_recommended,
    a_rendered,
    a_viewed,
    a_wishlist,
    an_owns,
)
from tests.support.memory_store import Disk, MemoryStore
from tests.support.overlays import Cluster, SpiedOverlay

USERS = "abcde"
users = st.sampled_from(USERS)
items = st.sampled_from("123")
minutes = st.integers(0, 50)


def events() -> st.SearchStrategy[EventBase]:
    def one(build: Any, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[EventBase]:
        fields = {"user": users, "time_ms": minutes.map(lambda at: NOW_MS + at * MINUTE_MS), **fields}
        eid = st.none() | st.sampled_from("xy")
        return st.builds(build, eid=eid, **fields)

    about_one = (
        a_click,
        a_consume,
        a_basket,
        a_deletefrombasket,
        a_buy,
        an_owns,
        a_rate,
        a_blacklist,
        a_deletefromblacklist,
        a_wishlist,
    )
    lists = st.lists(items, min_size=1, max_size=3).map(tuple)
    scenarios = st.none() | st.sampled_from(["home", "other"])
    requests = st.none() | st.sampled_from(["r1", "r2"])
    return st.one_of(
        *(one(build, item=items) for build in about_one),
        one(a_rendered, items=lists, scenario=scenarios, request_id=requests),
        one(a_viewed, items=lists, scenario=scenarios),
        one(a_clickrecommended, item=items, scenario=scenarios, request_id=requests),
        one(a_recommended, request_id=st.sampled_from(["r1", "r2"])),
        one(a_login, target=users),
        one(a_login, target=users),
    )


class Expected:
    """The expected counts, from the events alone."""

    def __init__(self) -> None:
        self.shown: Counter[str] = Counter()
        self.viewed: Counter[str] = Counter()
        self.clicked: Counter[str] = Counter()
        self.clicked_recommended: Counter[str] = Counter()
        self.bought: Counter[str] = Counter()
        self._eids: set[tuple[str, str]] = set()

    def add(self, event: Any) -> None:
        if event.eid is not None:
            if (event.user, event.eid) in self._eids:
                return
            self._eids.add((event.user, event.eid))
        name = type(event).__name__
        if name in ("Rendered", "Viewed"):
            counter = self.shown if name == "Rendered" else self.viewed
            counter.update(f"1/{item}" for item in set(event.items))
        elif name in ("Click", "ClickRecommended", "Buy"):
            by_name = {
                "Click": self.clicked,
                "ClickRecommended": self.clicked_recommended,
                "Buy": self.bought,
            }
            by_name[name][f"1/{event.item}"] += 1


@settings(max_examples=150)
@given(
    history=st.lists(events() | st.none(), max_size=40),
    partitions=st.integers(1, 4),
    seed=st.integers(0, 2**32),
)
def test_totals_over_all_users_are_exact_whatever_order_transfers_arrive_in(
    history: list[EventBase | None], partitions: int, seed: int
) -> None:
    """A None in the history delivers one waiting transfer."""
    chooser, cluster, expected = random.Random(seed), Cluster(partitions), Expected()
    for event in history:
        if event is None:
            cluster.deliver(chooser)
        else:
            cluster.fold(event)
            expected.add(event)
    cluster.settle(chooser)
    assert cluster.totals("rendered", "total", USERS) == expected.shown
    assert cluster.totals("rendered", "viewed", USERS) == expected.viewed
    assert cluster.totals("clicked", "count", USERS) == expected.clicked
    assert cluster.totals("clicked", "recommended", USERS) == expected.clicked_recommended
    assert cluster.totals("purchases", "orders", USERS) == expected.bought


@settings(max_examples=60)
@given(
    history=st.lists(events(), min_size=1, max_size=25),
    partitions=st.integers(1, 4),
    seed=st.integers(0, 2**32),
)
def test_last_user_of_a_chain_of_logins_has_what_all_had(
    history: list[EventBase], partitions: int, seed: int
) -> None:
    cluster, expected = Cluster(partitions), Expected()
    history = [event for event in history if not isinstance(event, Login)]
    for event in history:
        cluster.fold(event)
        expected.add(event)
    chooser = random.Random(seed)
    logins = list(pairwise(USERS))
    chooser.shuffle(logins)  # a -> b may arrive at b before or after b -> c is made
    for source, target in logins:
        late = NOW_MS + (60 + USERS.index(source)) * MINUTE_MS
        cluster.fold(a_login(user=source, target=target, time_ms=late))
        if chooser.random() < 0.5:
            cluster.deliver(chooser)
    cluster.settle(chooser)
    last = {item: state.total for item, state in cluster.items("rendered", USERS[-1]).items() if state.total}
    assert last == expected.shown
    for user in USERS[:-1]:
        assert cluster.items("rendered", user) == {}
    moved = Counter({item: state.total for item, state in cluster.items("rendered", "a", MOVED).items()})
    shown_to_a = Expected()
    for event in history:
        if event.user == "a":
            shown_to_a.add(event)
    assert +moved == shown_to_a.shown


def played(history: list[EventBase], flushed_after: set[int]) -> tuple[dict[str, Any], Any, list[Any]]:
    """Fold a history of one partition, each transfer three events after its login, with a restart after these events.

    Return the stored rows, the counts of the panes, and the transfers.
    """
    disk, sent = Disk(), []
    overlay = SpiedOverlay(MemoryStore(disk))

    def flush(at: SpiedOverlay) -> SpiedOverlay:
        store = at._store
        store.write(at.encode_changes()[0], {})
        store.close()
        return SpiedOverlay(MemoryStore(disk))

    waiting: list[tuple[int, Any]] = []
    for number, event in enumerate([*history, *[None] * 100]):
        if event is not None:
            fold(overlay, user_key(event.customer, event.user), event)
        while waiting and waiting[0][0] <= number:
            fold_transfer(overlay, waiting.pop(0)[1])
        waiting += [(number + 3, transfer) for transfer in overlay.sent]
        sent += [encode(transfer) for transfer in overlay.sent]  # encoded: a fold changes its states
        overlay.sent.clear()
        if number in flushed_after:
            overlay = flush(overlay)
    flush(overlay)
    # As bytes, because their order by last use counts too.
    rows: dict[str, Any] = {table: disk.tables.get(table, {}) for table in BY_NAME}
    panes = {key: BY_NAME["panes"].decode(raw).counts for key, raw in rows.pop("panes").items()}
    return rows, panes, sent


@settings(max_examples=100)
@given(history=st.lists(events(), max_size=30), flushed_after=st.sets(st.integers(0, 40), max_size=12))
def test_folding_split_by_restarts_gives_the_states_of_one_go(
    history: list[EventBase], flushed_after: set[int]
) -> None:
    assert played(history, flushed_after) == played(history, set())


def test_partition_split_gives_the_same_users_as_one_partition() -> None:
    """Partitioning itself changes nothing; only a login moves rows."""
    chooser = random.Random(7)
    history = [
        chooser.choice((a_rendered, a_click, a_buy, a_rate))(
            user=chooser.choice(USERS), time_ms=NOW_MS + number
        )
        for number in range(200)
    ]
    one, four = Cluster(1), Cluster(4)
    for event in history:
        one.fold(event)
        four.fold(event)
    assert len({four.home(user) for user in USERS}) > 1
    for table in ("rendered", "clicked", "purchases", "preferences", "impressions"):
        assert [one.state(table, user) for user in USERS] == [four.state(table, user) for user in USERS]
