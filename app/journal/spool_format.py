"""Format of a spool segment on disk, with checksums that distinguish a torn end from damage.

A segment is a head followed by records, each with a head of its own. Numbers are little-endian, checksums are CRC-32 (zlib)::

    segment head   magic 8s, version u32, checksum of both u32
    record head    body length u32, checksum of the body u32, sequence number u64, checksum of these three u32
    record body    received_ms i64, partition u32, length of topic u16, length of key u16, topic, key, value

A record head has its own checksum. Without it, a flipped bit in a length could make the rest of a file look like an unfinished
record. Only bytes that end early, or were never written (zeros), count as torn.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

_MAGIC: Final = b"UPTSPOOL"
_VERSION: Final = 1
_SEGMENT: Final = struct.Struct("<8sII")
_HEAD: Final = struct.Struct("<IIQI")
_CHECKED: Final = struct.Struct("<IIQ")
_BODY: Final = struct.Struct("<qIHH")
SEGMENT_HEAD_BYTES: Final = _SEGMENT.size
RECORD_HEAD_BYTES: Final = _HEAD.size


class SpoolTarget(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


class SpoolRecord(NamedTuple):
    """One event in the spool. ``number`` grows by one with each record of a directory, and is never reset."""

    number: int
    place: SpoolTarget
    received_ms: int
    key: bytes
    value: bytes


class FoundRecord(NamedTuple):
    """A good record of a segment, with its offset in bytes."""

    offset: int
    record: SpoolRecord


@dataclass
class Scan:
    """Content of a segment.

    ``good_bytes`` is its length without a torn end of ``torn_bytes``. ``damage`` describes damage to complete bytes, if any.
    ``found`` has all intact records, before the damage and after it.
    """

    found: list[FoundRecord] = field(default_factory=list)
    good_bytes: int = 0
    torn_bytes: int = 0
    damage: str | None = None


def segment_head() -> bytes:
    """Return the first bytes of every segment."""
    return _SEGMENT.pack(_MAGIC, _VERSION, zlib.crc32(struct.pack("<8sI", _MAGIC, _VERSION)))


def encode(record: SpoolRecord) -> bytes:
    """Return the bytes of a record, head and body."""
    topic = record.place.topic.encode("ascii")
    body = b"".join(
        (
            _BODY.pack(record.received_ms, record.place.partition, len(topic), len(record.key)),
            topic,
            record.key,
            record.value,
        )
    )
    checked = _CHECKED.pack(len(body), zlib.crc32(body), record.number)
    return checked + zlib.crc32(checked).to_bytes(4, "little") + body


def record_at(data: bytes, offset: int = 0) -> SpoolRecord | None:
    """Return the record at an offset; None if it is incomplete or a checksum does not match."""
    if len(data) - offset < RECORD_HEAD_BYTES:
        return None
    length, checksum, number, head_checksum = _HEAD.unpack_from(data, offset)
    start = offset + RECORD_HEAD_BYTES
    if zlib.crc32(data[offset : start - 4]) != head_checksum or start + length > len(data):
        return None
    body = data[start : start + length]
    if zlib.crc32(body) != checksum:
        return None
    received_ms, partition, topic_bytes, key_bytes = _BODY.unpack_from(body)
    key_start = _BODY.size + topic_bytes
    value_start = key_start + key_bytes
    place = SpoolTarget(body[_BODY.size : key_start].decode("ascii"), partition)
    return SpoolRecord(number, place, received_ms, body[key_start:value_start], body[value_start:])


def length_at(data: bytes, offset: int) -> int | None:
    """Return the length in bytes, head included, that the head at an offset states; None if the head is incomplete or damaged."""
    if len(data) - offset < RECORD_HEAD_BYTES:
        return None
    length, _, _, head_checksum = _HEAD.unpack_from(data, offset)
    checked = data[offset : offset + RECORD_HEAD_BYTES - 4]
    return RECORD_HEAD_BYTES + int(length) if zlib.crc32(checked) == head_checksum else None


def _next_intact(data: bytes, start: int) -> int | None:
    """Return the offset of the first intact record at or after ``start``; None if none follows.

    Two checksums protect a record, and the JSON in it has no NUL as every head has. So no other bytes pass for a record.
    """
    for offset in range(start, len(data) - RECORD_HEAD_BYTES - _BODY.size + 1):
        length = int.from_bytes(data[offset : offset + 4], "little")
        if _BODY.size <= length <= len(data) - offset - RECORD_HEAD_BYTES and record_at(data, offset):
            return offset
    return None


def _is_other_version(data: bytes) -> bool:
    magic, version, checksum = _SEGMENT.unpack_from(data)
    return bool(magic == _MAGIC and checksum == zlib.crc32(struct.pack("<8sI", magic, version)))


def scan(data: bytes) -> Scan:
    """Return the content of a segment. Incomplete bytes are reported as torn or damaged, never as a record."""
    result = Scan()
    head = segment_head()
    if len(data) < len(head):
        if head.startswith(data) or not data.strip(b"\0"):
            result.torn_bytes = len(data)
        else:
            result.damage = "its head is not that of a spool"
        return result
    if data[: len(head)] != head:
        if not data.strip(b"\0"):
            result.torn_bytes = len(data)
            return result
        result.damage = "its head is damaged, or of another version"
        if _is_other_version(data):
            return result
    offset = result.good_bytes = len(head)
    while offset < len(data):
        length = length_at(data, offset)
        if length is None:
            rest = data[offset:]
            if len(rest) < RECORD_HEAD_BYTES or not rest.strip(b"\0"):
                result.torn_bytes = len(rest)
            else:
                result.damage = result.damage or f"the head of a record at byte {offset} is damaged"
                intact = _next_intact(data, offset + 1)
                if intact is not None:
                    offset = result.good_bytes = intact
                    continue
            return result
        if offset + length > len(data):
            result.torn_bytes = len(data) - offset
            return result
        record = record_at(data, offset)
        if record is not None:
            result.found.append(FoundRecord(offset, record))
        elif data[offset + RECORD_HEAD_BYTES :].strip(b"\0"):
            result.damage = result.damage or f"the record at byte {offset} is damaged"
        else:
            result.torn_bytes = len(data) - offset
            return result
        offset += length
        result.good_bytes = offset
    return result


def records(data: bytes) -> Iterator[SpoolRecord]:
    """Yield the records of a file without a segment head, up to the first that is incomplete or damaged."""
    offset = 0
    while (record := record_at(data, offset)) is not None:
        yield record
        offset += length_at(data, offset) or len(data)
