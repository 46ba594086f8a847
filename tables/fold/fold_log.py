"""Keeps a user's log of showings in a small row, sealed buckets and the row of ``rendered`` (docs/decisions/0026).

An event is appended to the row ``impressions``. A full row is sealed: its entries become a bucket. After some buckets, the row of
``rendered`` takes in what it lacks. So most events touch one small row. What needs all impressions of a user, such as a click, opens
the log: the row then holds the entries of its buckets, until the log is closed.
"""

from typing import Final, NamedTuple

from events import model
from tables.fold.fold_ports import Tables
from tables.user import attribution, impression_buckets, impressions, rendered
from tables.user.attribution_groups import tidy
from tables.user.belonging import Counted
from tables.user.call_places import CallPlace, find_place
from tables.user.elements import Impression
from tables.user.impression_buckets import (
    MAX_BUCKETS,
    MERGE_AFTER,
    SealedLog,
    bucket_count,
    bucket_key,
    buckets_of_call,
    drop_oldest,
    facts_of,
    is_full,
    is_old,
    seal,
    unmerged_buckets,
    unmerged_entries,
)
from tables.user.impressions import (
    KEEP_MS,
    MAX_IMPRESSIONS,
    ImpressionsState,
    append_view,
    calls_of,
    drop_views,
    log_of,
    renew,
)
from tables.user.log_entries import split_log
from tables.user.rendered import RenderedState

_LONG_BYTES: Final = 65_536
"""A log in a row that is longer is merged at once. Else lookups would add dozens of the longest events there are."""


class LogOwner(NamedTuple):
    """The user whose log is folded. ``key`` is its row."""

    key: bytes
    customer: str
    user: str


class OpenLog(NamedTuple):
    """What a row held when its log was opened."""

    log: bytes
    calls: bytes
    sealed_log: int
    """Bytes of the log that are in buckets."""
    sealed_calls: int
    impressions: int
    """Impressions in buckets."""
    views: int
    appended: int


def show(
    tables: Tables, key: bytes, event: model.Rendered, state: ImpressionsState, shown: Impression
) -> Counted:
    """Keep an impression in a user's row, which the caller puts. Return what changes in its counts."""
    changed: Counted = {}
    if attribution.is_apart(state, shown):
        attribution.keep(state, shown)
    else:
        opened = open_log(tables, key, state)
        changed = attribution.show(state, event.user, shown)
        close_log(tables, LogOwner(key, event.customer, event.user), state, opened)
    if is_full(state):
        _seal_full(tables, LogOwner(key, event.customer, event.user), state, shown.received_ms)
    return changed


def view(tables: Tables, key: bytes, event: model.Viewed, state: ImpressionsState) -> None:
    """Keep a ``viewed`` event in a user's row, which the caller puts."""
    append_view(state, event)
    if is_full(state):
        _seal_full(tables, LogOwner(key, event.customer, event.user), state, event.received_ms)


def sealed_place(tables: Tables, key: bytes, state: ImpressionsState, name: str) -> CallPlace | None:
    """Return where a call counted that a bucket has, or None if none has it."""
    for number in buckets_of_call(state, name):
        place = find_place(_bucket(tables, key, number).calls, name)
        if place is not None:
            return place
    return None


def merge_shown(tables: Tables, owner: LogOwner, state: ImpressionsState) -> None:
    """Let the user's row of ``rendered`` take in all that it lacks of the log. The caller puts the row of the log."""
    log_of(state)
    if state.appended != state.merged:
        entries = unmerged_entries(state, state.merged, lambda number: _bucket(tables, owner.key, number))
        _merge(tables, owner, state, entries, state.appended)


def merge_all_shown(tables: Tables, owner: LogOwner) -> None:
    """Let the user's row of ``rendered`` take in all that it lacks of the log."""
    rows = tables.rows[impressions.TABLE]
    state = rows.get(owner.key)
    if state is not None and state.appended != state.merged:
        merge_shown(tables, owner, state)
        rows.put(owner.key, state)


def pass_over(tables: Tables, owner: LogOwner, state: ImpressionsState) -> None:
    """Let the row of ``rendered`` count as having all of the log. What a login brought is in that row already."""
    _merge(tables, owner, state, [], state.appended)


def _merge(
    tables: Tables, owner: LogOwner, state: ImpressionsState, entries: list[bytes], merged: int
) -> None:
    """Let ``rendered`` take in entries, after which it has the first ``merged`` ones of the log."""
    base = tables.rows[rendered.TABLE].get_once(owner.key) or RenderedState()
    if entries:
        rendered.take_in(base, entries, by_scenario=owner.customer in tables.scenario_keepers)
    base.merged = state.merged = merged
    tables.rows[rendered.TABLE].put(owner.key, base)


