"""Windows of items, and of items with images: one row holds all items of a scenario in an hour or day.

Table ``item_windows``. Key: WindowKey bytes with the dimension ITEM or ITEM_IMAGE. Value: ItemWindow. Expires, by received time: hours
after 35 days, days after 400. A repeated merge would count twice; the additions that it took are deleted in the same flush.
"""

from typing import Final

import msgspec

from events.topics import DAY_MS
from tables.base.table_spec import TableSpec
from tables.ctr.item_columns import ItemColumns
from tables.ctr.item_counts import ITEM_COUNTERS, ItemCounts, add_item
from tables.ctr.window_keys import WindowKey

MAX_ITEMS: Final = 10_000
"""Items (or pairs of item and image) of a scenario that count by themselves in a day. More count together as the rest."""
ITEM_KEEP_MS: Final = {"hour": 35 * DAY_MS, "day": 400 * DAY_MS}
"""How long a row is kept after its last event was received."""


class ItemWindow(msgspec.Struct, array_like=True, gc=False):
    """The counts of each item, and of the ``rest`` beyond the first ``MAX_ITEMS`` of the day (None: there is no rest)."""

    received_ms: int = 0
    items: ItemColumns = msgspec.field(default_factory=ItemColumns)
    rest: ItemCounts | None = None


class _Received(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The first field of a row: a sweep reads no items."""

    received_ms: int = 0


def add_to_windows(
    hour: ItemWindow, day: ItemWindow, added: ItemColumns, received_ms: int, limit: int
) -> None:
    """Add the counts of items to an hour and to its day, in place.

    The first ``limit`` items of a day, in the order of the log, count by themselves in the day and in all of its hours.
    """
    kept, rest = _split(day.items, added, limit)
    for window in (hour, day):
        window.received_ms = max(window.received_ms, received_ms)
        window.items.add(kept)
        if rest is not None:
            window.rest = window.rest or ItemCounts()
            add_item(window.rest, rest)


def _split(day: ItemColumns, added: ItemColumns, limit: int) -> tuple[ItemColumns, ItemCounts | None]:
    """Return what counts by item, and the sum of the rest. An item has its place if the day knows it in any column."""
    if len(day) + len(added) <= limit:
        return added, None  # however few of these values are of the same item
    known = {name for name, _ in day.by_item()}
    kept, rest = ItemColumns(), ItemCounts()
    for name, counts in added.by_item():
        if name not in known and len(known) >= limit:
            add_item(rest, counts)
            continue
        known.add(name)
        itemtype, _, item = name.partition("/")
        for counter in ITEM_COUNTERS:
            times = getattr(counts, counter)
            if times:
                kept.add_column(f"{counter}/{itemtype}", {item: times})
        for currency, amount in (counts.revenue or {}).items():
            kept.earn(name, currency, amount)
    return kept, None if rest == ItemCounts() else rest


def _has_expired(key: bytes, window: ItemWindow | _Received, received_ms: int) -> bool:
    return received_ms - window.received_ms > ITEM_KEEP_MS[WindowKey.decode(key).granularity]


TABLE: Final = TableSpec(
    "item_windows",
    ItemWindow,
    key="an hour or day of a scenario's items",
    value="counter and item type -> item -> number; revenue; the counts of all items beyond 10,000",
    expiry="hours after 35 days, days after 400",
    is_user_table=False,
    has_expired=_has_expired,
    row_of_sweep=_Received,
    memory_per_row=800,
    memory_per_byte=17.6,
)
