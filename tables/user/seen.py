"""Ids of events that were folded, so that events with the same ``eid`` are one event.

Key: ``{user key}`` NUL ``{eid}``. Value: when the first of these events was received, ms. Expires: 24 h after that. A repeated event
changes nothing, not even the expiry: a client that retries for ever does not keep its row for ever.
"""

from typing import Final

from tables.base.table_spec import TableSpec

SEEN_KEEP_MS: Final = 24 * 3_600_000


def row_key(user_key: bytes, eid: str) -> bytes:
    """Return the key of the row of one event id. A user key has no NUL, so no two users share a row."""
    return user_key + b"\0" + eid.encode("utf-8", "surrogatepass")


def is_repeat(seen_ms: int | None, received_ms: int) -> bool:
    """Tell whether an event received at ``received_ms`` is a repeat, given its row (None: no row).

    An event that seems to be received before the first, by another collector's clock, is a repeat too.
    """
    return seen_ms is not None and not is_expired(seen_ms, received_ms)


def is_expired(seen_ms: int, now_received_ms: int) -> bool:
    """Tell whether a row no longer matters and may be deleted."""
    return now_received_ms - seen_ms >= SEEN_KEEP_MS


TABLE: Final = TableSpec(
    "seen",
    int,
    key="user, eid",
    value="when it was first received",
    expiry="after 24 h",
    is_user_table=False,  # one row per event, not per user
    has_expired=lambda _key, seen_ms, now_ms: is_expired(seen_ms, now_ms),
    memory_per_row=190,
    memory_per_byte=1,
)
