"""Rules of texts that clients send: users, item types, items, integers and words.

Both dialects (events/wire_fields.py), seals and lookups share them. A function returns the value of a text, or raises RefusedError
with a sentence that names the parameter, the value and what it takes.
"""

import re
from decimal import Decimal
from typing import Final

from events.quantity import exact
from events.rejections import RefusedError
from events.rules import Rules
from events.signature import ABSENT
from events.wire_values import (
    MAX_ITEM_CHARS,
    MAX_ITEM_NUMBER,
    MAX_ITEMS_PER_REQUEST,
    MAX_USER_CHARS,
    ValueType,
)

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


def decimal(text: str, value: ValueType) -> int | Decimal | None:
    """Return a decimal with a point within the bounds, rounded to 6 decimals, as events/quantity.py has it; None for anything else."""
    number: int | Decimal | None = None
    if text.isdigit():
        number = integer(text, value.greatest)
    elif re.fullmatch(value.pattern, text):
        number = exact(Decimal(text))
    return number if number is not None and value.least < number <= value.greatest else None


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
    """Return the item type, from 1 to the customer's ``max_itemtype``."""
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
    """Return the ids of a comma-separated list, without those that are absent; it may be empty."""
    if text.count(",") >= MAX_ITEMS_PER_REQUEST:
        raise RefusedError(
            "too_many_items", f"item: a request takes at most {MAX_ITEMS_PER_REQUEST} items", "item"
        )
    parts = [part for part in text.split(",") if part not in ABSENT]
    if rules.string_items and len(text) <= MAX_ITEM_CHARS and text.isprintable():
        return tuple(parts)  # the whole text passes, so each part does
    return tuple([item(part, rules) for part in parts])


def quoted(text: str) -> str:
    """Return a value as a sentence shows it: quoted, shortened, control characters escaped."""
    return repr(text if len(text) <= 40 else f"{text[:40]}...")


def not_a_word(name: str, text: str, value: ValueType) -> RefusedError:
    """Return the error for a text that is too long or holds control characters."""
    return RefusedError(
        value.code,
        f"{name} {quoted(text)} must be at most {value.greatest} characters without control characters",
        name,
        text,
    )


def not_an_integer(name: str, text: str, value: ValueType) -> RefusedError:
    """Return the error for a text that is not an integer within the bounds."""
    return RefusedError(
        value.code,
        f"{name} {quoted(text)} must be an integer from {value.least} to {value.greatest}",
        name,
        text,
    )


def not_a_decimal(name: str, text: str, value: ValueType) -> RefusedError:
    """Return the error for a text that is not a decimal within the bounds."""
    return RefusedError(
        value.code,
        f"{name} {quoted(text)} must be a decimal number with a point, above {value.least} and up to {value.greatest}",
        name,
        text,
    )
