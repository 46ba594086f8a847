"""Folds preferences, logins, and the transfers that logins send."""

from collections.abc import Callable
from typing import Final

import msgspec

from events import model
from events.model import NO_PROFILE_USER, user_key
from tables.base.table_spec import Stretch
from tables.declare import BY_NAME, MOVED_TABLES
from tables.fold import fold_attribution, fold_experiments, fold_log
from tables.fold.fold_log import LogOwner
from tables.fold.fold_ports import MOVED, Tables
from tables.transfers import absorb
from tables.user import identity, preferences, rendered
from tables.user.identity import Transfer

_PREFERENCES: Final[dict[type, Callable[..., preferences.PreferencesState]]] = {
    model.Rate: preferences.rate,
    model.Blacklist: preferences.blacklist,
    model.DeleteFromBlacklist: preferences.unblacklist,
    model.Wishlist: preferences.wish,
    model.DeleteFromWishlist: preferences.unwish,
}


def fold_preference(
    tables: Tables,
    key: bytes,
    event: model.Rate
    | model.Blacklist
    | model.DeleteFromBlacklist
    | model.Wishlist
    | model.DeleteFromWishlist,
) -> None:
    """Remember a preference. Within 30 min after a login, forward it to the target, because sites still send the old id."""
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


# --- logins -----------------------------------------------------------------------------------------------------------------------


def fold_login(tables: Tables, key: bytes, event: model.Login) -> None:
    """Send the user's stretch to the target, once, and keep it in a second row for the user's own lookups."""
    if event.user == NO_PROFILE_USER:
        return
    fold_log.merge_all_shown(tables, LogOwner(key, event.customer, event.user))
    held = Stretch({table.name: tables.rows[table].get(key) for table in MOVED_TABLES})
    state, transfer = identity.login(tables.rows[identity.TABLE].get(key), event, held)
    tables.rows[identity.TABLE].put(key, state)
    if transfer is None:
        return
    moved, changed = fold_attribution.log_in(tables, key, event)
    seen = fold_experiments.log_in(tables, key, event)
    if moved is not None or seen is not None:
        transfer = msgspec.structs.replace(transfer, attribution=moved, experiments=seen)
    left = rendered.leave(held)
    tables.transfer(transfer)
    # After the transfer: what changes may follow the login in a transfer of its own, which has a later number.
    fold_attribution.count_changes_of(tables, key, event, changed)
    for table in MOVED_TABLES:
        if held[table] is not None:
            tables.rows[table].put(key, None)
    if left is not None:
        tables.rows[rendered.TABLE].put(key, left)
    _keep_moved(tables, key, held)


def fold_rotation(tables: Tables, key: bytes, event: model.EventBase, time_ms: int) -> model.Login | None:
    """Return the login that moves the data of the user's former pseudonym here, or None. Remember it, so that it is made once."""
    state, login = identity.rotate(tables.rows[identity.TABLE].get(key), event, time_ms)
    if state is not None:
        tables.rows[identity.TABLE].put(key, state)
    return login


def _keep_moved(tables: Tables, key: bytes, stretch: Stretch) -> None:
    """Keep what was sent on in the user's second row: the user's own lookups see it, and no later login sends it again."""
    _absorb(tables, key + MOVED, stretch)


def _absorb(tables: Tables, row: bytes, stretch: Stretch) -> None:
    own = {name: tables.rows[BY_NAME[name]].get(row) for name in stretch.rows}
    for name, state in absorb(Stretch(own), stretch).rows.items():
        tables.rows[BY_NAME[name]].put(row, state)


def fold_transfer(tables: Tables, transfer: Transfer) -> bool:
    """Apply a transfer, or send it on. Return False if its number was applied before."""
    key = user_key(transfer.customer, transfer.target)
    state, verdict = identity.receive(tables.rows[identity.TABLE].get(key), transfer)
    tables.rows[identity.TABLE].put(key, state)
    if verdict == "repeat":
        return False
    moved, seen = transfer.attribution, transfer.experiments
    if verdict == "apply":
        if transfer.stretch[rendered.TABLE] is not None:
            fold_log.merge_all_shown(tables, LogOwner(key, transfer.customer, transfer.target))
        _absorb(tables, key, transfer.stretch)
        if seen is not None:
            fold_experiments.receive(tables, key, transfer.customer, seen)
    elif transfer.stretch or moved is None or seen is not None:
        tables.transfer(verdict)
        _keep_moved(tables, key, transfer.stretch)
    if moved is not None:
        # After the stretch: a target takes the transfers of a source in the order of their numbers.
        fold_attribution.receive(tables, key, transfer, moved)
    return True
