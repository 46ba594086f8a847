"""The warning of a cache that is too small: when it comes, what it says, and when it ends."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from agents.row_budget import RowBudget
from app.worker.cache_watch import CacheWatch

BUDGET = 100_000_000


class Bench:
    """A worker whose counts a test sets: per ten seconds, events, rows that they loaded, and bytes that were evicted."""

    def __init__(self) -> None:
        self.budget = RowBudget(BUDGET)
        self.counts = self.budget.counts("clicked")
        self.stats = SimpleNamespace(folded=0)
        partitions: Any = [SimpleNamespace(stats=self.stats)]
        self.watch = CacheWatch(self.budget, partitions, "UPTAKE_CACHE_BYTES")
        self.now_ms = 0
        self.watch.look(0)

    def run(self, seconds: int, events: int, loads: int, evicted_memory: float) -> None:
        for _ in range(seconds // 10):
            self.now_ms += 10_000
            self.stats.folded += events
            self.counts.fold_loads += loads
            self.counts.evicted_memory += evicted_memory
            self.watch.look(self.now_ms)


def test_cache_that_is_replaced_within_minutes_for_rows_that_folding_needs_is_too_small(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    bench = Bench()
    bench.run(290, 1_000, 2_000, BUDGET / 10)
    assert bench.watch.warnings() == []
    bench.run(60, 1_000, 2_000, BUDGET / 10)
    (sentence,) = bench.watch.warnings()
    assert sentence == (
        "the cache of rows is too small: in the last 5 minutes a folded event read 2.0 rows from the store, "
        "and 3.0 times as many rows were evicted as the cache holds. "
        "Set UPTAKE_CACHE_BYTES to 200000000 (it is 100000000), which may take 400 MB of memory, or start more workers"
    )
    assert bench.watch.status()["is_too_small"] is True
    assert [record.levelname for record in caplog.records] == ["WARNING"]  # once, not at each look
    bench.run(400, 1_000, 0, 0)
    assert bench.watch.warnings() == []
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


@pytest.mark.parametrize(
    ("events", "loads", "evicted_memory"),
    [
        (1_000, 2_000, BUDGET / 100),  # the cache fills, and holds what came in the last half hour
        (1_000, 300, BUDGET / 10),  # users who come after hours: no cache holds them
        (10, 20, BUDGET / 10),  # lookups pass through, and hardly an event
    ],
)
def test_cache_that_does_its_work_is_no_reason_to_warn(
    events: int, loads: int, evicted_memory: float
) -> None:
    bench = Bench()
    bench.run(1_000, events, loads, evicted_memory)
    assert bench.watch.warnings() == []


def test_counts_of_partitions_that_were_opened_again_are_not_compared_with_former_ones() -> None:
    bench = Bench()
    bench.run(290, 1_000, 2_000, BUDGET / 10)
    bench.stats.folded = 0
    bench.run(280, 1_000, 2_000, BUDGET / 10)
    assert bench.watch.warnings() == []
    bench.run(60, 1_000, 2_000, BUDGET / 10)
    assert len(bench.watch.warnings()) == 1


def test_status_has_size_reason_and_counts() -> None:
    bench = Bench()
    bench.counts.absent, bench.counts.evicted, bench.counts.lookup_loads = 3, 4, 5
    assert bench.watch.status() == {
        "max_bytes": BUDGET,
        "reason": "UPTAKE_CACHE_BYTES",
        "is_too_small": False,
        "held_bytes": 0,
        "waiting_bytes": 0,
        "fold_loads": 0,
        "lookup_loads": 5,
        "absent": 3,
        "evicted": 4,
    }
