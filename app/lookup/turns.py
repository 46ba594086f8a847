"""Turns of the event loop: long computations yield when they have taken a few milliseconds, so that other requests proceed."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final, TypeVar

_T = TypeVar("_T")
_SLICE_SECONDS: Final = 0.004


class Turns:
    """Slices of one computation."""

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        """``clock`` returns seconds; by default the performance counter."""
        self._clock = clock or time.perf_counter
        self._end = self._clock() + _SLICE_SECONDS

    async def each(self, items: Iterable[_T]) -> AsyncIterator[_T]:
        """Yield the items. Between two of them, let other coroutines run if the slice is over."""
        for item in items:
            yield item
            if self._clock() >= self._end:
                await asyncio.sleep(0)
                self._end = self._clock() + _SLICE_SECONDS