def _bucket(tables: Tables, key: bytes, number: int) -> SealedLog:
    bucket = tables.rows[impression_buckets.TABLE].get_once(bucket_key(key, number))
    if bucket is None:
        raise LookupError(f"bucket {number} of {key!r} is missing: its row and its log do not fit together")
    return bucket


# --- sealing ----------------------------------------------------------------------------------------------------------------------


def _seal_full(tables: Tables, owner: LogOwner, state: ImpressionsState, received_ms: int) -> None:
    if state.appended - state.merged >= MERGE_AFTER or len(state.impressions) >= _LONG_BYTES:
        merge_shown(tables, owner, state)
        drop_views(state)  # a bucket with a view of thousands of items would be read at every click
    _seal(tables, owner.key, state)
    _drop_old(tables, owner, state, received_ms)
    if bucket_count(state) > MAX_BUCKETS:
        close_log(tables, owner, state, open_log(tables, owner.key, state), rewrite=True)


def _seal(tables: Tables, key: bytes, state: ImpressionsState) -> None:
    while is_full(state):
        number, bucket = seal(state)
        tables.rows[impression_buckets.TABLE].put(bucket_key(key, number), bucket)


def _drop_old(tables: Tables, owner: LogOwner, state: ImpressionsState, received_ms: int) -> None:
    """Drop the oldest buckets while their impressions are too many or too old."""
    renew(state)  # clicks of the former format keep their impressions too
    facts = facts_of(state)
    kept = sum(each.impressions for each in facts) + state.kept
    for oldest in facts:
        kept -= oldest.impressions
        if kept < MAX_IMPRESSIONS and not is_old(oldest, received_ms - KEEP_MS):
            return
        if state.clicks and _is_clicked(_bucket(tables, owner.key, state.first_bucket), state):
            opened = open_log(tables, owner.key, state)
            tidy(state, owner.user, received_ms, most=MAX_IMPRESSIONS)
            close_log(tables, owner, state, opened)
            return
        if unmerged_buckets(state, state.merged) == bucket_count(state):
            merge_shown(tables, owner, state)
        number = drop_oldest(state)
        tables.rows[impression_buckets.TABLE].put(bucket_key(owner.key, number), None)


def _is_clicked(bucket: SealedLog, state: ImpressionsState) -> bool:
    """Tell whether a bucket may have an item that was clicked: its key may also be the beginning of another one."""
    return any(click.item_key.encode() in bucket.log for click in state.clicks)


# --- the whole log ----------------------------------------------------------------------------------------------------------------


def open_log(tables: Tables, key: bytes, state: ImpressionsState) -> OpenLog:
    """Put the entries and calls of a user's buckets into its row, before those that are there."""
    log, calls = log_of(state), calls_of(state)
    facts = facts_of(state)
    buckets = [_bucket(tables, key, state.first_bucket + place) for place in range(len(facts))]
    sealed_log = b"".join([bucket.log for bucket in buckets])
    sealed_calls = b"".join([bucket.calls for bucket in buckets])
    in_buckets = sum(each.impressions for each in facts), sum(each.views for each in facts)
    log[:0], calls[:0] = sealed_log, sealed_calls
    state.kept += in_buckets[0]
    state.views += in_buckets[1]
    return OpenLog(
        bytes(log), bytes(calls), len(sealed_log), len(sealed_calls), *in_buckets, appended=state.appended
    )


def close_log(
    tables: Tables, owner: LogOwner, state: ImpressionsState, opened: OpenLog, *, rewrite: bool = False
) -> None:
    """Take out again what is in buckets. If the log or the calls lost something since they were opened, write other buckets.

    ``rewrite``: write other buckets in any case. These have no views.
    """
    log, calls = log_of(state), calls_of(state)
    if not rewrite and log.startswith(opened.log) and calls.startswith(opened.calls):
        del log[: opened.sealed_log], calls[: opened.sealed_calls]
        state.kept -= opened.impressions
        state.views -= opened.views
    else:
        _merge_opened(tables, owner, state, opened)
        count = bucket_count(state)
        for number in range(state.first_bucket, state.first_bucket + count):
            tables.rows[impression_buckets.TABLE].put(bucket_key(owner.key, number), None)
        state.first_bucket += count
        state.buckets = state.call_marks = b""
    _seal(tables, owner.key, state)


def _merge_opened(tables: Tables, owner: LogOwner, state: ImpressionsState, opened: OpenLog) -> None:
    """Let ``rendered`` take in what it lacked when the log was opened, which may be gone from it by now. Views are then of no use."""
    missing = opened.appended - state.merged
    if missing:
        _merge(tables, owner, state, list(split_log(opened.log))[-missing:], opened.appended)
    drop_views(state)
