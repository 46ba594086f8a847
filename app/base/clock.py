"""The clock of this machine, and the Protocol that callers depend on."""

import time
from typing import Protocol


class Clock(Protocol):
    """Wall-clock time."""

    def now_ms(self) -> int:
        """Return milliseconds since 1970 UTC."""
        ...


class SystemClock:
    """Wall-clock time of this machine."""

    def now_ms(self) -> int:
        """Return milliseconds since 1970 UTC."""
        return time.time_ns() // 1_000_000


def monotonic_ms() -> int:
    """Return milliseconds of a clock that never goes back, to measure durations."""
    return time.monotonic_ns() // 1_000_000
