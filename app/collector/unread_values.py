"""Counts and logs values that could not be read, and without which their events were recorded."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client import Counter

log = logging.getLogger(__name__)

LOG_EVERY_S: Final = 60.0
"""At most one line in this many seconds, for each customer and reason."""


@dataclass(slots=True)
class _Unlogged:
    """Events of a customer since the last line about it, and when that line was written."""

    events: int
    logged_s: float


class UnreadValues:
    """Counts by reason. The log names customer and reason, and never a value: it may be anything that a client sends.

    ``counters``: reason -> its metric. ``clock_s`` is monotonic, in seconds.
    """

    def __init__(
        self, counters: Mapping[str, Counter], clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._counters, self._clock_s = counters, clock_s
        self._unlogged: dict[tuple[str, str], _Unlogged] = {}

    def add(self, customer: str, reason: str) -> None:
        """Count one event."""
        self._counters[reason].inc()
        now_s = self._clock_s()
        unlogged = self._unlogged.setdefault((customer, reason), _Unlogged(0, -LOG_EVERY_S))
        unlogged.events += 1
        if now_s - unlogged.logged_s >= LOG_EVERY_S:
            log.warning(
                "customer %s: %d events were recorded without a value that cannot be read: %s",
                customer,
                unlogged.events,
                reason,
            )
            unlogged.events, unlogged.logged_s = 0, now_s
