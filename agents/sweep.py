"""Which rows have expired? Each flush looks at a few rows more, round and round, so that no table grows for ever.

What expires and when is the table's own rule; a swept row is a tombstone in the changelog like any other deletion.
"""

from collections.abc import Callable
from typing import Any, Final

from agents.overlay import Overlay
from tables.ctr import panes, windows
from tables.ctr.window_keys import WindowKey
from tables.user import seen

_ROWS_A_FLUSH: Final = (
    100  # of each table: with a flush a second a partition passes over 360,000 rows an hour
)
_END: Final = b"\xff"  # no key begins with it: keys are ASCII or UTF-8

_HAS_EXPIRED: Final[dict[str, Callable[[bytes, Any, int], bool]]] = {
    "seen": lambda _key, seen_ms, now_ms: seen.is_expired(seen_ms, now_ms),
    "panes": lambda _key, pane, now_ms: panes.has_expired(pane, now_ms),
    "windows": lambda key, state, now_ms: windows.has_expired(
        state, WindowKey.decode(key).granularity, now_ms
    ),
}


class Sweeper:
    """Walks over the tables whose rows expire.

    The receipt of the newest folded event is its clock: no row goes because a machine's clock is wrong.
    """

    def __init__(self) -> None:
        self._next: dict[str, bytes] = dict.fromkeys(_HAS_EXPIRED, b"")

    def sweep(self, overlay: Overlay, rows: int = _ROWS_A_FLUSH) -> int:
        """Delete the expired among the next ``rows`` stored rows of each table; return how many went."""
        swept = 0
        for table, has_expired in _HAS_EXPIRED.items():
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
