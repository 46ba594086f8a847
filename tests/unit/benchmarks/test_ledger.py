"""The independent reader counts lost and doubled events."""

from collections import Counter

import msgspec
import pytest

from benchmarks.ledger import SHOWN_TABLES, Shown, compare, shown_by_key
from events.model import user_key
from tests.support.builders import CUSTOMER, USER, a_rendered, a_viewed
from tests.support.memory_store import Disk, MemoryStore
from tests.support.overlays import SpiedOverlay, fold_all

JOURNAL: Shown = {b"a": {"1": 2, "2": 1}, b"b": {"1": 1}}


@pytest.mark.parametrize(
    ("found", "lost", "doubled"),
    [
        (JOURNAL, 0, 0),
        ({b"a": {"1": 2, "2": 1}}, 1, 0),
        ({**JOURNAL, b"c": {"9": 3}}, 0, 3),
        ({b"a": {"1": 3}, b"b": {"1": 1}}, 1, 1),
        ({}, 4, 0),
    ],
)
def test_differences_are_counted(found: Shown, lost: int, doubled: int) -> None:
    verdict = compare(JOURNAL, found)
    assert (verdict.lost, verdict.doubled) == (lost, doubled)
    assert verdict.is_exact == (lost == doubled == 0)


def decoded(overlay: SpiedOverlay, disk: Disk) -> list[dict[bytes, list[object]]]:
    changes, _ = overlay.encode_changes()
    overlay._store.write(changes, {})
    return [
        {key: msgspec.msgpack.decode(row) for key, row in disk.tables.get(table, {}).items()}
        for table in SHOWN_TABLES
    ]


@pytest.mark.parametrize("lists", [0, 1, 15, 16, 17, 63, 64, 65, 80, 81, 200])
def test_lists_are_counted_whether_the_row_has_them_or_the_log(lists: int) -> None:
    disk = Disk()
    overlay, expected = SpiedOverlay(MemoryStore(disk)), Counter[str]()
    for number in range(lists):
        shown = (str(number % 5), str(number % 7), "1", "1")
        fold_all(overlay, a_rendered(items=shown), a_viewed(items=("2",)))
        expected.update(f"1/{item}" for item in set(shown))
    found = shown_by_key(*decoded(overlay, disk)).get(user_key(CUSTOMER, USER), {})
    assert {key: count for key, count in found.items() if count} == expected
