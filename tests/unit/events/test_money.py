"""Prices: exact decimals with a currency, whatever the decimal places."""

from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.money import CURRENCIES, parse_fullprice, parse_minor_units, price_of_float, revenue_of, rounded


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
    ("text", "price"),
    [
        ("16.806722689076", "16.806723"),
        ("3.3333333333333335", "3.333333"),
        ("22.200000000000003", "22.200000"),
        ("0.0000005", "0.000000"),
        ("0.0000015", "0.000002"),
        ("0.00000050000000000000000000000000000001", "0.000001"),
        ("19.9900", "19.9900"),
        ("999999999999.999999", "999999999999.999999"),
    ],
)
def test_decimals_beyond_the_sixth_are_rounded(text: str, price: str) -> None:
    assert parse_fullprice(text) == (Decimal(price), None)
    assert parse_fullprice(f"{text}EUR  ") == (Decimal(price), "EUR")
    assert str(parse_fullprice(text)[0]) == price  # type: ignore[index] # with its zeros


@given(st.decimals(0, 10**11, allow_nan=False, places=9))
def test_rounding_is_half_even_whatever_the_threads_context(price: Decimal) -> None:
    with localcontext(Context(prec=3)):
        found = rounded(price)
    assert Fraction(found) == Fraction(round(Fraction(price), 6))
    assert found == price.quantize(Decimal("0.000001"), context=Context(prec=40, rounding=ROUND_HALF_EVEN))


@pytest.mark.parametrize("price", ["NaN", "Infinity", "1E+999999", "1000000000000.0000001", "5", "0.1"])
def test_what_needs_no_rounding_stays(price: str) -> None:
    assert str(rounded(Decimal(price))) == price


@given(st.decimals(0, 999_999_999, places=6, allow_nan=False))
def test_a_number_of_six_decimals_is_read_exactly(price: Decimal) -> None:
    assert price_of_float(float(price)) == price


@pytest.mark.parametrize("number", [-0.01, 1e9, float("inf"), float("nan")])
def test_a_number_that_is_not_exact_is_no_price(number: float) -> None:
    assert price_of_float(number) is None


def test_price_beyond_the_limit_after_rounding_is_none() -> None:
    assert parse_fullprice("999999999999.9999996EUR") is None


@pytest.mark.parametrize(
    ("price", "quantity", "revenue"),
    [
        ("0.10", 3, "0.30"),
        ("2.50", Decimal("0.5"), "1.25"),
        ("2.00", Decimal("0.5"), "1.00"),
        ("0.0000", Decimal("0.125"), "0.0000"),
        ("0.33", Decimal("0.333"), "0.10989"),
        ("19.99", Decimal("2.0000"), "39.98"),
        ("999999999999.999999", Decimal("999999999.999999"), "999999999999998999000.000000000001"),
        ("1E+999999", Decimal("0.5"), "5E+999998"),
        ("NaN", Decimal("0.5"), "NaN"),
    ],
)
def test_revenue_has_the_decimals_that_it_needs(price: str, quantity: int | Decimal, revenue: str) -> None:
    assert str(revenue_of(Decimal(price), quantity)) == revenue


@given(
    st.decimals(0, 10**12, places=12, allow_nan=False),
    st.integers(1, 10**9) | st.decimals(0, 10**9, places=6),
)
def test_revenue_is_price_times_quantity_exactly(price: Decimal, quantity: int | Decimal) -> None:
    with localcontext(Context(prec=3)):
        revenue = revenue_of(price, quantity)
    assert Fraction(revenue) == Fraction(price) * Fraction(quantity)


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


def test_zero_has_no_sign() -> None:
    """A client that multiplies 0 by a negative number sends -0.0; no answer shows a revenue of -0."""
    assert [str(price_of_float(-0.0)), str(rounded(Decimal("-0"))), str(rounded(Decimal("-0.00000001")))] == [
        "0.0",
        "0",
        "0.000000",
    ]
