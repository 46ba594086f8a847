"""The clock of this machine, and the Protocol that callers depend on."""

import time
from typing import Final, Protocol

_ELAPSED: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


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


def elapsed_ms() -> int:
    """Return milliseconds of a clock that never goes back and, on Linux, also counts while the machine sleeps."""
    return time.clock_gettime_ns(_ELAPSED) // 1_000_000


def monotonic_ms() -> int:
    """Return milliseconds of a clock that never goes back, to measure durations."""
    return time.monotonic_ns() // 1_000_000
