"""Quantities and revenue are exact sums, and owning an item is no revenue."""

from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.model import Buy, Owns
from tables.user.items import MAX_ITEMS
from tables.user.purchases import Purchase, PurchasesState, buy, merge, own, units
from tests.support.builders import NOW_MS, a_buy, an_owns
from tests.support.laws import assert_merge_laws, stored

prices = st.decimals(0, Decimal(999999999999), places=6)
buys = st.builds(
    lambda t, i, q, p, c: a_buy(
        time_ms=NOW_MS + t, item=i, quantity=q, price=p, currency=c if p is not None else None
    ),
    st.integers(0, 20),
    st.sampled_from("12"),
    st.integers(1, 2_147_483_647) | st.decimals(Decimal("0.000001"), 10**9, places=6),
    prices | st.none(),
    st.sampled_from(["EUR", "USD", "JPY"]),
)
ownings = st.builds(
    lambda t, i: an_owns(time_ms=NOW_MS + t, item=i), st.integers(0, 20), st.sampled_from("12")
)
streams = st.lists(buys | ownings, min_size=1, max_size=30)


class FormerPurchase(msgspec.Struct, array_like=True):
    """A purchase as workers stored it when quantities were integers."""

    quantity: int
    revenue: dict[str, Decimal]
    first_ms: int
    last_ms: int
    owned: bool = False
    orders: int = 0


class FormerPurchases(msgspec.Struct, array_like=True):
    items: dict[str, FormerPurchase]


def folded(events: list[Buy | Owns]) -> PurchasesState:
    state: PurchasesState | None = None
    for event in events:
        state = buy(state, event) if isinstance(event, Buy) else own(state, event)
    assert state is not None
    return state


def exact(events: list[Buy | Owns]) -> dict[str, tuple[object, ...]]:
    """Return the expected sums, computed with fractions."""
    answers = {}
    for item in {event.item for event in events}:
        es = [e for e in events if e.item == item]
        bought = [e for e in es if isinstance(e, Buy)]
        revenue: dict[str, Fraction] = {}
        for e in bought:
            if e.price is not None and e.currency is not None:
                earned = Fraction(e.price) * Fraction(e.quantity)
                revenue[e.currency] = revenue.get(e.currency, Fraction(0)) + earned
        times = [e.time_ms for e in es]
        answers[f"1/{item}"] = (
            sum(Fraction(e.quantity) for e in bought),
            len(bought),
            revenue,
            len(bought) < len(es),
            min(times),
            max(times),
        )
    return answers


def answers(state: PurchasesState) -> dict[str, tuple[object, ...]]:
    return {
        key: (
            Fraction(p.quantity),
            p.orders,
            {currency: Fraction(amount) for currency, amount in p.revenue.items()},
            p.owned,
            p.first_ms,
            p.last_ms,
        )
        for key, p in state.items.items()
    }


def test_buy_counts_quantity_times_price() -> None:
    state = folded(
        [a_buy(quantity=3, price=Decimal("0.10"), time_ms=5), a_buy(price=Decimal("0.20"), time_ms=9)]
    )
    assert state.items == {"1/1": Purchase(4, {"EUR": Decimal("0.50")}, 5, 9, False, 2)}


def test_three_times_a_tenth_is_three_tenths() -> None:
    tenth = a_buy(quantity=Decimal("0.1"), price=Decimal("0.10"), time_ms=5)
    assert folded([tenth] * 3).items["1/1"] == Purchase(0, {"EUR": Decimal("0.03")}, 5, 5, False, 3, 300_000)
    assert str(folded([tenth] * 3).items["1/1"].quantity) == "0.3"


def test_decimals_that_are_whole_together_are_an_integer() -> None:
    one = folded([a_buy(quantity=Decimal("0.5"))] * 2).items["1/1"]
    assert (one.quantity, type(one.quantity)) == (1, int)
    assert (one.whole, one.millionths) == (1, 0), "a former worker reads the whole units"


