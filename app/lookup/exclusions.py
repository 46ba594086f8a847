"""Items that a user must not be shown, with the reasons: exclusions and filtered candidates, from the user's states.

docs/lookups.md has the rules. These functions are pure: they only read the states. Data that a login moved to another user still
counts here.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from app.customers.exclusion_rules import REASONS, ExclusionRules, Reason
from app.lookup.turns import Steps, at_once, pieces
from app.lookup.user_view import UserView, kept_items, merged_basket, session_steps, showings_in
from events.quantity import json_number
from tables.user.basket import BasketItem
from tables.user.clicked import Clicked
from tables.user.consumed import Consumed
from tables.user.items import item_key, split_item_key
from tables.user.preferences import BLACKLISTED_FOR_MS, Preference, is_on_blacklist
from tables.user.purchases import Purchase, units
from tables.user.shown_bytes import Shown
from tables.user.shown_spans import shown_within

_PartT = TypeVar("_PartT", Clicked, Purchase, Consumed)


class _Evidence(NamedTuple):
    """One reason against one item. ``is_moved``: only the moved stretch supports it."""

    reason: str
    number: int | msgspec.Raw
    last_ms: int
    is_moved: bool


class _Limits(NamedTuple):
    """The limits of the rules, as of one time."""

    as_of_ms: int
    since_ms: int | None
    """The start of the span of ``rendered``, exclusive. None: without limit."""
    threshold: int
    consumed_at_least: int


_Weight = tuple[int | msgspec.Raw, int, bool]
"""The result for one reason that excludes an item: ``number``, ``last_ms`` and ``is_moved`` of _Evidence."""


def _rendered(own: Shown | None, moved: Shown | None, limits: _Limits) -> _Weight | None:
    as_of_ms, since_ms = limits.as_of_ms, limits.since_ms
    own_count = 0 if own is None else shown_within(own, since_ms, as_of_ms)
    count = own_count if moved is None else own_count + shown_within(moved, since_ms, as_of_ms)
    if count < limits.threshold:
        return None
    times = [time for part in (own, moved) if part is not None for time in part.times if time <= as_of_ms]
    return count, max(times, default=0), own_count == 0


def _clicked(own: Clicked | None, moved: Clicked | None, limits: _Limits) -> _Weight | None:
    parts = _begun(own, moved, limits.as_of_ms)
    # A click on a recommendation sends both events, so the counts are not added.
    count = sum(max(part.count, part.recommended) for part in parts)
    return _weight(count, parts, own, limits.as_of_ms)


def _bought(own: Purchase | None, moved: Purchase | None, limits: _Limits) -> _Weight | None:
    parts = _begun(own, moved, limits.as_of_ms)
    return _weight(json_number(units(parts)), parts, own, limits.as_of_ms)


def _consumed(own: Consumed | None, moved: Consumed | None, limits: _Limits) -> _Weight | None:
    begun = _begun(own, moved, limits.as_of_ms)
    parts = [part for part in begun if part.percentage >= limits.consumed_at_least]
    return _weight(1, parts, own, limits.as_of_ms)


def _in_basket(own: BasketItem | None, moved: BasketItem | None, limits: _Limits) -> _Weight | None:
    added_ms, removed_ms = merged_basket(own, moved)
    as_of_ms = limits.as_of_ms
    if added_ms is None or added_ms > as_of_ms:
        return None
    if removed_ms is not None and added_ms <= removed_ms <= as_of_ms:
        return None
    return 1, added_ms, own is None or own.added_ms != added_ms


def _blacklisted(own: Preference | None, moved: Preference | None, limits: _Limits) -> _Weight | None:
    until_ms = taken_off_ms = 0  # 0: never
    for part in (own, moved):
        if part is not None:
            until_ms = max(until_ms, part.blacklisted_until_ms or 0)
            taken_off_ms = max(taken_off_ms, part.unblacklisted_ms or 0)
    if not until_ms or not is_on_blacklist(until_ms, taken_off_ms or None, limits.as_of_ms):
        return None
    return 1, until_ms - BLACKLISTED_FOR_MS, own is None or own.blacklisted_until_ms != until_ms


def _begun(own: _PartT | None, moved: _PartT | None, as_of_ms: int) -> list[_PartT]:
    """Return the parts that began up to ``as_of_ms``, the own one first."""
    return [part for part in (own, moved) if part is not None and part.first_ms <= as_of_ms]


def _weight(
    number: int | msgspec.Raw, parts: Sequence[_PartT], own: _PartT | None, as_of_ms: int
) -> _Weight | None:
    """Return the result of these parts, with their latest time up to ``as_of_ms``; None without a part."""
    if not parts:
        return None
    times = [time for part in parts for time in (part.first_ms, part.last_ms) if time <= as_of_ms]
    return number, max(times, default=0), parts[0] is not own


class _Check(NamedTuple):
    """How to judge a reason: the table to read, and a function of an item's own and moved part in it."""

    table: str
    weigh: Callable[[Any, Any, _Limits], _Weight | None]


_CHECKS: Final[dict[Reason, _Check]] = {
    "rendered": _Check("rendered", _rendered),
    "clicked": _Check("clicked", _clicked),
    "bought": _Check("purchases", _bought),
    "consumed": _Check("consumed", _consumed),
    "basket": _Check("basket", _in_basket),
    "blacklisted": _Check("preferences", _blacklisted),
}


