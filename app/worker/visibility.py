"""As of when committed readers see all that source partitions hold. An open transaction hides the end of a partition from them.

Pure: it receives the ends that a leader reported and when (monotonic ms), and returns ages. Everything that was there when the
high watermark was at an offset can be read once the last stable offset has reached that offset.
"""

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

_MAX_REPORTS: Final = 64


class Opaque(NamedTuple):
    """A source partition whose hidden records are older than what this worker has seen. They begin at ``offset``."""

    topic: str
    partition: int
    offset: int


@dataclass(slots=True)
class _End:
    """Reports (seen_ms, high watermark) that hold hidden records; all that was there at ``complete_ms`` can be read."""

    stable: int = 0
    reports: deque[tuple[int, int]] = field(default_factory=deque)
    complete_ms: int | None = None


class Visibility:
    """Tracks what is hidden in the source partitions of a worker. Several threads use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ends: dict[int, dict[str, _End]] = {}
        self._hidden: dict[int, list[_End]] = {}
        """The ends of each partition that hide something. Usually empty, so a lookup pays one look into it."""

    def heard(self, topic: str, partition: int, seen_ms: int, stable: int, high_watermark: int) -> None:
        """Note where a leader said at ``seen_ms`` that a partition ends: for committed readers, and for itself."""
        with self._lock:
            ends = self._ends.setdefault(partition, {})
            end = ends.setdefault(topic, _End())
            end.stable = stable
            if stable >= high_watermark:
                end.reports.clear()  # also of a log that lost its end with its leader
                end.complete_ms = seen_ms
            else:
                if len(end.reports) >= _MAX_REPORTS:
                    end.reports.pop()
                end.reports.append((seen_ms, high_watermark))
                while end.reports[0][1] <= stable:
                    end.complete_ms = end.reports.popleft()[0]
            if end.reports or partition in self._hidden:
                self._note_hidden(partition)

    def began(self, place: Opaque, began_ms: int) -> None:
        """Note that the transaction that hides records from ``place`` on began at ``began_ms``."""
        with self._lock:
            end = self._ends.get(place.partition, {}).get(place.topic)
            if end is not None and end.complete_ms is None and end.stable == place.offset:
                end.complete_ms = began_ms

    def opaque(self, now_ms: int, least_ms: int) -> list[Opaque]:
        """Return the places of which only the broker knows for how long they hide records, for ``least_ms`` at least."""
        with self._lock:
            return [
                Opaque(topic, partition, end.stable)
                for partition in self._hidden
                for topic, end in self._ends[partition].items()
                if end.reports and end.complete_ms is None and now_ms - end.reports[0][0] >= least_ms
            ]

    def hidden_ms(self, now_ms: int, partition: int) -> int | None:
        """Return for how long records of a partition may have been hidden: 0 if none is, None if that is not known."""
        ends = self._hidden.get(partition)
        if ends is None:
            return 0
        times = [end.complete_ms for end in ends]
        known = [complete_ms for complete_ms in times if complete_ms is not None]
        return max(0, now_ms - min(known)) if len(known) == len(times) else None

    def longest_ms(self, now_ms: int, partitions: Iterable[int]) -> int | None:
        """Return the largest ``hidden_ms`` of these partitions; None if one of them is not known."""
        ages = [self.hidden_ms(now_ms, partition) for partition in partitions]
        known = [age_ms for age_ms in ages if age_ms is not None]
        return max(known, default=0) if len(known) == len(ages) else None

    def forget(self) -> None:
        """Forget all partitions: those of a new generation of the group may have been elsewhere meanwhile."""
        with self._lock:
            self._ends.clear()
            self._hidden = {}

    def _note_hidden(self, partition: int) -> None:
        hidden = [end for end in self._ends[partition].values() if end.reports]
        rest = {number: ends for number, ends in self._hidden.items() if number != partition}
        self._hidden = rest | {partition: hidden} if hidden else rest
