"""Prices of the tracker API: exact decimals with an ISO 4217 code, never floats."""

import re
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final

from events import wire_values

_MINOR_DIGITS: Final = {
    2: """AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE
        CHF CHW CNY COP COU CRC CUC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD
        HNL HRK HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP
        MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR
        SDG SEK SGD SHP SLE SLL SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED
        VES WST XCD XCG YER ZAR ZMW ZWG ZWL""",
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
CURRENCIES: Final = {code: digits for digits, codes in _MINOR_DIGITS.items() for code in codes.split()}
"""The currencies of ISO 4217 -> the decimal digits of their minor unit. Currencies that ended in recent years stay in the list,
because customers import past events."""

_FULLPRICE: Final = re.compile(wire_values.FULLPRICE.pattern)
_CENTS: Final = re.compile(wire_values.CENTS.pattern)
_CODE_CHARS: Final = 3

_DECIMALS: Final = 6
_MILLIONTH: Final = Decimal(1).scaleb(-_DECIMALS)
_HALF_EVEN: Final = Context(prec=60, rounding=ROUND_HALF_EVEN)
EXACT: Final = Context(prec=100, traps=[])
"""For sums and products. So wide that those of real prices are exact, and so narrow that a price of 1E+999999 does not become a
megabyte of digits."""
_TOO_MUCH: Final = Decimal(10) ** 12  # the codec takes less (events/codec.py)
_EXACT_IN_FLOATS: Final = 10**9  # with 6 decimals, these are the 15 digits that a float keeps


def rounded(price: Decimal) -> Decimal:
    """Return a price with at most 6 decimals. Clients compute prices and send all decimals of the result; a tie goes to the even one."""
    exponent = price.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -_DECIMALS and abs(price) < _TOO_MUCH:
        price = price.quantize(_MILLIONTH, context=_HALF_EVEN)
    return price or price.copy_abs()  # the -0.0 of a client's arithmetic is 0


def revenue_of(price: Decimal, quantity: int | Decimal) -> Decimal:
    """Return price x quantity, exactly. It has the decimals of the price, and more only if the quantity needs them."""
    revenue = EXACT.multiply(price, quantity)
    if isinstance(quantity, int) or not revenue.is_finite():
        return revenue
    as_price = revenue.quantize(price, context=EXACT)
    return as_price if as_price == revenue else revenue.normalize(EXACT)


def parse_fullprice(text: str) -> tuple[Decimal, str | None] | None:
    """Return (price, code) of a ``fullprice`` such as ``12.45EUR`` or ``456JPY``; None if its form is invalid.

    The code is three capital letters, and the caller looks it up in ``CURRENCIES``. It is None if the text names no currency.
    Trailing blanks are ignored. More than 6 decimals are rounded.
    """
    found = _FULLPRICE.fullmatch(text)
    if found is None:
        return None
    code = found[2]
    amount = text.rstrip(" ")
    price = Decimal(amount if code is None else amount[:-_CODE_CHARS])
    if len(found[1] or "") > _DECIMALS + 1:  # with the point
        price = rounded(price)
        if price >= _TOO_MUCH:
            return None
    return price, code


def price_of_float(number: float) -> Decimal | None:
    """Return the price that a client wrote as a number; None for a negative one, or one with more digits than a float keeps."""
    return rounded(Decimal(repr(number))) if 0 <= number < _EXACT_IN_FLOATS else None


def parse_minor_units(text: str, currency: str) -> Decimal | None:
    """Return the price of the deprecated ``price`` parameter: an integer in the currency's minor unit (cents for EUR).

    Return None if the text is not such an integer. ``currency`` must be one of ``CURRENCIES``.
    """
    if _CENTS.fullmatch(text) is None:
        return None
    return Decimal(text).scaleb(-CURRENCIES[currency])
