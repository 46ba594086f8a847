"""Deletes expired rows: each flush checks the next few rows of each table, in an endless cycle, so that no table grows for ever.

Each table decides which of its rows have expired. A swept row is a tombstone in the changelog, like any other deletion.
"""

from typing import Final

from agents.overlay import Overlay
from tables.declare import TABLES

# Rows of each table. With one flush per second, a partition checks 360,000 rows per hour.
_ROWS_A_FLUSH: Final = 100
_END: Final = b"\xff"  # no key begins with it, because keys are ASCII or UTF-8

_SWEPT: Final = tuple((table.name, table.has_expired) for table in TABLES if table.has_expired is not None)


class Sweeper:
    """Walks over the tables whose rows expire.

    Its clock is the receipt of the newest folded event, so a wrong clock of this machine deletes no row.
    """

    def __init__(self) -> None:
        self._next: dict[str, bytes] = {name: b"" for name, _ in _SWEPT}

    def sweep(self, overlay: Overlay, rows: int = _ROWS_A_FLUSH) -> int:
        """Delete the expired rows among the next ``rows`` stored rows of each table. Return how many were deleted."""
        swept = 0
        for table, has_expired in _SWEPT:
            start = self._next[table]
            self._next[table] = b""  # from the beginning again, unless the walk stops early
            for looked, (key, state) in enumerate(overlay.stored(table, start, _END)):
                if looked == rows:
                    self._next[table] = key
                    break
                if state is not None and has_expired(key, state, overlay.newest_received_ms):
                    overlay.tables[table].put(key, None)
                    swept += 1
        return swept
