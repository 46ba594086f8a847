"""Seals an event of a back end for the journal: checks it, and replaces its raw user ids with pseudonyms.

The event must pass the rules for the tracker's parameters (events/tracker_fields.py) and those for journal records
(events/codec.py). Pure.
"""

from decimal import Decimal
from typing import Any, Final

import msgspec

from events import tracker_fields
from events.codec import UndecodableError, check_names, decode, encode
from events.model import (
    NO_PROFILE_USER,
    ClickRecommended,
    Event,
    EventBase,
    ItemEvent,
    ItemsEvent,
    Login,
    PurchaseEvent,
    Recommended,
)
from events.money import CURRENCIES, rounded
from events.quantity import exact
from events.rejections import RefusedError, Rejection
from events.rules import Rules

_decoder: Final[msgspec.json.Decoder[Event]] = msgspec.json.Decoder(Event)


def seal(event: EventBase, rules: Rules, consent: str | None = None) -> EventBase | Rejection:
    """Return the journal's event for an event with raw ids, or the Rejection of an invalid one.

    Raw ids are in ``user``, and in ``target`` of a login. Types are checked too, because a struct does not check its arguments. No
    clock is read: an event without ``time_ms`` happens when the broker receives its record. ``consent`` is ``yes``, ``none``, or
    None if it is not known.
    """
    try:
        return _seal(event, rules, is_anonymous=not rules.may_profile(consent))
    except RefusedError as refused:
        return refused.rejection


def _seal(event: EventBase, rules: Rules, *, is_anonymous: bool) -> EventBase:
    typed = _typed(event)
    if typed.customer != rules.customer:
        raise RefusedError(
            "unknown_customer",
            f"customer {tracker_fields.quoted(typed.customer)}, but these are the rules of {rules.customer!r}",
            "customer",
            typed.customer,
        )
    raw_user = tracker_fields.raw_user(typed.user)
    is_nobody = is_anonymous or raw_user == NO_PROFILE_USER
    user, previous_user = (NO_PROFILE_USER, None) if is_nobody else rules.identify(raw_user)
    names: dict[str, Any] = {"user": user, "previous_user": previous_user}
    if isinstance(typed, Login):
        names |= _target(typed, rules, is_anonymous=is_anonymous)
    if isinstance(typed, ItemsEvent) and typed.fallback_scenario is None:
        names["fallback_scenario"] = rules.fallback_scenario(typed.scenario)
    price = getattr(typed, "price", None)
    if price is not None:
        names["price"] = rounded(price)
    if isinstance(typed, PurchaseEvent) and isinstance(typed.quantity, Decimal):
        names["quantity"] = exact(typed.quantity) or typed.quantity
    _check(typed, rules)
    sealed = msgspec.structs.replace(typed, **names)
    try:
        check_names(sealed.customer, sealed.user)
        return decode(encode(sealed))
    except UndecodableError as error:
        raise RefusedError("bad_body", error.detail) from None


def _typed(event: EventBase) -> Event:
    try:
        return _decoder.decode(encode(event))
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise RefusedError("bad_body", f"{type(event).__name__}: {error}") from None


def _target(login: Login, rules: Rules, *, is_anonymous: bool) -> dict[str, Any]:
    raw_target = tracker_fields.raw_user(login.target, "target")
    if is_anonymous or login.is_junk_target or raw_target == NO_PROFILE_USER:
        return {"target": NO_PROFILE_USER, "is_junk_target": True}
    target, is_junk = rules.identify_target(raw_target)
    return {"target": target, "is_junk_target": is_junk}


def _check(event: Event, rules: Rules) -> None:
    """Raise RefusedError if a field is well-formed but breaks a rule of the customer."""
    if isinstance(event, ItemEvent):
        _check_items((event.item,), event.itemtype, rules)
    elif isinstance(event, ItemsEvent):
        _check_items(event.items, event.itemtype, rules)
    elif isinstance(event, Recommended):
        for served in event.lists:
            _check_items(served.items, served.itemtype, rules)
    if isinstance(event, ClickRecommended) and event.scenario is None and rules.strict_scenario:
        raise RefusedError("missing_scenario", "clickrecommended needs a scenario", "scenario")
    currency = getattr(event, "currency", None)
    if currency is not None and currency not in CURRENCIES:
        raise RefusedError(
            "bad_currency",
            f"currency {tracker_fields.quoted(currency)} must be a currency code of ISO 4217, as in EUR",
            "currency",
            currency,
        )


def _check_items(items: tuple[str, ...], itemtype: int, rules: Rules) -> None:
    tracker_fields.itemtype(str(itemtype), rules)
    for item in items:
        tracker_fields.item(item, rules)
    if not items:
        raise RefusedError("missing_item", "items: a list that was shown has at least one item", "items")
