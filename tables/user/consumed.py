"""Consumption of items by a user, in percent, which decides whether the user saw an item to its end.

Key: user. Value: item -> highest percentage, when first and last, milliseconds played, buffered and paused. Expires: beyond 2,000
items, the items that the log touched longest ago. A repeated ``consume`` changes nothing.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from events.model import Consume, Playback
from tables.base.table_spec import TableSpec
from tables.user.items import drop_oldest, item_key
from tables.user.playback import HeartbeatEffect


class Consumed(msgspec.Struct, array_like=True, gc=False):
    """How one item was consumed.

    ``percentage`` is the highest, 0-100. ``first_ms`` and ``last_ms`` are event times. The rest comes from a player's heartbeats.
    """

    percentage: int
    first_ms: int
    last_ms: int
    played_ms: int = 0
    buffered_ms: int = 0
    paused_ms: int = 0


class ConsumedState(msgspec.Struct, array_like=True, gc=False):
    """A user's consumption: item key -> Consumed, in touch order, the latest last."""

    items: dict[str, Consumed] = msgspec.field(default_factory=dict)


def consume(state: ConsumedState | None, event: Consume) -> ConsumedState:
    """Raise the item's percentage to the event's, if that is higher."""
    if state is None:
        state = ConsumedState()
    _put(
        state.items,
        item_key(event.itemtype, event.item),
        Consumed(event.percentage, event.time_ms, event.time_ms),
    )
    drop_oldest(state.items)
    return state


def play(state: ConsumedState | None, event: Playback, heard: HeartbeatEffect) -> ConsumedState:
    """Add the times of a heartbeat, and raise the percentage to the part of the item that was played."""
    if state is None:
        state = ConsumedState()
    more = Consumed(
        heard.percentage, event.time_ms, event.time_ms, heard.played_ms, heard.buffered_ms, heard.paused_ms
    )
    _put(state.items, item_key(event.itemtype, event.item), more)
    drop_oldest(state.items)
    return state


def raise_to(state: ConsumedState, percentages: Mapping[str, int]) -> None:
    """Raise the percentages of items that are already in the row; ignore other items."""
    for key, percentage in percentages.items():
        if key in state.items:
            state.items[key].percentage = max(state.items[key].percentage, percentage)


def merge(into: ConsumedState | None, other: ConsumedState) -> ConsumedState:
    """Merge a row that a login moved. ``other`` is used up.

    For each item, keep the highest percentage, the first and the last time, and the sums of the milliseconds.
    """
    if into is None:
        return other
    for key, moved in other.items.items():
        _put(into.items, key, moved)
    drop_oldest(into.items)
    return into


def _put(items: dict[str, Consumed], key: str, more: Consumed) -> None:
    own = items.pop(key, None)
    if own is not None:
        more.percentage = max(more.percentage, own.percentage)
        more.first_ms = min(more.first_ms, own.first_ms)
        more.last_ms = max(more.last_ms, own.last_ms)
        more.played_ms += own.played_ms
        more.buffered_ms += own.buffered_ms
        more.paused_ms += own.paused_ms
    items[key] = more


TABLE: Final = TableSpec(
    "consumed",
    ConsumedState,
    key="user",
    value="item -> highest percentage, first and last; of `playback` milliseconds played, buffered and paused",
    expiry="beyond 2,000 items",
    merge=merge,
)
