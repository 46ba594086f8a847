"""Attribution of clicks and conversions to impressions, also through logins, whatever the order of arrival (docs/decisions/0018).

Each change of a row returns what it changes in the counts: the counts after it minus those before. tables/user/belonging.py has the rule.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec

from tables.user.belonging import (
    Call,
    Conversion,
    Counted,
    ItemElements,
    JoiningClick,
    Place,
    Showing,
    call_name,
    click_of,
    count,
    difference,
    showing_of,
)
from tables.user.impressions import (
    KEEP_MS,
    MAX_CALLS,
    MAX_CLICKS,
    MAX_IMPRESSIONS,
    MAX_LOGINS,
    MAX_SHOWN_ITEMS,
    Impression,
    ImpressionsState,
    PastLogin,
    append,
    bodies,
    decode_impression,
    drop_oldest_impression,
    forget_places,
    impressions_of,
    oldest,
    renew,
    replace,
)
from tables.user.items import item_key, split_item_key

MAX_CONVERSIONS: Final = 100
FOLLOW_MS: Final = 60 * 60_000
"""For this long after a login, a click or conversion under the old id may belong to what the login moved."""


class Moved(msgspec.Struct, array_like=True, gc=False):
    """Elements that a login sends to its target, with the origin of each."""

    impressions: list[Impression] = msgspec.field(default_factory=list)
    clicks: list[JoiningClick] = msgspec.field(default_factory=list)
    conversions: list[Conversion] = msgspec.field(default_factory=list)
    settled_calls: list[str] = msgspec.field(default_factory=list)

    def __bool__(self) -> bool:
        """Tell whether there is any element."""
        return bool(self.impressions or self.clicks or self.conversions)


@dataclass(slots=True)
class _Elements:
    """Decoded elements of one user."""

    user: str
    impressions: list[Impression] = field(default_factory=list)
    clicks: list[JoiningClick] = field(default_factory=list)
    conversions: list[Conversion] = field(default_factory=list)
    settled_calls: list[str] = field(default_factory=list)

    def count(self, items: Collection[str] | None = None) -> Counted:
        """Return what the elements of these items count, or of all items."""
        return count(self.by_item(items), self.user, self.settled_calls)

    def by_item(self, items: Collection[str] | None = None) -> dict[str, ItemElements]:
        """Return the elements of each of these items that has a click. Without a click, an item counts nothing."""
        found: dict[str, ItemElements] = {}
        for click in self.clicks:
            if items is None or click.item_key in items:
                found.setdefault(click.item_key, ItemElements([], [], [])).clicks.append(click)
        for impression in self.impressions:
            for key, showing in _showings(impression, self.user):
                if key in found:
                    found[key].showings.append(showing)
        for conversion in self.conversions:
            if conversion.item_key in found:
                found[conversion.item_key].conversions.append(conversion)
        return found


def _keys_of(impression: Impression) -> list[str]:
    """Return the distinct items of an impression."""
    return [item_key(impression.itemtype, item) for item in dict.fromkeys(impression.items)]


def _call_of(impression: Impression, user: str) -> Call | None:
    if impression.request_id is None or impression.call_ms is None:
        return None
    return Call(
        impression.origin or user,
        impression.request_id,
        impression.scenario,
        impression.call_ms,
        impression.call_variant,
    )


def _showings(impression: Impression, user: str) -> Iterable[tuple[str, Showing]]:
    """Yield each distinct item of an impression with its showing, at the item's first place in the list."""
    call, origin, rank = _call_of(impression, user), impression.origin or user, impression.rank
    seen: set[str] = set()
    for index, item in enumerate(impression.items):
        if item not in seen:
            seen.add(item)
            place = Place(
                impression.time_ms,
                impression.scenario,
                impression.variant,
                impression.row,
                None if rank is None else rank + index,
            )
            yield (
                item_key(impression.itemtype, item),
                Showing(origin, impression.number, impression.request_id, place, call),
            )


