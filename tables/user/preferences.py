"""A user's preferences for items: the last rating, a blacklisting, and a place on the wishlist.

Key: user. Value: item -> these three facets, which are independent; in each, the last write by event time wins. Expires: a
blacklisting one year after its event, on reading. Beyond 2,000 items, the items that the log touched longest ago. A repeated event
changes nothing.
"""

from typing import Final

import msgspec

from events.model import Blacklist, DeleteFromBlacklist, DeleteFromWishlist, Rate, Wishlist
from tables.base.table_spec import TableSpec
from tables.user.items import drop_oldest, item_key

BLACKLISTED_FOR_MS: Final = 365 * 86_400_000


class Preference(msgspec.Struct, array_like=True, gc=False):
    """A user's preferences for one item. ``rating`` is raw, 0-100. A facet without an event is None."""

    rating: int | None = None
    rated_ms: int | None = None
    blacklisted_until_ms: int | None = None
    wished_ms: int | None = None
    unwished_ms: int | None = None
    unblacklisted_ms: int | None = None


class PreferencesState(msgspec.Struct, array_like=True, gc=False):
    """A user's preferences: item key -> Preference, in touch order, the latest last."""

    items: dict[str, Preference] = msgspec.field(default_factory=dict)


def rate(state: PreferencesState | None, event: Rate) -> PreferencesState:
    """Keep the rating, unless a later one is known. At equal times, the later record in the log wins."""
    state, preference = _touch(state, item_key(event.itemtype, event.item))
    if preference.rated_ms is None or event.time_ms >= preference.rated_ms:
        preference.rating = event.rating
        preference.rated_ms = event.time_ms
    return state


def blacklist(state: PreferencesState | None, event: Blacklist) -> PreferencesState:
    """Blacklist the item until a year after the event."""
    state, preference = _touch(state, item_key(event.itemtype, event.item))
    preference.blacklisted_until_ms = _latest(
        preference.blacklisted_until_ms, event.time_ms + BLACKLISTED_FOR_MS
    )
    return state


def unblacklist(state: PreferencesState | None, event: DeleteFromBlacklist) -> PreferencesState:
    """Take the item off the blacklist. An older ``blacklist`` event does not bring it back."""
    state, preference = _touch(state, item_key(event.itemtype, event.item))
    preference.unblacklisted_ms = _latest(preference.unblacklisted_ms, event.time_ms)
    return state


def wish(state: PreferencesState | None, event: Wishlist) -> PreferencesState:
    """Put the item on the wishlist."""
    state, preference = _touch(state, item_key(event.itemtype, event.item))
    preference.wished_ms = _latest(preference.wished_ms, event.time_ms)
    return state


def unwish(state: PreferencesState | None, event: DeleteFromWishlist) -> PreferencesState:
    """Take the item off the wishlist. An older ``wishlist`` event does not bring it back."""
    state, preference = _touch(state, item_key(event.itemtype, event.item))
    preference.unwished_ms = _latest(preference.unwished_ms, event.time_ms)
    return state


def is_blacklisted(preference: Preference, as_of_ms: int) -> bool:
    """Tell whether the item must not be shown at ``as_of_ms``: see ``is_on_blacklist``."""
    return is_on_blacklist(preference.blacklisted_until_ms, preference.unblacklisted_ms, as_of_ms)


def is_on_blacklist(until_ms: int | None, unblacklisted_ms: int | None, as_of_ms: int) -> bool:
    """Tell whether an item is on the blacklist: within a year after it was put there, unless it was taken off at that time or later."""
    if until_ms is None:
        return False
    since_ms = until_ms - BLACKLISTED_FOR_MS
    if unblacklisted_ms is not None and since_ms <= unblacklisted_ms <= as_of_ms:
        return False
    return since_ms <= as_of_ms < until_ms


def is_wished(preference: Preference) -> bool:
    """Tell whether the item is on the wishlist: put there, and not taken off at the same time or later."""
    wished_ms, unwished_ms = preference.wished_ms, preference.unwished_ms
    return wished_ms is not None and (unwished_ms is None or wished_ms > unwished_ms)


def merge(into: PreferencesState | None, other: PreferencesState) -> PreferencesState:
    """Merge a row that a login moved. ``other`` is used up.

    The last write of each facet wins; of two ratings at the same time, the higher.
    """
    if into is None:
        return other
    items = into.items
    for key, moved in other.items.items():
        own = items.pop(key, None)
        if own is not None:
            if _rating(own) > _rating(moved):
                moved.rating, moved.rated_ms = own.rating, own.rated_ms
            moved.blacklisted_until_ms = _latest(own.blacklisted_until_ms, moved.blacklisted_until_ms)
            moved.wished_ms = _latest(own.wished_ms, moved.wished_ms)
            moved.unwished_ms = _latest(own.unwished_ms, moved.unwished_ms)
            moved.unblacklisted_ms = _latest(own.unblacklisted_ms, moved.unblacklisted_ms)
        items[key] = moved
    drop_oldest(items)
    return into


def _touch(state: PreferencesState | None, key: str) -> tuple[PreferencesState, Preference]:
    if state is None:
        state = PreferencesState()
    preference = state.items.pop(key, None)
    if preference is None:
        preference = Preference()
    state.items[key] = preference
    drop_oldest(state.items)
    return state, preference


def _latest(one_ms: int | None, other_ms: int | None) -> int | None:
    if one_ms is None or other_ms is None:
        return one_ms if other_ms is None else other_ms
    return max(one_ms, other_ms)


def _rating(preference: Preference) -> tuple[int, int]:
    if preference.rated_ms is None or preference.rating is None:
        return -1, -1
    return preference.rated_ms, preference.rating


TABLE: Final = TableSpec(
    "preferences",
    PreferencesState,
    key="user",
    value="item -> last rating, blacklisted until, wishlist",
    expiry="a blacklisting after a year, on reading; beyond 2,000 items",
    merge=merge,
)
