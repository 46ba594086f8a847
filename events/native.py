"""Which event does a JSON element report: the structs of events/model.py as clients write them, with raw user ids.

The rules are those of the tracker paths (events/tracker.py): the same lengths, item forms, ranges, money, clocks and pseudonyms.
Pure: elements, the customer's rules and the time of receipt go in; an event, "nothing to record" or a Rejection comes out.
"""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import msgspec

from events import fields, model
from events.clock import event_time
from events.fields import quoted
from events.model import ALIASES, EVENT_VERSION, EVENTS, NO_PROFILE_USER, RecommendedList
from events.money import CURRENCIES, parse_fullprice
from events.rejections import Rejection
from events.rules import Rules
from events.signature import ABSENT
from events.target import RefusedError
from events.tracker import Accepted

MAX_LISTS: Final = 200
MAX_ITEMS_CHARS: Final = 65_536
"""Of all items of one element together: as much as a tracker request may hold, and far below what a record of the journal takes."""

PLAYER_STATES: Final = ("playing", "paused", "buffering", "seeking", "ended")
MAX_PLAY_RATE: Final = 100
MAX_LENGTH_MS: Final = 2_592_000_000  # 30 days

_Own = dict[str, Any]  # field -> value
_Read = Callable[[str, Any, Rules], Any]
_Place = tuple[str, _Read, int]
"""Which field a name means, how it is read, and up to how many characters a printable text is taken as it stands."""
_SET_BY_US: Final = frozenset(("received_ms", "is_clamped", "previous_user", "is_junk_target"))
_PRICE: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,6})?")
_ABSENT_USER: Final = object()


class Reader:
    """Reads the elements of one body. ``event``: the kind of those that name none; ``is_owner``: brought the license key.

    ``is_plain``: the body is as ``events.elements.is_plain`` says, so that most elements need not be read field by field.
    """

    def __init__(
        self,
        rules: Rules,
        received_ms: int,
        *,
        event: str | None = None,
        is_owner: bool = False,
        is_plain: bool = False,
    ) -> None:
        self._rules, self._received_ms, self._event, self._is_owner = rules, received_ms, event, is_owner
        self._is_plain = is_plain and event is None and rules.string_items and not rules.strict_scenario
        self._stamp = {"customer": rules.customer, "time_ms": received_ms, "received_ms": received_ms}
        self._users: dict[str, tuple[str, str | None]] = {}  # a page's events are often of one user

    def read(self, element: Any) -> Accepted | Rejection | None:
        """Return the event that an element reports, why it is refused, or None when there is nothing to record."""
        if isinstance(element, Rejection):
            return element
        try:
            return (self._read_plain(element) if self._is_plain else None) or self._read(element)
        except RefusedError as refused:
            return refused.rejection

    def _read_plain(self, element: Any) -> Accepted | None:
        """Return the event of an element that has nothing but plain fields of the right types; None: it must be looked at closely.

        The types of events/model.py bound texts and numbers as the rules of the fields do, and msgspec compares in C.
        """
        name = element.get("type") if type(element) is dict else None
        kind = _PLAIN_KINDS.get(name) if type(name) is str else None
        if kind is None or not element.keys() <= kind[1]:
            return None
        is_timed = "time_ms" in element
        if is_timed and not self._is_owner:
            return None
        user, previous_user = self._user(element.get("user", _ABSENT_USER))
        try:
            event: Any = msgspec.convert(
                {**self._stamp, **element, "user": user, "previous_user": previous_user}, kind[0]
            )
        except msgspec.ValidationError:
            return None
        if not 1 <= event.itemtype <= self._rules.max_itemtype or not 0 < event.time_ms <= self._received_ms:
            return None
        if "items" in element and not 0 < len(event.items) <= _PLAIN_ITEMS:
            return None
        return Accepted(event, is_timed)

    def _read(self, element: Any) -> Accepted | None:
        if type(element) is not dict:
            raise RefusedError("bad_json", "an event must be a JSON object")
        kind = self._kind(element)
        user, previous_user = self._user(element.get("user", _ABSENT_USER))
        own, extra = _own_fields(element, kind.shape, self._rules)
        if not kind.finish(own, self._rules):
            return None
        override_ms = self._override_ms(own.pop("time_ms", None))
        time_ms, is_clamped = event_time(
            self._received_ms,
            created_ms=own.get("created_ms"),
            sent_ms=own.get("sent_ms"),
            override_ms=override_ms,
        )
        if extra:
            own["properties"] = _properties(extra)
        event = kind.struct(
            customer=self._rules.customer,
            user=user,
            previous_user=previous_user,
            time_ms=time_ms,
            received_ms=self._received_ms,
            is_clamped=is_clamped,
            **own,
        )
        return Accepted(event, override_ms is not None)

    def _kind(self, element: dict[str, Any]) -> "_Kind":
        name = element.get("type", self._event)
        if self._event is not None and name != self._event:
            raise RefusedError(
                "unknown_event", f"only {self._event} is taken here; other events go to .../events", "type"
            )
        kind = _KINDS.get(name) if type(name) is str else None
        if kind is None:
            shown = quoted(name) if type(name) is str else "that is no text"
            raise RefusedError("unknown_event", f"there is no event {shown}", "type")
        customer = element.get("customer")
        if customer is not None and customer != self._rules.customer:
            raise RefusedError(
                "forbidden", "customer: these events go to the customer of the path only", "customer"
            )
        return kind

    def _user(self, raw: Any) -> tuple[str, str | None]:
        if raw is None:
            return NO_PROFILE_USER, None  # what a page without a user sends as the text null
        known = self._users.get(raw) if type(raw) is str else None
        if known is None:
            text = "" if raw is _ABSENT_USER else _text("user", raw, "bad_user")
            known = _pseudonyms(fields.raw_user(text), self._rules)
            self._users[text] = known
        return known

    def _override_ms(self, time_ms: int | None) -> int | None:
        if time_ms is None:
            return None
        if not self._is_owner:
            raise RefusedError(
                "unauthorized",
                "time_ms is taken only with the license key (HTTP Basic customer:licensekey); "
                "a page sends created_ms and sent_ms",
                "time_ms",
            )
        if time_ms > self._received_ms:
            raise RefusedError("bad_timestamp", "time_ms must be a time that has passed", "time_ms")
        return time_ms


