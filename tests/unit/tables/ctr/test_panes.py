"""The tally of a flush, the panes it becomes, and the records that publish them."""

import json
from collections import Counter
from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tables.ctr import partials
from tables.ctr.panes import COUNTERS, PANE_KEEP_MS, Counts, Pane, Tally, add, is_zero, subtract
from tables.ctr.window_keys import POSITION, SCENARIO, VARIANT, WindowKey

T = 1_700_000_040_000  # the start of a minute
counts = st.builds(
    Counts,
    **{name: st.integers(0, 1_000) for name in COUNTERS},
    revenue=st.dictionaries(st.sampled_from(("EUR", "USD")), st.decimals(1, 1_000, places=2), max_size=2),
)


def drained(tally: Tally, received_ms: int = T) -> dict[WindowKey, Pane]:
    return tally.drain(lambda key: None, received_ms)


def pane_key(
    dimension: str, variant: str | None = None, row: int | None = None, rank: int | None = None
) -> WindowKey:
    return WindowKey("c", "s", dimension, "minute", T, variant, row, rank)


def test_four_items_shown_count_once_each_by_position_and_four_by_scenario_and_variant() -> None:
    tally = Tally()
    tally.count("rendered", "c", "s", "A", T + 59_999, row=2, rank=3, items=4)
    panes = drained(tally)
    assert {key: pane.counts.rendered for key, pane in panes.items()} == {
        pane_key(SCENARIO): 4,
        pane_key(VARIANT, "A"): 4,
        pane_key(POSITION, "A", 2, 3): 1,
        pane_key(POSITION, "A", 2, 4): 1,
        pane_key(POSITION, "A", 2, 5): 1,
        pane_key(POSITION, "A", 2, 6): 1,
    }


def test_items_without_a_rank_stand_at_one_position_of_their_row() -> None:
    tally = Tally()
    tally.count("rendered", "c", "s", None, T, row=2, items=3)
    assert drained(tally)[pane_key(POSITION, None, 2)].counts.rendered == 3


def test_a_call_counts_once_and_at_no_position() -> None:
    tally = Tally()
    tally.count("calls", "c", "s", "A", T, row=1, items=0)
    panes = drained(tally)
    assert {key: pane.counts.calls for key, pane in panes.items()} == {
        pane_key(SCENARIO): 1,
        pane_key(VARIANT, "A"): 1,
    }


def test_no_scenario_is_unknown_and_an_empty_variant_is_none() -> None:
    tally = Tally()
    tally.count("clicks", "c", None, "", T)
    tally.count("clicks", "c", "unknown", None, T)
    panes = drained(tally)
    assert {(key.scenario, key.variant, pane.counts.clicks) for key, pane in panes.items()} == {
        ("unknown", None, 2)
    }


def test_revenue_is_exact_and_per_currency() -> None:
    tally = Tally()
    for _ in range(3):
        tally.add_revenue("c", "s", None, T, "EUR", Decimal("0.10"))
    tally.add_revenue("c", "s", None, T, "USD", Decimal(5))
    revenue = drained(tally)[pane_key(SCENARIO)].counts.revenue
    assert revenue == {"EUR": Decimal("0.30"), "USD": Decimal(5)}


@given(st.lists(st.decimals(0, 10**15, places=18), min_size=1, max_size=20), st.integers(1, 5))
def test_revenue_by_weight_has_no_rounding(amounts: list[Decimal], flush_every: int) -> None:
    """A price of 6 decimals times a quantity of 6 has more digits than Python's default of 28."""
    tally = Tally()
    stored: dict[WindowKey, Pane] = {}
    for number, amount in enumerate(amounts):
        tally.add_revenue("c", "s", None, T, "EUR", amount)
        if number % flush_every == 0:
            stored |= tally.drain(stored.get, T)
    stored |= tally.drain(stored.get, T)
    counted = stored[pane_key(SCENARIO)].counts
    assert Fraction(counted.revenue.get("EUR", 0)) == sum(map(Fraction, amounts))
    both = subtract(counted, Counts())
    add(both, counted)
    assert subtract(subtract(both, counted), counted).revenue == {}


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "1E+999999"])
def test_an_amount_that_is_no_price_spoils_no_sum(amount: str) -> None:
    tally = Tally()
    tally.add_revenue("c", "s", None, T, "EUR", Decimal(1))
    tally.add_revenue("c", "s", None, T, "EUR", Decimal(amount))
    assert drained(tally)[pane_key(SCENARIO)].counts.revenue == {"EUR": Decimal(1)}


def test_a_stored_pane_grows_and_its_version_with_it() -> None:
    stored: dict[WindowKey, Pane] = {}
    tally = Tally()
    for flush in (1, 2, 3):
        tally.count("clicks", "c", "s", None, T)
        stored |= tally.drain(stored.get, T + flush)
    pane = stored[pane_key(SCENARIO)]
    assert (pane.counts.clicks, pane.version, pane.received_ms, pane.epoch_ms) == (3, 3, T + 3, T + 1)


def test_a_drain_leaves_nothing_behind() -> None:
    tally = Tally()
    tally.count("clicks", "c", "s", None, T)
    assert len(tally) == 1
    drained(tally)
    assert len(tally) == 0
    assert drained(tally) == {}


