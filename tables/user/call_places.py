"""Recommendation calls that impressions reported, and where each counted, as one run of bytes.

An entry is 0xC1, ``call_name``, 0xFF, and the place: nothing if it is not known, else the stamp of its time, and ``=`` with its variant
if it has one. In rows of a former format, the time is decimal digits and a semicolon. The entry that was reported first comes first.
"""

from typing import Final, NamedTuple

from tables.user.shown_bytes import KEY_END, STAMP_BYTES, START, opening_of, stamp_of, time_of

MAX_CALLS: Final = 100
_NINE: Final = ord("9")  # a stamp begins above it


class CallPlace(NamedTuple):
    """Time and variant of the pane in which ``calls`` counted a call. No time: it is not known."""

    time_ms: int | None
    variant: str | None


def find_place(calls: bytes | bytearray, call: str) -> CallPlace | None:
    """Return where a call counted that an impression reported, or None if none reported it."""
    opening = opening_of(call.encode())
    at = calls.find(opening)
    if at < 0:
        return None
    at += len(opening)
    end = calls.find(START, at)
    return _place_in(bytes(calls[at:] if end < 0 else calls[at:end]))


def report_call(calls: bytearray, call: str, place: CallPlace) -> None:
    """Keep the name of a call that an impression reported first, and where the call counted."""
    calls += opening_of(call.encode())
    if place.time_ms is not None:
        calls += stamp_of(place.time_ms)
        if place.variant is not None:
            calls += b"=" + place.variant.encode()
    if calls.count(START) > MAX_CALLS:
        del calls[: calls.index(START, 1)]


def forget_places(calls: bytearray) -> None:
    """Forget where the reported calls counted. What is shown of them later counts in no ``clicked_calls``.

    After a login, their showings rest with two users. Each would count a call as clicked that counted once.
    """
    calls[:] = b"".join([opening_of(name) for name, _ in named_places(calls)])


def named_places(calls: bytes | bytearray) -> list[tuple[bytes, CallPlace]]:
    """Return the name of each call (UTF-8) with its place, the first reported first."""
    parts = (entry.partition(KEY_END) for entry in bytes(calls).split(START)[1:])
    return [(name, _place_in(place)) for name, _, place in parts]


def _place_in(place: bytes) -> CallPlace:
    if not place:
        return CallPlace(None, None)
    if place[0] <= _NINE:
        digits, _, variant = place.partition(b";")
        time_ms = int(digits)
    else:
        time_ms, variant = time_of(place[:STAMP_BYTES]), place[STAMP_BYTES:]
    return CallPlace(time_ms, variant[1:].decode() if variant else None)
