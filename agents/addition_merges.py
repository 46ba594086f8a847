"""Merges the additions that wait in a partition into the windows of items and users.

The additions of an hour are merged when they are many, and when its scenario has been quiet for a while. A merge rewrites rows of all
items of the scenario, so it is worth its cost for many additions only.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from agents.overlay import Overlay
from tables.ctr import item_windows, pending_additions, user_windows
from tables.ctr.additions import Addition, Seen
from tables.ctr.item_columns import ItemColumns
from tables.ctr.item_windows import MAX_ITEMS, ItemWindow, add_to_windows
from tables.ctr.pending_additions import hour_key, hour_of, row_key
from tables.ctr.unique_users import library
from tables.ctr.user_windows import UserWindow, add_users
from tables.ctr.window_keys import ITEM_IMAGE, SCENARIO, WindowKey, scenario_head
from tables.ctr.windows import at

MERGE_AFTER: Final = 32
"""Additions to an hour that are merged at once."""
_MANY_NAMES: Final = 4_000
_QUIET_S: Final = 30.0
_LEAST_MERGES: Final = 8
_MERGE_SECONDS: Final = 0.05
"""A flush merges so many hours, and more while it has this time: additions that come faster must not pile up."""
_BYTES_OF_NAME: Final = 16
_END: Final = b"\xff"  # no key begins with it


@dataclass(slots=True)
class _Waiting:
    """The additions of one hour. Their rows are numbered from 0."""

    rows: int = 0
    names: int = 0
    touched: float = 0.0


class AdditionMerger:
    """Keeps the additions of one partition, and merges those that are due."""

    def __init__(
        self,
        overlay: Overlay,
        max_items: int = MAX_ITEMS,
        merge_after: int = MERGE_AFTER,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``max_items``: items of a scenario that count by themselves in a day. ``clock`` returns seconds."""
        self._overlay, self._max_items, self._merge_after = overlay, max_items, merge_after
        self._clock = clock
        library()  # loaded here, and not between two lookups
        self._waiting: dict[bytes, _Waiting] = {}
        self._merges: dict[bytes, int] = {}
        now = clock()
        for row, size in overlay.stored("pending_additions", b"", _END, len):
            self._note(hour_of(row), size // _BYTES_OF_NAME, now)  # nothing is in memory yet

    def keep(self, customer: str, scenario: str, addition: Addition) -> None:
        """Let an addition wait until it is merged. Lookups see it at once."""
        hour = hour_key(customer, scenario, addition.start_ms).encode()
        number = self._note(hour, len(addition), self._clock())
        self._overlay.rows[pending_additions.TABLE].put(row_key(hour, number), addition)

    def _note(self, hour: bytes, names: int, now: float) -> int:
        """Count an addition of an hour, and return its number."""
        waiting = self._waiting.get(hour)
        if waiting is None:
            waiting = self._waiting[hour] = _Waiting()
        waiting.rows += 1
        waiting.names += names
        waiting.touched = now
        return waiting.rows - 1

    def merges_of(self, customer: str, scenario: str) -> int:
        """Return a number that changes when additions of a scenario are merged. A reader that pauses compares it."""
        return self._merges.get(scenario_head(customer, scenario), 0)

    async def merge_due(self, is_open: Callable[[], bool]) -> int:
        """Merge hours that are due. Return how many were merged. Stop early unless ``is_open()``.

        No flush may be in flight: its rows are neither among the changed ones nor in the store.
        """
        if not self._waiting:
            return 0
        quiet_since = self._clock() - _QUIET_S
        due = [
            hour
            for hour, each in self._waiting.items()
            if each.names >= _MANY_NAMES or each.rows >= self._merge_after or each.touched <= quiet_since
        ]
        deadline = self._clock() + _MERGE_SECONDS
        for merged, hour in enumerate(due):
            if merged:
                await asyncio.sleep(0)
                if not is_open() or (merged >= _LEAST_MERGES and self._clock() >= deadline):
                    return merged
            self._merge(hour)
        return len(due)

    def _merge(self, hour: bytes) -> None:
        """Merge all additions of an hour."""
        key = WindowKey.decode(hour)
        head = scenario_head(key.customer, key.scenario)
        self._merges[head] = self._merges.get(head, 0) + 1
        rows = self._overlay.rows[pending_additions.TABLE]
        items, images = ItemColumns(), ItemColumns()
        seen: dict[str, Seen] = {}
        received_ms = 0
        for number in range(self._waiting.pop(hour).rows):
            row = row_key(hour, number)
            addition = rows.get(row)
            if addition is None:
                continue
            rows.put(row, None)
            items.add(addition.items)
            images.add(addition.images)
            for variant, marks in addition.seen.items():
                seen.setdefault(variant, Seen()).add(marks)
            received_ms = max(received_ms, addition.received_ms)
        if items:
            self._add_items(key, items, received_ms)
        if images:
            self._add_items(msgspec.structs.replace(key, dimension=ITEM_IMAGE), images, received_ms)
        if seen:
            self._add_users(msgspec.structs.replace(key, dimension=SCENARIO), seen, received_ms)

    def _add_items(self, key: WindowKey, added: ItemColumns, received_ms: int) -> None:
        rows, hour, day = self._overlay.rows[item_windows.TABLE], key.encode(), at(key, "day").encode()
        of_hour, of_day = rows.get(hour) or ItemWindow(), rows.get(day) or ItemWindow()
        add_to_windows(of_hour, of_day, added, received_ms, self._max_items)
        rows.put(hour, of_hour)
        rows.put(day, of_day)

    def _add_users(self, key: WindowKey, seen: dict[str, Seen], received_ms: int) -> None:
        rows = self._overlay.rows[user_windows.TABLE]
        for row in (key.encode(), at(key, "day").encode()):
            window = rows.get(row) or UserWindow()
            add_users(window, seen, received_ms)
            rows.put(row, window)
