"""Prices: exact decimals with a currency, whatever the decimal places."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.money import CURRENCIES, parse_fullprice, parse_minor_units


@pytest.mark.parametrize(
    ("text", "price", "currency"),
    [
        ("12.45EUR", "12.45", "EUR"),
        ("456JPY", "456", "JPY"),
        ("456JPY  ", "456", "JPY"),
        ("19EUR", "19", "EUR"),
        ("19.9EUR", "19.9", "EUR"),
        ("0EUR", "0", "EUR"),
        ("0.10CHF", "0.10", "CHF"),
    ],
)
def test_fullprice(text: str, price: str, currency: str) -> None:
    assert parse_fullprice(text) == (Decimal(price), currency)


@given(st.decimals(0, 999_999_999_999, places=2), st.sampled_from(sorted(CURRENCIES)))
def test_a_written_price_is_read_exactly(price: Decimal, currency: str) -> None:
    assert parse_fullprice(f"{abs(price)}{currency}") == (abs(price), currency)


@pytest.mark.parametrize(
    ("text", "currency", "price"),
    [
        ("225", "EUR", "2.25"),
        ("5", "EUR", "0.05"),
        ("456", "JPY", "456"),
        ("1234", "KWD", "1.234"),
        ("0", "EUR", "0"),
    ],
)
def test_minor_units(text: str, currency: str, price: str) -> None:
    assert parse_minor_units(text, currency) == Decimal(price)


@pytest.mark.parametrize("text", ["", "-1", "1.5", "1e3", "0x1", "٣", "1_0", "9" * 15, "1\n"])
def test_what_is_no_integer_of_cents_is_none(text: str) -> None:
    assert parse_minor_units(text, "EUR") is None


def test_currencies_are_codes_of_three_capitals() -> None:
    assert len(CURRENCIES) > 150
    assert all(len(code) == 3 and code.isalpha() and code.isupper() for code in CURRENCIES)
    assert {"EUR", "USD", "JPY", "GBP", "CHF"} <= set(CURRENCIES)