def test_a_pane_that_expired_is_made_anew_even_before_it_was_swept() -> None:
    tally = Tally()
    tally.count("clicks", "c", "s", None, T)
    stored = drained(tally, received_ms=T)
    tally.count("clicks", "c", "s", None, T)
    later_ms = T + PANE_KEEP_MS + 1
    pane = tally.drain(stored.get, later_ms)[pane_key(SCENARIO)]
    assert (pane.counts.clicks, pane.epoch_ms) == (1, later_ms)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(COUNTERS),
            st.sampled_from(("s1", "s2", None)),
            st.sampled_from(("A", "B", None)),
            st.integers(T, T + 150_000),
            st.none() | st.integers(0, 2),
            st.none() | st.integers(0, 2),
            st.integers(0, 3),
        ),
        max_size=40,
    ),
    st.integers(1, 5),
)
def test_every_dimension_sums_to_what_was_counted(
    events: list[tuple[str, str | None, str | None, int, int | None, int | None, int]], flush_every: int
) -> None:
    tally = Tally()
    stored: dict[WindowKey, Pane] = {}
    expected: Counter[tuple[str, str]] = Counter()
    for number, (counter, scenario, variant, time_ms, row, rank, items) in enumerate(events):
        tally.count(counter, "c", scenario, variant, time_ms, row, rank, items)
        expected[SCENARIO, counter] += items or 1
        expected[VARIANT, counter] += items or 1
        expected[POSITION, counter] += items
        if number % flush_every == 0:
            stored |= tally.drain(stored.get, T)
    stored |= tally.drain(stored.get, T)
    found: Counter[tuple[str, str]] = Counter()
    for key, pane in stored.items():
        assert key.start_ms % 60_000 == 0
        for counter in COUNTERS:
            found[key.dimension, counter] += getattr(pane.counts, counter)
    assert +found == +expected


@given(counts, counts)
def test_subtracting_what_was_added_gives_the_beginning(one: Counts, other: Counts) -> None:
    both = subtract(one, Counts())
    add(both, other)
    assert subtract(both, other) == one
    assert is_zero(subtract(both, both))


def test_revenue_that_was_taken_back_leaves_no_currency() -> None:
    """Whether a window once had a purchase that counts elsewhere now, depends on the order of arrival. Its answer must not."""
    counts = Counts(revenue={"EUR": Decimal("2.50"), "USD": Decimal(1)})
    add(counts, Counts(revenue={"EUR": Decimal("-2.50")}))
    assert counts.revenue == {"USD": Decimal(1)}


def test_a_revenue_alone_is_not_zero() -> None:
    assert not is_zero(Counts(revenue={"EUR": Decimal(1)}))
    assert is_zero(Counts(revenue={"EUR": Decimal(0)}))


def test_counts_that_were_stored_before_a_counter_was_appended_are_read_with_zero() -> None:
    assert msgspec.json.decode(b"[1,2]", type=Counts) == Counts(calls=1, rendered=2)


def test_partials_come_back_from_their_record() -> None:
    tally = Tally()
    tally.count("rendered", "c", "s", "A", T, 0, 0, 2)
    tally.add_revenue("c", "s", "A", T, "EUR", Decimal("1.50"))
    tally.count("clicks", "c", "other", None, T)
    changed = drained(tally)
    published = list(partials.records(changed, partition=3, watermark_ms=T))
    assert [key for key, _ in published] == [b"c\x1fs", b"c\x1fother"]
    found = {}
    for _, value in published:
        record = partials.decode(value)
        assert (record.partition, record.watermark_ms) == (3, T)
        found |= {record.key_of(partial): partial.counts for partial in record.panes}
    assert found == {key: pane.counts for key, pane in changed.items()}


def test_many_panes_are_split_over_records_that_a_broker_takes() -> None:
    changed = {pane_key(POSITION, "v" * 200, 0, rank): Pane(version=1) for rank in range(6_000)}
    published = list(partials.records(changed, partition=0))
    assert len(published) > 1
    assert all(len(value) <= partials.MAX_PARTIALS_BYTES for _, value in published)
    ranks = [partial.rank for _, value in published for partial in partials.decode(value).panes]
    assert ranks == list(range(6_000))


@pytest.mark.parametrize("raw", [b"", b"null", b"{}", b'{"customer":1}', b"\xff", b"[" * 5_000])
def test_a_record_that_holds_no_partials_is_refused(raw: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        partials.decode(raw)


def test_partials_of_another_version_are_refused() -> None:
    [(_, value)] = partials.records({pane_key(SCENARIO): Pane()}, partition=0)
    with pytest.raises(msgspec.ValidationError, match="version 2"):
        partials.decode(value.replace(b'"v":1', b'"v":2'))


def test_partial_may_correct_what_another_partition_counted() -> None:
    pane = Pane(Counts(purchases=-1, revenue={"EUR": Decimal("-9.99")}))
    [(_, value)] = partials.records({pane_key(SCENARIO): pane}, partition=0)
    assert partials.decode(value).panes[0].counts == pane.counts


@pytest.mark.parametrize(
    ("what", "value"),
    [
        (0, "scenario\x1fx"),
        (0, ""),
        (1, -60_000),
        (1, 61_000),
        (1, 10**15),
        (3, 10**30),
        (5, 2**64),
        (8, [-(10**20)]),
        (8, [10**20]),
        (8, [0, 0, 0, 0, 0, 0, 0, 0, {"EUR": "NaN"}]),
        (8, [0, 0, 0, 0, 0, 0, 0, 0, {"EUR": "1E+999999"}]),
    ],
)
def test_a_partial_that_no_window_could_hold_is_refused_before_it_is_merged(what: int, value: object) -> None:
    [(_, raw)] = partials.records(
        {pane_key(POSITION, "A", 0, 0): Pane(Counts(clicks=1), 1, T, T)}, partition=0
    )
    record = msgspec.json.decode(raw)
    record["panes"][0][what] = value
    with pytest.raises(msgspec.DecodeError):
        partials.decode(json.dumps(record).encode())
