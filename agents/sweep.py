"""Deletes expired rows: each flush checks some rows of each table, in an endless cycle, so that no table grows for ever.

Each table decides which of its rows have expired. A swept row is a tombstone in the changelog, like any other deletion.

The sweep keeps up with any steady rate, because it checks two rows for each row that was written. Say r rows are written per flush,
and a row lives for T flushes. A cycle over N rows takes N / 2r flushes, and N is at most r (T + the cycle). So a cycle takes at most
T flushes: the table never holds more expired rows than living ones. After a cycle, a table rests for an hour of received time. Rows
live for a day or longer, so an hour finds few more. Without the rest, a table whose rows are rewritten in each flush is walked in each.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

from agents.overlay import Overlay
from tables.declare import TABLES

_LEAST_ROWS: Final = 100
"""Rows of each table that every flush checks."""
_ROWS_PER_WRITE: Final = 2  # with 1, a cycle would never end: the table would grow as fast as the walk moves
_MOST_ROWS: Final = 50_000
"""Rows of each table that a flush checks at most. What is left is checked by the next flushes."""
_ROWS_A_SLICE: Final = 200  # then the sweep yields to the event loop; at 3 to 10 us per row
_SLICE_SECONDS: Final = 0.003  # or after this time: a row of many items takes longer
_REST_MS: Final = 3_600_000
"""Received time from the end of a walk to the beginning of the next one."""
_END: Final = b"\xff"  # no key begins with it, because keys are ASCII or UTF-8

_HasExpired = Callable[[bytes, Any, int], bool]
_SWEPT: Final = tuple((table.name, table.has_expired) for table in TABLES if table.has_expired is not None)
_DECODE: Final = {table.name: table.decode_for_sweep for table in TABLES}


class Sweeper:
    """Walks over the tables whose rows expire.

    Its clock is the receipt of the newest folded event, so a wrong clock of this machine deletes no row.
    """

    def __init__(self) -> None:
        self._next: dict[str, bytes | None] = {name: None for name, _ in _SWEPT}
        self._owed: dict[str, int] = dict.fromkeys(self._next, 0)
        self._rests_until_ms: dict[str, int] = dict.fromkeys(self._next, 0)
        self._walks_all: set[str] = (
            set()
        )  # tables whose walk began at the first row; their first walk may not

    async def sweep_due(self, overlay: Overlay, may_continue: Callable[[], bool]) -> int:
        """Delete the expired rows among the next rows of each table, in proportion to the rows written since the last call.

        Return how many were deleted. Between slices it yields to the event loop, and stops unless ``may_continue()``. Call it before
        each flush takes the changes, without yielding in between: it counts the changed rows.
        """
        swept: dict[str, int] = {}
        for table, has_expired in _SWEPT:
            if overlay.newest_received_ms < self._rests_until_ms[table]:
                continue
            due = min(max(self._owed[table], _LEAST_ROWS), _MOST_ROWS)
            self._owed[table] = max(0, self._owed[table] - due)
            swept[table] = 0
            while due > 0 and may_continue():
                looked, expired = self._look(overlay, table, has_expired, min(due, _ROWS_A_SLICE))
                swept[table] += expired
                due -= looked
                if not self._next[table]:  # the end: every row was checked since the walk began
                    due = self._owed[table] = 0
                if due > 0:
                    await asyncio.sleep(0)
            self._owed[table] += due
        for table, expired in swept.items():
            written = max(0, len(overlay.tables[table].changed) - expired)
            self._owed[table] += _ROWS_PER_WRITE * written
        return sum(swept.values())

    def _look(self, overlay: Overlay, table: str, has_expired: _HasExpired, rows: int) -> tuple[int, int]:
        """Check the next ``rows`` stored rows of a table. Return how many were checked, and how many of them were deleted."""
        start = self._next[table]
        if start is None:
            # A new walk begins at the row of any user. If each began at the first key, a partition that is opened often would never
            # check its last rows.
            start = next(iter(overlay.tables[table].changed), b"")
        if not start:
            self._walks_all.add(table)
        self._next[table] = b""  # from the beginning again, unless the walk stops early
        looked = swept = 0
        deadline = time.perf_counter() + _SLICE_SECONDS
        for key, state in overlay.stored(table, start, _END, _DECODE[table]):
            if looked == rows or (looked and time.perf_counter() >= deadline):
                self._next[table] = key
                break
            looked += 1
            if state is not None and has_expired(key, state, overlay.newest_received_ms):
                overlay.tables[table].put(key, None)
                swept += 1
        else:
            if table in self._walks_all:
                self._rests_until_ms[table] = overlay.newest_received_ms + _REST_MS
        return looked, swept
