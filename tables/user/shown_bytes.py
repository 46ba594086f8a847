"""Compact encoding of the items that a user was shown.

All items of a user are one run of bytes, so that an event changes four of hundreds of items without decoding the others
(docs/decisions/0010). This is the entry of an item::

    0xC1  item key, UTF-8  0xFF  [total "," first_ms "," viewed "," viewed_last_ms ";"]  show times

Neither delimiter occurs in UTF-8 or in what follows a key. A show time is 8 characters of 6 bits, most significant first. The
characters are 0x3F to 0x7E in their order, so that text sorts as time does. The decimal numbers are only there if they do not follow
from the times: there were more showings than kept times, or a view.
"""

from binascii import a2b_base64, b2a_base64
from collections.abc import Iterator, Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Final

import msgspec

MAX_TIMES: Final = 16
STAMP_BYTES: Final = 8
TIMES_BYTES: Final = MAX_TIMES * STAMP_BYTES
MAX_STAMP_MS: Final = 2**48 - 1

_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_SORTED: Final = bytes(range(0x3F, 0x7F))
_TO_STAMP: Final = bytes.maketrans(_BASE64, _SORTED)
_FROM_STAMP: Final = bytes.maketrans(_SORTED, _BASE64)
_IS_STAMP: Final = frozenset(_SORTED)

START: Final = b"\xc1"
KEY_END: Final = b"\xff"


class Shown(msgspec.Struct, array_like=True, gc=False):
    """How one item was shown. ``first_ms`` is valid only if ``total`` is not 0, because an item may only have been viewed."""

    total: int = 0
    first_ms: int = 0
    times: list[int] = msgspec.field(default_factory=list)
    """The greatest ``MAX_TIMES`` show times, ascending; two showings at one time are two entries."""
    viewed: int = 0
    viewed_last_ms: int = 0


def stamp_of(time_ms: int) -> bytes:
    """Return the 8 characters of a time from 0 to ``MAX_STAMP_MS``. Raise OverflowError for any other time."""
    return b2a_base64(time_ms.to_bytes(6, "big"), newline=False).translate(_TO_STAMP)


def time_of(stamp: bytes) -> int:
    """Return the time of a stamp."""
    return _times_of(stamp)[0]


def _times_of(stamps: bytes | bytearray) -> list[int]:
    if len(stamps) % STAMP_BYTES or not _IS_STAMP.issuperset(stamps):
        raise ValueError("show times are 8 characters each, from '?' to '~'")
    raw = a2b_base64(stamps.translate(_FROM_STAMP))
    return [int.from_bytes(raw[at : at + 6], "big") for at in range(0, len(raw), 6)]


@lru_cache(maxsize=4_096)
def scope_of(scenario: str) -> bytes:
    """Return the 8 ASCII characters that stand for a scenario before an item key. Two scenarios of a customer share them by chance only.

    Names may be long and repeat in every entry, so they are not stored themselves.
    """
    return b2a_base64(blake2b(scenario.encode(), digest_size=6).digest(), newline=False)


def opening_of(key: bytes) -> bytes:
    """Return the beginning of the entry of an item key (UTF-8)."""
    return START + key + KEY_END


def read(body: bytes | bytearray) -> Shown:
    """Decode an entry, given what follows its opening. Raise ValueError if it is invalid."""
    head, _, stamps = body.rpartition(b";")
    times = _times_of(stamps)
    if not head:
        if not times:
            raise ValueError("an item was neither shown nor viewed")
        return Shown(len(times), times[0], times)
    total, first_ms, viewed, viewed_last_ms = map(int, head.split(b","))
    return Shown(total, first_ms, times, viewed, viewed_last_ms)


def body_of(shown: Shown) -> bytes:
    """Return what follows the opening of an item's entry."""
    times = shown.times
    stamps = b"".join(map(stamp_of, times))
    if times and shown.total == len(times) and shown.first_ms == times[0] and not shown.viewed:
        return stamps
    return b"%d,%d,%d,%d;%b" % (shown.total, shown.first_ms, shown.viewed, shown.viewed_last_ms, stamps)


def body_shown(body: bytes, stamps: bytes) -> bytes:
    """Return what follows the opening of an item's entry, after more showings. ``body`` empty: the item had no entry.

    ``stamps`` are the times of the showings, ascending.
    """
    count = len(stamps) // STAMP_BYTES
    head, _, known = body.rpartition(b";")
    if head and (known or head.startswith(b"0,")) and known[-STAMP_BYTES:] <= stamps[:STAMP_BYTES]:
        total, first_ms, views = head.split(b",", 2)
        if not known:  # it was only viewed so far
            first_ms = b"%d" % time_of(stamps[:STAMP_BYTES])
        return b"%d,%b,%b;%b" % (int(total) + count, first_ms, views, (known + stamps)[-TIMES_BYTES:])
    shown = read(body) if body else Shown()
    times = _times_of(stamps)
    shown.first_ms = min(shown.first_ms, times[0]) if shown.total else times[0]
    shown.times = sorted(shown.times + times)[-MAX_TIMES:]
    shown.total += count
    return body_of(shown)


def body_viewed(body: bytes | bytearray | None, time_ms: int) -> bytes:
    """Return what follows the opening of an item's entry, after one more view. ``body`` None: the item had no entry."""
    if body is None:
        return body_of(Shown(viewed=1, viewed_last_ms=time_ms))
    head, _, stamps = bytes(body).rpartition(b";")
    if not head:
        return b"%d,%d,1,%d;%b" % (
            len(stamps) // STAMP_BYTES,
            time_of(stamps[:STAMP_BYTES]),
            time_ms,
            stamps,
        )
    showings, views, last_ms = head.rsplit(b",", 2)
    return b"%b,%d,%d;%b" % (showings, int(views) + 1, max(int(last_ms), time_ms), stamps)


def entries_in(packed: bytes | bytearray) -> Iterator[tuple[bytes, bytes]]:
    """Yield the item key (UTF-8) and what follows the opening of each entry, in touch order. Raise ValueError if one is invalid."""
    if packed:
        before, *parts = bytes(packed).split(START)
        if before:
            raise ValueError(f"no entry begins with {before[:20]!r}")
        for part in parts:
            key, end, body = part.partition(KEY_END)
            if not end:
                raise ValueError(f"an entry has no key: {part[:20]!r}")
            yield key, body


def pack(items: Mapping[str, Shown]) -> bytearray:
    """Return the items, in their order, as one run of bytes."""
    return bytearray(b"".join([opening_of(key.encode()) + body_of(shown) for key, shown in items.items()]))
