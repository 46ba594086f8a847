"""Items that a user was shown, taken apart, to count more showings and views into them.

This is the part of ``rendered`` that takes time, so it may run compiled (shown_merge.pxd has its C types).
"""

from collections.abc import Collection, Iterable

from tables.user.log_entries import HEADER_BYTES, KEYS_AT
from tables.user.shown_bytes import (
    KEY_END,
    STAMP_BYTES,
    START,
    TIMES_BYTES,
    body_shown,
    body_viewed,
    time_of,
)


def parts_in(packed: bytes | bytearray) -> dict[bytes, bytes]:
    """Return item key -> all of its entry but the first byte, in touch order. Raise ValueError if an entry has no key."""
    if not packed:
        return {}
    end = KEY_END
    found: dict[bytes, bytes] = {}
    run = bytes(packed).split(START)
    del run[0]
    for part in run:
        found[part[: part.index(end)]] = part
    return found


def run_of(parts: Collection[bytes]) -> bytearray:
    """Return such parts as one run of bytes."""
    run = bytearray()
    if parts:
        run += START
        run += START.join(parts)
    return run


def count_entries(parts: dict[bytes, bytes], entries: Iterable[bytes], scope: bytes) -> None:
    """Count entries of a log into items (see ``parts_in``). The item that was touched last is the last one.

    ``scope`` goes before each item key.
    """
    shown: dict[bytes, bytes] = {}
    key_end, stamp_at, keys_at = KEY_END, HEADER_BYTES, KEYS_AT
    last = nothing = b""
    is_ascending = True
    for entry in entries:
        end = keys_at + (entry[4] << 24 | entry[5] << 16 | entry[6] << 8 | entry[7])  # as in the header
        keys = entry[keys_at:end].split(key_end)
        if len(set(keys)) != len(keys):
            keys = list(dict.fromkeys(keys))
        stamp = entry[stamp_at:keys_at]
        if end == len(entry):
            _count_showings(parts, shown, is_ascending)  # in the order of the log
            shown.clear()
            for key in keys:
                part = parts.pop(key, None)
                body = None if part is None else part[len(key) + 1 :]
                parts[key] = key + KEY_END + body_viewed(body, time_of(stamp))
            continue
        if scope:
            keys = [scope + key for key in keys]
        if stamp < last:
            is_ascending = False
        last = stamp
        for key in keys:
            shown[key] = shown.pop(key, nothing) + stamp
    _count_showings(parts, shown, is_ascending)


def _count_showings(parts: dict[bytes, bytes], shown: dict[bytes, bytes], is_ascending: bool) -> None:
    """Add show times (item key -> stamps) to items."""
    key_end, most, each = KEY_END, TIMES_BYTES, STAMP_BYTES
    if not is_ascending:
        shown = _sorted(shown)
    for key, stamps in shown.items():
        part = parts.pop(key, None)
        if part is None:
            part = key + key_end
        body = len(key) + 1
        times = len(part) - body
        if times + len(stamps) <= most and (
            not times or (part[-each:] <= stamps[:each] and part.find(b";", body) < 0)
        ):
            parts[key] = part + stamps
        else:
            parts[key] = key + key_end + body_shown(part[body:], stamps)


def _sorted(shown: dict[bytes, bytes]) -> dict[bytes, bytes]:
    return {
        key: b"".join(sorted(stamps[at : at + STAMP_BYTES] for at in range(0, len(stamps), STAMP_BYTES)))
        for key, stamps in shown.items()
    }
