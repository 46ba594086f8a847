"""Readers of the JSON dialect: values with types, by the rules of the tracker dialect (events/tracker_fields.py).

Each reader takes the field's name, its value (never absent) and the customer's rules. It returns the value of the event's field, or
raises RefusedError. The table (events/wire_fields.py) says which fields there are, and what bounds them.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import msgspec

from events import tracker_fields
from events.model import EVENT_VERSION, RecommendedList
from events.money import CURRENCIES, parse_fullprice, price_of_float
from events.quantity import exact
from events.rejections import RefusedError
from events.rules import Rules
from events.signature import ABSENT
from events.tracker_fields import has_control, integer, not_a_decimal, not_a_word, not_an_integer
from events.wire_fields import WIRE_FIELDS
from events.wire_values import (
    MAX_ITEM_CHARS,
    MAX_ITEMS_CHARS,
    MAX_ITEMS_PER_REQUEST,
    ValueKind,
    ValueType,
)

Read = Callable[[str, Any, Rules], Any]

_Money = tuple[Decimal, str | None]
"""(price of one item, its currency; None if it names none)."""


def text_of(name: str, value: Any, code: str = "bad_parameter") -> str:
    """Return a text, or the text of an integer: clients write ids as numbers, too."""
    if type(value) is str:
        return value
    if type(value) is int and abs(value) < 2**63:
        return str(value)
    raise RefusedError(code, f"{name} must be a text", name)


def json_of(name: str, value: Any) -> str:
    """Return a value as JSON, the form in which a property keeps it."""
    try:
        return msgspec.json.encode(value).decode()
    except (OverflowError, RecursionError):
        raise RefusedError(
            "bad_parameter", f"{name[:40]} holds a number beyond 64 bits, or is nested too deeply"
        ) from None


def _word_of(word: ValueType) -> Read:
    greatest = word.greatest

    def read(name: str, value: Any, _rules: Rules) -> str:
        text = text_of(name, value)
        if len(text) > greatest or has_control(text):
            raise not_a_word(name, text, word)
        return text

    return read


def _categorypath_of(path: ValueType) -> Read:
    word = _word_of(path)
    return lambda name, value, rules: word(name, value, rules).strip("/") or None


def _integer_of(bounds: ValueType) -> Read:
    least, greatest = bounds.least, bounds.greatest

    def read(name: str, value: Any, _rules: Rules) -> int:
        number = value
        if type(value) is str:
            number = integer(value, greatest)
        if type(number) is not int or not least <= number <= greatest:
            raise not_an_integer(name, value if type(value) is str else json_of(name, value), bounds)
        return number

    return read


def _decimal_of(bounds: ValueType) -> Read:
    least, greatest = bounds.least, bounds.greatest

    def read(name: str, value: Any, _rules: Rules) -> int | Decimal:
        number: int | Decimal | None = None
        if type(value) is str:
            number = tracker_fields.decimal(value, bounds)
        elif type(value) is float:
            number = exact(Decimal(repr(value)))
        elif type(value) is int:
            number = value
        if number is None or not least < number <= greatest:
            raise not_a_decimal(name, value if type(value) is str else json_of(name, value), bounds)
        return number

    return read


def _number_of(bounds: ValueType) -> Read:
    least, greatest = bounds.least, bounds.greatest

    def read(name: str, value: Any, _rules: Rules) -> float:
        if type(value) not in (int, float) or not least <= value <= greatest:
            raise RefusedError(bounds.code, f"{name} must be a number from {least} to {greatest}", name)
        return float(value)

    return read


def _choice_of(texts: ValueType) -> Read:
    choices = texts.choices

    def read(name: str, value: Any, _rules: Rules) -> str:
        if type(value) is not str or value not in choices:
            raise RefusedError(texts.code, f"{name} must be one of {', '.join(choices)}", name)
        return value

    return read


def _itemtype(_name: str, value: Any, rules: Rules) -> int:
    if type(value) is int and 1 <= value <= rules.max_itemtype:
        return value
    return tracker_fields.itemtype(text_of("itemtype", value, "bad_itemtype"), rules)


def _item(_name: str, value: Any, rules: Rules) -> str:
    if type(value) is str and rules.string_items and len(value) <= MAX_ITEM_CHARS and value.isprintable():
        return value  # an absent value never gets here
    return tracker_fields.item(text_of("item", value, "bad_item"), rules)


def _items(name: str, value: Any, rules: Rules) -> tuple[str, ...]:
    if type(value) is not list:
        raise RefusedError("bad_item", f"{name} must be a list of items", name)
    if len(value) > MAX_ITEMS_PER_REQUEST:
        raise RefusedError(
            "too_many_items", f"{name}: a list takes at most {MAX_ITEMS_PER_REQUEST} items", name
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
    """Return whether all items are valid texts; if not, the caller reads each of them."""
    try:
        text = "".join(items)
    except TypeError:
        return False
    return (
        rules.string_items and len(text) <= MAX_ITEM_CHARS and text.isprintable() and ABSENT.isdisjoint(items)
    )


def _check_chars(name: str, items: tuple[str, ...]) -> None:
    if sum(map(len, items)) > MAX_ITEMS_CHARS:
        raise RefusedError(
            "too_many_items", f"{name}: all items together take at most {MAX_ITEMS_CHARS} characters", name
        )


def _user(name: str, value: Any, _rules: Rules) -> str:
    return tracker_fields.raw_user(text_of(name, value, "bad_user"), name)


def _amount(name: str, value: Any, _rules: Rules) -> _Money | RefusedError:
    if type(value) is float:
        amount = price_of_float(value)
        money: _Money | None = None if amount is None else (amount, None)
    else:
        is_text = type(value) is str or (type(value) is int and abs(value) < 2**63)
        money = parse_fullprice(str(value)) if is_text else None
    return _known(name, money, f'{name} must be a decimal number as text, as in "12.45", with a currency')


def _fullprice(name: str, value: Any, _rules: Rules) -> _Money | RefusedError:
    money = parse_fullprice(value) if type(value) is str else None
    return _known(name, money, f"{name} must be a decimal number with a point and a currency, as in 12.45EUR")


def _known(name: str, money: _Money | None, sentence: str) -> _Money | RefusedError:
    """Return a price whose currency exists, or the error, which the rules of the event handle (events/json_kinds.py)."""
    if money is None:
        return RefusedError("bad_price", sentence, name)
    return money if money[1] is None or money[1] in CURRENCIES else _no_currency(name)


def _currency(name: str, value: Any, _rules: Rules) -> str | RefusedError:
    return value if type(value) is str and value in CURRENCIES else _no_currency(name)


def _no_currency(name: str) -> RefusedError:
    return RefusedError("bad_currency", f"{name} must be a currency code of ISO 4217, as in EUR", name)


def _properties(name: str, value: Any, _rules: Rules) -> dict[str, Any]:
    if type(value) is not dict:
        raise RefusedError("bad_parameter", f"{name} must be a JSON object", name)
    return value


def _version(name: str, value: Any, _rules: Rules) -> int:
    if value != EVENT_VERSION:
        raise RefusedError("bad_parameter", f"{name} must be {EVENT_VERSION}", name)
    return EVENT_VERSION


def _set_by_collector(name: str, _value: Any, _rules: Rules) -> None:
    raise RefusedError("bad_parameter", f"{name} is set here, and not taken from a client", name)


def _lists_of(bounds: ValueType) -> Read:
    greatest = bounds.greatest

    def read(name: str, value: Any, rules: Rules) -> tuple[RecommendedList, ...]:
        if type(value) is not list or len(value) > greatest:
            raise RefusedError(bounds.code, f"{name} must be a list of at most {greatest} lists", name)
        lists = tuple([_list(name, given, rules) for given in value])
        _check_chars(name, tuple(item for served in lists for item in served.items))
        return lists

    return read


def _list(name: str, given: Any, rules: Rules) -> RecommendedList:
    if type(given) is not dict or type(given.get("items")) is not list:
        raise RefusedError("bad_parameter", f"{name}: each must be an object with a list of items", name)
    own = {}
    for field, read in _LIST_FIELDS.items():
        value = given.get(field)
        if value is not None and not (type(value) is str and value in ABSENT):
            own[field] = read(field, value, rules)
    return RecommendedList(**own)


_BOUNDED: Final[dict[ValueKind, Callable[[ValueType], Read]]] = {
    ValueKind.WORD: _word_of,
    ValueKind.CATEGORYPATH: _categorypath_of,
    ValueKind.INTEGER: _integer_of,
    ValueKind.DECIMAL: _decimal_of,
    ValueKind.NUMBER: _number_of,
    ValueKind.CHOICE: _choice_of,
    ValueKind.LISTS: _lists_of,
}
"""Kind -> what makes the reader of a value of this kind with these bounds."""

_FIXED: Final[dict[ValueKind, Read]] = {
    ValueKind.USER: _user,
    ValueKind.ITEM: _item,
    ValueKind.ITEMS: _items,
    ValueKind.ITEMTYPE: _itemtype,
    ValueKind.FULLPRICE: _fullprice,
    ValueKind.AMOUNT: _amount,
    ValueKind.CURRENCY: _currency,
    ValueKind.PROPERTIES: _properties,
    ValueKind.VERSION: _version,
    ValueKind.SET_BY_COLLECTOR: _set_by_collector,
}
"""Kind -> its reader, for kinds whose bounds do not depend on the field."""


def _reader(value: ValueType) -> Read:
    make = _BOUNDED.get(value.kind)
    return _FIXED[value.kind] if make is None else make(value)


READ: Final[dict[str, Read]] = {
    field.name: _reader(field.value_in_json)
    for field in WIRE_FIELDS
    if field.is_in_json and field.value.kind is not ValueKind.ADDRESS
}
"""Name of a field -> its reader."""

_LIST_FIELDS: Final = {name: READ[name] for name in RecommendedList.__struct_fields__}

PLAIN_CHARS: Final[dict[str, int]] = {
    field.name: field.value_in_json.greatest
    for field in WIRE_FIELDS
    if field.value_in_json.kind is ValueKind.WORD
}
"""Name of a WORD -> up to how many characters a printable text needs no reader."""