def _elements(state: ImpressionsState, user: str, items: Collection[str] | None = None) -> _Elements:
    """Return the elements of a row: all, or at least those of some items. The clicks and conversions are those of the row."""
    wanted = None if items is None else {split_item_key(key)[1].encode() for key in items}
    impressions: list[Impression] = []
    for index, body in enumerate(bodies(state)):
        if wanted is not None and not any(item in body for item in wanted):
            continue
        impression = decode_impression(body)
        if not impression.number:  # of a former format
            impression.number = index - 1_000_000
        impressions.append(impression)
    return _Elements(user, impressions, list(state.clicks), list(state.conversions), state.settled_calls)


# --- own events ---------------------------------------------------------------------------------------------------------------------


def show(state: ImpressionsState, user: str, impression: Impression) -> Counted:
    """Keep an impression. Return what changes, which is nothing unless one of its items was clicked at the same time or later."""
    renew(state)
    impression.number = state.next_number()
    changed: Counted = {}
    if state.clicks and max(click.time_ms for click in state.clicks) >= impression.time_ms:
        listed = set(_keys_of(impression))
        items = {
            click.item_key
            for click in state.clicks
            if click.time_ms >= impression.time_ms and click.item_key in listed
        }
        if items:
            changed = _change(state, user, items, Moved([impression]))
    append(state, impression)
    _trim(state, user, impression.received_ms)
    if len(impression.items) > MAX_SHOWN_ITEMS // MAX_IMPRESSIONS:
        _drop_listed(state, user)
    return changed


def click(state: ImpressionsState, user: str, clicked: JoiningClick) -> Counted:
    """Keep a click, and return what changes."""
    renew(state)
    clicked.number = state.next_number()
    changed = _change(state, user, {clicked.item_key}, Moved([], [clicked]))
    state.clicks.append(clicked)
    _trim(state, user, clicked.received_ms)
    return changed


def convert(state: ImpressionsState, user: str, conversion: Conversion) -> Counted:
    """Keep a conversion, and return what changes."""
    renew(state)
    conversion.number = state.next_number()
    changed: Counted = {}
    if any(click.item_key == conversion.item_key for click in state.clicks):
        changed = _change(state, user, {conversion.item_key}, Moved([], [], [conversion]))
    state.conversions.append(conversion)
    _trim(state, user, conversion.received_ms)
    return changed


def _change(state: ImpressionsState, user: str, items: set[str], new: Moved) -> Counted:
    """Return what these new elements about some items change in the counts of a row."""
    items = items | _items_of_calls(state, user, items, new.impressions)
    elements = _elements(state, user, items)
    before = elements.count(items)
    elements.impressions += new.impressions
    elements.clicks += new.clicks
    elements.conversions += new.conversions
    return difference(elements.count(items), before)


def _items_of_calls(
    state: ImpressionsState, user: str, items: set[str], new: Iterable[Impression]
) -> set[str]:
    """Return other clicked items of the calls that showed these items: whether a call counts depends on all its items."""
    others = {click.item_key for click in state.clicks} - items
    if not others:
        return set()
    shown = [*_elements(state, user, items).impressions, *new]
    calls = {
        call
        for each in shown
        if (call := _call_of(each, user)) is not None and items.intersection(_keys_of(each))
    }
    if not calls:
        return set()
    return {
        key
        for each in (*_elements(state, user, others).impressions, *new)
        if _call_of(each, user) in calls
        for key in _keys_of(each)
        if key in others
    }


# --- logins -------------------------------------------------------------------------------------------------------------------------


def log_in(
    state: ImpressionsState, user: str, time_ms: int, received_ms: int, target: str
) -> tuple[Moved, Counted]:
    """Record a login. Return the elements that go to its target, and what changes.

    These are the user's own elements, and those that came by a login before this one.
    """
    renew(state)
    past = PastLogin(time_ms, received_ms, target)
    state.last_login = past
    if not state.logins or time_ms > state.logins[-1].time_ms:
        state.logins.append(past)
    state.logins = [each for each in state.logins if each.received_ms >= received_ms - KEEP_MS][-MAX_LOGINS:]

    def goes(element: Any) -> bool:
        return element.entry_ms is None or element.entry_ms < time_ms

    whole = _elements(state, user)
    gone, stay = (
        _Elements(
            user,
            [each for each in whole.impressions if goes(each) is is_gone],
            [each for each in whole.clicks if goes(each) is is_gone],
            [each for each in whole.conversions if goes(each) is is_gone],
            state.settled_calls,
        )
        for is_gone in (True, False)
    )
    forget_places(state)
    changed = difference(_sum(gone.count(), stay.count()), whole.count())
    replace(state, stay.impressions)
    state.clicks, state.conversions = stay.clicks, stay.conversions
    return _leave(gone), changed


