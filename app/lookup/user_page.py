"""The page of one user: everything stored of the user, for a person to read or a model to use as features."""

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any, Final

from app.customers.customer import RatingScale
from app.lookup.turns import Steps, at_once, pieces
from app.lookup.user_view import UserView, kept_items, merged_basket, session_steps
from events.money import EXACT
from events.quantity import json_number
from tables.user.basket import BasketItem
from tables.user.items import split_item_key
from tables.user.preferences import Preference, is_blacklisted, is_wished
from tables.user.purchases import units
from tables.user.shown_bytes import MAX_TIMES

PageEntry = dict[str, Any]
_Item = tuple[PageEntry, list[Any]]
"""The first fields of an item's entry, and its states."""
_RAW: Final = RatingScale()
"""The scale of the tracker API, 0 to 100."""


def user_page(
    view: UserView, as_of_ms: int, scale_of: Callable[[int], RatingScale] = lambda _: _RAW
) -> PageEntry:
    """Return everything known of a user as JSON: each table with the latest item first, and totals.

    The page leaves out items that began after ``as_of_ms``; counts are the current ones. It includes the items that a login
    moved to another user, and marks those without other data ``moved``. ``rating`` is raw; ``scale_of`` (item type -> scale) turns it
    into ``rating_percent``.
    """
    return at_once(page_steps(view, as_of_ms, scale_of))


def page_steps(
    view: UserView, as_of_ms: int, scale_of: Callable[[int], RatingScale] = lambda _: _RAW
) -> Steps[PageEntry]:
    """Return ``user_page`` in steps. The view may change between two of them."""
    is_known, identity, recommended = view.is_known, _identity(view), _recommended(view, as_of_ms)
    merged = {name: _Merged(view, name) for name in _TABLES}
    tables: dict[str, list[PageEntry]] = {}
    for name, make in _TABLES.items():
        entries: list[PageEntry] = []
        for keys in pieces(merged[name].keys):
            entries += make(merged[name].of(keys), as_of_ms)
            yield
        entries.sort(key=lambda entry: (-entry["last_ms"], entry["item"], entry["itemtype"]))
        tables[name] = entries
        yield
    session_ms = yield from session_steps(merged["rendered"].stretches, as_of_ms)
    for entry in tables["preferences"]:
        rating = entry["rating"]
        entry["rating_percent"] = None if rating is None else scale_of(entry["itemtype"]).percent(rating)
    return {
        "known": is_known,
        "as_of_ms": as_of_ms,
        "session_start_ms": session_ms,
        "totals": {
            "rendered": sum(entry["count"] for entry in tables["rendered"]),
            "viewed": sum(entry["viewed"] for entry in tables["rendered"]),
            "clicks": sum(entry["count"] for entry in tables["clicked"]),
            "clicks_on_recommendations": sum(entry["recommended"] for entry in tables["clicked"]),
            "purchases": sum(entry["orders"] for entry in tables["purchases"]),
            "items": {name: len(entries) for name, entries in tables.items()},
        },
        **tables,
        "recommended": recommended,
        "identity": identity,
    }


def _rendered(items: Iterable[_Item], as_of_ms: int) -> Iterator[PageEntry]:
    for entry, parts in items:
        times = sorted(time for part in parts for time in part.times if time <= as_of_ms)
        viewed_last_ms = max((part.viewed_last_ms for part in parts), default=0)
        starts = [part.first_ms if part.total else part.viewed_last_ms for part in parts]
        if min(starts) > as_of_ms:
            continue
        yield entry | {
            "count": sum(part.total for part in parts),
            "first_ms": min((part.first_ms for part in parts if part.total), default=None),
            "last_ms": times[-1] if times else viewed_last_ms,
            "times_ms": times[-MAX_TIMES:],
            "viewed": sum(part.viewed for part in parts),
        }


def _clicked(items: Iterable[_Item], as_of_ms: int) -> Iterator[PageEntry]:
    for entry, parts in items:
        if min(part.first_ms for part in parts) <= as_of_ms:
            yield entry | {
                "count": sum(part.count for part in parts),
                "recommended": sum(part.recommended for part in parts),
                **_span(parts),
            }


def _consumed(items: Iterable[_Item], as_of_ms: int) -> Iterator[PageEntry]:
    for entry, parts in items:
        if min(part.first_ms for part in parts) <= as_of_ms:
            yield entry | {
                "percentage": max(part.percentage for part in parts),
                **_span(parts),
                "played_ms": sum(part.played_ms for part in parts),
                "buffered_ms": sum(part.buffered_ms for part in parts),
                "paused_ms": sum(part.paused_ms for part in parts),
            }