class _Judge:
    """Judges items of one user by the reasons of the rules, as of one time."""

    def __init__(self, view: UserView, rules: ExclusionRules, as_of_ms: int, in_scenario: str | None) -> None:
        since_ms = as_of_ms - rules.within if isinstance(rules.within, int) else None
        self._limits = _Limits(as_of_ms, since_ms, rules.threshold, rules.consumed_at_least)
        self._checks = [
            (reason, *kept_items(view, _CHECKS[reason].table), _CHECKS[reason].weigh)
            for reason in REASONS
            if reason in rules.reasons
        ]
        self._showings = self._checks[0][1:3] if "rendered" in rules.reasons else None  # the first of REASONS
        if self._showings is not None and in_scenario is not None:
            self._checks[0] = ("rendered", *showings_in(view, in_scenario), _rendered)

    @classmethod
    def steps(
        cls, view: UserView, rules: ExclusionRules, as_of_ms: int, in_scenario: str | None
    ) -> Steps["_Judge"]:
        """Return a judge. Only a session takes more than one step; it is a session of all showings, also with ``in_scenario``."""
        judge = cls(view, rules, as_of_ms, in_scenario)
        if rules.within == "session" and judge._showings is not None:
            start_ms = yield from session_steps(judge._showings, as_of_ms)
            since_ms = as_of_ms if start_ms is None else start_ms - 1
            judge._limits = judge._limits._replace(since_ms=since_ms)
        return judge

    def item_keys(self) -> set[str]:
        """Return the keys of all items that a reason could exclude."""
        others = self._checks if self._showings is None else self._checks[1:]
        found = {key for _, own, moved, _ in others for items in (own, moved) for key in items}
        if self._showings is not None:
            found.update(key for items in self._showings for key in items if self._is_shown_enough(key))
        return found

    def _is_shown_enough(self, key: str) -> bool:
        """Tell whether an item was shown as often as the threshold says, at any time. Most were not, and need no look at their times."""
        own: Any
        moved: Any
        _, own, moved, _ = self._checks[0]
        count = own.total(key) + (moved.total(key) if moved else 0)
        return bool(count >= self._limits.threshold)

    def evidence(self, key: str) -> list[_Evidence]:
        """Return the evidence against an item, in the order of REASONS; empty if the item may be shown."""
        found = []
        for reason, own_items, moved_items, weigh in self._checks:
            if weigh is _rendered and not self._is_shown_enough(key):
                continue
            own, moved = own_items.get(key), moved_items.get(key)
            if own is None and moved is None:
                continue
            weight = weigh(own, moved, self._limits)
            if weight is not None:
                found.append(_Evidence(reason, *weight))
        return found


def exclusions(
    view: UserView,
    rules: ExclusionRules,
    as_of_ms: int,
    itemtype: int | None = None,
    in_scenario: str | None = None,
) -> dict[str, Any]:
    """Return ``{"known", "as_of_ms", "excluded"}``: the items that must not be shown, the latest first, then by item.

    ``count`` belongs to the first reason: showings within the span, clicks, units bought, else 1. ``last_ms`` is the latest of all
    reasons. ``itemtype`` None: items of every type. ``in_scenario``: count only showings in this scenario.
    """
    return at_once(exclusion_steps(view, rules, as_of_ms, itemtype, in_scenario))


def exclusion_steps(
    view: UserView,
    rules: ExclusionRules,
    as_of_ms: int,
    itemtype: int | None = None,
    in_scenario: str | None = None,
) -> Steps[dict[str, Any]]:
    """Return ``exclusions`` in steps. The view may change between two of them."""
    is_known = view.is_known
    judge = yield from _Judge.steps(view, rules, as_of_ms, in_scenario)
    excluded = []
    for keys in pieces(list(judge.item_keys())):
        for key in keys:
            itemtype_of_key, item = split_item_key(key)
            if itemtype is not None and itemtype_of_key != itemtype:
                continue
            evidence = judge.evidence(key)
            if evidence:
                excluded.append({"item": item, "itemtype": itemtype_of_key, **_summary(evidence)})
        yield
    excluded.sort(key=lambda entry: (-entry["last_ms"], entry["item"], entry["itemtype"]))
    return {"known": is_known, "as_of_ms": as_of_ms, "excluded": excluded}


def filter_candidates(
    view: UserView,
    candidates: Sequence[str],
    itemtype: int,
    rules: ExclusionRules,
    limit: int | None,
    as_of_ms: int,
    in_scenario: str | None = None,
) -> dict[str, Any]:
    """Return ``{"known", "as_of_ms", "kept", "dropped"}``: at most ``limit`` candidates in their order, and why others are dropped."""
    return at_once(filter_steps(view, candidates, itemtype, rules, limit, as_of_ms, in_scenario))


def filter_steps(
    view: UserView,
    candidates: Sequence[str],
    itemtype: int,
    rules: ExclusionRules,
    limit: int | None,
    as_of_ms: int,
    in_scenario: str | None = None,
) -> Steps[dict[str, Any]]:
    """Return ``filter_candidates`` in steps. The view may change between two of them."""
    is_known = view.is_known
    judge = yield from _Judge.steps(view, rules, as_of_ms, in_scenario)
    kept: list[str] = []
    dropped: list[dict[str, Any]] = []
    for items in pieces(candidates):
        for item in items:
            evidence = judge.evidence(item_key(itemtype, item))
            if evidence:
                dropped.append({"item": item, **_summary(evidence)})
            else:
                kept.append(item)
        yield
    return {"known": is_known, "as_of_ms": as_of_ms, "kept": kept[:limit], "dropped": dropped}


def _summary(evidence: Sequence[_Evidence]) -> dict[str, Any]:
    summary: dict[str, Any] = {
        "reasons": [found.reason for found in evidence],
        "count": evidence[0].number,
        "last_ms": max(found.last_ms for found in evidence),
    }
    if all(found.is_moved for found in evidence):
        summary["moved"] = True
    return summary
