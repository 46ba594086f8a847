"""Scans read a few rows at a time, and meet each row once: those in memory, in the store, and in both."""

from typing import Any

import pytest

from agents.overlay import Overlay
from tables.ctr.panes import Counts
from tables.ctr.windows import WindowState
from tables.declare import BY_NAME
from tests.support.memory_store import MemoryStore

STORED = range(0, 60, 2)
CHANGED = range(0, 60, 5)
DELETED = range(0, 60, 7)


def key(number: int) -> bytes:
    return b"%03d" % number


def row(clicks: int) -> WindowState:
    return WindowState(Counts(clicks=clicks))


@pytest.mark.parametrize("most", [1, 2, 3, 7, 30, 31, 1_000])
def test_a_scan_goes_on_where_it_stopped(most: int) -> None:
    store: Any = MemoryStore()
    encode = BY_NAME["windows"].encode
    store.write({"windows": [(key(number), encode(row(1))) for number in STORED]}, {})
    overlay = Overlay(store, 0, 1)
    expected = dict.fromkeys(STORED, 1)
    table = overlay.tables["windows"]
    for number in CHANGED:
        table.put(key(number), row(2))
        expected[number] = 2
    for number in DELETED:
        table.put(key(number), None)
        expected.pop(number, None)
    found: list[tuple[bytes, int]] = []
    at: bytes | None = key(3)
    while at is not None:
        rows, at = overlay.scan("windows", at, key(50), most, overlay.keys_in_memory("windows"))
        assert len(rows) <= most
        found += [(each, state.counts.clicks) for each, state in rows.items()]
    assert found == [(key(number), expected[number]) for number in sorted(expected) if 3 <= number < 50]