def _pseudonyms(raw_user: str, rules: Rules) -> tuple[str, str | None]:
    if raw_user in fields.NO_PROFILE_IDS:
        return NO_PROFILE_USER, None
    return rules.user(raw_user), rules.previous_user(raw_user)


def _own_fields(
    element: dict[str, Any], shape: dict[str, "_Place | None"], rules: Rules
) -> tuple[_Own, list[tuple[str, Any]]]:
    """Return the fields of the event that an element gives, and what it gives beside them."""
    own: _Own = {}
    extra: list[tuple[str, Any]] = []
    for name, value in element.items():
        is_text = type(value) is str
        if value is None or (is_text and value in ABSENT):
            if name == "target" and value != "" and name in shape:
                own[name] = "null"  # a login to nobody: recorded, nothing moves
            continue
        try:
            place = shape[name]
        except KeyError:
            extra.append((name, value))
            continue
        if place is None:
            continue
        field, read, plain_chars = place
        is_plain = is_text and len(value) <= plain_chars and value.isprintable()
        read_value = value if is_plain else read(name, value, rules)
        if field in own and own[field] != read_value:
            raise RefusedError(
                "duplicate_parameter", f"{name} was given under two names, with different values", name
            )
        own[field] = read_value
    stated = own.pop("properties", None)
    return own, extra if stated is None else [*stated.items(), *extra]


def _properties(extra: list[tuple[str, Any]]) -> dict[str, str] | None:
    kept: dict[str, str] = {}
    for name, value in extra:
        if len(kept) == fields.MAX_PROPERTIES:
            break
        if name and value is not None and not (type(value) is str and value in ABSENT):
            text = value if type(value) is str else _json(name, value)
            kept[name[: fields.MAX_PROPERTY_NAME_CHARS]] = text[: fields.MAX_PROPERTY_CHARS]
    return kept or None


# --- one field -------------------------------------------------------------------------------------------------------------------


def _text(name: str, value: Any, code: str = "bad_parameter") -> str:
    if type(value) is str:
        return value
    if type(value) is int and abs(value) < 2**63:
        return str(value)  # an id that is a number may be written as one
    raise RefusedError(code, f"{name} must be a text", name)


