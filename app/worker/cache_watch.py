"""Warns when rows leave the memory of a worker before they are used again."""

import logging
from collections import deque
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from mode import Service

from agents.registry import Partitions
from agents.row_budget import RowBudget
from app.base.clock import elapsed_ms

log = logging.getLogger(__name__)

_EVERY_SECONDS: Final = 10.0
_SPAN_MS: Final = 300_000
_LEAST_EVENTS: Final = 1_000  # in the span; fewer cost little, wherever their rows are
_MOST_LOADS: Final = 0.5
"""Rows that a folded event may have to load. A user who comes back after hours loads some once, and then sends several events."""


class _Look(NamedTuple):
    """The counts of a worker at a time."""

    at_ms: int
    folded: int
    loads: int
    evicted_memory: float


class CacheWatch(Service):
    """Compares the counts of a worker with those of five minutes before."""

    def __init__(self, budget: RowBudget, partitions: Partitions, reason: str, **kwargs: Any) -> None:
        """``reason`` says why the budget has its size."""
        super().__init__(**kwargs)
        self._budget, self._partitions, self._reason = budget, partitions, reason
        self._looks: deque[_Look] = deque()
        self._warning: str | None = None

    @Service.task
    async def _look_regularly(self) -> None:
        while not self.should_stop:
            self.look(elapsed_ms())
            await self.sleep(_EVERY_SECONDS)

    def warnings(self) -> list[str]:
        """Return the sentence that says what is wrong and what to do; nothing while all is well."""
        return [] if self._warning is None else [self._warning]

    def status(self) -> Mapping[str, Any]:
        """Return the state of the cache for JSON; docs/operations.md lists the fields."""
        budget = self._budget
        counts = [each for _, each in budget]
        return {
            "max_bytes": int(budget.max_memory),
            "reason": self._reason,
            "is_too_small": self._warning is not None,
            "held_bytes": round(budget.memory),
            "waiting_bytes": round(budget.waiting),
            "fold_loads": sum(each.fold_loads for each in counts),
            "lookup_loads": sum(each.lookup_loads for each in counts),
            "absent": sum(each.absent for each in counts),
            "evicted": sum(each.evicted for each in counts),
        }

    def look(self, now_ms: int) -> None:
        """Compare now with five minutes ago, and log when the cache becomes too small or is no longer."""
        counts = [each for _, each in self._budget]
        look = _Look(
            now_ms,
            sum(partition.stats.folded for partition in self._partitions),
            sum(each.fold_loads for each in counts),
            sum(each.evicted_memory for each in counts),
        )
        looks = self._looks
        if looks and look.folded < looks[-1].folded:
            looks.clear()  # partitions were closed
        looks.append(look)
        if now_ms - looks[0].at_ms < _SPAN_MS:
            return
        first = looks.popleft()
        warning = self._judge(first, look)
        if warning is not None and self._warning is None:
            log.warning("%s", warning)
        elif warning is None and self._warning is not None:
            log.info("the cache of rows is large enough again")
        self._warning = warning

    def _judge(self, first: _Look, last: _Look) -> str | None:
        events = last.folded - first.folded
        loads = (last.loads - first.loads) / max(1, events)
        size_bytes = int(self._budget.max_memory)
        replaced = (last.evicted_memory - first.evicted_memory) / size_bytes
        if events < _LEAST_EVENTS or loads < _MOST_LOADS or replaced < 1:
            return None
        return (
            f"the cache of rows is too small: in the last {_SPAN_MS // 60_000} minutes a folded event read {loads:.1f} rows "
            f"from the store, and {replaced:.1f} times as many rows were evicted as the cache holds. "
            f"Set UPTAKE_CACHE_BYTES to {2 * size_bytes} (it is {size_bytes}), which may take {4 * size_bytes / 1e6:,.0f} MB of memory, "
            f"or start more workers"
        )
