"""Bounds on a row of attribution: it drops whole groups of what belongs together, the oldest first.

A group is an impression with the clicks that belong to it and their conversions, or a click or conversion that belongs to nothing. To
drop a group changes no count: what it counted stays counted, and nothing that remains belonged to it.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from tables.user.belonging import ItemElements, click_of, ranked, showing_of
from tables.user.elements import PURCHASES, Conversion, Impression, JoiningClick, call_of
from tables.user.impressions import (
    KEEP_MS,
    MAX_CALLS,
    MAX_CLICKS,
    MAX_IMPRESSIONS,
    MAX_SHOWN_ITEMS,
    ImpressionsState,
    drop_impression,
    impressions_of,
    oldest,
    oldest_received_ms,
)
from tables.user.row_elements import elements_of, keys_of

MAX_CONVERSIONS: Final = 100


class _Group(NamedTuple):
    """Elements that belong together. ``position`` is the place of the impression in the row."""

    position: int
    impression: Impression | None
    clicks: list[JoiningClick]
    conversions: list[tuple[int, Conversion]]
    """With the position of the click that each belongs to."""

    @property
    def newest_received_ms(self) -> int:
        received = [each.received_ms for each in self.clicks]
        received += [each.received_ms for _, each in self.conversions]
        return max(received if self.impression is None else [self.impression.received_ms, *received])


def tidy(state: ImpressionsState, user: str, received_ms: int, longest_list: int = 0) -> None:
    """Drop the oldest groups that are too many or too old at ``received_ms``. ``longest_list`` is the length of the longest new list."""
    before_ms = received_ms - KEEP_MS
    while (head_ms := oldest_received_ms(state)) is not None:
        is_over = state.kept > MAX_IMPRESSIONS
        if not is_over and head_ms >= before_ms:
            break
        if not _drop_oldest_impression(state, user, None if is_over else before_ms):
            break
    if longest_list > MAX_SHOWN_ITEMS // MAX_IMPRESSIONS:
        _drop_listed(state, user)
    while clicks := state.clicks:
        is_over = len(clicks) > MAX_CLICKS
        if not is_over and clicks[0].received_ms >= before_ms:
            break
        if not _drop(state, user, _group_of_click(state, user, 0), None if is_over else before_ms):
            break
    while conversions := state.conversions:
        is_over = len(conversions) > MAX_CONVERSIONS
        if not is_over and conversions[0].received_ms >= before_ms:
            break
        group = _group_of_conversion(state, user, conversions[0])
        if is_over and _drop_repeats(state, group):
            continue
        if not _drop(state, user, group, None if is_over else before_ms):
            break


def _drop_listed(state: ImpressionsState, user: str) -> None:
    """Drop the oldest groups while all lists together have too many items. The latest list always stays."""
    listed = [len(impression.items) for impression in impressions_of(state)]
    while sum(listed) > MAX_SHOWN_ITEMS and len(listed) > 1:
        _drop_oldest_impression(state, user, None)
        del listed[0]


def _drop_oldest_impression(state: ImpressionsState, user: str, before_ms: int | None) -> bool:
    """Drop the group of the oldest impression. Return False if it has a member received since ``before_ms``."""
    if state.clicks:
        head = oldest(state)
        if _clicked_items(state, head):
            return _drop(state, user, _group_of_impression(state, user, 0, head), before_ms)
    drop_impression(state)
    return True


def _clicked_items(state: ImpressionsState, impression: Impression) -> set[str]:
    return {click.item_key for click in state.clicks}.intersection(keys_of(impression))


def _group_of_impression(state: ImpressionsState, user: str, position: int, impression: Impression) -> _Group:
    group = _Group(position, impression, [], [])
    items = _clicked_items(state, impression)
    for item in elements_of(state, user, items).by_item(items).values():
        mine = [
            click
            for click in item.clicks
            if (showing := showing_of(click.element, item.showings, user)) is not None
            and showing.position == position
        ]
        group.clicks.extend([click.element for click in mine])
        group.conversions.extend(_conversions_of(item, {click.position for click in mine}, user))
    return group


def _conversions_of(item: ItemElements, positions: set[int], user: str) -> Iterator[tuple[int, Conversion]]:
    """Yield the conversions that belong to the clicks at these positions."""
    for conversion in item.conversions:
        click = click_of(conversion, item.clicks, user)
        if click is not None and click.position in positions:
            yield click.position, conversion


def _group_of_click(state: ImpressionsState, user: str, position: int) -> _Group:
    click = state.clicks[position]
    key = click.item_key
    item = elements_of(state, user, [key]).by_item([key])[key]
    showing = showing_of(click, item.showings, user)
    if showing is None:
        return _Group(0, None, [click], list(_conversions_of(item, {position}, user)))
    return _group_of_impression(state, user, showing.position, showing.element)


def _group_of_conversion(state: ImpressionsState, user: str, conversion: Conversion) -> _Group:
    clicks = ranked(
        [each for each in enumerate(state.clicks) if each[1].item_key == conversion.item_key], user
    )
    click = click_of(conversion, clicks, user)
    if click is None:
        return _Group(0, None, [], [(-1, conversion)])
    return _group_of_click(state, user, click.position)


def _drop(state: ImpressionsState, user: str, group: _Group, before_ms: int | None) -> bool:
    """Drop a group. Return False if it has a member received since ``before_ms``."""
    if before_ms is not None and group.newest_received_ms >= before_ms:
        return False
    if group.impression is not None:
        call = call_of(group.impression, user)
        if call is not None and group.clicks:
            others = [each for each in state.settled_calls if each != call.name]
            state.settled_calls = [*others, call.name][-MAX_CALLS:]
        drop_impression(state, group.position)
    gone = {id(each) for each in group.clicks}
    state.clicks = [each for each in state.clicks if id(each) not in gone]
    _drop_conversions(state, [each for _, each in group.conversions])
    return True


def _drop_repeats(state: ImpressionsState, group: _Group) -> bool:
    """Drop the conversions of a group that repeat another one of their click, such as progress. Return False if none does."""
    last = {(click, each.counter): each for click, each in group.conversions if each.counter != PURCHASES}
    repeats = [
        each
        for click, each in group.conversions
        if each.counter != PURCHASES and last[click, each.counter] is not each
    ]
    _drop_conversions(state, repeats)
    return bool(repeats)


def _drop_conversions(state: ImpressionsState, conversions: list[Conversion]) -> None:
    gone = {id(each) for each in conversions}
    state.conversions = [each for each in state.conversions if id(each) not in gone]