def _json(name: str, value: Any) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except (OverflowError, RecursionError):
        raise RefusedError(
            "bad_parameter", f"{name[:40]} holds a number beyond 64 bits, or is nested too deeply"
        ) from None


def _word_of(greatest: int) -> _Read:
    def read(name: str, value: Any, _rules: Rules) -> str:
        text = _text(name, value)
        if len(text) > greatest or fields.has_control(text):
            raise RefusedError(
                "bad_parameter",
                f"{name} {quoted(text)} must be at most {greatest} characters without control characters",
                name,
                text,
            )
        return text

    return read


def _number_of(greatest: int, code: str = "bad_number", least: int = 0) -> _Read:
    def read(name: str, value: Any, _rules: Rules) -> int:
        number = fields.integer(value, greatest) if type(value) is str else value
        if type(number) is not int or not least <= number <= greatest:
            shown = value if type(value) is str else _json(name, value)
            raise RefusedError(
                code, f"{name} {quoted(shown)} must be an integer from {least} to {greatest}", name, shown
            )
        return number

    return read


_word, _long_word = _word_of(fields.MAX_WORD_CHARS), _word_of(fields.MAX_LONG_WORD_CHARS)
_position, _clock = _number_of(fields.MAX_POSITION), _number_of(fields.MAX_CLOCK_MS)


def _itemtype(_name: str, value: Any, rules: Rules) -> int:
    if type(value) is int and 1 <= value <= rules.max_itemtype:
        return value
    return fields.itemtype(_text("itemtype", value, "bad_itemtype"), rules)


def _item(_name: str, value: Any, rules: Rules) -> str:
    if (
        type(value) is str
        and rules.string_items
        and len(value) <= fields.MAX_ITEM_CHARS
        and value.isprintable()
    ):
        return value  # absent values do not come here
    return fields.item(_text("item", value, "bad_item"), rules)


def _items(name: str, value: Any, rules: Rules) -> tuple[str, ...]:
    if type(value) is not list:
        raise RefusedError("bad_item", f"{name} must be a list of items", name)
    if len(value) > fields.MAX_ITEMS:
        raise RefusedError("too_many_items", f"{name}: a list takes at most {fields.MAX_ITEMS} items", name)
    if _are_plain(value, rules):
        return tuple(value)
    shown = tuple(
        [
            _item(name, item, rules)
            for item in value
            if item is not None and not (type(item) is str and item in ABSENT)
        ]
    )
    _check_chars(name, shown)
    return shown


def _are_plain(items: list[Any], rules: Rules) -> bool:
    """Return whether the items are texts that nothing is wrong with; else each is looked at."""
    try:
        text = "".join(items)
    except TypeError:
        return False
    return (
        rules.string_items
        and len(text) <= fields.MAX_ITEM_CHARS
        and text.isprintable()
        and ABSENT.isdisjoint(items)
    )


def _check_chars(name: str, items: tuple[str, ...]) -> None:
    if sum(map(len, items)) > MAX_ITEMS_CHARS:
        raise RefusedError(
            "too_many_items", f"{name}: all items together take at most {MAX_ITEMS_CHARS} characters", name
        )


def _categorypath(name: str, value: Any, rules: Rules) -> str | None:
    path: str = _long_word(name, value, rules)
    return path.strip("/") or None


def _target(name: str, value: Any, _rules: Rules) -> str:
    return fields.raw_user(_text(name, value, "bad_user"), name)


def _price(name: str, value: Any, _rules: Rules) -> Decimal:
    text = _text(name, value, "bad_price") if type(value) is not float else ""
    if _PRICE.fullmatch(text) is None:
        raise RefusedError(
            "bad_price", f'{name} must be a decimal number as text, as in "12.45", with a currency', name
        )
    return Decimal(text)


def _currency(name: str, value: Any, _rules: Rules) -> str:
    if type(value) is not str or value not in CURRENCIES:
        raise RefusedError("bad_currency", f"{name} must be a currency code of ISO 4217, as in EUR", name)
    return value


