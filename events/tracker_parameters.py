"""Parameters of a tracker request: each is taken once, by a reader of its kind; the rest are properties.

The table (events/wire_fields.py) says which parameters an event has, and what bounds them.
"""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from events.money import CURRENCIES, parse_fullprice, parse_minor_units
from events.rejections import PRICE_UNREADABLE, RefusedError
from events.target import given_twice
from events.tracker_fields import (
    decimal,
    has_control,
    integer,
    not_a_decimal,
    not_a_word,
    not_an_integer,
    quoted,
)
from events.wire_fields import FREE_PARAMETERS, WireField
from events.wire_values import MAX_PROPERTIES, MAX_PROPERTY_CHARS, MAX_PROPERTY_NAME_CHARS, ValueKind

_READ_TOGETHER: Final = frozenset(
    (
        *(ValueKind.FULLPRICE, ValueKind.CENTS, ValueKind.CURRENCY),  # Parameters.money
        *(ValueKind.WALL_TIME, ValueKind.SIGNATURE, ValueKind.CALLBACK),  # events/tracker.py
        ValueKind.SWITCH,  # events/target.py
    )
)
"""Kinds that mean something only together with another parameter, or only to the request; and who reads them."""

ParameterReader = tuple[str, tuple[str, ...], Callable[[str], Any]]
"""The event's field, all names of its parameter, and what makes a value of the text."""


def _word_reader(field: WireField) -> Callable[[str], str]:
    name, value, greatest = field.tracker_names[0], field.value, field.value.greatest

    def read(text: str) -> str:
        if len(text) > greatest or has_control(text):
            raise not_a_word(name, text, value)
        return text

    return read


def _categorypath_reader(field: WireField) -> Callable[[str], str | None]:
    word = _word_reader(field)
    return lambda text: word(text).strip("/") or None


def _integer_reader(field: WireField) -> Callable[[str], int]:
    name, value, least, greatest = (
        field.tracker_names[0],
        field.value,
        field.value.least,
        field.value.greatest,
    )

    def read(text: str) -> int:
        number = integer(text, greatest)
        if number is None or number < least:
            raise not_an_integer(name, text, value)
        return number

    return read


def _decimal_reader(field: WireField) -> Callable[[str], int | Decimal]:
    name, value = field.tracker_names[0], field.value

    def read(text: str) -> int | Decimal:
        number = decimal(text, value)
        if number is None:
            raise not_a_decimal(name, text, value)
        return number

    return read


def _choice_reader(field: WireField) -> Callable[[str], str]:
    name, value, choices = field.tracker_names[0], field.value, field.value.choices

    def read(text: str) -> str:
        if text not in choices:
            raise RefusedError(value.code, f"{name} must be one of {', '.join(choices)}", name, text)
        return text

    return read


_READERS: Final[dict[ValueKind, Callable[[WireField], Callable[[str], Any]]]] = {
    ValueKind.WORD: _word_reader,
    ValueKind.CATEGORYPATH: _categorypath_reader,
    ValueKind.INTEGER: _integer_reader,
    ValueKind.DECIMAL: _decimal_reader,
    ValueKind.CHOICE: _choice_reader,
}
"""Kind -> what makes the reader of a field of this kind. A kind without one stops the import of this module."""


def readers_of(fields: Iterable[WireField]) -> tuple[ParameterReader, ...]:
    """Return the readers of those fields that are parameters and mean something on their own, in the order of the table."""
    return tuple(
        [
            (field.event_field, field.tracker_names, _READERS[field.value.kind](field))
            for field in fields
            if field.tracker_names and not field.is_in_path and field.value.kind not in _READ_TOGETHER
        ]
    )


class Parameters:
    """The parameters of one request. Readers take them out; the rest are properties."""

    __slots__ = ("_conflicts", "_left", "unread")

    def __init__(self, params: Mapping[str, str], conflicts: frozenset[str]) -> None:
        self._left = dict(params)
        self._conflicts = conflicts and conflicts - FREE_PARAMETERS
        self.unread: str | None = None
        """Why a value was left out, one of UNREAD_REASONS; None if none was."""

    def __bool__(self) -> bool:
        """Return whether any parameter is left. Most requests have few, so this check saves most of the others."""
        return bool(self._left)

    def __contains__(self, name: str) -> bool:
        """Return whether a parameter is there."""
        return name in self._left

    def take(self, *names: str) -> str | None:
        """Take a parameter out under all of its names, and return its value; None if it is absent.

        Raise RefusedError if it was given more than once, with different values.
        """
        found: str | None = None
        left = self._left
        for name in names:
            value = left.pop(name, None)
            if value is None:
                continue
            if name in self._conflicts or (found is not None and found != value):
                raise given_twice(name, value)
            found = value
        return found

    def take_all(self, readers: tuple[ParameterReader, ...], own: dict[str, Any]) -> None:
        """Take each parameter of ``readers`` that is there, and put its value into ``own``."""
        left = self._left
        for field, names, read in readers:
            if not left:
                return
            text = self.take(*names)
            if text is not None:
                own[field] = read(text)

    def money(self, currency: str, *, is_strict: bool = False) -> tuple[Decimal | None, str | None]:
        """Take ``fullprice``, or the deprecated ``price`` and ``currency``; return (price of one item, currency).

        ``currency``: that of a price that names none. A price that cannot be read is left out, so it becomes a property; or
        RefusedError is raised if ``is_strict``.
        """
        if not self._left:
            return None, None
        fullprice, price, code = self.take("fullprice"), self.take("price"), self.take("currency")
        try:
            return _money(fullprice, price, code, currency)
        except RefusedError:
            if is_strict:
                raise
        given = {"fullprice": fullprice, "price": price, "currency": code}
        self._left |= {name: text for name, text in given.items() if text is not None}
        self.unread = PRICE_UNREADABLE
        return None, None

    def properties(self) -> dict[str, str] | None:
        """Return the parameters that are left, cut to the bounds in number and length; None if no parameter is left. Never an error."""
        if not self._left:
            return None
        kept = list(self._left.items())[:MAX_PROPERTIES]
        return {name[:MAX_PROPERTY_NAME_CHARS]: value[:MAX_PROPERTY_CHARS] for name, value in kept}


def _money(
    fullprice: str | None, price: str | None, code: str | None, currency: str
) -> tuple[Decimal | None, str | None]:
    name, text = ("price", price) if fullprice is None else ("fullprice", fullprice)
    if text is None:
        return None, None
    read = parse_fullprice(text)
    if fullprice is None and (read is None or read[1] is None):
        return _minor_units(text, _currency("currency", code or currency))
    if read is None:
        raise RefusedError(
            "bad_price",
            f"{name} {quoted(text)} must be a decimal number with a point and a currency, as in 12.45EUR",
            name,
            text,
        )
    amount, stated = read
    return amount, _currency("currency" if stated is None else name, stated or code or currency)


def _minor_units(text: str, code: str) -> tuple[Decimal, str]:
    price = parse_minor_units(text, code)
    if price is None:
        raise RefusedError(
            "bad_price",
            f"price {quoted(text)} must be an integer in cents; better use fullprice, as in 12.45EUR",
            "price",
            text,
        )
    return price, code


def _currency(name: str, code: str) -> str:
    if code not in CURRENCIES:
        raise RefusedError(
            "bad_currency",
            f"{name}: {quoted(code)} must be a currency code of ISO 4217, as in EUR",
            name,
            code,
        )
    return code
