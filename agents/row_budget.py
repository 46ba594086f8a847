"""The memory of a worker for rows: one budget, from which its partitions take what they need.

The budget bounds two memories. Rows that are in the store may take ``max_memory``; beyond it, those that were not used for longest are
evicted, whichever partition has them. Rows and records that wait for a flush may take as much again; beyond it, folding waits.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from agents.row_cache import CacheCounts, CacheRoom, RowCache

_DEFAULT_MEMORY: Final = 96 * 1_048_576  # bytes
_FLOORS: Final = (
    4  # one part in so many of the budget is divided evenly, and no partition loses its part of it
)
_LOW: Final = 15 / 16  # eviction stops at this part of the budget, so that not every flush has to evict
_LOW_FOR_LOOKUPS: Final = 3 / 4  # where lookups found no room
_OVERFULL: Final = 9 / 8  # from this part on, eviction does not wait for the next flush
_TURN: Final = 1 / 8  # rows turn older when so much of the budget was used since the last turn
_ROOMY: Final = 1 / 2  # below this part of the budget nothing turns
_HOG: Final = 8
"""A partition waits when it has so many times what is still free. So one whose flush stalls leaves room for the others."""


class CacheShare:
    """What one partition takes of the budget."""

    def __init__(self, budget: "RowBudget", tables: Sequence[RowCache[Any]]) -> None:
        self._budget, self._tables = budget, tables
        self.is_at_rest = True
        """Whether no flush is in progress, so that rows may be evicted."""
        self.outputs_bytes = 0
        """Size of the records that the next flush sends."""
        self._rows_in_flight = 0.0
        self._bytes_in_flight = 0
        self.memory = self.waiting = 0.0
        """Estimated memory of rows and records, and of those that wait for a flush, when they were last measured."""

    @property
    def cached(self) -> float:
        """Estimated memory of the rows that wait for no flush."""
        return max(0.0, self.memory - self.waiting)

    @property
    def aged_memory(self) -> float:
        """Estimated memory of the rows that were not used for longest."""
        return sum(rows.aged_memory for rows in self._tables)

    @property
    def recent_memory(self) -> float:
        """Estimated memory of the rows that were used since the last turn."""
        return sum(rows.recent_memory for rows in self._tables)

    def measure(self) -> tuple[int, float]:
        """Measure what the partition takes. Return the number of changed rows and the memory of all rows, in bytes.

        Folding asks every few hundred records, so tables without rows cost one look each.
        """
        changes, changed_memory, memory = 0, 0.0, 0.0
        for rows in self._tables:
            if not rows.recent and not rows.older:
                continue
            changed = rows.changed_memory
            changes += len(rows.changed)
            changed_memory += changed
            memory += changed + (len(rows) - len(rows.changed)) * rows.row_memory
        records = self.outputs_bytes + self._bytes_in_flight
        waiting = changed_memory + self._rows_in_flight + records
        self._budget.add(memory + records - self.memory, waiting - self.waiting)
        self.memory, self.waiting = memory + records, waiting
        return changes, memory

    def must_wait(self) -> bool:
        """Tell whether so much memory is in use that the partition must flush before it folds on, as it was last measured.

        Rows that wait for no flush are no reason to flush. They are evicted at once, or when the flush in progress ends.
        """
        budget = self._budget
        if self.is_at_rest and budget.memory - budget.waiting > _OVERFULL * budget.max_memory:
            self.settle()
        return self.waiting >= _HOG * (budget.max_memory - budget.waiting) or (
            # Repeated events change nothing, but what was read for them is held until the flush is in the store.
            not self.is_at_rest and self.memory >= _HOG * (2 * budget.max_memory - budget.memory)
        )

    def hold(self) -> None:
        """Keep all rows in memory until ``settle``: a flush begins."""
        self.is_at_rest = False

    def send(self) -> None:
        """Count what changed, and the records to send, as waiting until ``settle``: the flush takes them now."""
        self._rows_in_flight = sum(rows.changed_memory for rows in self._tables)
        self._bytes_in_flight, self.outputs_bytes = self.outputs_bytes, 0

    def settle(self) -> None:
        """Let rows be evicted again: the flush is in the store. Evict what is too much, and give the room that is left to lookups."""
        if not self.is_at_rest:
            for rows in self._tables:
                rows.let_go()
        self.is_at_rest, self._rows_in_flight, self._bytes_in_flight = True, 0.0, 0
        self._budget.settle(self)

    def turn(self) -> None:
        """Make all rows older (agents/row_cache.py)."""
        for rows in self._tables:
            rows.turn()
        self.measure()

    def evict(self, part: float, floor: float) -> float:
        """Drop a part of the aged rows of each table, unless less than ``floor`` would be left. Return the memory that was freed."""
        aged = self.aged_memory
        part = min(part, (self.cached - floor) / aged) if aged else 0.0
        freed = sum(rows.evict(part * rows.aged_memory) for rows in self._tables if rows.aged_memory)
        self.measure()
        return freed

    def leave(self) -> None:
        """Give everything back: the partition is closed."""
        self._budget.leave(self)


class RowBudget:
    """The memory for the rows of all partitions of a worker, in bytes."""

    def __init__(self, max_memory: float = _DEFAULT_MEMORY) -> None:
        self.max_memory = max_memory
        self.memory = self.waiting = 0.0
        """The sums over the shares."""
        self.room = CacheRoom()
        self._counts: dict[str, CacheCounts] = {}
        self._shares: list[CacheShare] = []

    def counts(self, table: str) -> CacheCounts:
        """Return the counts of a table, of all partitions together."""
        return self._counts.setdefault(table, CacheCounts())

    def __iter__(self) -> Iterator[tuple[str, CacheCounts]]:
        """Yield each table with its counts."""
        return iter(self._counts.items())

    def join(self, tables: Mapping[str, RowCache[Any]]) -> CacheShare:
        """Return the share of a partition that is opened."""
        share = CacheShare(self, list(tables.values()))
        self._shares.append(share)
        return share

    def leave(self, share: CacheShare) -> None:
        """Take a share back. Nothing happens if that was done before."""
        if share in self._shares:
            self._shares.remove(share)
            self.add(-share.memory, -share.waiting)

    def add(self, memory: float, waiting: float) -> None:
        """Note that a share has grown or shrunk."""
        self.memory += memory
        self.waiting += waiting

    @property
    def cached(self) -> float:
        """Memory of the rows that wait for no flush, of all partitions."""
        return sum(share.cached for share in self._shares)

    @property
    def floor(self) -> float:
        """Memory below which eviction takes nothing from a partition."""
        return self.max_memory / _FLOORS / max(1, len(self._shares))

    def settle(self, share: CacheShare) -> None:
        """Evict what is too much, and set the room of lookups."""
        share.measure()
        cached = self.cached
        if self.room.taken or cached > _ROOMY * self.max_memory:
            for each in self._shares:
                each.measure()
            cached = self.cached
            if (
                cached > _ROOMY * self.max_memory
                and sum(each.recent_memory for each in self._shares) > _TURN * self.max_memory
            ):
                self._turn()
        if self.room.is_short:
            self._evict(_LOW_FOR_LOOKUPS * self.max_memory)
        elif cached > self.max_memory:
            self._evict(_LOW * self.max_memory)
        self.room.set(self.max_memory - self.cached)

    def _turn(self) -> None:
        for each in self._shares:
            if each.is_at_rest:
                each.turn()

    def _evict(self, low: float) -> None:
        """Evict rows that were not used for longest, of all partitions in proportion, until ``low`` is left."""
        turns = 0
        while (excess := self.cached - low) > 0:
            shares = [each for each in self._shares if each.is_at_rest and each.cached > self.floor]
            aged = sum(each.aged_memory for each in shares)
            freed = sum(each.evict(min(1.0, excess / aged), self.floor) for each in shares) if aged else 0.0
            if freed <= 0:
                if turns == 2:  # after two turns all rows are aged that may be evicted
                    return
                turns += 1
                self._turn()
