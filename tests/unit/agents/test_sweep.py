"""The sweep deletes expired rows and no others, a few at a time, over and over."""

from agents.overlay import Overlay
from agents.sweep import Sweeper
from tables.ctr.panes import Counts, Pane
from tables.ctr.window_keys import SCENARIO, WindowKey
from tables.ctr.windows import WindowState
from tables.declare import BY_NAME
from tables.user.seen import SEEN_KEEP_MS
from tests.support.memory_store import MemoryStore

DAY_MS = 86_400_000
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


def deleted(overlay: Overlay, table: str) -> set[bytes]:
    return {key for key, state in overlay.tables[table].changed.items() if state is None}


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
    assert Sweeper().sweep(overlay) == 3
    assert deleted(overlay, "seen") == {b"old"}
    assert deleted(overlay, "panes") == {b"old"}
    assert deleted(overlay, "windows") == {minute}


def test_a_row_that_memory_has_newer_than_the_store_stays() -> None:
    overlay = an_overlay(a_store(seen={b"a": 1}))
    overlay.tables["seen"].put(b"a", NOW_MS)
    assert Sweeper().sweep(overlay) == 0
    assert overlay.tables["seen"].get(b"a") == NOW_MS


def test_the_walk_goes_on_where_it_stopped_and_begins_again() -> None:
    keys = [b"%03d" % number for number in range(25)]
    overlay = an_overlay(a_store(seen=dict.fromkeys(keys, 1)))
    sweeper = Sweeper()
    assert [sweeper.sweep(overlay, rows=10) for _ in range(3)] == [10, 10, 5]
    assert deleted(overlay, "seen") == set(keys)
    assert sweeper.sweep(overlay, rows=10) == 0, "a row deleted in memory is not swept again"


def test_nothing_goes_before_an_event_tells_the_time() -> None:
    overlay = an_overlay(a_store(seen={b"a": 1}))
    overlay.newest_received_ms = 0
    assert Sweeper().sweep(overlay) == 0


def test_a_swept_window_leaves_its_topic_too() -> None:
    minute = WindowKey("c", "s", SCENARIO, "minute", 0).encode()
    overlay = an_overlay(a_store(windows={minute: WindowState(received_ms=1)}))
    Sweeper().sweep(overlay)
    changes, outputs = overlay.encode_changes()
    assert changes["windows"] == [(minute, None)]
    assert [(output.topic, output.key, output.value) for output in outputs] == [
        ("uptake.ctr.windows", minute, None)
    ]
