"""The budget of a worker: bounded whatever the partitions do, shared by need, and no partition starves."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.row_budget import CacheShare, RowBudget
from agents.row_cache import RowCache

BUDGET = 100_000
PARTITIONS = 3
ROW_BYTES = 100
partitions = st.integers(0, PARTITIONS - 1)
ACTIONS = st.one_of(
    st.tuples(st.just("load"), partitions, st.integers(1, 150)),
    st.tuples(st.just("read"), partitions, st.integers(1, 150)),
    st.tuples(st.just("change"), partitions, st.integers(1, 60)),
    st.tuples(st.just("begin"), partitions),
    st.tuples(st.just("end"), partitions),
)


class Opened:
    """A partition of one table, whose store has a row of every key."""

    def __init__(self, budget: RowBudget, row_bytes: int = ROW_BYTES) -> None:
        self.budget = budget
        self.rows: RowCache[bytes] = RowCache(
            lambda _: b"x" * row_bytes, bytes, bytes, room=budget.room, counts=budget.counts("clicked")
        )
        self.share: CacheShare = budget.join({"clicked": self.rows})
        self.next = 0
        self.in_flight: list[bytes] = []

    def _keys(self, count: int) -> list[bytes]:
        self.next += count
        return [b"%d" % number for number in range(self.next - count, self.next)]

    def load(self, count: int) -> None:
        for key in self._keys(count):
            self.rows.get(key)

    def read(self, count: int) -> None:
        for key in self._keys(count):
            self.rows.read(key)

    def change(self, count: int) -> None:
        """Change rows as folding does: it waits where it must."""
        for key in self._keys(count):
            self.share.measure()
            if not self.share.must_wait():
                self.rows.put(key, b"y" * ROW_BYTES)

    def begin(self) -> None:
        if self.share.is_at_rest:
            self.share.hold()
            self.share.send()
            self.in_flight = [key for key, _ in self.rows.encode_changes()]

    def end(self) -> None:
        self.in_flight = []
        self.share.settle()

    def flush(self) -> None:
        self.begin()
        self.end()


@given(st.lists(ACTIONS, max_size=80))
def test_the_budget_holds_the_floor_holds_and_no_unflushed_row_leaves(actions: list[tuple[Any, ...]]) -> None:
    budget = RowBudget(BUDGET)
    opened = [Opened(budget) for _ in range(PARTITIONS)]
    row = opened[0].rows.row_memory
    for name, number, *arguments in actions:
        before = [each.share.cached for each in opened]
        getattr(opened[number], name)(*arguments)
        for each, cached in zip(opened, before, strict=True):
            each.share.measure()
            assert each.share.cached >= min(cached, budget.floor) - 2 * row or each is opened[number]
            kept = each.rows.recent.keys() | each.rows.older.keys()
            assert kept >= each.rows.changed.keys() | set(each.in_flight)
        if name == "end":
            # What cannot be evicted is in flight elsewhere, or below the floor.
            free = [
                each for each in opened if each.share.is_at_rest and each.share.cached > budget.floor + row
            ]
            assert budget.cached <= BUDGET or not free
        assert budget.waiting <= BUDGET + row * PARTITIONS
        assert budget.memory == pytest.approx(sum(each.share.memory for each in opened))


@given(st.lists(st.tuples(partitions, st.integers(1, 40)), max_size=100))
def test_changes_are_bounded_while_no_flush_commits(changes: list[tuple[int, int]]) -> None:
    budget = RowBudget(BUDGET)
    opened = [Opened(budget) for _ in range(PARTITIONS)]
    row = opened[0].rows.row_memory
    for number, count in changes:
        opened[number].change(count)
        opened[number].begin()
    assert budget.waiting <= BUDGET + row * PARTITIONS  # each may put one row after it was measured
    assert budget.memory <= 2 * BUDGET


def test_partition_whose_flush_stalls_leaves_room_for_the_changes_of_others() -> None:
    budget = RowBudget(BUDGET)
    stalled, healthy = Opened(budget), Opened(budget)
    stalled.begin()
    stalled.change(1_000)
    assert stalled.share.must_wait()
    for _ in range(100):
        healthy.change(5)
        healthy.share.measure()
        assert not healthy.share.must_wait()
        healthy.flush()


def test_one_partition_alone_gets_the_whole_budget_and_gives_it_back() -> None:
    budget = RowBudget(BUDGET)
    first = Opened(budget)
    for _ in range(50):
        first.load(20)
        first.flush()
    assert budget.cached > 0.85 * BUDGET
    first.share.leave()
    first.share.leave()
    assert (budget.memory, budget.waiting, budget.cached) == (0, 0, 0)


def test_busy_partition_takes_from_a_quiet_one_down_to_its_floor() -> None:
    budget = RowBudget(BUDGET)
    quiet, busy = Opened(budget), Opened(budget)
    quiet.load(80)
    quiet.flush()
    for _ in range(200):
        busy.load(20)
        busy.flush()
    floor, row = budget.floor, quiet.rows.row_memory
    assert floor - 2 * row <= quiet.share.cached <= floor + 2 * row
    assert busy.share.cached > 0.7 * BUDGET


def test_rows_in_use_stay_whichever_partition_has_them_while_others_pass_through() -> None:
    budget = RowBudget(BUDGET)
    used, passing = Opened(budget), Opened(budget)
    keys = [b"u%d" % number for number in range(40)]
    for _ in range(100):
        for key in keys:
            used.rows.get(key)
        passing.load(5)
        used.flush()
        passing.flush()
    assert used.rows.counts.evicted > 300
    assert used.rows.counts.fold_loads == len(keys) + 500  # each of the rows in use was loaded once


def test_lookups_of_a_stalled_partition_do_not_outgrow_the_budget_while_others_flush() -> None:
    budget = RowBudget(BUDGET)
    stalled, other = Opened(budget), Opened(budget)
    other.flush()
    stalled.begin()
    for _ in range(100):
        stalled.read(50)
        other.flush()
    stalled.share.measure()
    assert budget.cached <= BUDGET
    stalled.read(1)
    stalled.end()
    stalled.read(1)
    assert b"%d" % (stalled.next - 1) in stalled.rows.recent


def test_rows_in_flight_stay_while_other_partitions_need_room() -> None:
    budget = RowBudget(BUDGET)
    in_flight, other = Opened(budget), Opened(budget)
    in_flight.change(30)
    in_flight.begin()
    taken = set(in_flight.in_flight)
    in_flight.load(60)
    for _ in range(20):
        other.load(30)
        other.flush()
    assert other.rows.counts.evicted > 400
    assert taken <= set(in_flight.rows.keys_in_memory())
    in_flight.end()
    for _ in range(20):
        other.load(30)
        other.flush()
    assert not taken & set(in_flight.rows.keys_in_memory())


def test_records_to_send_wait_too_until_the_flush_ends() -> None:
    budget = RowBudget(BUDGET)
    opened = Opened(budget)
    opened.share.outputs_bytes = BUDGET
    opened.share.measure()
    assert opened.share.must_wait()
    opened.begin()
    opened.share.measure()
    assert opened.share.must_wait()
    opened.end()
    opened.share.measure()
    assert not opened.share.must_wait()


@pytest.mark.parametrize("step", [Opened.begin, Opened.end])
def test_rows_that_a_flush_took_are_evicted_only_after_it(step: Callable[[Opened], None]) -> None:
    budget = RowBudget(1_000)
    opened = Opened(budget)
    opened.change(1)
    opened.flush()
    opened.change(1)
    opened.begin()
    step(opened)
    budget.settle(opened.share)
    assert (b"1" in opened.rows.keys_in_memory()) == (step is Opened.begin)
