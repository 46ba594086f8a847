"""Quantities: exact decimals of units, such as 2 or 0.5, with at most 6 decimals. A whole one is an int.

Sums are sums of integers: whole units and millionths of a unit.
"""

from decimal import Decimal
from typing import Final

import msgspec

from events.money import EXACT, rounded

MILLION: Final = 1_000_000
_GREATEST: Final = Decimal(10) ** 9
"""With 6 decimals, these are the 15 digits that a JSON reader with floats keeps."""


def exact(quantity: Decimal) -> int | Decimal | None:
    """Return a quantity rounded half-even to 6 decimals, in its shortest form: an int if it is whole.

    None if it is not more than 0 and at most 10^9. ``str`` of the result has no exponent.
    """
    if not quantity.is_finite() or not 0 < quantity <= _GREATEST:
        return None
    near = rounded(quantity)
    whole = int(near)
    return whole or None if whole == near else near.normalize(EXACT)


def in_parts(quantity: int | Decimal) -> tuple[int, int]:
    """Return the whole units of a quantity, and the millionths beyond them."""
    if isinstance(quantity, int):
        return quantity, 0
    return divmod(int(EXACT.multiply(quantity, MILLION)), MILLION)


def of_parts(whole: int, millionths: int) -> int | Decimal:
    """Return the quantity of whole units and millionths, in its shortest form."""
    more, rest = divmod(millionths, MILLION)
    units = whole + more
    return EXACT.add(units, EXACT.scaleb(Decimal(rest), -6)).normalize(EXACT) if rest else units


def json_number(quantity: int | Decimal) -> int | msgspec.Raw:
    """Return what msgspec encodes as a JSON number with all digits of a quantity in its shortest form."""
    return quantity if isinstance(quantity, int) else msgspec.Raw(str(quantity).encode())
