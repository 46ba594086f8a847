"""Older impressions of a user, in sealed buckets.

Key: ``{user key}`` NUL and the bucket's number (4 bytes). Value: up to 16 entries of the log, and the calls that they reported.
Expires: with the impressions in it. A bucket is written once, when the row of ``impressions`` is full, and later deleted. So an event
costs what it adds, not what is there (docs/decisions/0026). The row of ``impressions`` names its buckets.
"""

import struct
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple
from zlib import crc32

import msgspec

from tables.base.table_spec import PACKED_PER_ENCODED_BYTE, TableSpec
from tables.user.call_places import named_places
from tables.user.impressions import ImpressionsState, calls_of, log_of
from tables.user.log_entries import log_facts, split_log
from tables.user.shown_bytes import START

BUCKET_ENTRIES: Final = 16
_FULL_BYTES: Final = 4_096
"""A log, or a run of calls, that is longer is full too."""
MERGE_AFTER: Final = 64
"""Entries after which the row of ``rendered`` takes them in."""
MAX_BUCKETS: Final = 40
"""A user with more has many views in them, which are of no use once ``rendered`` has them."""
_FACTS: Final = struct.Struct(">BBBI")
_FACTS_BYTES: Final = _FACTS.size
_MARK_BYTES: Final = 2
_MINUTE_MS: Final = 60_000
_MOST_CALLS: Final = 255


class SealedLog(msgspec.Struct, array_like=True, gc=False):
    """Entries of the log and the calls that they reported, in the forms of the row ``impressions``."""

    log: bytes
    calls: bytes = b""


class Facts(NamedTuple):
    """What the row says of a bucket: how many impressions, views and calls it has, and the minute in which the last was received."""

    impressions: int
    views: int
    calls: int
    minute: int


class TornRowError(Exception):
    """A copy has part of a flush: the rows of a user do not fit together. They will within the next moment."""


def bucket_key(key: bytes, number: int) -> bytes:
    """Return the key of a bucket. A user key has no NUL, so no two users share a row."""
    return key + b"\0" + number.to_bytes(4, "big")


def bucket_count(state: ImpressionsState) -> int:
    """Return how many buckets a row has."""
    return len(state.buckets) // _FACTS_BYTES


def facts_of(state: ImpressionsState) -> list[Facts]:
    """Return what is known of each bucket, the oldest first."""
    return [Facts(*each) for each in _FACTS.iter_unpack(state.buckets)]


def is_full(state: ImpressionsState) -> bool:
    """Tell whether the log has to be sealed. Calls wait for an entry, because a bucket without one has no time and would be dropped."""
    entries = state.kept + state.views
    return (
        entries >= BUCKET_ENTRIES
        or len(state.impressions) >= _FULL_BYTES
        or (len(state.calls) >= _FULL_BYTES and entries > 0)
    )


def unmerged_buckets(state: ImpressionsState, merged: int) -> int:
    """Return how many of the last buckets have entries that a row of ``rendered`` with this ``merged`` does not include."""
    missing = state.appended - merged - state.kept - state.views
    count = 0
    facts = facts_of(state) if missing > 0 else []
    while missing > 0:
        if count == len(facts):
            raise TornRowError(f"{missing} entries are in no bucket")
        count += 1
        missing -= facts[-count].impressions + facts[-count].views
    return count


def unmerged_entries(
    state: ImpressionsState, merged: int, load: Callable[[int], SealedLog | None]
) -> list[bytes]:
    """Return the entries of a user's log that a row of ``rendered`` with this ``merged`` does not include, in log order.

    ``load`` returns the bucket of a number. Raise TornRowError if the rows do not fit together.
    """
    if merged < state.merged:
        raise TornRowError("the row of what was shown is older than the log")
    missing = state.appended - merged
    if missing <= 0:
        return []
    count = unmerged_buckets(state, merged)
    end = state.first_bucket + bucket_count(state)
    entries: list[bytes] = []
    for number in range(end - count, end):
        bucket = load(number)
        if bucket is None:
            raise TornRowError(f"bucket {number} is missing")
        entries.extend(split_log(bucket.log))
    entries.extend(split_log(log_of(state)))
    return entries[-missing:]


def seal(state: ImpressionsState) -> tuple[int, SealedLog]:
    """Take the oldest entries of the log, as many as a bucket has, and the calls out of the row. Return the bucket and its number.

    Of several buckets in a row, the last takes all calls: which entry reported a call is not known, and the first is soon dropped.
    """
    log, calls = log_of(state), calls_of(state)
    count, views, length, newest_ms = log_facts(log, BUCKET_ENTRIES)
    is_last = state.kept + state.views < count + BUCKET_ENTRIES and len(log) < length + _FULL_BYTES
    if not is_last:
        calls = bytearray()
    while (called := calls.count(START)) > _MOST_CALLS:
        del calls[: calls.index(START, 1)]
    number = state.first_bucket + bucket_count(state)
    bucket = SealedLog(bytes(log[:length]), bytes(calls))
    state.buckets += _FACTS.pack(count - views, views, called, min(newest_ms // _MINUTE_MS, 2**32 - 1))
    if called:
        state.call_marks += b"".join([_mark_of(name) for name, _ in named_places(calls)])
        state.calls = bytearray()
    del log[:length]
    state.kept -= count - views
    state.views -= views
    return number, bucket


def drop_oldest(state: ImpressionsState) -> int:
    """Take the oldest bucket off the row, and return its number."""
    facts = Facts(*_FACTS.unpack_from(state.buckets))
    state.buckets = state.buckets[_FACTS_BYTES:]
    state.call_marks = state.call_marks[facts.calls * _MARK_BYTES :]
    state.first_bucket += 1
    return state.first_bucket - 1


def is_old(facts: Facts, before_ms: int) -> bool:
    """Tell whether all of a bucket was received before a time."""
    return facts.minute < before_ms // _MINUTE_MS


def buckets_of_call(state: ImpressionsState, name: str) -> Iterator[int]:
    """Yield the numbers of the buckets that may hold a call: marks are short, so it need not be there."""
    marks, mark = state.call_marks, _mark_of(name.encode())
    at = marks.find(mark)
    while at >= 0:
        if at % _MARK_BYTES == 0:
            yield state.first_bucket + _bucket_at(state, at // _MARK_BYTES)
        at = marks.find(mark, at + 1)


def _bucket_at(state: ImpressionsState, call: int) -> int:
    for place, facts in enumerate(facts_of(state)):
        if call < facts.calls:
            return place
        call -= facts.calls
    raise ValueError("more marks than calls")


def _mark_of(name: bytes) -> bytes:
    return (crc32(name) & 0xFFFF).to_bytes(_MARK_BYTES, "big")


TABLE: Final = TableSpec(
    "impression_buckets",
    SealedLog,
    key="user, number",
    value="16 of a user's last 100 impressions, and the recommendation calls that they reported",
    expiry="with its impressions",
    is_user_table=False,  # some rows per user, not one
    memory_per_byte=PACKED_PER_ENCODED_BYTE,
    stays_in_memory=False,
)
