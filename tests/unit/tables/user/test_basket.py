"""The content of a basket does not depend on the order in which puts and takes arrive."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tables.user.basket import (
    KEEP_TOMBSTONES_MS,
    SWEEP_EVERY_MS,
    BasketItem,
    BasketState,
    in_basket,
    merge,
    put,
    take,
)
from tables.user.items import MAX_ITEMS
from tests.support.builders import DAY_MS, NOW_MS, a_basket
from tests.support.laws import assert_merge_laws, stored

prices = st.sampled_from(
    [(None, None), (Decimal("2.50"), "EUR"), (Decimal("2.5"), "EUR"), (Decimal(3), "USD")]
)
puts = st.tuples(st.just("put"), st.sampled_from("123"), st.integers(0, 12), prices)
takes = st.tuples(st.just("take"), st.sampled_from("123"), st.integers(0, 12), st.none())
streams = st.lists(puts | takes, min_size=1, max_size=30)


def step(state: BasketState | None, verb: str, item: str, time_ms: int, price=None) -> BasketState:
    if verb == "take":
        return take(state, f"1/{item}", time_ms, NOW_MS)
    amount, currency = price or (None, None)
    return put(
        state, a_basket(item=item, time_ms=time_ms, received_ms=NOW_MS, price=amount, currency=currency)
    )


def folded(steps) -> BasketState:
    state: BasketState | None = None
    for each in steps:
        state = step(state, *each)
    assert state is not None
    return state


def lying_in(state: BasketState) -> dict[str, int | None]:
    return {key: item.added_ms for key, item in state.items.items() if in_basket(item)}


def facts(state: BasketState) -> dict[str, tuple[object, ...]]:
    return {
        key: (item.added_ms, item.removed_ms, item.price, item.currency, in_basket(item))
        for key, item in state.items.items()
    }


def test_basket_keeps_the_facts_of_the_item() -> None:
    state = put(
        None, a_basket(item="7", categorypath="Cameras", price=Decimal("12.45"), currency="EUR", time_ms=5)
    )
    assert state.items == {"1/7": BasketItem(5, "Cameras", Decimal("12.45"), "EUR", None, 5)}


@pytest.mark.parametrize(
    ("steps", "is_in"),
    [
        ([("put", 5)], True),
        ([("put", 5), ("take", 6)], False),
        ([("take", 6), ("put", 5)], False),  # an older put does not bring it back
        ([("take", 6), ("put", 7)], True),
        ([("put", 7), ("take", 6)], True),
        ([("put", 6), ("take", 6)], False),  # removal wins over addition at a tie
        ([("take", 6), ("put", 6)], False),
        ([("put", 5), ("take", 6), ("put", 5)], False),  # a repeated put
        ([("take", 6)], False),
        ([("put", 8), ("take", 6), ("take", 9), ("put", 7)], False),
    ],
)
def test_last_write_wins(steps: list[tuple[str, int]], is_in: bool) -> None:
    state = folded([(verb, "1", time_ms) for verb, time_ms in steps])
    assert in_basket(state.items["1/1"]) is is_in


def test_at_equal_times_the_later_in_the_log_tells_the_price() -> None:
    state = folded([("put", "1", 5, (Decimal(1), "EUR")), ("put", "1", 5, (Decimal(2), "EUR"))])
    assert state.items["1/1"].price == 2
    state = step(state, "put", "1", 4, (Decimal(9), "EUR"))
    assert state.items["1/1"].price == 2


@given(streams, st.randoms())
def test_any_order_and_any_repetition_gives_the_last_write(steps, random) -> None:
    expected = {}
    for item in "123":
        added = max((t for verb, i, t, _ in steps if verb == "put" and i == item), default=None)
        removed = max((t for verb, i, t, _ in steps if verb == "take" and i == item), default=-1)
        if added is not None and added > removed:
            expected[f"1/{item}"] = added
    steps = steps + random.choices(steps, k=5)
    random.shuffle(steps)
    assert lying_in(stored(folded(steps))) == expected


@given(st.tuples(streams, streams, streams))
def test_merge_is_as_if_one_user_had_done_all(parts) -> None:
    assert_merge_laws(folded, merge, facts, parts)
    a, b, _ = parts
    assert lying_in(merge(folded(a), folded(b))) == lying_in(folded(a + b))


def test_tombstones_go_7_days_after_their_receipt_and_what_lies_in_stays() -> None:
    state = take(None, "1/gone", NOW_MS, NOW_MS)
    state = put(state, a_basket(item="in", time_ms=NOW_MS))
    end_ms = NOW_MS + KEEP_TOMBSTONES_MS
    state = take(state, "1/fresh", end_ms, end_ms)
    assert "1/gone" in state.items
    later_ms = end_ms + SWEEP_EVERY_MS
    state = put(state, a_basket(item="other", time_ms=later_ms))
    assert set(state.items) == {"1/in", "1/fresh", "1/other"}


def test_tombstones_are_trimmed_by_receipt_not_by_event_time() -> None:
    state = take(None, "1/1", NOW_MS - 300 * DAY_MS, NOW_MS)
    state = put(state, a_basket(item="2", time_ms=NOW_MS + 2 * SWEEP_EVERY_MS))
    assert "1/1" in state.items


def test_items_longest_untouched_go() -> None:
    state = folded([("put", str(n), 5) for n in range(MAX_ITEMS)])
    state = step(state, "take", "0", 1)
    state = step(state, "put", "new", 5)
    assert len(state.items) == MAX_ITEMS
    assert {"1/0", "1/new"} <= state.items.keys()
    assert "1/1" not in state.items
    assert len(merge(state, folded([("put", "moved", 1)])).items) == MAX_ITEMS
