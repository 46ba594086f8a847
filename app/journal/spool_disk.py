"""Which files hold the spool: segments to which is appended, and which are removed once they are drained.

Everything here blocks and belongs to one thread.
"""

import logging
import os
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from app.base.durable_files import cut, sync, sync_directory, write_all, write_file
from app.journal.spool_directory import Directory, claim, left_over
from app.journal.spool_format import (
    RECORD_HEAD_BYTES,
    SpoolRecord,
    SpoolTarget,
    length_at,
    record_at,
    scan,
    segment_head,
)

log = logging.getLogger(__name__)

_PROBE_BYTES: Final = 65_536


class SpoolSegment:
    """One file. ``pending`` tells where the records lie that are not yet drained, by partition, in order."""

    def __init__(self, path: Path, directory: Directory, size_bytes: int = 0) -> None:
        self.path, self.directory, self.size_bytes = path, directory, size_bytes
        self.damage: str | None = None
        self.offsets: dict[SpoolTarget, deque[int]] = {}
        self.received_ms: dict[SpoolTarget, deque[int]] = {}
        self.events = 0

    def note(self, place: SpoolTarget, offset: int, received_ms: int) -> None:
        """Take a record into account."""
        self.offsets.setdefault(place, deque()).append(offset)
        self.received_ms.setdefault(place, deque()).append(received_ms)
        self.events += 1

    def forget(self, place: SpoolTarget, count: int) -> None:
        """The first ``count`` records of a partition are drained."""
        offsets, received = self.offsets[place], self.received_ms[place]
        for _ in range(count):
            offsets.popleft()
            received.popleft()
        self.events -= count
        if not offsets:
            del self.offsets[place], self.received_ms[place]

    def oldest_ms(self) -> int | None:
        """Return the time of receipt of the oldest record that is not drained."""
        return min((received[0] for received in self.received_ms.values()), default=None)


class State(NamedTuple):
    """What the disk tells of itself. ``oldest_ms``: when the oldest record that is left was received; ``damaged``: files found so."""

    size_bytes: int
    oldest_ms: int | None
    quarantined: int
    damaged: int
    torn_bytes: int


@dataclass(frozen=True)
class SpoolBatch:
    """Records of one partition in their order, read from one segment: ``count`` of them, of which damaged ones are left out."""

    segment: SpoolSegment
    place: SpoolTarget
    records: list[SpoolRecord]
    count: int


def _load(directory: Directory) -> tuple[list[SpoolSegment], int]:
    """Return the segments of a directory with what is left to drain, and how many bytes of a torn end were cut off.

    Only the newest segment may have a torn end; what is broken elsewhere was complete once, and is kept for a person to look at.
    """
    directory.read_cursors()
    segments: list[SpoolSegment] = []
    torn_bytes = 0
    paths = sorted(directory.path.glob("*.seg"))
    for path in (*paths, *directory.path.glob("*.quarantined")):
        directory.next_number = max(directory.next_number, int(path.stem) + 1)
    for path in paths:
        data = path.read_bytes()
        found = scan(data)
        segment = SpoolSegment(path, directory, len(data))
        segment.damage = found.damage
        if found.torn_bytes and path != paths[-1]:
            segment.damage = segment.damage or "it ends in the middle of a record"
        elif found.torn_bytes and segment.damage is None:
            torn_bytes = found.torn_bytes
            log.warning(
                "%s: cut off %d bytes that were being written when the collector ended", path, torn_bytes
            )
            cut(path, found.good_bytes)
            segment.size_bytes = found.good_bytes
        if segment.damage is not None:
            _tell_of_damage(segment)
        for offset, record in found.found:
            directory.next_number = max(directory.next_number, record.number + 1)
            if record.number > directory.cursors.get(record.place, 0):
                segment.note(record.place, offset, record.received_ms)
        segments.append(segment)
    return segments, torn_bytes


