"""Samples of CPU time by the events that are durable, which become the rates of parts of a run: its tenths and its halves."""

import itertools
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence

from benchmarks.rounds import Run

_TENTHS = 10
_EVERY_SECONDS = 1.0
FIRST_HALF, SECOND_HALF = "first_half_per_cpu_second", "second_half_per_cpu_second"
SECOND_VS_FIRST = "second_vs_first_half"


class Progress:
    """What a run has used for each number of durable events. ``durable`` returns how many events are durable so far.

    A contestant makes its partitions durable one after the other, about once a second, so it is looked at as often.
    """

    def __init__(self, durable: Callable[[], int]) -> None:
        self._durable = durable
        self._samples: list[tuple[int, float]] = [(0, 0.0)]
        self._next = time.monotonic() + _EVERY_SECONDS

    def sample(self, cpu: Callable[[], float]) -> None:
        """Keep the CPU time once a second if more events are durable than before."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _EVERY_SECONDS
        events = self._durable()
        if events > self._samples[-1][0]:
            self._samples.append((events, cpu()))

    def end(self, events: int, cpu_seconds: float) -> None:
        """Keep the CPU time at the end of a run, when all of its events are durable."""
        self._samples = [sample for sample in self._samples if sample[0] < events]
        self._samples.append((events, cpu_seconds))

    def cpu_at(self, events: int) -> float:
        """Return the CPU time at a number of events of a run that has ended, between two samples in proportion."""
        return _at(self._samples, events)

    def fill_in(self, run: Run) -> None:
        """Write the rates of the parts into a run that has ended."""
        run.tenths = rates_of_parts(self._samples, _TENTHS)
        first, second = rates_of_parts(self._samples, 2)
        run.figures |= {FIRST_HALF: first, SECOND_HALF: second}
        if first:
            run.figures[SECOND_VS_FIRST] = round(second / first, 3)


def rates_of_parts(samples: Sequence[tuple[int, float]], parts: int) -> list[float]:
    """Return the events per CPU-second in each of ``parts`` equal parts of the events, 0 for a part without CPU time.

    ``samples`` are pairs of events and CPU time so far, which ascend. Between two of them the CPU time is taken to grow evenly.
    """
    events = samples[-1][0]
    spent = [_at(samples, events * part / parts) for part in range(parts + 1)]
    each = events / parts
    return [
        round(each / (after - before)) if after > before else 0.0
        for before, after in itertools.pairwise(spent)
    ]


def _at(samples: Sequence[tuple[int, float]], events: float) -> float:
    """Return the CPU time at a number of events."""
    place = bisect_left(samples, events, key=lambda sample: sample[0])
    above, later = samples[place]
    if place == 0 or above == events:
        return later
    below, earlier = samples[place - 1]
    return earlier + (later - earlier) * (events - below) / (above - below)