def _sum(one: Counted, other: Counted) -> Counted:
    return difference(one, {key: -amount for key, amount in other.items()})


def _leave(elements: _Elements) -> Moved:
    """Return elements as a login sends them."""
    each: Any
    for each in (*elements.impressions, *elements.clicks, *elements.conversions):
        each.origin = each.origin or elements.user
        each.entry_ms = None
    return Moved(elements.impressions, elements.clicks, elements.conversions, list(elements.settled_calls))


def next_login(state: ImpressionsState, login_ms: int) -> PastLogin | None:
    """Return the login that takes on what came by a login at ``login_ms``: the first in the log that is later. None: it stays."""
    return next((login for login in state.logins if login.time_ms > login_ms), None)


def absorb(state: ImpressionsState, user: str, moved: Moved, login_ms: int, received_ms: int) -> Counted:
    """Take in the elements of a login, and return what changes: their own counts came with them, from where they counted before."""
    renew(state)
    whole = _elements(state, user)
    before = whole.count()
    brought = _Elements(user, moved.impressions, moved.clicks, moved.conversions, moved.settled_calls).count()
    each: Any
    for each in (*moved.impressions, *moved.clicks, *moved.conversions):
        each.entry_ms = login_ms
    state.settled_calls = list(dict.fromkeys([*state.settled_calls, *moved.settled_calls]))[-MAX_CALLS:]
    whole.settled_calls = state.settled_calls
    whole.impressions += moved.impressions
    whole.clicks += moved.clicks
    whole.conversions += moved.conversions
    changed = difference(whole.count(), before, brought)
    for impression in moved.impressions:
        append(state, impression)
    state.clicks += moved.clicks
    state.conversions += moved.conversions
    _trim(state, user, received_ms)
    _drop_listed(state, user)
    return changed


def follow(
    state: ImpressionsState, user: str, element: JoiningClick | Conversion
) -> tuple[PastLogin, Moved, Counted] | None:
    """Return the login after which a click or conversion goes to its target at once, the element as it is sent, and what it counts alone.

    That is the user's last login, at most 60 min before the element, if no own showing (or click) of the user is eligible: the
    thank-you page of a shop comes under the old cookie. None: the element stays.
    """
    login = state.last_login
    if login is None or not 0 <= element.time_ms - login.time_ms <= FOLLOW_MS:
        return None
    renew(state)
    if _has_own_half(state, user, element):
        return None
    element.number = state.next_number()
    is_click = isinstance(element, JoiningClick)
    alone = _Elements(user, [], [element] if is_click else [], [] if is_click else [element])  # type: ignore[list-item]
    counted = alone.count()
    return login, _leave(alone), counted


def _has_own_half(state: ImpressionsState, user: str, element: JoiningClick | Conversion) -> bool:
    """Tell whether a showing (or a click) of the user itself is eligible for a click (or a conversion)."""
    if isinstance(element, Conversion):
        own = [each for each in state.clicks if each.item_key == element.item_key and each.entry_ms is None]
        return click_of(element, own, user) is not None
    shown = _elements(state, user, {element.item_key}).impressions
    showings = (
        showing
        for impression in shown
        if impression.entry_ms is None
        for key, showing in _showings(impression, user)
        if key == element.item_key
    )
    return showing_of(element, showings, user) is not None


# --- dropping -----------------------------------------------------------------------------------------------------------------------


