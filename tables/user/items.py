"""Keys of items in the tables of a user, and the bound on the number of items."""

from itertools import islice
from typing import Any, Final

MAX_ITEMS: Final = 2_000
"""Items that a table keeps of one user. So a value stays far below 1 MB, the broker's default limit of a message."""


def item_key(itemtype: int, item: str) -> str:
    """Return the key of an item in every table of a user: ``{itemtype}/{item}``."""
    return f"{itemtype}/{item}"


def split_item_key(key: str) -> tuple[int, str]:
    """Return the itemtype and the item of a key. An item may itself contain slashes."""
    itemtype, _, item = key.partition("/")
    return int(itemtype), item


def drop_oldest(items: dict[str, Any], max_items: int = MAX_ITEMS) -> None:
    """Drop the items that the log touched longest ago. ``items`` must be in touch order, the latest last.

    The event time does not decide, because a client with a wrong clock must not push out what others sent.
    """
    excess = len(items) - max_items
    if excess > 0:
        for key in list(islice(items, excess)):
            del items[key]
