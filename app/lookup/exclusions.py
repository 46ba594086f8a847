"""What may a user not be shown, and why: exclusions and filtered candidates, from the user's states.

The rules are SEMANTICS "Lookups". Pure: the states are only read. A user that logged in elsewhere has two stretches: its own, and the
one that was moved to the other user, which still counts here.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple

from app.customers.exclusion_rules import REASONS, ExclusionRules
from tables.declare import MOVED_TABLES
from tables.table_spec import Stretch
from tables.user.basket import BasketItem
from tables.user.identity import IdentityState
from tables.user.impressions import ImpressionsState
from tables.user.items import item_key, split_item_key
from tables.user.preferences import BLACKLISTED_FOR_MS
from tables.user.recommended import RecommendedState
from tables.user.rendered import RenderedState, ShownItems, session_start_ms, show_times, shown_within


@dataclass(frozen=True, slots=True)
class Rotation:
    """How fast a shown item is shown less, and how fast it recovers: see ``rotation_factor``."""

    half_life_ms: int = 24 * 3_600_000
    strength: float = 0.5


@dataclass(frozen=True, slots=True)
class UserView:
    """Everything known of one user: the states since the last login, and those that logins moved away."""

    own: Stretch = field(default_factory=Stretch)
    moved: Stretch | None = None
    identity: IdentityState | None = None
    impressions: ImpressionsState | None = None
    recommended: RecommendedState | None = None
    stale_ms: int | None = None
    """Of a standby's copy: what is older than so many milliseconds is in it. None: from the owner, and fresh."""

    @property
    def is_known(self) -> bool:
        """Whether anything at all is stored of this user."""
        others = (self.identity, self.impressions, self.recommended)
        return any(state is not None for state in others) or any(
            items for table in MOVED_TABLES for items in items_of(self, table.name)
        )


class _Evidence(NamedTuple):
    """One reason against one item. ``is_moved``: only the moved stretch speaks for it."""

    reason: str
    number: int
    last_ms: int
    is_moved: bool


