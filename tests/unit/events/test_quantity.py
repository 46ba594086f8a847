"""Quantities are exact decimals with at most 6 decimals, and whole ones are integers."""

from decimal import Context, Decimal, localcontext
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.quantity import MILLION, exact, in_parts, json_number, of_parts

quantities = st.decimals(Decimal("0.000001"), 10**9, places=6)


@pytest.mark.parametrize(
    ("text", "quantity"),
    [
        ("2", "2"),
        ("2.0000", "2"),
        ("1E+3", "1000"),
        ("0.5", "0.5"),
        ("0.50", "0.5"),
        ("100.10", "100.1"),
        ("0.30000000000000004", "0.3"),
        ("0.0000015", "0.000002"),
        ("0.0000025", "0.000002"),
        ("999999999.9999999", "1000000000"),
        ("1000000000", "1000000000"),
    ],
)
def test_shortest_form_of_six_decimals(text: str, quantity: str) -> None:
    found = exact(Decimal(text))
    assert str(found) == quantity
    assert isinstance(found, int) == ("." not in quantity)


@pytest.mark.parametrize(
    "text",
    ["0", "-0", "-1", "-0.5", "0.0000005", "1000000000.000001", "1E+999999999", "NaN", "sNaN", "Infinity"],
)
def test_what_is_no_quantity_is_none(text: str) -> None:
    assert exact(Decimal(text)) is None


@given(quantities)
def test_six_decimals_are_kept_whatever_the_threads_context(quantity: Decimal) -> None:
    with localcontext(Context(prec=3)):
        found = exact(quantity)
        assert found is not None
        assert of_parts(*in_parts(found)) == found
        assert of_parts(*in_parts(quantity)) == found
    assert found == quantity
    assert isinstance(found, int) == (quantity == int(quantity))


@given(st.lists(quantities, max_size=20))
def test_sums_of_parts_are_exact(drawn: list[Decimal]) -> None:
    parts = [in_parts(quantity) for quantity in drawn]
    assert all(0 <= millionths < MILLION for _, millionths in parts)
    found = of_parts(sum(whole for whole, _ in parts), sum(millionths for _, millionths in parts))
    assert Fraction(found) == sum(map(Fraction, drawn))


def test_three_times_a_tenth_is_three_tenths() -> None:
    whole, millionths = in_parts(Decimal("0.1"))
    assert str(of_parts(3 * whole, 3 * millionths)) == "0.3"


@given(st.integers(0, 2**62), st.integers(1, MILLION - 1))
def test_json_has_all_digits_and_no_exponent(whole: int, millionths: int) -> None:
    text = msgspec.json.encode(json_number(of_parts(whole, millionths)))
    assert b"e" not in text.lower()
    assert Fraction(text.decode()) == whole + Fraction(millionths, MILLION)


def test_whole_numbers_stay_whole_in_json() -> None:
    assert msgspec.json.encode([json_number(2), json_number(of_parts(1, MILLION))]) == b"[2,2]"
