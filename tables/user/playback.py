"""The parts of each item that a user really played, by the heartbeats of a player.

Key: user. Value: item -> the union of played ranges, the length without credits, and the last heartbeat of each of the last two
sessions. Expires: beyond 500 items, the items that the log touched longest ago. A heartbeat that comes again, or after a later one,
changes nothing.

Two successive heartbeats of a session mark a range: from the position of the first to that of the second. It was played if the
first said ``playing`` at a rate of at most 2, and enough time passed between them on the player's clock. Anything else, such as seeking
and fast-forwarding, is not consumption.
"""

from typing import Final, NamedTuple

import msgspec

from events.model import Playback
from tables.base.table_spec import TableSpec
from tables.user.items import drop_oldest, item_key

MAX_PLAYED_ITEMS: Final = 500  # with all their ranges and sessions, they are far below 1 MB
MAX_RANGES: Final = 64
MAX_SESSIONS: Final = 2  # for example in the living room and on the phone
_MAX_RATE: Final = 2.0  # people watch or listen at up to 2x, and search at higher rates
MAX_GAP_MS: Final = 300_000
"""After a longer gap, it is unknown what happened between two heartbeats. Players send one every few seconds to a minute."""
_SLACK_MS: Final = 1_000  # players' timers fire late, and players report positions of key frames
_SLACK_SHARE: Final = 0.05
_MAX_CLOCK_MS: Final = 10**14
"""Bound on a player's clock, which may have any value. A login could not move a greater number (tables/transfers.py)."""


class Last(msgspec.Struct, array_like=True, gc=False):
    """The last heartbeat of a session: its time by the player's clock, when it was received, and what it said."""

    client_ms: int
    received_ms: int
    state: str
    position_ms: int
    rate: float


class Played(msgspec.Struct, array_like=True, gc=False):
    """One item. ``ranges`` are start, end, start, end ... in ms, sorted and disjoint. ``end_ms`` is where the credits begin."""

    end_ms: int
    ranges: list[int] = msgspec.field(default_factory=list)
    sessions: dict[str, Last] = msgspec.field(default_factory=dict)


class PlaybackState(msgspec.Struct, array_like=True, gc=False):
    """A user's played items: item key -> Played, in touch order, the latest last."""

    items: dict[str, Played] = msgspec.field(default_factory=dict)


class HeartbeatEffect(NamedTuple):
    """What one heartbeat added: milliseconds played, buffered and paused. ``percentage`` is the item's new total."""

    played_ms: int = 0
    buffered_ms: int = 0
    paused_ms: int = 0
    percentage: int = 0


def fold_heartbeat(
    state: PlaybackState | None, event: Playback
) -> tuple[PlaybackState, HeartbeatEffect | None]:
    """Fold a heartbeat. Return what it added, or None if it is a repeat or late."""
    if state is None:
        state = PlaybackState()
    key = item_key(event.itemtype, event.item)
    end_ms = event.duration_ms if event.credits_ms is None else min(event.credits_ms, event.duration_ms)
    now = Last(
        min(max(event.time_ms if event.created_ms is None else event.created_ms, 0), _MAX_CLOCK_MS),
        event.received_ms,
        event.state,
        min(event.position_ms, event.duration_ms),
        event.rate,
    )
    played = state.items.get(key)
    before = None if played is None else played.sessions.get(event.session)
    if before is not None and _is_past(before, now):
        return state, None
    if played is None:
        played = Played(end_ms)
    state.items.pop(key, None)
    state.items[key] = played  # touched
    played.end_ms = end_ms
    played.sessions.pop(event.session, None)
    played.sessions[event.session] = now
    drop_oldest(played.sessions, MAX_SESSIONS)
    drop_oldest(state.items, MAX_PLAYED_ITEMS)
    added = HeartbeatEffect() if before is None else _added(played.ranges, before, now)
    return state, added._replace(percentage=percentage(played))


def _is_past(before: Last, now: Last) -> bool:
    """Tell whether a heartbeat is a repeat or late.

    If a player's clock was set back, all its heartbeats seem late, but only until MAX_GAP_MS after the last receipt.
    """
    return now.client_ms <= before.client_ms and now.received_ms - before.received_ms <= MAX_GAP_MS


def _added(ranges: list[int], before: Last, now: Last) -> HeartbeatEffect:
    elapsed_ms = now.client_ms - before.client_ms
    if not 0 < elapsed_ms <= MAX_GAP_MS:
        return HeartbeatEffect()
    if before.state == "buffering":
        return HeartbeatEffect(buffered_ms=elapsed_ms)
    if before.state == "paused":
        return HeartbeatEffect(paused_ms=elapsed_ms)
    way_ms = now.position_ms - before.position_ms
    is_watched = before.state == "playing" and 0 < before.rate <= _MAX_RATE
    if not is_watched or not 0 < way_ms <= elapsed_ms * before.rate * (1 + _SLACK_SHARE) + _SLACK_MS:
        return HeartbeatEffect()
    unite(ranges, before.position_ms, now.position_ms)
    return HeartbeatEffect(played_ms=way_ms)


def unite(ranges: list[int], start_ms: int, end_ms: int) -> None:
    """Add a half-open range to a union, in place. Beyond MAX_RANGES, drop the shortest, so that the total is never too high."""
    kept: list[int] = []
    for at in range(0, len(ranges), 2):
        start, end = ranges[at], ranges[at + 1]
        if end < start_ms or start > end_ms:
            kept += (start, end)
        else:
            start_ms, end_ms = min(start_ms, start), max(end_ms, end)
    place = sum(1 for start in kept[::2] if start < start_ms) * 2
    kept[place:place] = (start_ms, end_ms)
    if len(kept) > 2 * MAX_RANGES:
        shortest = min(range(0, len(kept), 2), key=lambda at: kept[at + 1] - kept[at])
        del kept[shortest : shortest + 2]
    ranges[:] = kept


def percentage(played: Played) -> int:
    """Return how much of the item without its credits was played, 0-100."""
    if played.end_ms <= 0:
        return 0
    covered_ms = sum(
        max(0, min(end, played.end_ms) - start)
        for start, end in zip(played.ranges[::2], played.ranges[1::2], strict=True)
    )
    return 100 * covered_ms // played.end_ms


def merge(into: PlaybackState | None, other: PlaybackState) -> PlaybackState:
    """Merge a row that a login moved: unite the ranges. ``other`` is used up."""
    if into is None:
        return other
    for key, moved in other.items.items():
        own = into.items.pop(key, None)
        if own is not None:
            for start, end in zip(own.ranges[::2], own.ranges[1::2], strict=True):
                unite(moved.ranges, start, end)
            moved.end_ms = max(moved.end_ms, own.end_ms)
            for session, last in own.sessions.items():
                other_last = moved.sessions.get(session)
                if other_last is None or other_last.client_ms < last.client_ms:
                    moved.sessions.pop(session, None)
                    moved.sessions[session] = last
            drop_oldest(moved.sessions, MAX_SESSIONS)
        into.items[key] = moved
    drop_oldest(into.items, MAX_PLAYED_ITEMS)
    return into


def percentages(state: PlaybackState) -> dict[str, int]:
    """Return item key -> how much of it was played, 0-100."""
    return {key: percentage(played) for key, played in state.items.items()}


TABLE: Final = TableSpec(
    "playback",
    PlaybackState,
    key="user",
    value="item -> the union of played ranges (at most 64), its length without credits, the last heartbeat of the last two sessions",
    expiry="beyond 500 items",
    merge=merge,
    memory_per_row=265,
    memory_per_byte=9.9,
)
