"""Attribution through logins: what a login sends to its target, and what the target's counts become (docs/decisions/0018)."""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from tables.user.attribution_groups import drop_expired, tidy
from tables.user.belonging import Counted, click_of, difference, ranked, showing_of
from tables.user.call_places import MAX_CALLS, forget_places
from tables.user.elements import Conversion, Impression, JoiningClick
from tables.user.impressions import (
    KEEP_MS,
    MAX_LOGINS,
    ImpressionsState,
    PastLogin,
    append,
    calls_of,
    renew,
    replace,
)
from tables.user.row_elements import RowElements, elements_of, joined

_FOLLOW_MS: Final = 60 * 60_000
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
        state.logins += (past,)
    kept = tuple(each for each in state.logins if each.received_ms >= received_ms - KEEP_MS)
    state.logins = kept[-MAX_LOGINS:]
    forget_places(calls_of(state))

    def goes(element: Any) -> bool:
        return element.entry_ms is None or element.entry_ms < time_ms

    whole = elements_of(state, user)
    gone = _those(whole, goes)
    stay = _those(whole, lambda element: not goes(element))
    replace(state, stay.impressions)
    state.clicks, state.conversions = tuple(stay.clicks), tuple(stay.conversions)
    changed = difference({}, joined(gone, stay)) if stay else {}
    return _leave(gone), changed


def _those(whole: RowElements, is_one: Callable[[Any], bool]) -> RowElements:
    return RowElements(
        whole.user,
        [each for each in whole.impressions if is_one(each)],
        [each for each in whole.clicks if is_one(each)],
        [each for each in whole.conversions if is_one(each)],
        whole.settled_calls,
    )


def _leave(elements: RowElements) -> Moved:
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
    drop_expired(state, user, received_ms)
    brought = RowElements(user, moved.impressions, moved.clicks, moved.conversions, moved.settled_calls)
    changed = joined(elements_of(state, user), brought)
    state.settled_calls = tuple(dict.fromkeys((*state.settled_calls, *moved.settled_calls)))[-MAX_CALLS:]
    each: Any
    for each in (*moved.impressions, *moved.clicks, *moved.conversions):
        each.entry_ms = login_ms
    for impression in moved.impressions:
        append(state, impression)
    state.clicks += tuple(moved.clicks)
    state.conversions += tuple(moved.conversions)
    tidy(state, user, received_ms, max([len(each.items) for each in moved.impressions], default=0))
    return changed


def follow(
    state: ImpressionsState, user: str, element: JoiningClick | Conversion
) -> tuple[PastLogin, Moved, Counted] | None:
    """Return the login after which a click or conversion goes to its target at once, the element as it is sent, and what it counts alone.

    That is the user's last login, at most 60 min before the element, if no own showing (or click) of the user is eligible: the
    thank-you page of a shop comes under the old cookie. None: the element stays.
    """
    login = state.last_login
    if login is None or not 0 <= element.time_ms - login.time_ms <= _FOLLOW_MS:
        return None
    renew(state)
    if _has_own_half(state, user, element):
        return None
    element.number = state.next_number()
    alone = RowElements(user)
    if isinstance(element, JoiningClick):
        alone.clicks = [element]
    else:
        alone.conversions = [element]
    return login, _leave(alone), alone.count()


def _has_own_half(state: ImpressionsState, user: str, element: JoiningClick | Conversion) -> bool:
    """Tell whether a showing (or a click) of the user itself is eligible for a click (or a conversion)."""
    key = element.item_key
    if isinstance(element, Conversion):
        own = [
            each for each in enumerate(state.clicks) if each[1].item_key == key and each[1].entry_ms is None
        ]
        return click_of(element, ranked(own, user), user) is not None
    row = _those(elements_of(state, user, [key]), lambda each: each.entry_ms is None)
    row.clicks = [element]
    return showing_of(element, row.by_item()[key].showings, user) is not None
