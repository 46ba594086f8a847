"""Ours and a peer get the same memory for caches, by default what our worker uses."""

import pytest

from app.base.settings import Settings
from benchmarks.cache_budget import WORKER_BYTES, budget_of


def test_default_is_what_a_worker_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Settings()
    budget = budget_of(None)
    assert (budget.rows, budget.blocks, budget.memtables) == (
        WORKER_BYTES,
        own.block_cache_bytes,
        own.memtable_bytes,
    )
    assert budget.env == {}


def test_given_budget_reaches_the_settings_of_our_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = budget_of(2 * WORKER_BYTES)
    for name, value in budget.env.items():
        monkeypatch.setenv(name, value)
    worker = Settings()
    assert worker.cache_bytes == budget.rows == budget.written_and_waiting // 2
    assert worker.block_cache_bytes == budget.blocks
