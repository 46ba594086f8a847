"""Bounds on a row of attribution: it drops whole groups of what belongs together, the oldest first.

A group is an impression with the clicks that belong to it and their conversions, or a click or conversion that belongs to nothing. To
drop a group changes no count: what it counted stays counted, and nothing that remains belonged to it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from tables.user.belonging import ItemElements, click_of, showing_of
from tables.user.call_places import MAX_CALLS
from tables.user.elements import PURCHASES, Impression, call_of
from tables.user.impressions import (
    KEEP_MS,
    MANY_ITEMS,
    MAX_CLICKS,
    MAX_IMPRESSIONS,
    MAX_SHOWN_ITEMS,
    MOST_IMPRESSIONS,
    ImpressionsState,
    drop_impressions,
    entries_of,
    impression_at,
    impressions_of,
    oldest_received_ms,
)
from tables.user.log_entries import decode_impression, received_ms_of
from tables.user.row_elements import elements_of, keys_of

MAX_CONVERSIONS: Final = 100
_JOINABLE_MS: Final = 6 * 86_400_000
"""Nothing joins what was received longer ago than this. Panes are kept for a day longer."""
_FEW: Final = 3
"""Up to so many elements in excess, only the items of their groups are looked at."""


def tidy(
    state: ImpressionsState, user: str, received_ms: int, longest_list: int = 0, most: int = MOST_IMPRESSIONS
) -> None:
    """Drop the oldest groups that are too many or too old at ``received_ms``. ``longest_list`` is the length of the longest new list.

    Of more than ``most`` impressions, ``MAX_IMPRESSIONS`` stay.
    """
    before_ms = received_ms - KEEP_MS
    head_ms = oldest_received_ms(state)
    is_over = state.kept > most
    is_long = longest_list > MANY_ITEMS
    if (
        is_long
        or is_over
        or (head_ms is not None and head_ms < before_ms)
        or has_old_clicks(state, before_ms)
    ):
        _drop_unclicked(state, before_ms, is_over=is_over)
        _Dropping(state, user, before_ms, is_over=is_over).run(is_long=is_long)


def has_old_clicks(state: ImpressionsState, before_ms: int) -> bool:
    """Tell whether there are too many clicks or conversions, or the first of them is too old."""
    clicks, conversions = state.clicks, state.conversions
    return (
        len(clicks) > MAX_CLICKS
        or len(conversions) > MAX_CONVERSIONS
        or (bool(clicks) and clicks[0].received_ms < before_ms)
        or (bool(conversions) and conversions[0].received_ms < before_ms)
    )


def _drop_unclicked(state: ImpressionsState, before_ms: int, *, is_over: bool) -> None:
    """Drop the oldest impressions that are too many or too old, up to the first with an item that was clicked."""
    clicked = {click.item_key for click in state.clicks}
    excess = state.kept - MAX_IMPRESSIONS if is_over else 0
    dropped = 0
    for entry in entries_of(state):
        if dropped >= excess and received_ms_of(entry) >= before_ms:
            break
        if clicked and not clicked.isdisjoint(keys_of(decode_impression(entry))):
            break
        dropped += 1
    drop_impressions(state, range(dropped))


def drop_expired(state: ImpressionsState, user: str, received_ms: int) -> None:
    """Drop groups that were received long before ``received_ms``, because the counts of their panes may be gone.

    A user may come back after weeks, and imports may be of any time. A click that joined such a showing would count alone.
    """
    tidy(state, user, received_ms - (_JOINABLE_MS - KEEP_MS))


@dataclass(slots=True)
class _Together:
    """Elements that belong together, as positions in the row."""

    impression: int | None = None
    clicks: list[int] = field(default_factory=list)
    conversions: list[tuple[int, int | None]] = field(default_factory=list)
    """With the click that each belongs to."""


class _Dropping:
    """Chooses groups to drop, and drops them at the end. What belongs to what is the same until then."""

    def __init__(self, state: ImpressionsState, user: str, before_ms: int, *, is_over: bool) -> None:
        self._state, self._user, self._before_ms = state, user, before_ms
        self._most = MAX_IMPRESSIONS if is_over else state.kept
        self._items: dict[str, ItemElements] = {}
        self._clicks: dict[str, dict[int, set[int]]] = {}
        self._clicked = {click.item_key for click in state.clicks}
        self._gone: tuple[set[int], set[int], set[int]] = (set(), set(), set())
        excess = state.kept + len(state.clicks) + len(state.conversions)
        excess -= MAX_IMPRESSIONS + MAX_CLICKS + MAX_CONVERSIONS
        if excess > _FEW:
            self._items = elements_of(state, user).by_item()

    def run(self, *, is_long: bool) -> None:
        state = self._state
        shown, clicks, conversions = self._gone
        for position in range(state.kept):
            is_over = state.kept - len(shown) > self._most
            if not is_over and self._impression(position).received_ms >= self._before_ms:
                break
            if position not in shown and not self._drop(self._group_of_impression(position), is_over=is_over):
                break
        if is_long:
            self._drop_listed()
        for position, click in enumerate(state.clicks):
            is_over = len(state.clicks) - len(clicks) > MAX_CLICKS
            if not is_over and click.received_ms >= self._before_ms:
                break
            if position not in clicks and not self._drop(self._group_of_click(position), is_over=is_over):
                break
        for position, conversion in enumerate(state.conversions):
            is_over = len(state.conversions) - len(conversions) > MAX_CONVERSIONS
            if not is_over and conversion.received_ms >= self._before_ms:
                break
            if position in conversions:
                continue
            group = self._group_of_conversion(position)
            if is_over and self._drop_repeats(group):
                continue
            if not self._drop(group, is_over=is_over):
                break
        drop_impressions(state, sorted(shown))
        if clicks:
            state.clicks = tuple(each for place, each in enumerate(state.clicks) if place not in clicks)
        if conversions:
            kept = tuple(each for place, each in enumerate(state.conversions) if place not in conversions)
            state.conversions = kept

    def _drop_listed(self) -> None:
        """Drop the oldest groups while all lists together have too many items. The latest list always stays."""
        left = {
            position: len(each.items)
            for position, each in enumerate(impressions_of(self._state))
            if position not in self._gone[0]
        }
        listed = sum(left.values())
        while listed > MAX_SHOWN_ITEMS and len(left) > 1:
            position = next(iter(left))
            self._drop(self._group_of_impression(position), is_over=True)
            listed -= left.pop(position)

    def _drop(self, group: _Together, *, is_over: bool) -> bool:
        """Drop a group. If it is not in excess, but old, return False if it has a member that is not."""
        state = self._state
        shown = None if group.impression is None else self._impression(group.impression)
        if not is_over:
            received = [] if shown is None else [shown.received_ms]
            received += [state.clicks[position].received_ms for position in group.clicks]
            received += [state.conversions[position].received_ms for position, _ in group.conversions]
            if max(received) >= self._before_ms:
                return False
        call = None if shown is None else call_of(shown, self._user)
        if call is not None and group.clicks:
            others = tuple(each for each in state.settled_calls if each != call.name)
            state.settled_calls = (*others, call.name)[-MAX_CALLS:]
        impressions, clicks, conversions = self._gone
        if group.impression is not None:
            impressions.add(group.impression)
        clicks.update(group.clicks)
        conversions.update([position for position, _ in group.conversions])
        return True

    def _drop_repeats(self, group: _Together) -> bool:
        """Drop the conversions of a group that repeat another one of their click, such as progress. Return False if none does."""
        last: dict[tuple[int | None, str], int] = {}
        gone = self._gone[2]
        before = len(gone)
        for position, click in group.conversions:
            counter = self._state.conversions[position].counter
            if counter == PURCHASES or click is None or position in gone:
                continue
            repeated = last.get((click, counter))
            if repeated is not None:
                gone.add(repeated)
            last[click, counter] = position
        return len(gone) > before

    # --- groups -----------------------------------------------------------------------------------------------------------------------

    def _impression(self, position: int) -> Impression:
        return impression_at(self._state, position)

    def _load(self, keys: set[str]) -> None:
        keys = keys - self._items.keys()
        if keys:
            self._items |= elements_of(self._state, self._user, keys).by_item(keys)

    def _group_of_impression(self, position: int) -> _Together:
        group = _Together(position)
        keys = self._clicked.intersection(keys_of(self._impression(position)))
        self._load(keys)
        for key in keys:
            mine = self._clicks_of(key).get(position)
            if mine:
                group.clicks.extend(mine)
                group.conversions.extend(self._conversions_of(key, mine))
        return group

    def _clicks_of(self, key: str) -> dict[int, set[int]]:
        """Return the clicks on an item for each impression to which any belongs."""
        found = self._clicks.get(key)
        if found is None:
            found = self._clicks[key] = {}
            item = self._items[key]
            for click in item.clicks:
                showing = showing_of(click.element, item.showings, self._user)
                if showing is not None:
                    found.setdefault(showing.position, set()).add(click.position)
        return found

    def _conversions_of(self, key: str, clicks: set[int]) -> Iterator[tuple[int, int]]:
        """Yield the conversions of an item that belong to these clicks, each with its click."""
        item = self._items[key]
        for position, conversion in enumerate(self._state.conversions):
            if conversion.item_key == key:
                click = click_of(conversion, item.clicks, self._user)
                if click is not None and click.position in clicks:
                    yield position, click.position

    def _group_of_click(self, position: int) -> _Together:
        click = self._state.clicks[position]
        key = click.item_key
        self._load({key})
        showing = showing_of(click, self._items[key].showings, self._user)
        if showing is not None:
            return self._group_of_impression(showing.position)
        return _Together(None, [position], list(self._conversions_of(key, {position})))

    def _group_of_conversion(self, position: int) -> _Together:
        conversion = self._state.conversions[position]
        key = conversion.item_key
        click = None
        if key in self._clicked:
            self._load({key})
            click = click_of(conversion, self._items[key].clicks, self._user)
        return (
            _Together(None, [], [(position, None)]) if click is None else self._group_of_click(click.position)
        )
