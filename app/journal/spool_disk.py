"""The files of the spool: records are appended to segments, and a segment is removed when it is drained.

Everything here blocks and belongs to one thread. spool_segments.py keeps track of what is left in them.
"""

import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from app.base.durable_files import sync, sync_directory, write_all, write_file
from app.journal.spool_directory import Directory, claim, left_over
from app.journal.spool_format import (
    RECORD_HEAD_BYTES,
    SpoolRecord,
    SpoolTarget,
    length_at,
    record_at,
    segment_head,
)
from app.journal.spool_leftovers import log_damage, read_leftovers
from app.journal.spool_segments import SpoolBatch, SpoolSegment, SpoolSegments

log = logging.getLogger(__name__)

_PROBE_BYTES: Final = 65_536


class State(NamedTuple):
    """The disk's own counts. ``oldest_ms``: when the oldest record that is left was received."""

    size_bytes: int
    oldest_ms: int | None
    quarantined: int
    damaged: int
    torn_bytes: int


class Disk:
    """The segments of one process: those of its own directory, to which it appends, and those that ended processes left."""

    def __init__(self, base: Path, *, segment_bytes: int) -> None:
        self._base, self._segment_bytes = base, segment_bytes
        self._directories: list[Directory] = []
        self._segments = SpoolSegments()
        self._descriptor = -1
        self._kept = 0
        self.torn_bytes = 0
        self.damaged = 0
        """Segments found damaged by this process."""

    @property
    def path(self) -> Path:
        """The directory of this process."""
        return self._directories[0].path

    @property
    def next_number(self) -> int:
        """The number of the next record."""
        return self._directories[0].next_number

    def open(self) -> None:
        """Lock the directories and read what is left in them."""
        self._base.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directories = claim(self._base)
        # What ended processes left is older than what will come, so it is first.
        for directory in [*self._directories[1:], self._directories[0]]:
            self._load(directory)
        self.look()

    def adopt(self) -> bool:
        """Take over what processes left that have ended since; return whether there was anything."""
        adopted = left_over(self._base)
        for directory in adopted:
            self._directories.append(directory)
            self._load(directory)
        self.look()
        return bool(adopted)

    def _load(self, directory: Directory) -> None:
        segments, torn_bytes = read_leftovers(directory)
        self.torn_bytes += torn_bytes
        self.damaged += sum(segment.damage is not None for segment in segments)
        self._segments.add(segments)
        self._finish(segments)

    def pending(self) -> dict[SpoolTarget, int]:
        """Return how many records of each partition are left."""
        return self._segments.pending()

    @property
    def size_bytes(self) -> int:
        """What the segments take on the disk."""
        return self._segments.size_bytes

    def oldest_ms(self) -> int | None:
        """Return when the oldest record that is left was received; None if none is left."""
        return self._segments.oldest_ms()

    @property
    def quarantined(self) -> int:
        """The number of damaged segments in the directories, drained or not."""
        return self._kept + self._segments.damaged

    def state(self) -> State:
        """Return the counts."""
        return State(self.size_bytes, self.oldest_ms(), self.quarantined, self.damaged, self.torn_bytes)

    def look(self) -> None:
        """Count the files in quarantine: an operator may have removed some."""
        self._kept = sum(len(list(each.path.glob("*.quarantined"))) for each in self._directories)

    def append(self, encoded: Sequence[tuple[SpoolRecord, bytes]]) -> None:
        """Write records and sync them, with one fsync for all. Raises OSError; then none of them stays."""
        segment = self._segments.active or self._begin()
        try:
            write_all(self._descriptor, b"".join(data for _, data in encoded))
            sync(self._descriptor)
        except OSError:
            self._undo(segment)
            raise
        segment.extend(encoded)
        own = self._directories[0]
        own.next_number = max(own.next_number, encoded[-1][0].number + 1)
        if segment.size_bytes >= self._segment_bytes:
            self._end()

    def _begin(self) -> SpoolSegment:
        own = self._directories[0]
        own.next_number += 1  # never a name twice, not even when this fails
        path = own.path / f"{own.next_number:020d}.seg"
        # The head is on the disk before the file has its name. So a shorter segment was damaged, and not just begun.
        new = path.with_suffix(".new")
        self._descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            write_all(self._descriptor, segment_head())
            sync(self._descriptor)
            new.replace(path)
            sync_directory(own.path)
        except OSError:
            os.close(self._descriptor)
            new.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            raise
        segment = SpoolSegment(path, len(segment_head()))
        self._segments.begin(segment)
        return segment

    def _end(self) -> None:
        if self._segments.active is not None:
            os.close(self._descriptor)
            self._finish([self._segments.end()])

    def _undo(self, segment: SpoolSegment) -> None:
        """Cut off a write that failed. After a failed sync the content of the pages is unknown, so the file is used no more."""
        try:
            os.ftruncate(self._descriptor, segment.size_bytes)
            sync(self._descriptor)
        except OSError as error:
            log.error(
                "%s: could not cut off what was written last (%s); it may come again after a restart",
                segment.path,
                error,
            )
        self._end()

    def read(self, place: SpoolTarget, max_records: int, max_bytes: int) -> SpoolBatch | None:
        """Return the next records of a partition; None if none is left. They stay until ``pass_over``."""
        segment = self._segments.next_of(place)
        if segment is None:
            return None
        found: list[SpoolRecord] = []
        count = size_bytes = 0
        descriptor = os.open(segment.path, os.O_RDONLY)
        try:
            for offset in segment.offsets[place]:
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
                        log_damage(segment)
                    continue
                found.append(record)
                size_bytes += length or 0
        finally:
            os.close(descriptor)
        return SpoolBatch(segment, place, found, count)

    def pass_over(self, chunk: SpoolBatch) -> None:
        """Drop a batch that Kafka has: ``read`` continues behind it. ``note`` makes that durable."""
        chunk.segment.forget(chunk.place, chunk.count)
        if chunk.records:
            self._directory_of(chunk.segment).cursors[chunk.place] = chunk.records[-1].number

    def note(self, chunks: Sequence[SpoolBatch]) -> None:
        """Make durable that these batches were passed over, and remove drained segments."""
        touched = list({id(chunk.segment): chunk.segment for chunk in chunks}.values())
        try:
            for directory in {id(each): each for each in map(self._directory_of, touched)}.values():
                directory.write_cursors()
        except OSError as error:
            log.warning("what was drained cannot be noted (%s); it may be sent again after a restart", error)
        active = self._segments.active
        if active is not None and not active.events:
            self._end()
        self._finish(touched)

    def _directory_of(self, segment: SpoolSegment) -> Directory:
        return {each.path: each for each in self._directories}[segment.path.parent]

    def _finish(self, segments: Iterable[SpoolSegment]) -> None:
        """Remove the drained ones of these segments; keep damaged ones under another name."""
        for segment in self._segments.removable(segments):
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
        sync_directory(segment.path.parent)

    def probe(self) -> None:
        """Write a small file and remove it again; raises OSError while that is not possible."""
        path = self.path / "probe"
        try:
            write_file(path, bytes(_PROBE_BYTES))
        finally:
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Release the directories; what is left stays on the disk."""
        if self._directories:
            self._end()
        for directory in self._directories:
            directory.release()
        self._directories = []
