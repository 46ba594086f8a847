"""Attributes clicks and conversions, sends what belongs elsewhere after a login, and counts what changes."""

from collections.abc import Mapping
from decimal import Decimal

from events import model
from tables.base.table_spec import Stretch
from tables.fold import fold_experiments, fold_log
from tables.fold.fold_log import LogOwner
from tables.fold.fold_ports import Tables
from tables.user import attribution, attribution_moves, identity, impressions
from tables.user.attribution_moves import Moved
from tables.user.belonging import Counted, CountKey
from tables.user.elements import Conversion, JoiningClick
from tables.user.identity import Transfer
from tables.user.impressions import ImpressionsState

_OF_A_LIST = frozenset({"clicked_calls", "unlabelled_impressions"})
"""Counters that are about a list, so they have no position."""


def _count_changes(
    tables: Tables,
    key: bytes,
    customer: str,
    user: str,
    changed: Mapping[CountKey, int | Decimal],
    now_ms: int,
    received_ms: int,
) -> None:
    """Add the changes of a user's row to the tally, and to the experiments that they belong to. ``now_ms`` is when it changed."""
    tally, of_items, is_of_experiment = tables.tally, tables.items, bool(tables.contests)
    for (counter, place, currency), amount in changed.items():
        time_ms, scenario, variant, row, rank, _, _, experiment = place
        is_of_experiment = is_of_experiment or experiment is not None
        if currency is not None:
            money = Decimal(amount)
            tally.add_revenue(customer, scenario, variant, time_ms, currency, money, row, rank)
            of_items.add_revenue(customer, place, currency, money)
        else:
            times, items = int(amount), 0 if counter in _OF_A_LIST else 1
            tally.count(counter, customer, scenario, variant, time_ms, row, rank, items, times)
            of_items.count_place(counter, customer, place, times)
    if is_of_experiment:
        fold_experiments.attribute(tables, key, customer, user, changed, now_ms, received_ms)


def count_changes_of(tables: Tables, key: bytes, event: model.EventBase, changed: Counted) -> None:
    """Add the changes that an event of the user makes."""
    _count_changes(tables, key, event.customer, event.user, changed, event.time_ms, event.received_ms)


def attribute(
    tables: Tables,
    key: bytes,
    event: model.EventBase,
    element: JoiningClick | Conversion,
    *,
    is_one_of_many: bool = False,
) -> None:
    """Keep a click or conversion in the user's row, or send it on if it follows a login; count what changes.

    ``is_one_of_many``: more of the same follow, so a conversion that counts nothing now is not kept.
    """
    rows = tables.rows[impressions.TABLE]
    state = rows.get(key) or ImpressionsState()
    opened = fold_log.open_log(tables, key, state) if isinstance(element, JoiningClick) else None
    sent = attribution_moves.follow(state, event.user, element)
    changed: Counted = {}
    if sent is not None:
        login, moved, changed = sent
        _send(tables, key, event.customer, event.user, login, moved, event.received_ms)
    elif isinstance(element, JoiningClick):
        changed = attribution.click(state, event.user, element)
    elif is_one_of_many and not attribution.converts(state, event.user, element):
        return
    elif attribution.concerns_clicks(state, element):
        opened = fold_log.open_log(tables, key, state)
        changed = attribution.convert(state, event.user, element)
    else:
        attribution.keep_conversion(state, element)
    if opened is not None:
        fold_log.close_log(tables, LogOwner(key, event.customer, event.user), state, opened)
    rows.put(key, state)
    count_changes_of(tables, key, event, changed)


def log_in(tables: Tables, key: bytes, event: model.Login) -> tuple[Moved | None, Counted]:
    """Record a login in the attribution of its source. Return what goes to its target, or None, and what changes in the counts."""
    rows = tables.rows[impressions.TABLE]
    state = rows.get(key) or ImpressionsState()
    opened = fold_log.open_log(tables, key, state)
    moved, changed = attribution_moves.log_in(
        state, event.user, event.time_ms, event.received_ms, event.target
    )
    fold_log.close_log(tables, LogOwner(key, event.customer, event.user), state, opened)
    rows.put(key, state)
    return moved or None, changed


def receive(tables: Tables, key: bytes, transfer: Transfer, moved: Moved) -> None:
    """Take in what a login moved, or send it on with the first later login in the log."""
    rows = tables.rows[impressions.TABLE]
    state = rows.get(key) or ImpressionsState()
    login = attribution_moves.next_login(state, transfer.login_ms)
    if login is not None:
        received_ms = max(transfer.received_ms, login.received_ms)
        _send(tables, key, transfer.customer, transfer.target, login, moved, received_ms)
        return
    owner = LogOwner(key, transfer.customer, transfer.target)
    fold_log.merge_shown(tables, owner, state)
    opened = fold_log.open_log(tables, key, state)
    changed = attribution_moves.absorb(state, transfer.target, moved, transfer.login_ms, transfer.received_ms)
    fold_log.close_log(tables, owner, state, opened)
    if moved.impressions:
        fold_log.pass_over(tables, owner, state)
    rows.put(key, state)
    _count_changes(
        tables,
        key,
        transfer.customer,
        transfer.target,
        changed,
        transfer.login_ms,
        transfer.received_ms,
    )


def _send(
    tables: Tables,
    key: bytes,
    customer: str,
    user: str,
    login: impressions.PastLogin,
    moved: Moved,
    received_ms: int,
) -> None:
    rows = tables.rows[identity.TABLE]
    state, number = identity.next_number(rows.get(key))
    rows.put(key, state)
    tables.transfer(
        Transfer(
            customer, user, login.target, number, login.time_ms, received_ms, Stretch(), attribution=moved
        )
    )