def _trim(state: ImpressionsState, user: str, received_ms: int) -> None:
    """Drop the oldest groups that are too many or too old. A group is what belongs together, and is dropped whole.

    To drop a group changes no count: what it counted stays counted, and nothing that remains belonged to it.
    """
    before_ms = received_ms - KEEP_MS
    while (head := oldest(state)) is not None:
        is_over = state.kept > MAX_IMPRESSIONS
        if not is_over and head[1] >= before_ms:
            break
        if not _drop_head(state, user, head[0], None if is_over else before_ms):
            break
    _trim_list(state, user, "clicks", MAX_CLICKS, before_ms)
    _trim_list(state, user, "conversions", MAX_CONVERSIONS, before_ms)


def _trim_list(
    state: ImpressionsState, user: str, name: Literal["clicks", "conversions"], bound: int, before_ms: int
) -> None:
    while elements := state.clicks if name == "clicks" else state.conversions:
        is_over = len(elements) > bound
        if not is_over and elements[0].received_ms >= before_ms:
            return
        if not _drop_group(state, user, elements[0], None if is_over else before_ms):
            return


def _drop_listed(state: ImpressionsState, user: str) -> None:
    """Drop the oldest groups while all lists together have too many items. The latest list always stays."""
    listed = [len(impression.items) for impression in impressions_of(state)]
    while sum(listed) > MAX_SHOWN_ITEMS and len(listed) > 1:
        head = oldest(state)
        if head is None:
            break
        _drop_head(state, user, head[0], None)
        listed.pop(0)


def _drop_head(state: ImpressionsState, user: str, head: bytes, before_ms: int | None) -> bool:
    """Drop the group of the oldest impression. Return False if it has a member received since ``before_ms``."""
    if not any(split_item_key(click.item_key)[1].encode() in head for click in state.clicks):
        drop_oldest_impression(state)
        return True
    return _drop_group(state, user, _elements(state, user).impressions[0], before_ms)


def _drop_group(state: ImpressionsState, user: str, member: Any, before_ms: int | None) -> bool:
    """Drop the group of an element. Return False if it has a member received since ``before_ms``."""
    whole = _elements(state, user)
    by_item = whole.by_item()
    impression_of: dict[int, tuple[str, int]] = {}  # id of a click -> its impression
    for each in whole.clicks:
        showing = showing_of(each, by_item[each.item_key].showings, user)
        if showing is not None:
            impression_of[id(each)] = (showing.origin, showing.number)
    clicks_of: dict[int, JoiningClick] = {}  # id of a conversion -> its click
    for conversion in whole.conversions:
        if conversion.item_key in by_item:
            of = click_of(conversion, by_item[conversion.item_key].clicks, user)
            if of is not None:
                clicks_of[id(conversion)] = of
    if isinstance(member, Conversion):
        member = clicks_of.get(id(member), member)
    impression: tuple[str, int] | None = None
    if isinstance(member, Impression):
        impression = (member.origin or user, member.number)
    elif isinstance(member, JoiningClick):
        impression = impression_of.get(id(member))
    clicks = [
        each
        for each in whole.clicks
        if each is member or (impression is not None and impression_of.get(id(each)) == impression)
    ]
    gone = {id(each) for each in clicks}
    conversions = [
        each
        for each in whole.conversions
        if each is member or (id(each) in clicks_of and id(clicks_of[id(each)]) in gone)
    ]
    impressions = [each for each in whole.impressions if (each.origin or user, each.number) == impression]
    members: list[Any] = [*impressions, *clicks, *conversions]
    if before_ms is not None and any(each.received_ms >= before_ms for each in members):
        return False
    for each_impression in impressions:
        call = _call_of(each_impression, user)
        if call is not None and clicks:
            name = call_name(call.request_id, call.scenario)
            state.settled_calls = [*(each for each in state.settled_calls if each != name), name][-MAX_CALLS:]
    gone |= {id(each) for each in conversions}
    state.clicks = [each for each in state.clicks if id(each) not in gone]
    state.conversions = [each for each in state.conversions if id(each) not in gone]
    if impressions:
        replace(state, [each for each in whole.impressions if each not in impressions])
    return True
