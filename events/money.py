"""Prices of the tracker API: exact decimals with an ISO 4217 code, never floats."""

import re
from decimal import Decimal
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


def parse_fullprice(text: str) -> tuple[Decimal, str] | None:
    """Return (price, code) of a ``fullprice`` such as ``12.45EUR`` or ``456JPY``; None if its form is invalid.

    The code is three capital letters; the caller looks it up in ``CURRENCIES``. Trailing blanks are ignored.
    """
    text = text.rstrip(" ")
    if _FULLPRICE.fullmatch(text) is None:
        return None
    return Decimal(text[:-_CODE_CHARS]), text[-_CODE_CHARS:]


def parse_minor_units(text: str, currency: str) -> Decimal | None:
    """Return the price of the deprecated ``price`` parameter: an integer in the currency's minor unit (cents for EUR).

    Return None if the text is not such an integer. ``currency`` must be one of ``CURRENCIES``.
    """
    if _CENTS.fullmatch(text) is None:
        return None
    return Decimal(text).scaleb(-CURRENCIES[currency])
