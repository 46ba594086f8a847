"""Folds one record of the journal into its partition."""

from typing import Any

import msgspec

from agents.partition import Partition
from agents.ports import Output
from agents.record_times import FIRST_APPENDED, first_appended_ms
from events.codec import UndecodableError, check_names, check_pseudonym, decode, encode
from events.event_time import settle_times
from events.model import NO_PROFILE_USER, Event, user_key
from events.partitions import partition_of
from events.topics import DAY_MS, HISTORY, JOURNAL
from tables.ctr.window_keys import MAX_TIME_MS
from tables.fold.fold_event import fold
from tables.fold.fold_identity import fold_rotation
from tables.fold.fold_ports import Tables


def fold_live(partition: Partition, record: Any) -> None:
    """Fold a record of the journal: its event time is held within the 24 h before its receipt."""
    _fold(partition, record, JOURNAL, DAY_MS, partition.overlay.live)


def fold_history(partition: Partition, record: Any) -> None:
    """Fold a record of a signed import: its event time may be any in the past.

    It counts in a tally of its own, because its windows wait for no watermark.
    """
    _fold(partition, record, HISTORY, None, partition.overlay.history)


def _fold(partition: Partition, record: Any, topic: str, max_age_ms: int | None, tables: Tables) -> None:
    event = decode(record.value)
    key: bytes | None = record.key
    overlay = partition.overlay
    if key is None or overlay.verified.get(key) != (event.customer, event.user):
        key = _verified_key(partition, record, event, topic)
        if key is None:
            return
    if event.previous_user is not None:
        check_names(event.customer, event.previous_user)
        check_pseudonym("previous_user", event.previous_user)
    appended_ms: int = first_appended_ms(record) if record.headers else record.timestamp
    time_ms, received_ms, is_clamped = settle_times(event.time_ms, event.received_ms, appended_ms, max_age_ms)
    if not 0 < received_ms <= MAX_TIME_MS:
        raise UndecodableError(
            "malformed", f"neither received_ms nor the record's timestamp ({received_ms}) is a time"
        )
    if time_ms != event.time_ms or received_ms != event.received_ms:
        partition.stats.clamped += is_clamped
        event = msgspec.structs.replace(event, time_ms=time_ms, received_ms=received_ms)
    if received_ms > overlay.newest_received_ms:
        overlay.newest_received_ms = received_ms
    if time_ms > overlay.newest_time_ms and max_age_ms is not None and not is_clamped:
        overlay.newest_time_ms = max(overlay.newest_time_ms, min(time_ms, appended_ms))
    if event.previous_user is not None and event.user != NO_PROFILE_USER:
        _follow_rotation(partition, topic, record, key, event)
    if not fold(tables, key, event):
        partition.stats.repeated += 1


def _verified_key(partition: Partition, record: Any, event: Event, topic: str) -> bytes | None:
    """Return the key of a record whose user belongs to this partition. Forward any other record and return None.

    A key that fits a user of a known customer is remembered.
    """
    key = _check_key(record.key, event)
    home = partition_of(key, partition.limits.partitions)
    if home != partition.number and event.user != NO_PROFILE_USER:
        origin = ("origin", _origin(topic, partition, record))
        appended = (FIRST_APPENDED, b"%d" % first_appended_ms(record))
        partition.send(Output(topic, home, key, record.value, (origin, appended)))
        partition.stats.forwarded += 1
        return None
    unknown = partition.limits.unknown_customers
    if unknown is None or not unknown.is_missing(event.customer, partition.number):
        partition.overlay.verify(key, event.customer, event.user)
    return key


def _follow_rotation(partition: Partition, topic: str, record: Any, key: bytes, event: Event) -> None:
    """While the customer's key rotates, let the former pseudonym log in as the new one.

    The login is an event of the journal like any other. The flush that writes it also remembers it, so it is made exactly once.
    """
    # An import may be of any time in the past, where the former pseudonym was last moved by a login that came later.
    time_ms = event.received_ms if topic == HISTORY else event.time_ms - 1
    login = fold_rotation(partition.overlay, key, event, time_ms)
    if login is not None:
        old_key = user_key(login.customer, login.user)
        home = partition_of(old_key, partition.limits.partitions)
        partition.send(
            Output(JOURNAL, home, old_key, encode(login), (("origin", _origin(topic, partition, record)),))
        )


def _origin(topic: str, partition: Partition, record: Any) -> bytes:
    return b"%s/%d/%d" % (topic.encode(), partition.number, record.offset)


def _check_key(key: bytes | None, event: Event) -> bytes:
    """Return the record's key. Raise UndecodableError if it is not the key of the event's user."""
    check_names(event.customer, event.user)
    if event.user == NO_PROFILE_USER:
        if key is not None and key.startswith(f"{event.customer}|{NO_PROFILE_USER}".encode()):
            return key
    else:
        check_pseudonym("user", event.user)
        if key == user_key(event.customer, event.user):
            return key
    raise UndecodableError(
        "bad_key", "the key must be {customer}|{user} of the event, or {customer}|~{n} for no user"
    )