@given(st.lists(buys, min_size=1, max_size=5))
def test_units_of_two_rows_are_those_of_one(events) -> None:
    item = [msgspec.structs.replace(event, item="1") for event in events]
    apart = [folded([event]).items["1/1"] for event in item]
    assert units(apart) == folded(item).items["1/1"].quantity
    assert type(units(apart)) is type(folded(item).items["1/1"].quantity)


def test_worker_of_a_former_version_reads_the_whole_units() -> None:
    """In a rolling update, a row may go back to such a worker."""
    row = folded([a_buy(quantity=Decimal("2.5"), price=Decimal(2), time_ms=5)])
    former = msgspec.msgpack.decode(msgspec.msgpack.encode(row), type=FormerPurchases)
    assert former.items["1/1"] == FormerPurchase(2, {"EUR": Decimal("5.0")}, 5, 5, False, 1)
    written = msgspec.msgpack.decode(msgspec.msgpack.encode(former), type=PurchasesState)
    assert written.items["1/1"].quantity == 2


def test_two_equal_purchases_are_two() -> None:
    assert folded([a_buy(), a_buy()]).items["1/1"].orders == 2


def test_buy_without_price_is_a_sale_without_revenue() -> None:
    assert folded([a_buy(price=None, currency=None, quantity=2, time_ms=5)]).items["1/1"] == Purchase(
        2, {}, 5, 5, False, 1
    )


def test_owning_is_neither_revenue_nor_a_sale() -> None:
    state = folded([an_owns(price=Decimal(5), currency="EUR", quantity=3, time_ms=5)])
    assert state.items["1/1"] == Purchase(0, {}, 5, 5, True, 0)


def test_currencies_are_never_added_up() -> None:
    state = folded([a_buy(price=Decimal(1), currency="EUR"), a_buy(price=Decimal(1), currency="USD")])
    assert state.items["1/1"].revenue == {"EUR": Decimal(1), "USD": Decimal(1)}


@pytest.mark.parametrize("price", ["NaN", "sNaN", "Infinity", "-Infinity"])
def test_price_that_is_no_number_does_not_spoil_the_sum(price: str) -> None:
    state = folded([a_buy(), a_buy(price=Decimal(price)), a_buy()])
    assert state.items["1/1"].revenue == {"EUR": Decimal("39.98")}
    assert state.items["1/1"].orders == 3


def test_price_of_a_million_digits_stays_small() -> None:
    state = folded(
        [a_buy(price=Decimal("1E+999999")), a_buy(), a_buy(price=Decimal("9E+999999"), quantity=10**9)]
    )
    assert len(str(state.items["1/1"].revenue["EUR"])) < 200


def test_largest_prices_are_summed_to_the_last_digit() -> None:
    """The sum has more digits than Python's default of 28."""
    price, quantity = Decimal("999999999999.999999"), 2_147_483_647
    state = folded([a_buy(price=price, quantity=quantity)] * 101)
    assert Fraction(state.items["1/1"].revenue["EUR"]) == Fraction(price) * quantity * 101


@given(streams, st.randoms())
def test_any_order_gives_the_exact_sum(events, random) -> None:
    expected = exact(events)
    random.shuffle(events)
    assert answers(stored(folded(events))) == expected


@given(st.tuples(streams, streams, streams))
def test_merge_is_as_if_one_user_had_bought_all(parts) -> None:
    assert_merge_laws(folded, merge, answers, parts)
    a, b, _ = parts
    assert answers(merge(folded(a), folded(b))) == exact(a + b)


def test_items_longest_untouched_go() -> None:
    state = folded([a_buy(item=str(n)) for n in range(MAX_ITEMS)])
    state = own(state, an_owns(item="0", time_ms=1))
    state = buy(state, a_buy(item="new"))
    assert len(state.items) == MAX_ITEMS
    assert {"1/0", "1/new"} <= state.items.keys()
    assert "1/1" not in state.items
