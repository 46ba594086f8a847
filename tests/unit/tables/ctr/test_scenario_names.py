"""The first names of a customer keep their places as long as they are used; more names find none until others are given up."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from events.topics import DAY_MS
from tables.ctr.scenario_names import TABLE, NamesState, admit, customer_key
from tables.ctr.window_keys import scenario_key

WEEK_MS = 7 * DAY_MS
T = 2_800 * WEEK_MS


class Book:
    """The rows of one customer."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.all: NamesState | None = None
        self.names: dict[str, NamesState] = {}

    def count(self, name: str, received_ms: int) -> bool:
        self.all, is_admitted = admit(self.all, self.names.get(name), received_ms, self.limit)
        if is_admitted:
            self.names[name] = NamesState(self.all.week)
        return is_admitted


def test_names_up_to_the_limit_count_by_themselves_and_no_more() -> None:
    book = Book(2)
    assert [book.count(name, T) for name in ("a", "b", "c", "a", "b", "d")] == [
        True,
        True,
        False,
        True,
        True,
        False,
    ]


def test_name_keeps_its_place_through_the_week_after_its_last_event() -> None:
    book = Book(2)
    assert book.count("a", T)
    assert book.count("b", T)
    week_after = T + 2 * WEEK_MS - 1
    assert not book.count("c", week_after)
    assert book.count("b", week_after)
    # In the next week a has lost its place, and b has not.
    assert book.count("c", T + 2 * WEEK_MS)
    assert not book.count("a", T + 2 * WEEK_MS)
    assert book.count("b", T + 2 * WEEK_MS)


def test_clock_that_goes_back_frees_no_place() -> None:
    book = Book(1)
    assert book.count("a", T + WEEK_MS)
    assert not book.count("b", T)
    assert book.count("a", T - 5 * WEEK_MS)


def test_lower_limit_takes_no_place_away() -> None:
    book = Book(3)
    for name in "abc":
        book.count(name, T)
    book.limit = 1
    assert all(book.count(name, T + WEEK_MS) for name in "abc")
    assert not book.count("d", T + WEEK_MS)


@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.sampled_from("abcdefg"), st.sampled_from((0, 0, 0, 1, 2, 3))), max_size=60),
)
def test_places_are_those_of_two_sets_of_names(limit: int, steps: list[tuple[str, int]]) -> None:
    book, week = Book(limit), T // WEEK_MS
    now: set[str] = set()
    before: set[str] = set()
    for name, weeks in steps:
        if weeks:
            week, before, now = week + weeks, now if weeks == 1 else set(), set()
        expected = name in now | before or len(now | before) < limit
        assert book.count(name, week * WEEK_MS) is expected
        if expected:
            now.add(name)
    assert len(now | before) <= limit


def test_sweep_deletes_names_without_a_place_and_no_customer() -> None:
    assert TABLE.has_expired is not None
    week = T // WEEK_MS
    name, customer = scenario_key("c", "s"), customer_key("c")
    assert [TABLE.has_expired(name, NamesState(week), T + weeks * WEEK_MS) for weeks in range(5)] == [
        False,
        False,
        False,
        True,
        True,
    ]
    assert not TABLE.has_expired(customer, NamesState(week, 7), T + 100 * WEEK_MS)


def test_rows_are_stored_as_arrays() -> None:
    assert msgspec.msgpack.decode(TABLE.encode(NamesState(2_800, 5, 1))) == [2_800, 5, 1]
    assert TABLE.decode(msgspec.msgpack.encode([2_800])) == NamesState(2_800)