def _basket(items: Iterable[_Item], as_of_ms: int) -> Iterator[PageEntry]:
    for entry, parts in items:
        added_ms, removed_ms = merged_basket(parts[0], parts[-1])
        if added_ms is None or added_ms > as_of_ms:
            continue
        if removed_ms is not None and added_ms <= removed_ms <= as_of_ms:
            continue
        facts: BasketItem = next(part for part in parts if part.added_ms == added_ms)
        yield entry | {
            "last_ms": added_ms,
            "categorypath": facts.categorypath,
            "price": facts.price,
            "currency": facts.currency,
        }


def _purchases(items: Iterable[_Item], as_of_ms: int) -> Iterator[PageEntry]:
    for entry, parts in items:
        if min(part.first_ms for part in parts) > as_of_ms:
            continue
        revenue: dict[str, Decimal] = {}
        for part in parts:
            for currency, amount in part.revenue.items():
                revenue[currency] = EXACT.add(revenue[currency], amount) if currency in revenue else amount
        yield entry | {
            "quantity": json_number(units(parts)),
            "orders": sum(part.orders for part in parts),
            "revenue": revenue,
            "owned": any(part.owned for part in parts),
            **_span(parts),
        }


def _preferences(items: Iterable[_Item], as_of_ms: int) -> Iterator[PageEntry]:
    for entry, parts in items:
        told: list[Preference] = parts
        rated = max(told, key=lambda part: -1 if part.rated_ms is None else part.rated_ms)
        both = Preference(
            rated.rating,
            rated.rated_ms,
            max(
                (part.blacklisted_until_ms for part in told if part.blacklisted_until_ms is not None),
                default=None,
            ),
            max((part.wished_ms for part in told if part.wished_ms is not None), default=None),
            max((part.unwished_ms for part in told if part.unwished_ms is not None), default=None),
            max((part.unblacklisted_ms for part in told if part.unblacklisted_ms is not None), default=None),
        )
        times = (both.rated_ms, both.wished_ms, both.unwished_ms, both.unblacklisted_ms)
        yield entry | {
            "rating": both.rating,
            "rated_ms": both.rated_ms,
            "blacklisted": is_blacklisted(both, as_of_ms),
            "blacklisted_until_ms": both.blacklisted_until_ms,
            "wished": is_wished(both),
            "last_ms": max((time for time in times if time is not None), default=0),
        }


def _recommended(view: UserView, as_of_ms: int) -> list[PageEntry]:
    served = [] if view.recommended is None else view.recommended.lists
    return [
        {
            "time_ms": one.time_ms,
            "request_id": one.request_id,
            "scenario": one.scenario,
            "variant": one.variant,
            "row": one.row,
            "itemtype": one.itemtype,
            "items": one.items,
        }
        for one in sorted(served, key=lambda one: -one.time_ms)
        if one.time_ms <= as_of_ms
    ]


def _identity(view: UserView) -> PageEntry | None:
    state = view.identity
    if state is None:
        return None
    has_logged_in = state.target is not None
    return {
        "logged_in_as": state.target,
        "login_ms": state.login_ms if has_logged_in else None,
        "transfers_sent": state.sent,
        "received_from": sorted(state.sources),
        "junk_logins": state.junk_logins,
    }


class _Merged:
    """The items of one table, over both stretches."""

    def __init__(self, view: UserView, table: str) -> None:
        self.stretches = own, moved = kept_items(view, table)
        self.keys = list({**own, **moved}) if moved else list(own)

    def of(self, keys: Iterable[str]) -> Iterator[_Item]:
        """Yield the first fields of each item's entry, and its states: the own one, the moved one, or both."""
        own, moved = self.stretches
        for key in keys:
            itemtype, item = split_item_key(key)
            entry: PageEntry = {"item": item, "itemtype": itemtype}
            if key not in own:
                entry["moved"] = True
            yield entry, [items[key] for items in (own, moved) if key in items]


def _span(parts: list[Any]) -> PageEntry:
    return {"first_ms": min(part.first_ms for part in parts), "last_ms": max(part.last_ms for part in parts)}


_TABLES: Final[dict[str, Callable[[Iterable[_Item], int], Iterator[PageEntry]]]] = {
    "rendered": _rendered,
    "clicked": _clicked,
    "consumed": _consumed,
    "basket": _basket,
    "purchases": _purchases,
    "preferences": _preferences,
}
