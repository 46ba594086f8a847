"""Reads the segments that an ended process left in a directory of the spool: what is not drained, torn ends, damage."""

import logging
from typing import NamedTuple

from app.base.durable_files import cut
from app.journal.spool_directory import Directory, segment_paths
from app.journal.spool_format import SEGMENT_HEAD_BYTES, scan
from app.journal.spool_segments import SpoolSegment

log = logging.getLogger(__name__)


class Leftovers(NamedTuple):
    """The segments of a directory, oldest first. ``torn_bytes``: what was cut off the newest one."""

    segments: list[SpoolSegment]
    torn_bytes: int


def read_leftovers(directory: Directory) -> Leftovers:
    """Read the cursors and all segments of a directory.

    Only the newest segment may have a torn end. Whatever is broken elsewhere was complete once, and is kept for an operator.
    """
    directory.read_cursors()
    for path in directory.path.glob("*.new"):  # a segment that was not begun when the collector ended
        path.unlink()
    segments: list[SpoolSegment] = []
    torn_bytes = 0
    paths = segment_paths(directory.path)
    for path in (*paths, *directory.path.glob("*.quarantined")):
        if path.stem.isdecimal():  # an operator may have copied a file
            directory.next_number = max(directory.next_number, int(path.stem) + 1)
    for path in paths:
        try:
            data = path.read_bytes()
        except OSError as error:  # a broken part of the disk must not keep the other segments from being sent
            segment = SpoolSegment(path)
            segment.damage = f"it cannot be read ({error.strerror})"
            log_damage(segment)
            segments.append(segment)
            continue
        found = scan(data)
        segment = SpoolSegment(path, len(data))
        segment.damage = found.damage
        if found.torn_bytes and found.good_bytes < SEGMENT_HEAD_BYTES:
            segment.damage = "it holds only zeros"
        if len(data) < SEGMENT_HEAD_BYTES:  # a segment has its name only after its head is on the disk
            segment.damage = f"it was cut to {len(data)} bytes"
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
            log_damage(segment)
        for offset, record in found.found:
            directory.next_number = max(directory.next_number, record.number + 1)
            if record.number > directory.cursors.get(record.place, 0):
                segment.note(record.place, offset, record.received_ms)
        segments.append(segment)
    return Leftovers(segments, torn_bytes)


def log_damage(segment: SpoolSegment) -> None:
    """Tell the operator about a damaged segment."""
    log.error(
        "%s is damaged: %s. What can be read of it is sent; the file is kept as %s. Look at the disk, and remove the file "
        "when you have what you want of it",
        segment.path,
        segment.damage,
        segment.path.with_suffix(".quarantined").name,
    )
