"""Closes windows: marks those that became final, which publishes them once more, a bounded number in each flush.

docs/decisions/0011 has the rules.
"""

import asyncio
import time
from collections.abc import Callable
from itertools import islice
from typing import Final

from agents.overlay import Overlay
from tables.ctr import open_windows, watermarks, windows
from tables.ctr.open_windows import adopt, due_range, history_range, window_row
from tables.ctr.watermarks import WatermarkRules, WatermarkState
from tables.ctr.window_keys import WindowKey
from tables.ctr.windows import close

_MAX_CLOSED: Final = 1_000  # windows per flush; each is read, and written as JSON
_ADOPTED: Final = 500  # windows of an earlier version that each flush checks
_END: Final = b"\xff"  # no key begins with it, because keys are ASCII or UTF-8
_SLICE_SECONDS: Final = 0.004
_SLICE_WINDOWS: Final = 32


class Closer:
    """Closes the windows of one partition in the order of their ends."""

    def __init__(self, overlay: Overlay, number: int, rules: WatermarkRules) -> None:
        self._overlay, self._rules = overlay, rules
        self._row_key = watermarks.row_key(number)
        self._start = b""
        self._may_have_history = True
        is_first = overlay.rows[watermarks.TABLE].get(self._row_key) is None
        self._adopt_from = b"" if is_first else _END

    def expect_history(self) -> None:
        """Note that a window of the history lane was opened, so that the next end of this lane closes it."""
        self._may_have_history = True

    async def close_due(self, is_open: Callable[[], bool]) -> int:
        """Close the windows that are due, at most _MAX_CLOSED, in slices. Return how many rows changed.

        Stop early if ``is_open`` returns False. No flush may be in flight: its rows are neither among the changed ones nor in the store.
        """
        state = self._overlay.rows[watermarks.TABLE].get(self._row_key)
        adopted = 0 if self._adopt_from == _END else self._adopt(0 if state is None else state.reached_ms)
        if state is None:
            return adopted
        rows = self._take_live(state)
        if (
            self._may_have_history
            and len(rows) < _MAX_CLOSED
            and watermarks.is_history_read(state, self._rules)
        ):
            of_history = self._first(*history_range())
            self._may_have_history = len(of_history) == _MAX_CLOSED
            rows += of_history
        deadline = time.perf_counter() + _SLICE_SECONDS
        for closed, row in enumerate(rows, 1):
            self._close(row)
            if closed % _SLICE_WINDOWS == 0 and time.perf_counter() >= deadline:
                await asyncio.sleep(0)
                if not is_open():
                    break
                deadline = time.perf_counter() + _SLICE_SECONDS
        return adopted + len(rows)

    def _take_live(self, state: WatermarkState) -> list[bytes]:
        """Return the index rows of the windows that the watermark has passed.

        The search starts where the last one stopped. Before that no window is open, because an event there makes its window final at once.
        """
        start, stop = due_range(state.reached_ms, self._rules.grace_ms)
        start = max(start, self._start)
        if start >= stop:
            return []
        rows = self._first(start, stop)
        self._start = rows[-1] if len(rows) == _MAX_CLOSED else stop
        return rows

    def _first(self, start: bytes, stop: bytes) -> list[bytes]:
        """Return the first rows of a range, in order, from the rows that changed since the last flush and from the store."""
        changed = self._overlay.rows[open_windows.TABLE].changed
        fresh = [row for row, value in changed.items() if value is not None and start <= row < stop]
        stored = (
            row for row, value in self._overlay.stored("open_windows", start, stop) if value is not None
        )
        return sorted({*fresh, *islice(stored, _MAX_CLOSED)})[:_MAX_CLOSED]

    def _close(self, row: bytes) -> None:
        overlay = self._overlay
        if overlay.rows[open_windows.TABLE].get(row) is None:
            return  # a live event between two slices changed it
        key = window_row(row)
        state = overlay.rows[windows.TABLE].get(key)
        if state is not None and close(state):
            overlay.rows[windows.TABLE].put(key, state)
        overlay.rows[open_windows.TABLE].put(row, None)

    def _adopt(self, watermark_ms: int) -> int:
        """Index the next _ADOPTED windows that were stored before the index existed. Return how many changed."""
        overlay = self._overlay
        start, self._adopt_from = self._adopt_from, _END  # done, unless the walk stops early
        adopted = 0
        for looked, (row, state) in enumerate(overlay.stored("windows", start, _END)):
            if looked == _ADOPTED:
                self._adopt_from = row
                break
            if state is not None and not state.lane:
                for open_row, value in adopt(
                    state, WindowKey.decode(row), watermark_ms, self._rules.grace_ms
                ).items():
                    overlay.rows[open_windows.TABLE].put(open_row, value)
                overlay.rows[windows.TABLE].put(row, state)
                adopted += 1
        return adopted
