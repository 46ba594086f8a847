"""Entries of a user's log of what it was shown and what it viewed, as bytes.

An entry holds what an exclusion needs in a form that is read without decoding (tables/user/shown_bytes.py): when, and which items. The
rest of an impression is msgpack, which only attribution decodes. This is an entry::

    length, length of the keys (4 bytes each), received_ms (8)   show time (8 characters)   item keys, joined by 0xFF   msgpack

The first length is that of all behind these 16 bytes. An entry without msgpack is a ``viewed`` event. docs/decisions/0026 has the
reasons.
"""

import struct
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

import msgspec

from tables.user.elements import Impression
from tables.user.shown_bytes import KEY_END, STAMP_BYTES, stamp_of, time_of

_HEADER: Final = struct.Struct(">IIQ")
HEADER_BYTES: Final = _HEADER.size
KEYS_AT: Final = HEADER_BYTES + STAMP_BYTES
"""Where the item keys of an entry begin."""
_pack_header: Final = _HEADER.pack
_read_header: Final = _HEADER.unpack_from
_FORMER_HEADER: Final = struct.Struct(">IQ")


class _Rest(msgspec.Struct, array_like=True, gc=False):
    """What an impression has beyond its items and times; the first two are the only ones of most impressions."""

    number: int = 0
    scenario: str | None = None
    variant: str | None = None
    experiment: str | None = None
    row: int | None = None
    rank: int | None = None
    request_id: str | None = None
    call_ms: int | None = None
    """Of a call before the showing: -1 - (ms from the call to the showing), which is short."""
    call_variant: str | None = None
    origin: str | None = None
    entry_ms: int | None = None
    image: str | None = None


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Rest).decode
_decode_former: Final = msgspec.msgpack.Decoder(Impression).decode


def pack_impression(shown: Impression) -> bytes:
    """Return the entry of an impression."""
    if (
        shown.request_id is None
        and shown.variant is None
        and shown.experiment is None
        and shown.row is None
        and shown.rank is None
        and shown.origin is None
        and shown.entry_ms is None
        and shown.image is None
        and shown.call_ms is None
    ):
        rest = _encode((shown.number, shown.scenario))
    else:
        call_ms = shown.call_ms
        if call_ms is not None and call_ms <= shown.time_ms:
            call_ms = call_ms - shown.time_ms - 1
        rest = _encode(
            (
                shown.number,
                shown.scenario,
                shown.variant,
                shown.experiment,
                shown.row,
                shown.rank,
                shown.request_id,
                call_ms,
                shown.call_variant,
                shown.origin,
                shown.entry_ms,
                shown.image,
            )
        )
    return _pack(shown.itemtype, shown.items, shown.time_ms, shown.received_ms, rest)


def pack_view(itemtype: int, items: Iterable[str], time_ms: int, received_ms: int) -> bytes:
    """Return the entry of a ``viewed`` event."""
    return _pack(itemtype, items, time_ms, received_ms, b"")


def _pack(itemtype: int, items: Iterable[str], time_ms: int, received_ms: int, rest: bytes) -> bytes:
    prefix = _prefix_of(itemtype)
    keys = prefix + (KEY_END + prefix).join([item.encode() for item in items])
    return b"".join(
        (
            _pack_header(STAMP_BYTES + len(keys) + len(rest), len(keys), received_ms),
            stamp_of(time_ms),
            keys,
            rest,
        )
    )


@lru_cache(maxsize=1_024)
def _prefix_of(itemtype: int) -> bytes:
    return b"%d/" % itemtype


def split_log(log: bytes | bytearray) -> Iterator[bytes]:
    """Yield the entries of a run of entries."""
    log = bytes(log)
    at, end = 0, len(log)
    while at < end:
        start = at
        at += HEADER_BYTES + _read_header(log, at)[0]
        yield log[start:at]


def log_facts(log: bytes | bytearray, most: int) -> tuple[int, int, int, int]:
    """Return of the first ``most`` entries of a log: how many there are, how many of them are views, the bytes, the newest receipt."""
    at, end = 0, len(log)
    count = views = newest_ms = 0
    while at < end and count < most:
        length, keys, received_ms = _read_header(log, at)
        at += HEADER_BYTES + length
        count += 1
        if length == STAMP_BYTES + keys:
            views += 1
        if received_ms > newest_ms:
            newest_ms = received_ms
    return count, views, at, newest_ms


def is_view(entry: bytes) -> bool:
    """Tell whether an entry is a ``viewed`` event, not an impression."""
    return len(entry) == _keys_end(entry)


def _keys_end(entry: bytes) -> int:
    """Return where the item keys of an entry end."""
    keys: int = _read_header(entry)[1]
    return KEYS_AT + keys


def received_ms_of(log: bytes | bytearray) -> int:
    """Return when the first entry of a log was received."""
    received_ms: int = _read_header(log)[2]
    return received_ms


def scenario_of(entry: bytes) -> str | None:
    """Return the scenario of an impression's entry."""
    return _decode(memoryview(entry)[_keys_end(entry) :]).scenario


def decode_impression(entry: bytes) -> Impression:
    """Return the impression of an entry."""
    _, keys_length, received_ms = _read_header(entry)
    end = KEYS_AT + keys_length
    time_ms = time_of(entry[HEADER_BYTES:KEYS_AT])
    keys = entry[KEYS_AT:end].split(KEY_END)
    skipped = keys[0].index(b"/") + 1
    rest = _decode(memoryview(entry)[end:])
    call_ms = rest.call_ms
    if call_ms is not None and call_ms < 0:
        call_ms += time_ms + 1
    return Impression(
        time_ms,
        received_ms,
        int(keys[0][: skipped - 1]),
        [key[skipped:].decode() for key in keys],
        rest.scenario,
        rest.variant,
        rest.experiment,
        rest.row,
        rest.rank,
        rest.request_id,
        rest.origin,
        rest.number,
        rest.entry_ms,
        call_ms,
        rest.call_variant,
        rest.image,
    )


def renewed(former: bytes | bytearray) -> bytes:
    """Return a log of the former format, which had whole impressions in msgpack, as entries."""
    found = []
    at = 0
    while at < len(former):
        length, received_ms = _FORMER_HEADER.unpack_from(former, at)
        at += _FORMER_HEADER.size + length
        shown = _decode_former(memoryview(former)[at - length : at])
        shown.received_ms = shown.received_ms or received_ms
        if shown.call_ms is not None and shown.call_ms < 0:
            shown.call_ms += shown.time_ms + 1
        found.append(pack_impression(shown))
    return b"".join(found)
