"""Codec of journal records: JSON, a tagged union by ``type``.

``decode`` checks every record, because producers other than the collector write to the journal too. The bounds and the reasons
are in docs/events.md.
"""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import msgspec

from events.model import (
    EVENT_VERSION,
    NO_PROFILE_USER,
    Basket,
    BotEvents,
    Buy,
    Event,
    EventBase,
    Login,
    Owns,
    PurchaseEvent,
    Wishlist,
)
from events.pseudonym import is_pseudonym
from events.quantity import exact, json_number

_encoder: Final = msgspec.json.Encoder(decimal_format="string")
_decoder: Final[msgspec.json.Decoder[Event]] = msgspec.json.Decoder(Event)


class UndecodableError(ValueError):
    """A record cannot be folded.

    ``reason`` is ``null``, ``too_large``, ``malformed``, ``unknown_version``, ``bad_key``, ``raw_user`` or ``unknown_customer``.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


MAX_RECORD_BYTES: Final = 900_000
"""Largest record that is folded. A producer can write a larger one compressed, below the broker's limit.
A worker could not forward it: every flush would fail."""
_PURCHASES: Final = frozenset((Buy, Owns))
_IS_NAME: Final = re.compile(r"[\x21-\x7e]{1,200}").fullmatch
_MAX_PRICE: Final = Decimal(10) ** 12
_MAX_DECIMALS: Final = 12


def _check_login(event: Login) -> None:
    if not _IS_NAME(event.target):
        raise UndecodableError("malformed", "target takes 1 to 200 printable ASCII characters")
    if not event.is_junk_target or event.target != NO_PROFILE_USER:
        check_pseudonym("target", event.target)


def _check_price(event: PurchaseEvent | Basket | Wishlist) -> None:
    price = event.price
    if price is None:
        return
    exponent = price.as_tuple().exponent
    is_exact = isinstance(exponent, int) and -_MAX_DECIMALS <= exponent <= _MAX_DECIMALS
    if event.currency is None or not is_exact or not 0 <= price < _MAX_PRICE:
        raise UndecodableError("malformed", "price takes 0 to 10^12 with at most 12 decimals, and a currency")


def _check_purchase(event: PurchaseEvent) -> None:
    quantity = event.quantity
    if type(quantity) is Decimal and exact(quantity) != quantity:
        raise UndecodableError("malformed", "quantity takes more than 0, up to 10^9, with at most 6 decimals")
    _check_price(event)


def _check_bots(event: BotEvents) -> None:
    if event.user != NO_PROFILE_USER:
        raise UndecodableError("malformed", f"bots takes only the user {NO_PROFILE_USER}")


_CHECKS: Final[dict[type, Callable[[Any], None]]] = {
    Login: _check_login,
    Buy: _check_purchase,
    Owns: _check_purchase,
    Basket: _check_price,
    Wishlist: _check_price,
    BotEvents: _check_bots,
}


def encode(event: EventBase) -> bytes:
    """Return the journal record of an event."""
    return _encoder.encode(_with_number(event) if type(event) in _PURCHASES else event)


def _with_number(event: Any) -> Any:
    """Return a purchase whose quantity the encoder writes as a number. One that ``decode`` refuses stays, as text."""
    quantity = event.quantity
    if type(quantity) is Decimal:
        units = exact(quantity)
        if units is not None and units == quantity:
            return msgspec.structs.replace(event, quantity=json_number(units))
    return event


def decode(raw: bytes | None) -> Event:
    """Return the event of a journal record. Raise UndecodableError if the record is not a valid event of this version."""
    if raw is None:
        raise UndecodableError("null", "the record has no value")
    if len(raw) > MAX_RECORD_BYTES:
        raise UndecodableError("too_large", f"{len(raw)} bytes, an event takes at most {MAX_RECORD_BYTES}")
    try:
        event = _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UndecodableError("malformed", str(error)) from None
    if event.v != EVENT_VERSION:
        raise UndecodableError("unknown_version", f"version {event.v}, this worker reads {EVENT_VERSION}")
    check = _CHECKS.get(type(event))
    if check is not None:
        check(event)
    return event


def check_names(customer: str, user: str) -> None:
    """Raise UndecodableError unless customer and user may be in a key: printable ASCII, and no ``|`` in the customer."""
    if not _IS_NAME(customer) or not _IS_NAME(user) or "|" in customer:
        raise UndecodableError("bad_key", "customer and user take 1 to 200 printable ASCII characters")


def check_pseudonym(name: str, user: str) -> None:
    """Raise UndecodableError unless a user has the form of a pseudonym: a producer that writes raw ids must learn of it.

    The sentence does not hold the id.
    """
    if not is_pseudonym(user):
        raise UndecodableError(
            "raw_user",
            f"{name} is not a pseudonym, which is a key id, a point and 26 letters a-z or digits 2-7",
        )
