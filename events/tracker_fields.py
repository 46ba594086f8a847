"""What does one parameter mean: users, items, numbers, words and prices, each with the rule it must pass.

Every reader takes a parameter out of ``Fields`` and returns its value, or raises RefusedError with a sentence that names
the parameter, the value and what it takes. What nobody took is left over as properties.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from events.money import CURRENCIES, parse_fullprice, parse_minor_units
from events.rules import Rules
from events.signature import ABSENT
from events.target import RefusedError

MAX_USER_CHARS: Final = 1_024  # session ids may be very long, says the original; they are hashed anyway
MAX_ITEM_CHARS: Final = 256
MAX_ITEMS_PER_REQUEST: Final = 1_000
MAX_ITEM_NUMBER: Final = 2_147_483_647
MAX_WORD_CHARS: Final = 256
MAX_LONG_WORD_CHARS: Final = 2_048  # category paths, segments, image addresses
MAX_POSITION: Final = 1_000_000
MAX_QUANTITY: Final = 1_000_000
MAX_CLOCK_MS: Final = 10**15  # the year 33658: beyond any broken clock, far below 64 bits
MAX_PROPERTIES: Final = 32
MAX_PROPERTY_NAME_CHARS: Final = 64
MAX_PROPERTY_CHARS: Final = 512

NO_PROFILE_IDS: Final = frozenset(("not_defined", "undefined", "null"))
JUNK_TARGETS: Final = NO_PROFILE_IDS | {"0"}

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def has_control(text: str) -> bool:
    """Return whether a text holds control characters or line separators."""
    return not text.isprintable() and _CONTROL.search(text) is not None


def integer(text: str, greatest: int) -> int | None:
    """Return a non-negative integer of ASCII digits up to ``greatest``; None for anything else (signs, 1e3, 0x1f, ١)."""
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        return None
    number = int(text)
    return number if number <= greatest else None


def raw_user(text: str, parameter: str = "user") -> str:
    """Return a user id as sent; it is required, bounded and free of control characters."""
    if not text:
        raise RefusedError(
            "missing_user", f"{parameter}: the user id is required and must not be empty", parameter
        )
    if len(text) > MAX_USER_CHARS:
        raise RefusedError(
            "user_too_long",
            f"{parameter}: a user id takes at most {MAX_USER_CHARS} characters",
            parameter,
            text,
        )
    if has_control(text):
        raise RefusedError(
            "bad_user", f"{parameter}: a user id must not contain control characters", parameter
        )
    return text


def itemtype(text: str, rules: Rules) -> int:
    """Return the item type, 1 to what the customer's settings allow."""
    number = integer(text, rules.max_itemtype)
    if not number:
        raise RefusedError(
            "bad_itemtype",
            f"itemtype {quoted(text)} must be an integer from 1 to {rules.max_itemtype}",
            "itemtype",
            text,
        )
    return number


def item(text: str, rules: Rules) -> str:
    """Return an item id: 1 to 2147483647, or any bounded text where the customer allows it."""
    if text in ABSENT:
        raise RefusedError("missing_item", "item: the item id is required and must not be empty", "item")
    if not rules.string_items:
        if not integer(text, MAX_ITEM_NUMBER):
            raise RefusedError(
                "bad_item",
                f"item {quoted(text)} must be an integer from 1 to {MAX_ITEM_NUMBER}",
                "item",
                text,
            )
    elif len(text) > MAX_ITEM_CHARS or has_control(text):
        raise RefusedError(
            "bad_item",
            f"item {quoted(text)} must be at most {MAX_ITEM_CHARS} characters without control characters",
            "item",
            text,
        )
    return text


def items(text: str, rules: Rules) -> tuple[str, ...]:
    """Return the ids of a comma-separated list; empty places and absent values are left out, so it may be empty."""
    if text.count(",") >= MAX_ITEMS_PER_REQUEST:
        raise RefusedError(
            "too_many_items", f"item: a request takes at most {MAX_ITEMS_PER_REQUEST} items", "item"
        )
    parts = [part for part in text.split(",") if part not in ABSENT]
    if rules.string_items and len(text) <= MAX_ITEM_CHARS and text.isprintable():
        return tuple(parts)  # what holds for the whole list holds for each of it
    return tuple([item(part, rules) for part in parts])


