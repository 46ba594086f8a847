"""What does one field of a JSON element mean: the rules of the tracker's parameters (events/tracker_fields.py), for values that have types.

Each reader takes the field's name, its value (never absent) and the customer's rules, and returns the value of the event's field, or
raises RefusedError.
"""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import msgspec

from events import tracker_fields
from events.model import EVENT_VERSION, RecommendedList
from events.money import CURRENCIES, parse_fullprice
from events.rules import Rules
from events.signature import ABSENT
from events.target import RefusedError
from events.tracker_fields import quoted

_MAX_LISTS: Final = 200
MAX_ITEMS_CHARS: Final = 65_536
"""Of all items of one element together: as much as a tracker request may hold, and far below what a record of the journal takes."""

_PLAYER_STATES: Final = ("playing", "paused", "buffering", "seeking", "ended")
_MAX_PLAY_RATE: Final = 100
_MAX_LENGTH_MS: Final = 2_592_000_000  # 30 days

_PRICE: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,6})?")
Read = Callable[[str, Any, Rules], Any]


def text_of(name: str, value: Any, code: str = "bad_parameter") -> str:
    """Return a text; an id that is a number may be written as one."""
    if type(value) is str:
        return value
    if type(value) is int and abs(value) < 2**63:
        return str(value)
    raise RefusedError(code, f"{name} must be a text", name)


def json_of(name: str, value: Any) -> str:
    """Return a value as JSON, as it is kept in a property."""
    try:
        return msgspec.json.encode(value).decode()
    except (OverflowError, RecursionError):
        raise RefusedError(
            "bad_parameter", f"{name[:40]} holds a number beyond 64 bits, or is nested too deeply"
        ) from None


def _word_of(greatest: int) -> Read:
    def read(name: str, value: Any, _rules: Rules) -> str:
        text = text_of(name, value)
        if len(text) > greatest or tracker_fields.has_control(text):
            raise RefusedError(
                "bad_parameter",
                f"{name} {quoted(text)} must be at most {greatest} characters without control characters",
                name,
                text,
            )
        return text

    return read


def _number_of(greatest: int, code: str = "bad_number", least: int = 0) -> Read:
    def read(name: str, value: Any, _rules: Rules) -> int:
        number = tracker_fields.integer(value, greatest) if type(value) is str else value
        if type(number) is not int or not least <= number <= greatest:
            shown = value if type(value) is str else json_of(name, value)
            raise RefusedError(
                code, f"{name} {quoted(shown)} must be an integer from {least} to {greatest}", name, shown
            )
        return number

    return read


_word, _long_word = _word_of(tracker_fields.MAX_WORD_CHARS), _word_of(tracker_fields.MAX_LONG_WORD_CHARS)
_position, _clock = _number_of(tracker_fields.MAX_POSITION), _number_of(tracker_fields.MAX_CLOCK_MS)


def _itemtype(_name: str, value: Any, rules: Rules) -> int:
    if type(value) is int and 1 <= value <= rules.max_itemtype:
        return value
    return tracker_fields.itemtype(text_of("itemtype", value, "bad_itemtype"), rules)


def _item(_name: str, value: Any, rules: Rules) -> str:
    if (
        type(value) is str
        and rules.string_items
        and len(value) <= tracker_fields.MAX_ITEM_CHARS
        and value.isprintable()
    ):
        return value  # absent values do not come here
    return tracker_fields.item(text_of("item", value, "bad_item"), rules)


def _items(name: str, value: Any, rules: Rules) -> tuple[str, ...]:
    if type(value) is not list:
        raise RefusedError("bad_item", f"{name} must be a list of items", name)
    if len(value) > tracker_fields.MAX_ITEMS_PER_REQUEST:
        raise RefusedError(
            "too_many_items",
            f"{name}: a list takes at most {tracker_fields.MAX_ITEMS_PER_REQUEST} items",
            name,
        )
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
        and len(text) <= tracker_fields.MAX_ITEM_CHARS
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
    return tracker_fields.raw_user(text_of(name, value, "bad_user"), name)


def _price(name: str, value: Any, _rules: Rules) -> Decimal:
    text = text_of(name, value, "bad_price") if type(value) is not float else ""
    if _PRICE.fullmatch(text) is None:
        raise RefusedError(
            "bad_price", f'{name} must be a decimal number as text, as in "12.45", with a currency', name
        )
    return Decimal(text)


def _currency(name: str, value: Any, _rules: Rules) -> str:
    if type(value) is not str or value not in CURRENCIES:
        raise RefusedError("bad_currency", f"{name} must be a currency code of ISO 4217, as in EUR", name)
    return value


def fullprice(name: str, value: Any, _rules: Rules) -> tuple[Decimal, str]:
    """Return (price of one item, currency) of ``12.45EUR``."""
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


def set_by_us(name: str, _value: Any, _rules: Rules) -> None:
    """Refuse what a client has no say in."""
    raise RefusedError("bad_parameter", f"{name} is set here, and not taken from a client", name)


def _state(name: str, value: Any, _rules: Rules) -> str:
    if type(value) is not str or value not in _PLAYER_STATES:
        raise RefusedError("bad_parameter", f"{name} must be one of {', '.join(_PLAYER_STATES)}", name)
    return value


def _rate_of_play(name: str, value: Any, _rules: Rules) -> float:
    if type(value) not in (int, float) or not -_MAX_PLAY_RATE <= value <= _MAX_PLAY_RATE:
        raise RefusedError(
            "bad_number", f"{name} must be a number from -{_MAX_PLAY_RATE} to {_MAX_PLAY_RATE}", name
        )
    return float(value)


_LIST_FIELDS: Final[dict[str, Read]] = {
    "items": _items,
    "scenario": _word,
    "row": _position,
    "itemtype": _itemtype,
    "variant": _word,
}


def _lists(name: str, value: Any, rules: Rules) -> tuple[RecommendedList, ...]:
    if type(value) is not list or len(value) > _MAX_LISTS:
        raise RefusedError("bad_parameter", f"{name} must be a list of at most {_MAX_LISTS} lists", name)
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


READ: Final[dict[str, Read]] = {
    "eid": _word,
    "created_ms": _clock,
    "sent_ms": _clock,
    "time_ms": _number_of(tracker_fields.MAX_CLOCK_MS, "bad_timestamp", least=1),
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
    "quantity": _number_of(tracker_fields.MAX_QUANTITY, "bad_quantity", least=1),
    "price": _price,
    "currency": _currency,
    "rating": _number_of(100, "bad_rating"),
    "target": _target,
    "session": _word,
    "lists": _lists,
    "state": _state,
    "position_ms": _number_of(_MAX_LENGTH_MS),
    "duration_ms": _number_of(_MAX_LENGTH_MS, least=1),
    "credits_ms": _number_of(_MAX_LENGTH_MS),
    "rate": _rate_of_play,
}
"""Field of an event -> how it is read."""

OTHER_NAMES: Final = {
    "created": "created_ms",
    "sent": "sent_ms",
    "storeViewId": "store_view_id",
    "modelId": "modelid",
    "requestuuid": "request_id",
}

PLAIN_CHARS: Final[dict[Read, int]] = {
    _word: tracker_fields.MAX_WORD_CHARS,
    _long_word: tracker_fields.MAX_LONG_WORD_CHARS,
}
"""Up to how many characters a printable text is taken as it stands, by the reader of its field."""
