"""Log lines at a bounded rate: one a minute for each kind, with the number of occurrences that it stands for."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

LOG_EVERY_S: Final = 60.0
"""At most one line in this many seconds for each kind, and at most MOST_LINES for all kinds together."""
MOST_LINES: Final = 60

LineKind = tuple[str, ...]
"""What lines have in common: a customer and a reason. There are few of them."""


@dataclass(slots=True)
class _Unlogged:
    """Occurrences since the last line about them, and when that line was written."""

    count: int = 0
    logged_s: float = float("-inf")


class SparseLog:
    """Calls ``write(kind, count)`` for a line. ``clock_s`` is monotonic, in seconds.

    The first occurrence is logged at once. Call ``report`` now and then, so that the last ones are logged, too.
    """

    def __init__(
        self, write: Callable[[LineKind, int], None], clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._write, self._clock_s = write, clock_s
        self._unlogged: dict[LineKind, _Unlogged] = {}
        self._began_s, self._lines = float("-inf"), 0

    def add(self, kind: LineKind, count: int = 1) -> None:
        """Count occurrences, and log them if the last line of their kind is old enough."""
        unlogged = self._unlogged.setdefault(kind, _Unlogged())
        unlogged.count += count
        self._log_if_due(kind, unlogged, self._clock_s())

    def report(self, *, is_last: bool = False) -> None:
        """Log what is due, and forget kinds that have not occurred for a while. ``is_last``: log all of it now."""
        now_s = self._clock_s()
        for kind, unlogged in list(self._unlogged.items()):
            if unlogged.count:
                self._log_if_due(kind, unlogged, now_s, is_last=is_last)
            elif now_s - unlogged.logged_s >= LOG_EVERY_S:
                del self._unlogged[kind]

    def _log_if_due(
        self, kind: LineKind, unlogged: _Unlogged, now_s: float, *, is_last: bool = False
    ) -> None:
        if now_s - self._began_s >= LOG_EVERY_S:
            self._began_s, self._lines = now_s, 0
        is_due = is_last or now_s - unlogged.logged_s >= LOG_EVERY_S
        if not is_due or self._lines >= MOST_LINES:
            return
        self._lines += 1
        count, unlogged.count, unlogged.logged_s = unlogged.count, 0, now_s
        self._write(kind, count)