class Disk:
    """All segments that one process has: those of its own directory, to which it appends, and those that it drains for the dead."""

    def __init__(self, base: Path, *, segment_bytes: int) -> None:
        self._base, self._segment_bytes = base, segment_bytes
        self._directories: list[Directory] = []
        self._segments: list[SpoolSegment] = []
        self._active: SpoolSegment | None = None
        self._descriptor = -1
        self._kept = 0
        self.torn_bytes = 0
        self.damaged = 0
        """Segments found damaged by this process."""

    @property
    def path(self) -> Path:
        """The directory to which is appended."""
        return self._directories[0].path

    @property
    def next_number(self) -> int:
        """The number of the next record."""
        return self._directories[0].next_number

    def open(self) -> None:
        """Take the directories and read what is left in them."""
        self._base.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directories = claim(self._base)
        # What the dead left is older than what will come, so it stands first.
        for directory in [*self._directories[1:], self._directories[0]]:
            self._load(directory)
        self.look()

    def adopt(self) -> bool:
        """Take what processes left that have ended since; tell whether there was something."""
        adopted = left_over(self._base)
        for directory in adopted:
            self._directories.append(directory)
            self._load(directory)
        self.look()
        return bool(adopted)

    def _load(self, directory: Directory) -> None:
        segments, torn_bytes = _load(directory)
        self.torn_bytes += torn_bytes
        self.damaged += sum(segment.damage is not None for segment in segments)
        self._segments += segments
        self._finish(segments)

    def pending(self) -> dict[SpoolTarget, int]:
        """Return how many records of each partition are left."""
        counts: dict[SpoolTarget, int] = {}
        for segment in self._segments:
            for place, offsets in segment.offsets.items():
                counts[place] = counts.get(place, 0) + len(offsets)
        return counts

    @property
    def size_bytes(self) -> int:
        """What the segments take on the disk."""
        return sum(segment.size_bytes for segment in self._segments)

    def oldest_ms(self) -> int | None:
        """Return when the oldest record that is left was received."""
        return min(
            (each for each in (segment.oldest_ms() for segment in self._segments) if each is not None),
            default=None,
        )

    @property
    def quarantined(self) -> int:
        """How many damaged segments lie in the directories, whether what can be read of them is drained or not."""
        return self._kept + sum(segment.damage is not None for segment in self._segments)

    def state(self) -> State:
        """Return how it stands."""
        return State(self.size_bytes, self.oldest_ms(), self.quarantined, self.damaged, self.torn_bytes)

    def look(self) -> None:
        """Count what lies in quarantine: a person may have removed something."""
        self._kept = sum(len(list(each.path.glob("*.quarantined"))) for each in self._directories)

    def append(self, encoded: Sequence[tuple[SpoolRecord, bytes]]) -> None:
        """Write records and sync them, with one fsync for all. Raises OSError; then nothing of them stays."""
        if self._active is None:
            self._begin()
        assert self._active is not None
        segment = self._active
        good_bytes = segment.size_bytes
        try:
            write_all(self._descriptor, b"".join(data for _, data in encoded))
            sync(self._descriptor)
        except OSError:
            self._undo(good_bytes)
            raise
        offset = good_bytes
        for record, data in encoded:
            segment.note(record.place, offset, record.received_ms)
            offset += len(data)
        segment.size_bytes = offset
        own = self._directories[0]
        own.next_number = max(own.next_number, encoded[-1][0].number + 1)
        if offset >= self._segment_bytes:
            self._end()

    def _begin(self) -> None:
        own = self._directories[0]
        own.next_number += 1  # never a name twice, not even when this fails
        path = own.path / f"{own.next_number:020d}.seg"
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            write_all(self._descriptor, segment_head())
            sync_directory(own.path)
        except OSError:
            os.close(self._descriptor)
            path.unlink()
            raise
        self._active = SpoolSegment(path, own, len(segment_head()))
        self._segments.append(self._active)

    def _end(self) -> None:
        if self._active is not None:
            os.close(self._descriptor)
            ended, self._active = self._active, None
            self._finish([ended])

    def _undo(self, good_bytes: int) -> None:
        """Take back a write that failed. After a failed sync nobody knows what the pages hold, so the file is used no more."""
        assert self._active is not None
        try:
            os.ftruncate(self._descriptor, good_bytes)
            sync(self._descriptor)
        except OSError as error:
            log.error(
                "%s: could not cut off what was written last (%s); it may come again after a restart",
                self._active.path,
                error,
            )
        self._end()

    def read(self, place: SpoolTarget, max_records: int, max_bytes: int) -> SpoolBatch | None:
        """Return the next records of a partition; None when none is left. They stay until ``pass_over``."""
        for segment in self._segments:
            offsets = segment.offsets.get(place)
            if offsets:
                return self._read(segment, place, offsets, max_records, max_bytes)
        return None

    def _read(
        self,
        segment: SpoolSegment,
        place: SpoolTarget,
        offsets: Iterable[int],
        max_records: int,
        max_bytes: int,
    ) -> SpoolBatch:
        found: list[SpoolRecord] = []
        count = size_bytes = 0
        descriptor = os.open(segment.path, os.O_RDONLY)
        try:
            for offset in offsets:
                if count >= max_records or size_bytes >= max_bytes:
                    break
                count += 1
                head = os.pread(descriptor, RECORD_HEAD_BYTES, offset)
                length = length_at(head, 0)
                record = None if length is None else record_at(os.pread(descriptor, length, offset))
                if record is None:
                    if segment.damage is None:
                        segment.damage = f"the record at byte {offset} is damaged"
                        self.damaged += 1
                        _tell_of_damage(segment)
                    continue
                found.append(record)
                size_bytes += length or 0
        finally:
            os.close(descriptor)
        return SpoolBatch(segment, place, found, count)

    def pass_over(self, chunk: SpoolBatch) -> None:
        """The broker has this chunk, which ``read`` returned: ``read`` goes on behind it. ``note`` makes that durable."""
        chunk.segment.forget(chunk.place, chunk.count)
        if chunk.records:
            chunk.segment.directory.cursors[chunk.place] = chunk.records[-1].number

    def note(self, chunks: Sequence[SpoolBatch]) -> None:
        """Make durable that these chunks were passed over, and remove what is empty."""
        touched = {id(chunk.segment): chunk.segment for chunk in chunks}.values()
        try:
            for directory in {id(each.directory): each.directory for each in touched}.values():
                directory.write_cursors()
        except OSError as error:
            log.warning("what was drained cannot be noted (%s); it may be sent again after a restart", error)
        if self._active is not None and not self._active.events:
            self._end()
        self._finish(list(touched))

    def _finish(self, segments: Iterable[SpoolSegment]) -> None:
        """Remove segments with nothing left; damaged ones are kept under another name."""
        for segment in segments:
            if segment.events or segment is self._active or segment not in self._segments:
                continue
            try:
                self._put_away(segment)
            except OSError as error:  # the cursors say that nothing is left in it, so a restart tries again
                log.warning("%s is drained and cannot be removed (%s)", segment.path, error)
            self._segments.remove(segment)

    def _put_away(self, segment: SpoolSegment) -> None:
        if segment.damage is None:
            segment.path.unlink()
            return
        segment.path.replace(segment.path.with_suffix(".quarantined"))
        self._kept += 1
        sync_directory(segment.directory.path)

    def probe(self) -> None:
        """Write a little and remove it again; raises OSError while that is not possible."""
        path = self.path / "probe"
        try:
            write_file(path, bytes(_PROBE_BYTES))
        finally:
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Release the directories; what is left stays where it is."""
        if self._directories:
            self._end()
        for directory in self._directories:
            directory.release()
        self._directories = []


def _tell_of_damage(segment: SpoolSegment) -> None:
    log.error(
        "%s is damaged: %s. What can be read of it is sent; the file is kept as %s. Look at the disk, and remove the file "
        "when you have what you want of it",
        segment.path,
        segment.damage,
        segment.path.with_suffix(".quarantined").name,
    )
