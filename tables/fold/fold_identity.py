"""What a preference, a login and what a login moves change."""

from collections.abc import Callable
from typing import Final

from events import model
from events.model import NO_PROFILE_USER, user_key
from tables.base.table_spec import Stretch
from tables.declare import BY_NAME, MOVED_TABLES
from tables.fold.fold_ports import MOVED, Tables
from tables.transfers import absorb
from tables.user import identity, preferences
from tables.user.identity import Transfer

_PREFERENCES: Final[dict[type, Callable[..., preferences.PreferencesState]]] = {
    model.Rate: preferences.rate,
    model.Blacklist: preferences.blacklist,
    model.Wishlist: preferences.wish,
    model.DeleteFromWishlist: preferences.unwish,
}


def fold_preference(
    tables: Tables,
    key: bytes,
    event: model.Rate | model.Blacklist | model.Wishlist | model.DeleteFromWishlist,
) -> None:
    """Remember a preference; within 30 min of a login it goes on to that target, for sites send it with the old id."""
    if event.user == NO_PROFILE_USER:
        return
    change = _PREFERENCES[type(event)]
    known = tables.rows[identity.TABLE].get(key)
    if known is None or identity.follows(known, event.time_ms) is None:
        tables.rows[preferences.TABLE].put(key, change(tables.rows[preferences.TABLE].get(key), event))
        return
    state, transfer = identity.forward(known, event, Stretch({preferences.TABLE.name: change(None, event)}))
    tables.rows[identity.TABLE].put(key, state)
    tables.transfer(transfer)
    _keep_moved(tables, key, transfer.stretch)


# --- who the user is --------------------------------------------------------------------------------------------------------------


def fold_login(tables: Tables, key: bytes, event: model.Login) -> None:
    """Send all that the user holds to the target, once, and keep it where the user's own lookups still see it."""
    if event.user == NO_PROFILE_USER:
        return
    held = Stretch({table.name: tables.rows[table].get(key) for table in MOVED_TABLES})
    state, transfer = identity.login(tables.rows[identity.TABLE].get(key), event, held)
    tables.rows[identity.TABLE].put(key, state)
    if transfer is None:
        return
    tables.transfer(transfer)
    for table in MOVED_TABLES:
        if held[table] is not None:
            tables.rows[table].put(key, None)
    _keep_moved(tables, key, held)


def fold_rotation(tables: Tables, key: bytes, event: model.EventBase, time_ms: int) -> model.Login | None:
    """Remember that what is known under the user's former pseudonym is to come here; return the login that brings it, once."""
    state, login = identity.rotate(tables.rows[identity.TABLE].get(key), event, time_ms)
    if state is not None:
        tables.rows[identity.TABLE].put(key, state)
    return login


def _keep_moved(tables: Tables, key: bytes, stretch: Stretch) -> None:
    """Keep what was sent on where the user's own lookups see it and no later login sends it again."""
    _absorb(tables, key + MOVED, stretch)


def _absorb(tables: Tables, row: bytes, stretch: Stretch) -> None:
    own = {name: tables.rows[BY_NAME[name]].get(row) for name in stretch.rows}
    for name, state in absorb(Stretch(own), stretch).rows.items():
        tables.rows[BY_NAME[name]].put(row, state)


def fold_transfer(tables: Tables, transfer: Transfer) -> bool:
    """Apply what a login moved here, or pass it on; return False when its number was applied before."""
    key = user_key(transfer.customer, transfer.target)
    state, verdict = identity.receive(tables.rows[identity.TABLE].get(key), transfer)
    tables.rows[identity.TABLE].put(key, state)
    if verdict == "repeat":
        return False
    if verdict == "apply":
        _absorb(tables, key, transfer.stretch)
    else:
        tables.transfer(verdict)
        _keep_moved(tables, key, transfer.stretch)
    return True
