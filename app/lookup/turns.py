"""Turns of the event loop: long computations yield when they have taken a few milliseconds, so that other requests proceed.

A computation that also runs at once is a generator of steps: it yields after each short piece of work, and returns its result.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator, Sequence
from typing import Final, TypeVar

_T = TypeVar("_T")
_SLICE_SECONDS: Final = 0.0015
_STEP: Final = 64
"""Items of one step: well below a millisecond of work."""

Steps = Generator[None, None, _T]
"""A computation that yields after each step."""


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

    async def run(self, steps: Steps[_T]) -> _T:
        """Return the result of a computation. Between two steps, let other coroutines run if the slice is over."""
        while True:
            try:
                next(steps)
            except StopIteration as done:
                result: _T = done.value
                return result
            if self._clock() >= self._end:
                await asyncio.sleep(0)
                self._end = self._clock() + _SLICE_SECONDS


def at_once(steps: Steps[_T]) -> _T:
    """Return the result of a computation without letting others run."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: _T = done.value
            return result


def pieces(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """Yield the items in pieces that a step can work on; few items come as they are."""
    if len(items) <= _STEP:
        yield items
    else:
        for start in range(0, len(items), _STEP):
            yield items[start : start + _STEP]
