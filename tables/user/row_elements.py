"""Decoded elements of a user's row, by item, and what they count."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from tables.user.belonging import (
    Counted,
    ItemElements,
    Ranked,
    count,
    difference,
    ranked,
)
from tables.user.elements import Call, Conversion, Impression, JoiningClick, call_of
from tables.user.impressions import ImpressionsState, entries_of
from tables.user.items import item_key, split_item_key
from tables.user.log_entries import decode_impression

_FORMER_NUMBER: Final = -1_000_000
"""Impressions of rows of the former format have no number: theirs is this and their place in the row."""


@dataclass(slots=True)
class RowElements:
    """Elements of one user in log order. ``positions`` are the places of the impressions in the row."""

    user: str
    impressions: list[Impression] = field(default_factory=list)
    clicks: list[JoiningClick] = field(default_factory=list)
    conversions: list[Conversion] = field(default_factory=list)
    settled_calls: Collection[str] = ()
    positions: list[int] | None = None
    """None: the impressions are all of the row."""

    def count(self, items: Collection[str] | None = None) -> Counted:
        """Return what the elements of these items count, or of all items."""
        return count(self.by_item(items).values(), self.user, self.settled_calls)

    def by_item(self, items: Collection[str] | None = None) -> dict[str, ItemElements]:
        """Return the elements of each of these items that has a click. Without a click, an item counts nothing."""
        found: dict[str, ItemElements] = {}
        by_type: dict[int, dict[str, list[Ranked[Impression]]]] = {}
        for click in ranked(enumerate(self.clicks), self.user):
            key = click.element.item_key
            if items is not None and key not in items:
                continue
            of = found.get(key)
            if of is None:
                itemtype, item = split_item_key(key)
                of = found[key] = ItemElements(item, [], [], [])
                by_type.setdefault(itemtype, {})[item] = of.showings
            of.clicks.append(click)
        if not found:
            return found
        positions = range(len(self.impressions)) if self.positions is None else self.positions
        for impression in ranked(zip(positions, self.impressions, strict=True), self.user):
            showings = by_type.get(impression.element.itemtype, {})
            for item in showings.keys() & impression.element.items:
                showings[item].append(impression)
        for conversion in self.conversions:
            of = found.get(conversion.item_key)
            if of is not None:
                of.conversions.append(conversion)
        return found

    def clicked_items(self) -> set[str]:
        """Return the keys of all items that were clicked."""
        return {click.item_key for click in self.clicks}

    def items(self) -> set[str]:
        """Return the keys of all items."""
        shown = {key for impression in self.impressions for key in keys_of(impression)}
        return shown | self.clicked_items() | {conversion.item_key for conversion in self.conversions}

    def calls(self) -> dict[Call, set[str]]:
        """Return the items of each recommendation call."""
        found: dict[Call, set[str]] = {}
        for impression in self.impressions:
            call = call_of(impression, self.user)
            if call is not None:
                found.setdefault(call, set()).update(keys_of(impression))
        return found


def keys_of(impression: Impression) -> Iterator[str]:
    """Yield the keys of the items of an impression."""
    for item in impression.items:
        yield item_key(impression.itemtype, item)


def elements_of(state: ImpressionsState, user: str, items: Iterable[str] | None = None) -> RowElements:
    """Return the elements of a row. With ``items``, impressions of no such item are left out."""
    if items is None:
        return _decoded(state, user, None)
    wanted = [split_item_key(key)[1].encode() for key in items]
    if len(wanted) == 1:
        return _decoded(state, user, wanted[0])
    return _decoded(state, user, lambda body: any(item in body for item in wanted))


def elements_of_call(state: ImpressionsState, user: str, call: Call) -> RowElements:
    """Return the elements of a row. Impressions of other requests are left out."""
    return _decoded(state, user, call.request_id.encode())


def _decoded(
    state: ImpressionsState, user: str, wanted: bytes | Callable[[bytes], bool] | None
) -> RowElements:
    found = list(enumerate(entries_of(state)))
    if isinstance(wanted, bytes):
        found = [each for each in found if wanted in each[1]]
    elif wanted is not None:
        found = [each for each in found if wanted(each[1])]
    positions = [position for position, _ in found]
    impressions = [decode_impression(entry) for _, entry in found]
    for position, impression in zip(positions, impressions, strict=True):
        if not impression.number:
            impression.number = _FORMER_NUMBER + position
    return RowElements(
        user, impressions, list(state.clicks), list(state.conversions), state.settled_calls, positions
    )


def with_items_of_calls(row: RowElements, items: set[str]) -> set[str]:
    """Return these items, and the other clicked items of the calls that showed them: whether a call counts depends on all its items."""
    others = row.clicked_items() - items
    if others:
        for of_call in row.calls().values():
            if not of_call.isdisjoint(items):
                items = items | (of_call & others)
    return items


def joined(one: RowElements, other: RowElements) -> Counted:
    """Return what two parts of a row count together beyond what each counts alone."""
    items = (one.clicked_items() & other.items()) | (other.clicked_items() & one.items())
    calls, other_calls = one.calls(), other.calls()
    for call in calls.keys() & other_calls.keys():
        items |= calls[call] | other_calls[call]
    if not items:
        return {}
    whole = RowElements(
        one.user,
        one.impressions + other.impressions,
        one.clicks + other.clicks,
        one.conversions + other.conversions,
        [*one.settled_calls, *other.settled_calls],
    )
    items = with_items_of_calls(whole, items)
    return difference(whole.count(items), one.count(items), other.count(items))
