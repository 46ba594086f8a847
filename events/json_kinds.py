"""Shapes of the events in JSON: their fields by all of their names, and the rules between fields.

The fields follow from the structs of events/model.py and the table (events/wire_fields.py).
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from events import model
from events.json_fields import PLAIN_CHARS, READ, Read
from events.model import ALIASES, EVENTS
from events.rejections import PRICE_UNREADABLE, RefusedError
from events.rules import Rules
from events.wire_fields import WIRE_FIELDS, WireField, fields_of
from events.wire_values import MAX_ITEM_CHARS, MAX_ITEMS_CHARS, RATING, ValueKind

Own = dict[str, Any]
FieldSlot = tuple[str, Read, int]
"""The field that a name stands for, its reader, and up to how many characters a printable text needs no reader."""

MONEY: Final = ("fullprice", "price", "currency")
UNREAD: Final = "unread"
"""The name in Own, no field, under which the rules of an event say why they left a value out: one of UNREAD_REASONS."""

_READ_APART: Final = ("type", "customer", "user", "consent")
_SET_BY_COLLECTOR: Final = tuple(
    [field for field in WIRE_FIELDS if field.value.kind is ValueKind.SET_BY_COLLECTOR]
)


class Kind(msgspec.Struct, frozen=True):
    """How one event is read: its struct, and its fields by all of their names; None for those that are read apart.

    ``finish`` applies the rules between fields: it completes them, raises RefusedError, or returns False if there is nothing to
    record.
    """

    struct: type[model.EventBase]
    shape: dict[str, FieldSlot | None]
    finish: Callable[[Own, Rules], bool]


def _finish_item(own: Own, _rules: Rules) -> bool:
    if "item" not in own:
        raise RefusedError("missing_item", "item: the item id is required and must not be empty", "item")
    return True


def _finish_items(own: Own, rules: Rules) -> bool:
    if "items" not in own:
        raise RefusedError("missing_item", "items: the list of items is required", "items")
    if rules.scenario_of_unlabelled is not None:
        own["fallback_scenario"] = rules.fallback_scenario(own.get("scenario"))
    return bool(own["items"])


def _finish_clickrecommended(own: Own, rules: Rules) -> bool:
    if rules.strict_scenario and "scenario" not in own:
        raise RefusedError("missing_scenario", "clickrecommended needs a scenario", "scenario")
    return _finish_item(own, rules)


def _finish_rate(own: Own, rules: Rules) -> bool:
    if "rating" not in own:
        raise RefusedError(
            RATING.code,
            f"rate needs a rating, an integer from {RATING.least} to {RATING.greatest}",
            "rating",
        )
    return _finish_item(own, rules)


def _finish_priced(own: Own, rules: Rules) -> bool:
    return _finish_money(own, rules, is_strict=rules.strict_price)


def _finish_basket(own: Own, rules: Rules) -> bool:
    return _finish_money(own, rules, is_strict=False)


def _finish_money(own: Own, rules: Rules, *, is_strict: bool) -> bool:
    fullprice, price, code = (own.pop(name, None) for name in MONEY)
    read = price if fullprice is None else fullprice
    if read is not None:
        stated = None if isinstance(read, RefusedError) else read[1] or code or rules.currency
        wrong = next((each for each in (read, stated) if isinstance(each, RefusedError)), None)
        if wrong is None:
            own["price"], own["currency"] = read[0], stated
        elif is_strict:
            raise wrong
        else:
            own[UNREAD] = PRICE_UNREADABLE
    return _finish_item(own, rules)


def _finish_triggeropened(_own: Own, _rules: Rules) -> bool:
    return True


def _finish_login(own: Own, rules: Rules) -> bool:
    target = own.get("target", "")
    if not target:
        raise RefusedError("missing_user", "target: the user id is required and must not be empty", "target")
    own["target"], own["is_junk_target"] = rules.identify_target(target)
    return True


def _finish_recommended(own: Own, _rules: Rules) -> bool:
    if "request_id" not in own:
        raise RefusedError("bad_parameter", "recommended needs a request_id", "request_id")
    return True


def _finish_playback(own: Own, rules: Rules) -> bool:
    for name in ("session", "state", "position_ms", "duration_ms"):
        if name not in own:
            raise RefusedError("bad_parameter", f"playback needs {name}", name)
    return _finish_item(own, rules)


_FINISH: Final[dict[str, Callable[[Own, Rules], bool]]] = {
    "clickrecommended": _finish_clickrecommended,
    "buy": _finish_priced,
    "owns": _finish_priced,
    "basket": _finish_basket,
    "wishlist": _finish_priced,
    "rendered": _finish_items,
    "viewed": _finish_items,
    "rate": _finish_rate,
    "triggeropened": _finish_triggeropened,
    "login": _finish_login,
    "recommended": _finish_recommended,
    "playback": _finish_playback,
}

PLAIN_FIELDS: Final = frozenset([field.name for field in WIRE_FIELDS if field.is_plain])
"""Fields whose values need no reader: nothing is converted, completed or compared with another field."""
PLAIN_ITEMS: Final = MAX_ITEMS_CHARS // MAX_ITEM_CHARS
PLAIN_KINDS: Final = {
    name: (EVENTS[name], PLAIN_FIELDS.intersection(("type", *EVENTS[name].__struct_fields__)))
    for name in (
        "click",
        "clickrecommended",
        "rendered",
        "viewed",
        "deletefrombasket",
        "blacklist",
        "deletefromblacklist",
    )
}


def _slot_of(field: WireField) -> FieldSlot:
    return field.name, READ[field.name], PLAIN_CHARS.get(field.name, 0)


def _kind_of(name: str, struct: type[model.EventBase]) -> Kind:
    shape: dict[str, FieldSlot | None] = dict.fromkeys(_READ_APART)
    for field in (*fields_of(struct), *_SET_BY_COLLECTOR):
        shape |= {spelled: _slot_of(field) for spelled in field.json_names if spelled not in _READ_APART}
    return Kind(struct, shape, _FINISH.get(name, _finish_item))


KINDS: Final = {name: _kind_of(name, struct) for name, struct in EVENTS.items()}
KINDS.update({alias: KINDS[name] for alias, name in ALIASES.items()})
