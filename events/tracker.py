"""Parses requests of the tracker API (docs/http-api.md) into events, with one builder per event.

Pure. The request target, the customer's rules and the time of receipt go in. An event of the journal, None for "nothing to
record", or a Rejection comes out. The struct of an event and the table (events/wire_fields.py) say which parameters it has.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from events import tracker_fields
from events.event_time import drop_clocks_in_seconds, event_time
from events.model import (
    ALIASES,
    NO_PROFILE_USER,
    Basket,
    Blacklist,
    Buy,
    Click,
    ClickRecommended,
    ClickTriggered,
    Consume,
    DeleteFromBasket,
    DeleteFromBlacklist,
    DeleteFromWishlist,
    EventBase,
    Login,
    Owns,
    Rate,
    Rendered,
    TriggerOpened,
    Viewed,
    Wishlist,
)
from events.no_profile import forget_target
from events.rejections import RefusedError, Rejection
from events.rules import Rules
from events.signed_imports import signed_override_ms
from events.target import Target
from events.topics import HISTORY, JOURNAL
from events.tracker_parameters import ParameterReader, Parameters, readers_of
from events.wire_fields import COMMON_FIELDS, FIELD_BY_NAME, own_fields_of
from events.wire_values import CLOCK, RATING

CONSENT: Final = FIELD_BY_NAME["consent"].name
JSONP_NAMES: Final = FIELD_BY_NAME["jsonp"].tracker_names

_Own = dict[str, Any]  # fields of the event that the request gives

# The callback of JSONP is taken between these two, as the table has it.
_CLOCKS: Final = readers_of(field for field in COMMON_FIELDS if field.value is CLOCK)
_COMMON: Final = readers_of(field for field in COMMON_FIELDS if field.value is not CLOCK)


class Accepted(msgspec.Struct, frozen=True, gc=False):
    """An event that may enter the journal. If ``is_history``, it was signed and goes to the history lane.

    ``has_ignored_clock``: the client's ``created`` or ``sent`` was in seconds and was left out. ``unread``: why another value was
    left out, one of UNREAD_REASONS.
    """

    event: EventBase
    is_history: bool = False
    has_ignored_clock: bool = False
    unread: str | None = None

    @property
    def topic(self) -> str:
        """The topic that the event belongs to."""
        return HISTORY if self.is_history else JOURNAL


def unknown_event(event: str) -> Rejection | None:
    """Return the rejection of an event name of a path that the tracker does not have, None if it has it."""
    if ALIASES.get(event, event) in _READERS:
        return None
    return Rejection(
        "unknown_event", f"there is no event {tracker_fields.quoted(event)}", "event", event[:80]
    )


def parse(target: Target, rules: Rules, received_ms: int) -> Accepted | Rejection | None:
    """Return the event that a request reports, the Rejection of an invalid one, or None if there is nothing to record.

    The result is None for an empty list of rendered items, because an existing client sends such lists.
    """
    reader = _READERS.get(ALIASES.get(target.event, target.event))
    if reader is None:
        return unknown_event(target.event)
    try:
        return _read(reader, target, rules, received_ms)
    except RefusedError as refused:
        return refused.rejection


@dataclass(frozen=True, slots=True)
class _Reader:
    """How one event is read: its struct, its path, and its parameters, some of which are read before the path.

    ``read`` returns the event's own fields, or None if there is nothing to record.
    """

    struct: type[EventBase]
    path: str
    read: Callable[["_Reader", tuple[str, ...], Parameters, Rules], _Own | None]
    before_path: tuple[ParameterReader, ...]
    after_path: tuple[ParameterReader, ...]


def _read(reader: _Reader, target: Target, rules: Rules, received_ms: int) -> Accepted | None:
    segments = target.segments
    places = reader.path.count("/") + 1
    if len(segments) == places + 1 and not segments[-1]:  # a slash at the end
        segments = segments[:-1]
        target = msgspec.structs.replace(target, segments=segments)
    if len(segments) > places:
        raise RefusedError(
            "malformed_path", f"the path after the event is {reader.path}; it has {len(segments)} segments"
        )
    if len(segments) < places:
        segments += ("",) * (places - len(segments))
    raw_user = tracker_fields.raw_user(segments[0])
    left = Parameters(target.params, target.conflicts)
    override_ms = signed_override_ms(target, left, rules, received_ms)
    own = reader.read(reader, segments, left, rules)
    if own is None:
        return None
    has_ignored_clock, consent = False, None
    if left:  # most events have only their own parameters
        left.take_all(_CLOCKS, own)
        has_ignored_clock = drop_clocks_in_seconds(own)
        left.take(*JSONP_NAMES)
        left.take_all(_COMMON, own)
        consent = own.pop(CONSENT, None)
        own["properties"] = left.properties()
    time_ms, is_clamped = event_time(
        received_ms,
        created_ms=own.get("created_ms"),
        sent_ms=own.get("sent_ms"),
        override_ms=override_ms,
    )
    if rules.may_profile(consent):
        user, previous_user = rules.identify(raw_user)
    else:
        user, previous_user = NO_PROFILE_USER, None
        forget_target(own)
    event = reader.struct(
        customer=rules.customer,
        user=user,
        previous_user=previous_user,
        time_ms=time_ms,
        received_ms=received_ms,
        is_clamped=is_clamped,
        **own,
    )
    return Accepted(event, override_ms is not None, has_ignored_clock, left.unread)


def _item(reader: _Reader, segments: tuple[str, ...], left: Parameters, rules: Rules) -> _Own:
    own: _Own = {}
    left.take_all(reader.before_path, own)
    own["itemtype"] = tracker_fields.itemtype(segments[1], rules)
    own["item"] = tracker_fields.item(segments[2], rules)
    left.take_all(reader.after_path, own)
    return own


def _clickrecommended(reader: _Reader, segments: tuple[str, ...], left: Parameters, rules: Rules) -> _Own:
    own = _item(reader, segments, left, rules)
    if rules.strict_scenario and "scenario" not in own:
        raise RefusedError("missing_scenario", "clickrecommended needs the parameter scenario", "scenario")
    return own


def _priced(reader: _Reader, segments: tuple[str, ...], left: Parameters, rules: Rules) -> _Own:
    price, currency = left.money(rules.currency, is_strict=rules.strict_price)
    return _item(reader, segments, left, rules) | {"price": price, "currency": currency}


def _basket(reader: _Reader, segments: tuple[str, ...], left: Parameters, rules: Rules) -> _Own:
    price, currency = left.money(rules.currency)  # an unreadable price is never an error (docs/http-api.md)
    return _item(reader, segments, left, rules) | {"price": price, "currency": currency}


def _shown(reader: _Reader, segments: tuple[str, ...], left: Parameters, rules: Rules) -> _Own | None:
    own: _Own = {}
    left.take_all(reader.before_path, own)
    shown = tracker_fields.items(segments[2], rules)
    if not shown:
        return None
    own["items"] = shown
    own["itemtype"] = tracker_fields.itemtype(segments[1], rules)
    left.take_all(reader.after_path, own)
    own["fallback_scenario"] = rules.fallback_scenario(own.get("scenario"))
    return own


def _rate(reader: _Reader, segments: tuple[str, ...], left: Parameters, rules: Rules) -> _Own:
    if "rating" not in left:
        raise RefusedError(
            RATING.code,
            f"rate needs the parameter rating, an integer from {RATING.least} to {RATING.greatest}",
            "rating",
        )
    return _item(reader, segments, left, rules)


def _triggeropened(reader: _Reader, _segments: tuple[str, ...], left: Parameters, _rules: Rules) -> _Own:
    own: _Own = {}
    left.take_all(reader.before_path, own)
    return own


def _login(_reader: _Reader, segments: tuple[str, ...], _left: Parameters, rules: Rules) -> _Own:
    target, is_junk = rules.identify_target(tracker_fields.raw_user(segments[1], "target"))
    return {"target": target, "is_junk_target": is_junk}


def _reader_of(
    struct: type[EventBase],
    path: str,
    read: Callable[[_Reader, tuple[str, ...], Parameters, Rules], _Own | None],
) -> _Reader:
    own = own_fields_of(struct)
    start = next((place for place, field in enumerate(own) if field.is_in_path), len(own))
    return _Reader(struct, path, read, readers_of(own[:start]), readers_of(own[start:]))


_ITEM_PATH: Final = "{user}/{itemtype}/{item}"
_ITEMS_PATH: Final = "{user}/{itemtype}/{item[,item]}"

_READERS: Final[dict[str, _Reader]] = {
    "click": _reader_of(Click, _ITEM_PATH, _item),
    "clickrecommended": _reader_of(ClickRecommended, _ITEM_PATH, _clickrecommended),
    "consume": _reader_of(Consume, _ITEM_PATH, _item),
    "buy": _reader_of(Buy, _ITEM_PATH, _priced),
    "owns": _reader_of(Owns, _ITEM_PATH, _priced),
    "basket": _reader_of(Basket, _ITEM_PATH, _basket),
    "deletefrombasket": _reader_of(DeleteFromBasket, _ITEM_PATH, _item),
    "wishlist": _reader_of(Wishlist, _ITEM_PATH, _priced),
    "deletefromwishlist": _reader_of(DeleteFromWishlist, _ITEM_PATH, _item),
    "rendered": _reader_of(Rendered, _ITEMS_PATH, _shown),
    "viewed": _reader_of(Viewed, _ITEMS_PATH, _shown),
    "rate": _reader_of(Rate, _ITEM_PATH, _rate),
    "blacklist": _reader_of(Blacklist, _ITEM_PATH, _item),
    "deletefromblacklist": _reader_of(DeleteFromBlacklist, _ITEM_PATH, _item),
    "triggeropened": _reader_of(TriggerOpened, "{user}", _triggeropened),
    "clicktriggered": _reader_of(ClickTriggered, _ITEM_PATH, _item),
    "login": _reader_of(Login, "{source}/{target}", _login),
}

TRACKER_EVENTS: Final = tuple(_READERS)
"""The canonical names of the events that have a tracker path."""

TRACKER_PATHS: Final = {name: reader.path for name, reader in _READERS.items()}
"""Event -> its path after the event name, such as ``{user}/{itemtype}/{item}``."""
