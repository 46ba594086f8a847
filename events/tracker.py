"""Parses requests of the tracker API (docs/http-api.md) into events, with one builder per event.

Pure. The request target, the customer's rules and the time of receipt go in. An event of the journal, None for "nothing to
record", or a Rejection comes out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from events import signature, tracker_fields
from events.event_time import event_time, parse_override
from events.model import (
    ALIASES,
    NO_PROFILE_USER,
    Basket,
    Blacklist,
    Buy,
    Click,
    ClickRecommended,
    Consume,
    DeleteFromBasket,
    DeleteFromWishlist,
    EventBase,
    Login,
    Owns,
    Rate,
    Rendered,
    Viewed,
    Wishlist,
)
from events.rejections import Rejection
from events.rules import Rules
from events.target import RefusedError, Target
from events.topics import HISTORY, JOURNAL
from events.tracker_fields import Fields

JSONP_NAMES: Final = ("jsonp", "jsonpCallback", "jsonpcallback")

_Own = dict[str, Any]  # the fields of one event in addition to the common ones


class Accepted(msgspec.Struct, frozen=True, gc=False):
    """An event that may enter the journal. If ``is_history``, it was signed and goes to the history lane."""

    event: EventBase
    is_history: bool = False

    @property
    def topic(self) -> str:
        """The topic that the event belongs to."""
        return HISTORY if self.is_history else JOURNAL


def parse(target: Target, rules: Rules, received_ms: int) -> Accepted | Rejection | None:
    """Return the event that a request reports, the Rejection of an invalid one, or None if there is nothing to record.

    The result is None for an empty list of rendered items, because an existing client sends such lists.
    """
    name = ALIASES.get(target.event, target.event)
    reader = _READERS.get(name)
    if reader is None:
        return Rejection(
            "unknown_event",
            f"there is no event {tracker_fields.quoted(target.event)}",
            "event",
            target.event[:80],
        )
    try:
        return _read(reader, target, rules, received_ms)
    except RefusedError as refused:
        return refused.rejection


@dataclass(frozen=True, slots=True)
class _Reader:
    """How one event is read: its struct, its path, and a function for its own parameters (None: nothing to record)."""

    struct: type[EventBase]
    path: str
    read: Callable[[tuple[str, ...], Fields, Rules], _Own | None]


def _read(reader: _Reader, target: Target, rules: Rules, received_ms: int) -> Accepted | None:
    segments = target.segments
    places = reader.path.count("/") + 1
    if len(segments) > places:
        raise RefusedError(
            "malformed_path", f"the path after the event is {reader.path}; it has {len(segments)} segments"
        )
    if len(segments) < places:
        segments += ("",) * (places - len(segments))
    raw_user = tracker_fields.raw_user(segments[0])
    left = Fields(target.params, target.conflicts)
    override_ms = _signed_override_ms(target, left, rules, received_ms)
    own = reader.read(segments, left, rules)
    if own is None:
        return None
    created_ms = left.number("created", tracker_fields.MAX_CLOCK_MS)
    sent_ms = left.number("sent", tracker_fields.MAX_CLOCK_MS)
    time_ms, is_clamped = event_time(
        received_ms, created_ms=created_ms, sent_ms=sent_ms, override_ms=override_ms
    )
    if raw_user in tracker_fields.NO_PROFILE_IDS:
        user, previous_user = NO_PROFILE_USER, None
    else:
        user, previous_user = rules.user(raw_user), rules.previous_user(raw_user)
    if left:  # most events have only their own parameters
        own |= _common(left)
    event = reader.struct(
        customer=rules.customer,
        user=user,
        previous_user=previous_user,
        time_ms=time_ms,
        received_ms=received_ms,
        created_ms=created_ms,
        sent_ms=sent_ms,
        is_clamped=is_clamped,
        **own,
    )
    return Accepted(event, override_ms is not None)


def _common(left: Fields) -> _Own:
    """Take the parameters that any event may have. All that are left then become its properties."""
    left.take(*JSONP_NAMES)
    common = {
        "eid": left.word("eid"),
        "experiment": left.word("experiment"),
        "variant": left.word("variant"),
        "row": left.number("row", tracker_fields.MAX_POSITION),
        "rank": left.number("rank", tracker_fields.MAX_POSITION),
        "lang": left.word("lang"),
        "store_view_id": left.word("storeViewId"),
        "segments": left.word("segments", greatest=tracker_fields.MAX_LONG_WORD_CHARS),
    }
    return common | {"properties": left.properties()}


def _signed_override_ms(target: Target, left: Fields, rules: Rules, received_ms: int) -> int | None:
    """Return the time of a signed import, or None for a live event. A timestamp without a valid signature is refused."""
    if not left:
        return None
    text, given = left.take("overridetimestamp"), left.take(signature.PARAMETER)
    if text is None:
        return None
    if given is None:
        raise RefusedError(
            "missing_signature", "overridetimestamp is taken only with a signature", signature.PARAMETER
        )
    if target.conflicts:
        raise RefusedError(
            "duplicate_parameter",
            f"a signed request takes each parameter once: {min(target.conflicts)}",
        )
    if not rules.md5_signatures and not given.startswith(signature.V2):
        raise RefusedError(
            "bad_signature",
            f"this customer takes only signatures that begin with {signature.V2}: an HMAC-SHA256, not md5",
            signature.PARAMETER,
            given,
        )
    if rules.license_key is None or not signature.is_valid(
        target.customer, target.event, target.segments, rules.license_key, target.params, given
    ):
        raise RefusedError(
            "bad_signature",
            "signature does not fit the request; it is the md5 of itemtype&item&licensekey&name=value&..., or "
            f"{signature.V2} and the HMAC-SHA256 of customer&event&user& and the same",
            signature.PARAMETER,
            given,
        )
    override_ms = parse_override(text, rules.time_zone)
    if override_ms is None or override_ms > received_ms:
        raise RefusedError(
            "bad_timestamp",
            f"overridetimestamp {tracker_fields.quoted(text)} must be a time that has passed, as in 2012-01-31T11:00:00",
            "overridetimestamp",
            text,
        )
    return override_ms


def _item(segments: tuple[str, ...], left: Fields, rules: Rules) -> _Own:
    return {
        "itemtype": tracker_fields.itemtype(segments[1], rules),
        "item": tracker_fields.item(segments[2], rules),
        "categorypath": left.categorypath(),
    }


def _recommendation(left: Fields) -> _Own:
    return {
        "scenario": left.word("scenario"),
        "modelid": left.word("modelid", "modelId"),
        "request_id": left.word("requestuuid"),
    }


def _clickrecommended(segments: tuple[str, ...], left: Fields, rules: Rules) -> _Own:
    own = _item(segments, left, rules) | _recommendation(left)
    if own["scenario"] is None and rules.strict_scenario:
        raise RefusedError("missing_scenario", "clickrecommended needs the parameter scenario", "scenario")
    return own


def _consume(segments: tuple[str, ...], left: Fields, rules: Rules) -> _Own:
    percentage = left.number("percentage", 100, "bad_percentage")
    return _item(segments, left, rules) | {"percentage": 100 if percentage is None else percentage}


def _purchase(segments: tuple[str, ...], left: Fields, rules: Rules) -> _Own:
    price, currency = left.money()
    quantity = left.number("quantity", tracker_fields.MAX_QUANTITY, "bad_quantity", least=1)
    bought = {"price": price, "currency": currency, "quantity": 1 if quantity is None else quantity}
    return _item(segments, left, rules) | bought


def _basket(segments: tuple[str, ...], left: Fields, rules: Rules) -> _Own:
    # A price counts only if it can be read (docs/http-api.md). An unreadable one is an unknown parameter, not an error.
    price, currency = left.noted_money(must_be_readable=False)
    return _item(segments, left, rules) | {"price": price, "currency": currency}


def _wishlist(segments: tuple[str, ...], left: Fields, rules: Rules) -> _Own:
    price, currency = left.noted_money()
    return _item(segments, left, rules) | {"price": price, "currency": currency}


def _shown(segments: tuple[str, ...], left: Fields, rules: Rules) -> _Own | None:
    shown = tracker_fields.items(segments[2], rules)
    if not shown:
        return None
    itemtype = tracker_fields.itemtype(segments[1], rules)
    own = {"itemtype": itemtype, "items": shown, "categorypath": left.categorypath()}
    return own | _recommendation(left)


def _rendered(segments: tuple[str, ...], left: Fields, rules: Rules) -> _Own | None:
    own = _shown(segments, left, rules)
    if own is not None:
        own["image"] = left.word("image", greatest=tracker_fields.MAX_LONG_WORD_CHARS)
    return own


def _rate(segments: tuple[str, ...], left: Fields, rules: Rules) -> _Own:
    rating = left.number("rating", 100, "bad_rating")
    if rating is None:
        raise RefusedError(
            "bad_rating", "rate needs the parameter rating, an integer from 0 to 100", "rating"
        )
    return _item(segments, left, rules) | {"rating": rating}


def _login(segments: tuple[str, ...], _left: Fields, rules: Rules) -> _Own:
    target = tracker_fields.raw_user(segments[1], "target")
    if target in tracker_fields.JUNK_TARGETS:
        return {"target": NO_PROFILE_USER, "is_junk_target": True}
    return {"target": rules.user(target)}


_ITEM_PATH: Final = "{user}/{itemtype}/{item}"
_ITEMS_PATH: Final = "{user}/{itemtype}/{item[,item]}"

_READERS: Final[dict[str, _Reader]] = {
    "click": _Reader(Click, _ITEM_PATH, _item),
    "clickrecommended": _Reader(ClickRecommended, _ITEM_PATH, _clickrecommended),
    "consume": _Reader(Consume, _ITEM_PATH, _consume),
    "buy": _Reader(Buy, _ITEM_PATH, _purchase),
    "owns": _Reader(Owns, _ITEM_PATH, _purchase),
    "basket": _Reader(Basket, _ITEM_PATH, _basket),
    "deletefrombasket": _Reader(DeleteFromBasket, _ITEM_PATH, _item),
    "wishlist": _Reader(Wishlist, _ITEM_PATH, _wishlist),
    "deletefromwishlist": _Reader(DeleteFromWishlist, _ITEM_PATH, _item),
    "rendered": _Reader(Rendered, _ITEMS_PATH, _rendered),
    "viewed": _Reader(Viewed, _ITEMS_PATH, _shown),
    "rate": _Reader(Rate, _ITEM_PATH, _rate),
    "blacklist": _Reader(Blacklist, _ITEM_PATH, _item),
    "login": _Reader(Login, "{source}/{target}", _login),
}

TRACKER_EVENTS: Final = tuple(_READERS)
"""The canonical names of the events that have a tracker path."""

TRACKER_PATHS: Final = {name: reader.path for name, reader in _READERS.items()}
"""Event -> its path after the event name, such as ``{user}/{itemtype}/{item}``."""
