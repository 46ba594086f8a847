"""What does each event hold as a JSON element: its fields by the names they may have, and what must hold between them."""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from events import model, tracker_fields
from events.json_fields import MAX_ITEMS_CHARS, OTHER_NAMES, PLAIN_CHARS, READ, Read, fullprice, set_by_us
from events.model import ALIASES, EVENTS, NO_PROFILE_USER
from events.rules import Rules
from events.target import RefusedError

Own = dict[str, Any]
FieldSlot = tuple[str, Read, int]
"""Which field a name means, how it is read, and up to how many characters a printable text is taken as it stands."""

_SET_BY_US: Final = frozenset(("received_ms", "is_clamped", "previous_user", "is_junk_target"))


class Kind(msgspec.Struct, frozen=True):
    """How one event is read: its struct, its fields by the names they may have, and what holds between them.

    ``finish`` completes the fields, raises RefusedError, or returns False when there is nothing to record.
    """

    struct: type[model.EventBase]
    shape: dict[str, FieldSlot | None]
    finish: Callable[[Own, Rules], bool]


def _finish_item(own: Own, _rules: Rules) -> bool:
    if "item" not in own:
        raise RefusedError("missing_item", "item: the item id is required and must not be empty", "item")
    return True


def _finish_items(own: Own, _rules: Rules) -> bool:
    if "items" not in own:
        raise RefusedError("missing_item", "items: the list of items is required", "items")
    return bool(own["items"])


def _finish_clickrecommended(own: Own, rules: Rules) -> bool:
    if rules.strict_scenario and "scenario" not in own:
        raise RefusedError("missing_scenario", "clickrecommended needs a scenario", "scenario")
    return _finish_item(own, rules)


def _finish_rate(own: Own, rules: Rules) -> bool:
    if "rating" not in own:
        raise RefusedError("bad_rating", "rate needs a rating, an integer from 0 to 100", "rating")
    return _finish_item(own, rules)


def _finish_priced(own: Own, rules: Rules) -> bool:
    full = own.pop("fullprice", None)
    if full is not None:
        own["price"], own["currency"] = full
    elif "price" not in own:
        own.pop("currency", None)
    elif "currency" not in own:
        raise RefusedError("bad_currency", "price needs a currency, a code of ISO 4217", "currency")
    return _finish_item(own, rules)


def _finish_login(own: Own, rules: Rules) -> bool:
    target = own.get("target", "")
    if not target:
        raise RefusedError("missing_user", "target: the user id is required and must not be empty", "target")
    own["is_junk_target"] = target in tracker_fields.JUNK_TARGETS
    own["target"] = NO_PROFILE_USER if own["is_junk_target"] else rules.user(target)
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
    "basket": _finish_priced,
    "wishlist": _finish_priced,
    "rendered": _finish_items,
    "viewed": _finish_items,
    "rate": _finish_rate,
    "login": _finish_login,
    "recommended": _finish_recommended,
    "playback": _finish_playback,
}

PLAIN_FIELDS: Final = frozenset(
    (
        *("type", "user", "time_ms", "item", "items", "itemtype", "scenario", "modelid", "request_id"),
        *("eid", "experiment", "variant", "row", "rank"),
    )
)
"""Fields that mean what they say: nothing is converted, completed or compared with another one."""
PLAIN_ITEMS: Final = MAX_ITEMS_CHARS // tracker_fields.MAX_ITEM_CHARS
PLAIN_KINDS: Final = {
    name: (EVENTS[name], PLAIN_FIELDS.intersection(("type", *EVENTS[name].__struct_fields__)))
    for name in ("click", "clickrecommended", "rendered", "viewed", "deletefrombasket", "blacklist")
}


def _kind_of(name: str, struct: type[model.EventBase]) -> Kind:
    shape: dict[str, FieldSlot | None] = {
        field: (field, READ[field], PLAIN_CHARS.get(READ[field], 0))
        for field in struct.__struct_fields__
        if field in READ
    }
    shape |= {other: shape[field] for other, field in OTHER_NAMES.items() if field in shape}
    if "price" in shape:
        shape["fullprice"] = ("fullprice", fullprice, 0)
    shape |= {field: (field, set_by_us, 0) for field in _SET_BY_US}
    shape |= dict.fromkeys(("type", "customer", "user"))  # read before the others
    return Kind(struct, shape, _FINISH.get(name, _finish_item))


KINDS: Final = {name: _kind_of(name, struct) for name, struct in EVENTS.items()}
KINDS.update({alias: KINDS[name] for alias, name in ALIASES.items()})