def quoted(text: str) -> str:
    """Return a value as a sentence shows it: quoted, shortened, control characters escaped."""
    return repr(text if len(text) <= 40 else f"{text[:40]}...")


class Fields:
    """The parameters of one request, taken out one by one."""

    __slots__ = ("_conflicts", "_left")

    def __init__(self, params: Mapping[str, str], conflicts: frozenset[str]) -> None:
        self._left = dict(params)
        self._conflicts = conflicts

    def __bool__(self) -> bool:
        """Say whether anything is left; most requests have few parameters, so most questions are answered by this one."""
        return bool(self._left)

    def take(self, *names: str) -> str | None:
        """Take a parameter out, under any of its names; the first that is there wins. None: absent."""
        found: str | None = None
        left = self._left
        for name in names:
            value = left.pop(name, None)
            if value is None:
                continue
            if name in self._conflicts:
                raise RefusedError(
                    "duplicate_parameter",
                    f"{name} was given more than once, with different values",
                    name,
                    value,
                )
            found = value if found is None else found
        return found

    def word(self, *names: str, greatest: int = MAX_WORD_CHARS) -> str | None:
        """Take a text of bounded length without control characters."""
        if not self._left:
            return None
        text = self.take(*names)
        if text is not None and (len(text) > greatest or has_control(text)):
            raise RefusedError(
                "bad_parameter",
                f"{names[0]} {quoted(text)} must be at most {greatest} characters without control characters",
                names[0],
                text,
            )
        return text

    def categorypath(self) -> str | None:
        """Take the category path; slashes at its ends mean nothing."""
        path = self.word("categorypath", greatest=MAX_LONG_WORD_CHARS)
        return None if path is None else path.strip("/") or None

    def number(self, name: str, greatest: int, code: str = "bad_number", least: int = 0) -> int | None:
        """Take a non-negative integer from ``least`` to ``greatest``."""
        text = self.take(name) if self._left else None
        if text is None:
            return None
        value = integer(text, greatest)
        if value is None or value < least:
            raise RefusedError(
                code, f"{name} {quoted(text)} must be an integer from {least} to {greatest}", name, text
            )
        return value

    def money(self) -> tuple[Decimal | None, str | None]:
        """Take ``fullprice``, or the deprecated ``price`` and ``currency``; return (price of one item, currency)."""
        fullprice, cents, currency = self.take("fullprice"), self.take("price"), self.take("currency")
        if fullprice is not None:
            return _fullprice("fullprice", fullprice)
        if cents is None:
            return None, None
        code = _currency("currency", currency or "EUR")
        price = parse_minor_units(cents, code)
        if price is None:
            raise RefusedError(
                "bad_price",
                f"price {quoted(cents)} must be an integer in cents; better use fullprice, as in 12.45EUR",
                "price",
                cents,
            )
        return price, code

    def noted_money(self, *, must_be_readable: bool = True) -> tuple[Decimal | None, str | None]:
        """Take the price of an item that was noted, not bought: as ``money``; ``price`` may be written as fullprice is.

        With ``must_be_readable=False`` a price that breaks the rules stays where it is, and becomes a property.
        """
        before = dict(self._left)
        try:
            if "fullprice" not in before and parse_fullprice(before.get("price", "")) is not None:
                self.take("currency")
                return _fullprice("price", self.take("price") or "")
            return self.money()
        except RefusedError:
            if must_be_readable:
                raise
            self._left = before
            return None, None

    def properties(self) -> dict[str, str] | None:
        """Return what nobody took, bounded in number and length; None when nothing is left. Never an error."""
        if not self._left:
            return None
        kept = list(self._left.items())[:MAX_PROPERTIES]
        return {name[:MAX_PROPERTY_NAME_CHARS]: value[:MAX_PROPERTY_CHARS] for name, value in kept}


def _fullprice(name: str, text: str) -> tuple[Decimal, str]:
    money = parse_fullprice(text)
    if money is None:
        raise RefusedError(
            "bad_price",
            f"{name} {quoted(text)} must be a decimal number with a point and a currency, as in 12.45EUR",
            name,
            text,
        )
    return money[0], _currency(name, money[1])


def _currency(name: str, code: str) -> str:
    if code not in CURRENCIES:
        raise RefusedError(
            "bad_currency",
            f"{name}: {quoted(code)} must be a currency code of ISO 4217, as in EUR",
            name,
            code,
        )
    return code
