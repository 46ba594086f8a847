"""Items in a user's basket. Events may arrive in any order.

Key: user. Value: item -> when added, category path, price if known, and when taken out. The time of removal is a tombstone: an
older ``basket`` event does not bring the item back. Expires: a tombstone 7 days after the receipt of the last event about its item,
at the next sweep (at most one an hour). Beyond 2,000 items, the items that the log touched longest ago. A repeated event changes
nothing.
"""

from decimal import Decimal
from typing import Final

import msgspec

from events.model import Basket
from tables.base.table_spec import TableSpec
from tables.user.items import drop_oldest, item_key

KEEP_TOMBSTONES_MS: Final = 7 * 86_400_000
SWEEP_EVERY_MS: Final = 3_600_000


class BasketItem(msgspec.Struct, array_like=True, gc=False):
    """One item: when it was last added, with which facts, and when it was last taken out. Event times; None: never."""

    added_ms: int | None = None
    categorypath: str | None = None
    price: Decimal | None = None
    currency: str | None = None
    removed_ms: int | None = None
    received_ms: int = 0
    """When the last event about the item was received. Used only to trim."""


class BasketState(msgspec.Struct, array_like=True, gc=False):
    """A user's basket: item key -> BasketItem, in touch order, the latest last. ``in_basket`` says which ones are in it."""

    items: dict[str, BasketItem] = msgspec.field(default_factory=dict)
    swept_ms: int = 0
    """When old tombstones were last swept, by received time."""


def in_basket(item: BasketItem) -> bool:
    """Tell whether the item is in the basket: added, and not taken out at the same time or later."""
    return item.added_ms is not None and (item.removed_ms is None or item.added_ms > item.removed_ms)


def put(state: BasketState | None, event: Basket) -> BasketState:
    """Put the item in, unless it was taken out at this event's time or later.

    The facts are those of the latest event; at equal times, those of the later record in the log.
    """
    if state is None:
        state = BasketState()
    item = _touch(state, item_key(event.itemtype, event.item), event.received_ms)
    if item.added_ms is None or event.time_ms >= item.added_ms:
        item.added_ms = event.time_ms
        item.categorypath = event.categorypath
        item.price = event.price
        item.currency = event.currency
    _trim(state, event.received_ms)
    return state


def take(state: BasketState | None, key: str, time_ms: int, received_ms: int) -> BasketState:
    """Take the item with this item key out (``deletefrombasket``, ``buy``), even if it is not known to be in the basket."""
    if state is None:
        state = BasketState()
    item = _touch(state, key, received_ms)
    if item.removed_ms is None or time_ms > item.removed_ms:
        item.removed_ms = time_ms
    _trim(state, received_ms)
    return state


def merge(into: BasketState | None, other: BasketState) -> BasketState:
    """Merge a row that a login moved: for each item, the last addition and the last removal win. ``other`` is used up."""
    if into is None:
        return other
    items = into.items
    for key, moved in other.items.items():
        own = items.pop(key, None)
        items[key] = moved if own is None else _merge_item(own, moved)
    drop_oldest(items)
    return into


def _touch(state: BasketState, key: str, received_ms: int) -> BasketItem:
    item = state.items.pop(key, None)
    if item is None:
        item = BasketItem()
    state.items[key] = item
    item.received_ms = max(item.received_ms, received_ms)
    return item


def _trim(state: BasketState, now_received_ms: int) -> None:
    if now_received_ms - state.swept_ms >= SWEEP_EVERY_MS:
        before_ms = now_received_ms - KEEP_TOMBSTONES_MS
        old = [
            key for key, item in state.items.items() if item.received_ms < before_ms and not in_basket(item)
        ]
        for key in old:
            del state.items[key]
        state.swept_ms = now_received_ms
    drop_oldest(state.items)


def _merge_item(own: BasketItem, moved: BasketItem) -> BasketItem:
    added = max(own, moved, key=_addition)
    removals = [item.removed_ms for item in (own, moved) if item.removed_ms is not None]
    return BasketItem(
        added.added_ms,
        added.categorypath,
        added.price,
        added.currency,
        max(removals, default=None),
        max(own.received_ms, moved.received_ms),
    )


def _addition(item: BasketItem) -> tuple[int, str, str, str]:
    """Order additions of two users by time, then by content. They share no log, and both orders must give the same result."""
    return (
        -1 if item.added_ms is None else item.added_ms,
        "" if item.price is None else str(item.price),
        item.currency or "",
        item.categorypath or "",
    )


TABLE: Final = TableSpec(
    "basket",
    BasketState,
    key="user",
    value="item -> added, category path, price; when taken out",
    expiry="tombstones of items after 7 days; beyond 2,000 items",
    merge=merge,
)
