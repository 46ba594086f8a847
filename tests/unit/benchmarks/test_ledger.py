"""The independent reader counts lost and doubled events."""

import pytest

from benchmarks.ledger import Shown, compare

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
