"""The sweep deletes expired rows and no others, a few at a time, over and over, and keeps up with what is written."""

import asyncio
from collections.abc import Iterator
from hashlib import md5
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agents import sweep
from agents.overlay import Overlay
from agents.sweep import Sweeper
from tables.ctr.item_columns import ItemColumns
from tables.ctr.item_windows import ItemWindow
from tables.ctr.panes import Counts, Pane
from tables.ctr.window_keys import ITEM, SCENARIO, WindowKey
from tables.ctr.windows import WindowState
from tables.declare import BY_NAME
from tables.user.seen import SEEN_KEEP_MS, row_key
from tests.support.memory_store import MemoryStore
from tests.support.overlays import forget_rows

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
NOW_MS = 800 * DAY_MS


def a_store(**tables: dict[bytes, object]) -> MemoryStore:
    store = MemoryStore()
    store.write(
        {
            name: [(key, BY_NAME[name].encode(row)) for key, row in rows.items()]
            for name, rows in tables.items()
        },
        {},
    )
    return store


def an_overlay(store: MemoryStore) -> Overlay:
    overlay = Overlay(store, 0, 1)
    overlay.newest_received_ms = NOW_MS
    return overlay


def swept(overlay: Overlay, sweeper: Sweeper) -> int:
    """Sweep as a flush does; return how many rows were deleted."""
    return asyncio.run(sweeper.sweep_due(overlay, lambda: True))


def deleted(overlay: Overlay, table: str) -> set[bytes]:
    return {key for key, state in overlay.tables[table].changed.items() if state is None}


def item_rows(*received_ms: int) -> dict[bytes, object]:
    """Return an hour of many items for each time of receipt."""
    items = ItemColumns({"rendered/1": {f"item-{number}": 1 for number in range(2_000)}})
    return {
        WindowKey("c", "s", ITEM, "hour", at * HOUR_MS).encode(): ItemWindow(each, items)
        for at, each in enumerate(received_ms)
    }


