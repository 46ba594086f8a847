"""Rows of `rendered` and `impressions` as the peers in Python keep them: one row a user, which each event changes as a whole.

Both are runs of bytes, so an event changes four of hundreds of items without decoding the others (docs/decisions/0010). This module
imports nothing of tables/, so a change of our own rows does not change the peers.

A row of `rendered` is an array of msgpack. Its first field has the items in touch order, the latest last. This is the entry of an item::

    0xC1  item key, UTF-8  0xFF  [total "," first_ms "," 0 "," 0 ";"]  show times

A show time is 8 characters of 6 bits, which sort as time does. The numbers are only there if they do not follow from the times.
"""

import struct
from binascii import a2b_base64, b2a_base64
from bisect import insort
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from events.model import Rendered

MAX_ITEMS: Final = 2_000
MAX_TIMES: Final = 16
"""Show times that are kept of an item; its showings are counted without a limit."""
MAX_IMPRESSIONS: Final = 100
KEEP_MS: Final = 25 * 3_600_000
"""An impression goes when the newest was received this much later."""

_START: Final = b"\xc1"
_KEY_END: Final = b"\xff"
_STAMP_BYTES: Final = 8
_TIMES_BYTES: Final = MAX_TIMES * _STAMP_BYTES
_MIN_ENTRY_BYTES: Final = len(b"\xc11/\xff") + _STAMP_BYTES
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_SORTED: Final = bytes(range(0x3F, 0x7F))
_TO_STAMP: Final = bytes.maketrans(_BASE64, _SORTED)
_FROM_STAMP: Final = bytes.maketrans(_SORTED, _BASE64)
_HEADER: Final = struct.Struct(">IQ")
"""The header of an impression: the length of its msgpack array, and when it was received."""


class WholeShown(msgspec.Struct, array_like=True, gc=False):
    """The items that a user was shown, as one run of bytes."""

    items: bytearray = msgspec.field(default_factory=bytearray)
    by_scenario: None = None
    """Always nil: ours has such a field, and the ledger reads both."""


class WholeLog(msgspec.Struct, array_like=True, gc=False):
    """A user's last impressions in log order, as one run of bytes, and their number."""

    log: bytearray = msgspec.field(default_factory=bytearray)
    kept: int = 0


class WholeTable(NamedTuple):
    """The name of a table, and how its rows are encoded and decoded."""

    name: str
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


_encode: Final = msgspec.msgpack.Encoder().encode
RENDERED: Final = WholeTable("rendered", _encode, msgspec.msgpack.Decoder(WholeShown).decode)
IMPRESSIONS: Final = WholeTable("impressions", _encode, msgspec.msgpack.Decoder(WholeLog).decode)


def show(row: WholeShown | None, event: Rendered) -> WholeShown:
    """Count each item of the list as shown, in the order sent. An item that is listed twice is one showing."""
    if row is None:
        row = WholeShown()
    packed = row.items
    find = packed.find
    time_ms = event.time_ms
    stamp = _stamp_of(time_ms)
    prefix = b"\xc1%d/" % event.itemtype
    is_new = False
    before = len(packed)  # what follows was touched by this list; so an item there is listed twice
    for item in event.items:
        opening = prefix + item.encode() + _KEY_END
        at = find(opening)
        if at < 0:
            is_new = True
            packed += opening
            packed += stamp
            continue
        if at >= before:
            continue
        end = find(_START, at + 1)
        if end < 0:
            end = len(packed)
        entry = packed[at:end]
        del packed[at:end]
        before -= end - at
        if b";" not in entry and entry[-_STAMP_BYTES:] <= stamp and len(entry) - len(opening) < _TIMES_BYTES:
            entry += stamp
            packed += entry
        else:
            packed += opening
            packed += _shown_again(bytes(entry[len(opening) :]), time_ms, stamp)
    if is_new:
        _drop_oldest(packed)
    return row


def remember(row: WholeLog | None, event: Rendered) -> WholeLog:
    """Add the list to the end of the log, and drop what is too old or one too many."""
    if row is None:
        row = WholeLog()
    body = _encode(
        (
            event.time_ms,
            event.itemtype,
            event.items,
            event.scenario,
            event.variant,
            event.experiment,
            event.row,
            event.rank,
            event.request_id,
        )
    )
    log = row.log
    log += _HEADER.pack(len(body), event.received_ms)
    log += body
    row.kept += 1
    oldest_ms = event.received_ms - KEEP_MS
    while True:
        length, received_ms = _HEADER.unpack_from(log)
        if row.kept <= MAX_IMPRESSIONS and received_ms >= oldest_ms:
            return row
        del log[: _HEADER.size + length]
        row.kept -= 1


def _stamp_of(time_ms: int) -> bytes:
    return b2a_base64(time_ms.to_bytes(6, "big"), newline=False).translate(_TO_STAMP)


def _times_of(stamps: bytes) -> list[int]:
    raw = a2b_base64(stamps.translate(_FROM_STAMP))
    return [int.from_bytes(raw[at : at + 6], "big") for at in range(0, len(raw), 6)]


def _shown_again(body: bytes, time_ms: int, stamp: bytes) -> bytes:
    """Return what follows the opening of an item's entry, after one more showing."""
    head, _, stamps = body.rpartition(b";")
    if head and stamps[-_STAMP_BYTES:] <= stamp:
        total, rest = head.split(b",", 1)
        return b"%d,%b;%b%b" % (int(total) + 1, rest, stamps[_STAMP_BYTES:], stamp)
    times = _times_of(stamps)
    total, first_ms = map(int, head.split(b",")[:2]) if head else (len(times), times[0])
    first_ms = min(first_ms, time_ms)
    insort(times, time_ms)
    del times[:-MAX_TIMES]
    total += 1
    stamps = b"".join(map(_stamp_of, times))
    return stamps if total == len(times) else b"%d,%d,0,0;%b" % (total, first_ms, stamps)


def _drop_oldest(packed: bytearray) -> None:
    """Drop the items that were touched longest ago, until at most ``MAX_ITEMS`` are left."""
    if len(packed) <= MAX_ITEMS * _MIN_ENTRY_BYTES:
        return  # so many bytes cannot hold too many items
    excess = packed.count(_START) - MAX_ITEMS
    if excess > 0:
        at = 0
        for _ in range(excess):
            at = packed.find(_START, at + 1)
        del packed[:at]
