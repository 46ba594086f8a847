"""The states of one user, as lookups read them.

A user that logged in as another user has two stretches: its own since the last login, and the one that the login moved to the other
user. Lookups of the old id read both.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.lookup.turns import Steps, pieces
from tables.base.table_spec import Stretch
from tables.declare import MOVED_TABLES
from tables.user.basket import BasketItem
from tables.user.identity import IdentityState
from tables.user.impressions import ImpressionsState
from tables.user.recommended import RecommendedState
from tables.user.rendered import TABLE, RenderedState, ShownItems
from tables.user.shown_bytes import Shown
from tables.user.shown_spans import session_start_ms, show_times


@dataclass(frozen=True, slots=True)
class UserView:
    """Everything that a worker stores of one user: the states since the last login, and those that logins moved away."""

    own: Stretch = field(default_factory=Stretch)
    moved: Stretch | None = None
    identity: IdentityState | None = None
    impressions: ImpressionsState | None = None
    recommended: RecommendedState | None = None
    shown_since: Sequence[bytes] = ()
    """The entries of the user's log that ``own`` does not include yet (tables/user/log_entries.py)."""
    stale_ms: int | None = None
    """The view may lack events of this last time: it is a standby's copy, or the worker has no contact with Kafka. None: it is fresh."""

    @property
    def is_known(self) -> bool:
        """Whether anything is stored of this user."""
        others = (self.identity, self.impressions, self.recommended)
        return any(state is not None for state in others) or any(
            items for table in MOVED_TABLES for items in items_of(self, table.name)
        )


def items_of(view: UserView, table: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the items of one user table: the user's own, and those moved away."""
    own, moved = view.own.rows.get(table), None if view.moved is None else view.moved.rows.get(table)
    if table == TABLE.name:
        return (
            ShownItems(own or RenderedState(), log=view.shown_since),
            {} if moved is None else ShownItems(moved),
        )
    return {} if own is None else own.items, {} if moved is None else moved.items


def showings_in(view: UserView, scenario: str) -> tuple[ShownItems, ShownItems]:
    """Return the items that were shown in a scenario, as far as that was remembered: the user's own, and those moved away."""
    own, moved = view.own[TABLE], None if view.moved is None else view.moved[TABLE]
    return ShownItems(own or RenderedState(), scenario, view.shown_since), ShownItems(
        moved or RenderedState(), scenario
    )


def merged_basket(own: BasketItem | None, moved: BasketItem | None) -> tuple[int | None, int | None]:
    """Return when the item was last added to the basket and last removed, over both stretches."""
    parts = [part for part in (own, moved) if part is not None]
    added = [part.added_ms for part in parts if part.added_ms is not None]
    removed = [part.removed_ms for part in parts if part.removed_ms is not None]
    return max(added, default=None), max(removed, default=None)


def kept_items(view: UserView, table: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return ``items_of``, with the same items also after the view has changed. What an item says may be newer then.

    So a computation can pause between two items.
    """
    own, moved = items_of(view, table)
    return (dict(own) if type(own) is dict else own), (dict(moved) if type(moved) is dict else moved)


def session_steps(stretches: Iterable[Mapping[str, Shown]], as_of_ms: int) -> Steps[int | None]:
    """Return when the session that holds ``as_of_ms`` began, over the shown items of both stretches; None if no session holds it."""
    times_ms: list[int] = []
    for items in stretches:
        for keys in pieces(list(items)):
            times_ms += show_times({key: items[key] for key in keys})
            yield
    return session_start_ms(times_ms, as_of_ms)