def test_hours_of_items_go_after_35_days_and_a_sweep_reads_none_of_their_items(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    overlay = an_overlay(a_store(item_windows=item_rows(NOW_MS - 35 * DAY_MS - 1, NOW_MS - 35 * DAY_MS)))
    monkeypatch.setattr(overlay.tables["item_windows"], "_decode", None)
    assert swept(overlay, Sweeper()) == 1
    assert deleted(overlay, "item_windows") == {WindowKey("c", "s", ITEM, "hour", 0).encode()}


def test_slow_rows_end_a_slice_before_it_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time counts too: a slice of 200 rows of many items took 90 ms."""
    overlay = an_overlay(a_store(seen={b"%d" % number: 0 for number in range(50)}))
    monkeypatch.setattr(sweep, "_SLICE_SECONDS", -1.0)
    yields = 0

    async def counted(_: float) -> None:
        nonlocal yields
        yields += 1

    monkeypatch.setattr(asyncio, "sleep", counted)
    assert swept(overlay, Sweeper()) == 50
    assert yields > 10


def test_only_expired_rows_go() -> None:
    minute = WindowKey("c", "s", SCENARIO, "minute", 0).encode()
    day = WindowKey("c", "s", SCENARIO, "day", 0).encode()
    overlay = an_overlay(
        a_store(
            seen={b"old": NOW_MS - SEEN_KEEP_MS, b"new": NOW_MS - SEEN_KEEP_MS + 1},
            panes={
                b"old": Pane(Counts(), 1, NOW_MS - 7 * DAY_MS - 1, 1),
                b"new": Pane(Counts(), 1, NOW_MS - 7 * DAY_MS, 1),
            },
            windows={
                minute: WindowState(received_ms=NOW_MS - 9 * DAY_MS),
                day: WindowState(received_ms=NOW_MS - 9 * DAY_MS),
            },
        )
    )
    assert swept(overlay, Sweeper()) == 3
    assert deleted(overlay, "seen") == {b"old"}
    assert deleted(overlay, "panes") == {b"old"}
    assert deleted(overlay, "windows") == {minute}


def test_a_row_that_memory_has_newer_than_the_store_stays() -> None:
    overlay = an_overlay(a_store(seen={b"a": 1}))
    overlay.tables["seen"].put(b"a", NOW_MS)
    assert swept(overlay, Sweeper()) == 0
    assert overlay.tables["seen"].get(b"a") == NOW_MS


def test_the_walk_goes_on_where_it_stopped_and_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "_LEAST_ROWS", 10)
    keys = [b"%03d" % number for number in range(25)]
    overlay = an_overlay(a_store(seen=dict.fromkeys(keys, 1)))
    sweeper = Sweeper()
    assert [swept(overlay, sweeper) for _ in range(3)] == [10, 10, 5]
    assert deleted(overlay, "seen") == set(keys)
    overlay.newest_received_ms += HOUR_MS
    assert swept(overlay, sweeper) == 0, "a row deleted in memory is not swept again"


def test_a_table_rests_for_an_hour_of_received_time_after_a_walk_over_all_of_it() -> None:
    overlay, sweeper = an_overlay(a_store(seen={b"a": NOW_MS - SEEN_KEEP_MS + 1, b"b": NOW_MS})), Sweeper()
    overlay.tables["seen"].put(b"b", NOW_MS)
    looked: list[bytes] = []
    stored = overlay.stored

    def count_looks(table: str, start: bytes, end: bytes, decode: Any) -> Iterator[tuple[bytes, Any]]:
        for key, state in stored(table, start, end, decode):
            if table == "seen":
                looked.append(key)
            yield key, state

    overlay.stored = count_looks  # type: ignore[method-assign]
    assert swept(overlay, sweeper) == 0
    assert swept(overlay, sweeper) == 0
    assert looked == [b"b", b"a", b"b"], (
        "the first walk began in the middle, so the second one follows at once"
    )
    overlay.newest_received_ms += HOUR_MS - 1
    assert swept(overlay, sweeper) == 0
    assert len(looked) == 3, "it rests"
    overlay.newest_received_ms += 1
    assert swept(overlay, sweeper) == 1
    assert deleted(overlay, "seen") == {b"a"}


def test_nothing_goes_before_an_event_tells_the_time() -> None:
    overlay = an_overlay(a_store(seen={b"a": 1}))
    overlay.newest_received_ms = 0
    assert swept(overlay, Sweeper()) == 0


def test_a_swept_window_leaves_its_topic_too() -> None:
    minute = WindowKey("c", "s", SCENARIO, "minute", 0).encode()
    overlay = an_overlay(a_store(windows={minute: WindowState(received_ms=1)}))
    swept(overlay, Sweeper())
    changes, outputs = overlay.encode_changes()
    assert changes["windows"] == [(minute, None)]
    assert [(output.topic, output.key, output.value) for output in outputs] == [
        ("uptake.ctr.windows", minute, None)
    ]


async def flush(overlay: Overlay, store: MemoryStore, sweeper: Sweeper) -> None:
    """Sweep and write the changes, as a partition's flush does."""
    await sweeper.sweep_due(overlay, lambda: True)
    changes, _ = overlay.encode_changes()
    store.write(changes, {})
    forget_rows(overlay)


@example(rate=400, lifetime=10)
@given(rate=st.integers(1, 500), lifetime=st.integers(2, 12))
@settings(max_examples=15, deadline=None)
async def test_a_table_never_holds_more_expired_rows_than_living_ones_at_any_steady_rate(
    rate: int, lifetime: int
) -> None:
    """``rate``: events with an eid in each flush. ``lifetime``: flushes in the 24 hours that a row lives."""
    store = MemoryStore()
    overlay, sweeper = an_overlay(store), Sweeper()
    rows = store.disk.tables.setdefault("seen", {})
    number = 0
    for turn in range(5 * lifetime):
        overlay.newest_received_ms = NOW_MS + turn * SEEN_KEEP_MS // lifetime
        for _ in range(rate):
            number += 1
            user = md5(b"%d" % number, usedforsecurity=False).hexdigest().encode()
            overlay.tables["seen"].put(row_key(user, "e"), overlay.newest_received_ms)
        await flush(overlay, store, sweeper)
        # Two flushes more: what is written in a flush is counted for the next one, and a row expires within one.
        assert len(rows) <= 2 * rate * (lifetime + 2)


async def test_a_large_sweep_yields_between_slices_and_stops_when_the_partition_closes() -> None:
    keys = [b"%05d" % number for number in range(5_000)]
    overlay, sweeper = an_overlay(a_store(seen=dict.fromkeys(keys, 1))), Sweeper()
    for key in keys:
        overlay.tables["panes"].put(key, Pane())
        overlay.tables["seen"].put(b"new" + key, NOW_MS)
    assert await sweeper.sweep_due(overlay, lambda: True) == 0, (
        "it began at the first new row, behind the old ones"
    )
    turns: list[int] = []

    async def count_turns() -> None:
        while True:
            turns.append(len(deleted(overlay, "seen")))
            await asyncio.sleep(0)

    counting = asyncio.create_task(count_turns())
    await sweeper.sweep_due(overlay, lambda: len(turns) < 10)
    counting.cancel()
    steps = [after - before for before, after in pairwise(turns)]
    assert len(turns) == 10, "it stopped when it was told to"
    assert max(steps) == 200
    await sweeper.sweep_due(overlay, lambda: True)
    assert deleted(overlay, "seen") == set(keys), "what was owed is checked later"


async def test_a_walk_of_a_partition_that_is_opened_often_does_not_always_begin_at_the_first_row() -> None:
    keys = [b"%05d" % number for number in range(1_000)]
    store = a_store(seen=dict.fromkeys(keys, 1))
    for opened in range(0, 1_000, 100):
        overlay = an_overlay(store)
        overlay.tables["seen"].put(keys[opened] + b"new", NOW_MS)
        await flush(overlay, store, Sweeper())
    assert not set(store.disk.tables["seen"]) & set(keys[1:])