def _fullprice(name: str, value: Any, _rules: Rules) -> tuple[Decimal, str]:
    money = parse_fullprice(value) if type(value) is str else None
    if money is None:
        raise RefusedError(
            "bad_price",
            f"{name} must be a decimal number with a point and a currency, as in 12.45EUR",
            name,
        )
    return money[0], _currency(name, money[1], _rules)


def _properties_given(name: str, value: Any, _rules: Rules) -> dict[str, Any]:
    if type(value) is not dict:
        raise RefusedError("bad_parameter", f"{name} must be a JSON object", name)
    return value


def _version(name: str, value: Any, _rules: Rules) -> int:
    if value != EVENT_VERSION:
        raise RefusedError("bad_parameter", f"{name} must be {EVENT_VERSION}", name)
    return EVENT_VERSION


def _set_by_us(name: str, _value: Any, _rules: Rules) -> None:
    raise RefusedError("bad_parameter", f"{name} is set here, and not taken from a client", name)


def _state(name: str, value: Any, _rules: Rules) -> str:
    if type(value) is not str or value not in PLAYER_STATES:
        raise RefusedError("bad_parameter", f"{name} must be one of {', '.join(PLAYER_STATES)}", name)
    return value


def _rate_of_play(name: str, value: Any, _rules: Rules) -> float:
    if type(value) not in (int, float) or not -MAX_PLAY_RATE <= value <= MAX_PLAY_RATE:
        raise RefusedError(
            "bad_number", f"{name} must be a number from -{MAX_PLAY_RATE} to {MAX_PLAY_RATE}", name
        )
    return float(value)


_LIST_FIELDS: Final[dict[str, _Read]] = {
    "items": _items,
    "scenario": _word,
    "row": _position,
    "itemtype": _itemtype,
    "variant": _word,
}


def _lists(name: str, value: Any, rules: Rules) -> tuple[RecommendedList, ...]:
    if type(value) is not list or len(value) > MAX_LISTS:
        raise RefusedError("bad_parameter", f"{name} must be a list of at most {MAX_LISTS} lists", name)
    lists = []
    for given in value:
        if type(given) is not dict or type(given.get("items")) is not list:
            raise RefusedError("bad_parameter", f"{name}: each must be an object with a list of items", name)
        own = {
            field: read(field, given[field], rules)
            for field, read in _LIST_FIELDS.items()
            if given.get(field) is not None and not (type(given[field]) is str and given[field] in ABSENT)
        }
        lists.append(RecommendedList(**own))
    _check_chars(name, tuple(item for served in lists for item in served.items))
    return tuple(lists)


# --- one event -------------------------------------------------------------------------------------------------------------------


class _Kind(msgspec.Struct, frozen=True):
    """How one event is read: its struct, its fields by the names they may have, and what holds between them.

    ``finish`` completes the fields, raises RefusedError, or returns False when there is nothing to record.
    """

    struct: type[model.EventBase]
    shape: dict[str, _Place | None]
    finish: Callable[[_Own, Rules], bool]


def _finish_item(own: _Own, _rules: Rules) -> bool:
    if "item" not in own:
        raise RefusedError("missing_item", "item: the item id is required and must not be empty", "item")
    return True


def _finish_items(own: _Own, _rules: Rules) -> bool:
    if "items" not in own:
        raise RefusedError("missing_item", "items: the list of items is required", "items")
    return bool(own["items"])


def _finish_clickrecommended(own: _Own, rules: Rules) -> bool:
    if rules.strict_scenario and "scenario" not in own:
        raise RefusedError("missing_scenario", "clickrecommended needs a scenario", "scenario")
    return _finish_item(own, rules)


def _finish_rate(own: _Own, rules: Rules) -> bool:
    if "rating" not in own:
        raise RefusedError("bad_rating", "rate needs a rating, an integer from 0 to 100", "rating")
    return _finish_item(own, rules)


def _finish_priced(own: _Own, rules: Rules) -> bool:
    full = own.pop("fullprice", None)
    if full is not None:
        own["price"], own["currency"] = full
    elif "price" not in own:
        own.pop("currency", None)
    elif "currency" not in own:
        raise RefusedError("bad_currency", "price needs a currency, a code of ISO 4217", "currency")
    return _finish_item(own, rules)