def items_of(view: UserView, table: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the items of one user table: the user's own, and those moved away."""
    return _items(view.own.rows.get(table)), _items(
        None if view.moved is None else view.moved.rows.get(table)
    )


def _items(state: Any) -> Mapping[str, Any]:
    if state is None:
        return {}
    return ShownItems(state) if isinstance(state, RenderedState) else state.items


def merged_basket(own: BasketItem | None, moved: BasketItem | None) -> tuple[int | None, int | None]:
    """Return when the item was last added and last taken out, over both stretches."""
    parts = [part for part in (own, moved) if part is not None]
    added = [part.added_ms for part in parts if part.added_ms is not None]
    removed = [part.removed_ms for part in parts if part.removed_ms is not None]
    return max(added, default=None), max(removed, default=None)


def _last_known_ms(parts: Iterable[Any], as_of_ms: int) -> int:
    """Return the latest time up to ``as_of_ms`` that the parts (with ``first_ms`` and ``last_ms``) tell of."""
    times = [time for part in parts for time in (part.first_ms, part.last_ms) if time <= as_of_ms]
    return max(times, default=0)


def session_of(view: UserView, as_of_ms: int) -> int | None:
    """Return when the session that holds ``as_of_ms`` began, over both stretches; None when there is none."""
    return session_start_ms(chain.from_iterable(map(show_times, items_of(view, "rendered"))), as_of_ms)


class _Judge:
    """Weighs the reasons against items of one user, as of one time."""

    def __init__(self, view: UserView, rules: ExclusionRules, as_of_ms: int) -> None:
        self._rules = rules
        self._as_of_ms = as_of_ms
        self._tables = {table.name: items_of(view, table.name) for table in MOVED_TABLES}
        self._reasons = [reason for reason in REASONS if reason in rules.reasons]
        self._since_ms: int | None = None
        if isinstance(rules.within, int):
            self._since_ms = as_of_ms - rules.within
        elif rules.within == "session" and "rendered" in rules.reasons:
            start_ms = session_of(view, as_of_ms)
            self._since_ms = as_of_ms if start_ms is None else start_ms - 1

    def item_keys(self) -> set[str]:
        """Return the item keys that any table knows."""
        return {key for stretches in self._tables.values() for items in stretches for key in items}

    def evidence(self, key: str) -> list[_Evidence]:
        """Return what speaks against an item, in the order of REASONS; nothing when it may be shown."""
        found = []
        for reason in self._reasons:
            counted = getattr(self, f"_{reason}")(key)
            if counted is not None:
                found.append(_Evidence(reason, *counted))
        return found

    def _parts(self, table: str, key: str) -> tuple[Any, Any]:
        own, moved = self._tables[table]
        return own.get(key), moved.get(key)

    def _known_parts(self, table: str, key: str) -> Iterator[tuple[Any, bool]]:
        """Yield the parts that began up to ``as_of_ms``, each with whether it was moved."""
        for part, is_moved in zip(self._parts(table, key), (False, True), strict=True):
            if part is not None and part.first_ms <= self._as_of_ms:
                yield part, is_moved

    def _rendered(self, key: str) -> tuple[int, int, bool] | None:
        as_of_ms = self._as_of_ms
        own, moved = (
            0 if shown is None else shown_within(shown, self._since_ms, as_of_ms)
            for shown in self._parts("rendered", key)
        )
        if own + moved < self._rules.threshold:
            return None
        parts = self._parts("rendered", key)
        times = [time for shown in parts if shown is not None for time in shown.times if time <= as_of_ms]
        return own + moved, max(times, default=0), own == 0

    def _clicked(self, key: str) -> tuple[int, int, bool] | None:
        parts = list(self._known_parts("clicked", key))
        # A click on a recommendation fires both events: never their sum.
        count = sum(max(part.count, part.recommended) for part, _ in parts)
        return self._summed(parts, count)

    def _bought(self, key: str) -> tuple[int, int, bool] | None:
        parts = list(self._known_parts("purchases", key))
        return self._summed(parts, sum(part.quantity for part, _ in parts))

    def _consumed(self, key: str) -> tuple[int, int, bool] | None:
        parts = [
            (part, is_moved)
            for part, is_moved in self._known_parts("consumed", key)
            if part.percentage >= self._rules.consumed_at_least
        ]
        return self._summed(parts, 1)

    def _basket(self, key: str) -> tuple[int, int, bool] | None:
        own, moved = self._parts("basket", key)
        added_ms, removed_ms = merged_basket(own, moved)
        as_of_ms = self._as_of_ms
        if added_ms is None or added_ms > as_of_ms:
            return None
        if removed_ms is not None and added_ms <= removed_ms <= as_of_ms:
            return None
        return 1, added_ms, own is None or own.added_ms != added_ms

    def _blacklisted(self, key: str) -> tuple[int, int, bool] | None:
        own_ms, moved_ms = (
            None if part is None else part.blacklisted_until_ms for part in self._parts("preferences", key)
        )
        until_ms = max((until for until in (own_ms, moved_ms) if until is not None), default=None)
        if until_ms is None or not until_ms - BLACKLISTED_FOR_MS <= self._as_of_ms < until_ms:
            return None
        return 1, until_ms - BLACKLISTED_FOR_MS, own_ms != until_ms

    def _summed(self, parts: Sequence[tuple[Any, bool]], count: int) -> tuple[int, int, bool] | None:
        if not parts:
            return None
        last_ms = _last_known_ms((part for part, _ in parts), self._as_of_ms)
        return count, last_ms, all(is_moved for _, is_moved in parts)


def exclusions(
    view: UserView, rules: ExclusionRules, as_of_ms: int, itemtype: int | None = None
) -> dict[str, Any]:
    """Return ``{"known", "as_of_ms", "excluded"}``: the items that must not be shown, the latest first, then by item.

    ``count`` is that of the first reason (showings within the span, clicks, units bought, else 1), ``last_ms`` the latest of all.
    ``itemtype`` None: items of every type.
    """
    judge = _Judge(view, rules, as_of_ms)
    excluded = []
    for key in judge.item_keys():
        itemtype_of_key, item = split_item_key(key)
        if itemtype is not None and itemtype_of_key != itemtype:
            continue
        evidence = judge.evidence(key)
        if evidence:
            excluded.append({"item": item, "itemtype": itemtype_of_key, **_summary(evidence)})
    excluded.sort(key=lambda entry: (-entry["last_ms"], entry["item"], entry["itemtype"]))
    return {"known": view.is_known, "as_of_ms": as_of_ms, "excluded": excluded}


def filter_candidates(
    view: UserView,
    candidates: Sequence[str],
    itemtype: int,
    rules: ExclusionRules,
    limit: int | None,
    as_of_ms: int,
) -> dict[str, Any]:
    """Return ``{"known", "as_of_ms", "kept", "dropped"}``: at most ``limit`` candidates in their order, and why others went."""
    judge = _Judge(view, rules, as_of_ms)
    kept: list[str] = []
    dropped: list[dict[str, Any]] = []
    for item in candidates:
        evidence = judge.evidence(item_key(itemtype, item))
        if evidence:
            dropped.append({"item": item, **_summary(evidence)})
        else:
            kept.append(item)
    return {"known": view.is_known, "as_of_ms": as_of_ms, "kept": kept[:limit], "dropped": dropped}


def rotate(
    view: UserView, candidates: Sequence[str], itemtype: int, rotation: Rotation, as_of_ms: int
) -> dict[str, Any]:
    """Return all candidates in their order, none dropped, and in ``factors`` what to multiply the score of each by."""
    stretches = items_of(view, "rendered")
    factors = []
    for item in candidates:
        key = item_key(itemtype, item)
        parts = [items[key] for items in stretches if key in items]
        factors.append(rotation_factor([time for part in parts for time in part.times], rotation, as_of_ms))
    return {
        "known": view.is_known,
        "as_of_ms": as_of_ms,
        "kept": list(candidates),
        "factors": factors,
        "dropped": [],
    }


def rotation_factor(times_ms: Iterable[int], rotation: Rotation, as_of_ms: int) -> float:
    """Return a factor in (0, 1]: the product over the showings of ``1 - strength * 2 ** (-age / half_life)``.

    Each showing lowers it by ``strength`` at first; after a half-life half of that is left. Never shown: 1. The last 16 showings of
    a stretch are known.
    """
    factor = 1.0
    for time_ms in times_ms:
        if time_ms <= as_of_ms:
            half_lives = min((as_of_ms - time_ms) / rotation.half_life_ms, 1_000.0)
            factor *= 1.0 - rotation.strength * 2.0**-half_lives
    return factor


def _summary(evidence: Sequence[_Evidence]) -> dict[str, Any]:
    summary: dict[str, Any] = {
        "reasons": [found.reason for found in evidence],
        "count": evidence[0].number,
        "last_ms": max(found.last_ms for found in evidence),
    }
    if all(found.is_moved for found in evidence):
        summary["moved"] = True
    return summary
