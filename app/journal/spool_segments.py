"""The segments of the spool, and the records in them that are not drained. Pure: no I/O, no clock.

spool_disk.py writes, reads and removes the files.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.journal.spool_format import SpoolRecord, SpoolTarget


class SpoolSegment:
    """One file, and where its records lie that are not drained. ``damage`` says what is broken in it; None if nothing is."""

    def __init__(self, path: Path, size_bytes: int = 0) -> None:
        self.path, self.size_bytes = path, size_bytes
        self.damage: str | None = None
        self.offsets: dict[SpoolTarget, deque[int]] = {}
        """By partition, in the order of the records."""
        self._received_ms: dict[SpoolTarget, deque[int]] = {}
        self.events = 0

    def note(self, place: SpoolTarget, offset: int, received_ms: int) -> None:
        """Add a record that lies at ``offset``."""
        self.offsets.setdefault(place, deque()).append(offset)
        self._received_ms.setdefault(place, deque()).append(received_ms)
        self.events += 1

    def extend(self, encoded: Sequence[tuple[SpoolRecord, bytes]]) -> None:
        """Add records that were written to the end of the file."""
        for record, data in encoded:
            self.note(record.place, self.size_bytes, record.received_ms)
            self.size_bytes += len(data)

    def forget(self, place: SpoolTarget, count: int) -> None:
        """Remove the first ``count`` records of a partition: they are drained."""
        offsets, received = self.offsets[place], self._received_ms[place]
        for _ in range(count):
            offsets.popleft()
            received.popleft()
        self.events -= count
        if not offsets:
            del self.offsets[place], self._received_ms[place]

    def oldest_ms(self) -> int | None:
        """Return when the oldest record was received; None if no record is left."""
        return min((received[0] for received in self._received_ms.values()), default=None)


@dataclass(frozen=True)
class SpoolBatch:
    """The next records of one partition, read from one segment. ``count`` includes damaged ones, which ``records`` leaves out."""

    segment: SpoolSegment
    place: SpoolTarget
    records: list[SpoolRecord]
    count: int


class SpoolSegments:
    """All segments of one process, oldest first. ``active`` is the segment that grows; None before and between segments."""

    def __init__(self) -> None:
        self._segments: list[SpoolSegment] = []
        self.active: SpoolSegment | None = None

    def add(self, segments: Iterable[SpoolSegment]) -> None:
        """Add segments that another process wrote, in their order."""
        self._segments += segments

    def begin(self, segment: SpoolSegment) -> None:
        """Add the segment that grows from now on."""
        self._segments.append(segment)
        self.active = segment

    def end(self) -> SpoolSegment:
        """Let the active segment grow no more, and return it."""
        assert self.active is not None
        ended, self.active = self.active, None
        return ended

    def removable(self, segments: Iterable[SpoolSegment]) -> list[SpoolSegment]:
        """Return those of ``segments`` that may go: all their records are drained, and none is added any more."""
        return [
            each
            for each in segments
            if not each.events and each is not self.active and each in self._segments
        ]

    def remove(self, segment: SpoolSegment) -> None:
        """Forget a segment."""
        self._segments.remove(segment)

    def next_of(self, place: SpoolTarget) -> SpoolSegment | None:
        """Return the segment with the oldest record of a partition; None if no record is left."""
        return next((each for each in self._segments if place in each.offsets), None)

    def pending(self) -> dict[SpoolTarget, int]:
        """Return how many records of each partition are left."""
        counts: dict[SpoolTarget, int] = {}
        for segment in self._segments:
            for place, offsets in segment.offsets.items():
                counts[place] = counts.get(place, 0) + len(offsets)
        return counts

    @property
    def size_bytes(self) -> int:
        """The size of all segments."""
        return sum(segment.size_bytes for segment in self._segments)

    def oldest_ms(self) -> int | None:
        """Return when the oldest record was received; None if no record is left."""
        times = [segment.oldest_ms() for segment in self._segments]
        return min((each for each in times if each is not None), default=None)

    @property
    def damaged(self) -> int:
        """The number of damaged segments."""
        return sum(segment.damage is not None for segment in self._segments)