def _finish_login(own: _Own, rules: Rules) -> bool:
    target = own.get("target", "")
    if not target:
        raise RefusedError("missing_user", "target: the user id is required and must not be empty", "target")
    own["is_junk_target"] = target in fields.JUNK_TARGETS
    own["target"] = NO_PROFILE_USER if own["is_junk_target"] else rules.user(target)
    return True


def _finish_recommended(own: _Own, _rules: Rules) -> bool:
    if "request_id" not in own:
        raise RefusedError("bad_parameter", "recommended needs a request_id", "request_id")
    return True


def _finish_playback(own: _Own, rules: Rules) -> bool:
    for name in ("session", "state", "position_ms", "duration_ms"):
        if name not in own:
            raise RefusedError("bad_parameter", f"playback needs {name}", name)
    return _finish_item(own, rules)


_READ: Final[dict[str, _Read]] = {
    "eid": _word,
    "created_ms": _clock,
    "sent_ms": _clock,
    "time_ms": _number_of(fields.MAX_CLOCK_MS, "bad_timestamp", least=1),
    "experiment": _word,
    "variant": _word,
    "row": _position,
    "rank": _position,
    "lang": _word,
    "store_view_id": _word,
    "segments": _long_word,
    "properties": _properties_given,
    "v": _version,
    "item": _item,
    "items": _items,
    "itemtype": _itemtype,
    "categorypath": _categorypath,
    "scenario": _word,
    "modelid": _word,
    "request_id": _word,
    "image": _long_word,
    "percentage": _number_of(100, "bad_percentage"),
    "quantity": _number_of(fields.MAX_QUANTITY, "bad_quantity", least=1),
    "price": _price,
    "currency": _currency,
    "rating": _number_of(100, "bad_rating"),
    "target": _target,
    "session": _word,
    "lists": _lists,
    "state": _state,
    "position_ms": _number_of(MAX_LENGTH_MS),
    "duration_ms": _number_of(MAX_LENGTH_MS, least=1),
    "credits_ms": _number_of(MAX_LENGTH_MS),
    "rate": _rate_of_play,
}
"""Field of an event -> how it is read."""

_OTHER_NAMES: Final = {
    "created": "created_ms",
    "sent": "sent_ms",
    "storeViewId": "store_view_id",
    "modelId": "modelid",
    "requestuuid": "request_id",
}
"""Names of the tracker's parameters that are taken as well."""

_FINISH: Final[dict[str, Callable[[_Own, Rules], bool]]] = {
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


_PLAIN_CHARS: Final[dict[_Read, int]] = {
    _word: fields.MAX_WORD_CHARS,
    _long_word: fields.MAX_LONG_WORD_CHARS,
}


_PLAIN_FIELDS: Final = frozenset(
    (
        *("type", "user", "time_ms", "item", "items", "itemtype", "scenario", "modelid", "request_id"),
        *("eid", "experiment", "variant", "row", "rank"),
    )
)
"""Fields that mean what they say: nothing is converted, completed or compared with another one."""
_PLAIN_ITEMS: Final = MAX_ITEMS_CHARS // fields.MAX_ITEM_CHARS
_PLAIN_KINDS: Final = {
    name: (EVENTS[name], _PLAIN_FIELDS.intersection(("type", *EVENTS[name].__struct_fields__)))
    for name in ("click", "clickrecommended", "rendered", "viewed", "deletefrombasket", "blacklist")
}


def _kind_of(name: str, struct: type[model.EventBase]) -> _Kind:
    shape: dict[str, _Place | None] = {
        field: (field, _READ[field], _PLAIN_CHARS.get(_READ[field], 0))
        for field in struct.__struct_fields__
        if field in _READ
    }
    shape |= {other: shape[field] for other, field in _OTHER_NAMES.items() if field in shape}
    if "price" in shape:
        shape["fullprice"] = ("fullprice", _fullprice, 0)
    shape |= {field: (field, _set_by_us, 0) for field in _SET_BY_US}
    shape |= dict.fromkeys(("type", "customer", "user"))  # read before the others
    return _Kind(struct, shape, _FINISH.get(name, _finish_item))


_KINDS: Final = {name: _kind_of(name, struct) for name, struct in EVENTS.items()}
_KINDS.update({alias: _KINDS[name] for alias, name in ALIASES.items()})
