"""Which rows have expired? Each flush looks at a few rows more, round and round, so that no table grows for ever.

What expires and when is the table's own rule; a swept row is a tombstone in the changelog like any other deletion.
"""

from typing import Final

from agents.overlay import Overlay
from tables.declare import TABLES

_ROWS_A_FLUSH: Final = (
    100  # of each table: with a flush a second a partition passes over 360,000 rows an hour
)
_END: Final = b"\xff"  # no key begins with it: keys are ASCII or UTF-8

_SWEPT: Final = tuple((table.name, table.has_expired) for table in TABLES if table.has_expired is not None)


class Sweeper:
    """Walks over the tables whose rows expire.

    The receipt of the newest folded event is its clock: no row goes because a machine's clock is wrong.
    """

    def __init__(self) -> None:
        self._next: dict[str, bytes] = {name: b"" for name, _ in _SWEPT}

    def sweep(self, overlay: Overlay, rows: int = _ROWS_A_FLUSH) -> int:
        """Delete the expired among the next ``rows`` stored rows of each table; return how many went."""
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
