"""The bytes that hold a user's impressions return what was put in; any other bytes are refused."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tables.user.rendered import RenderedState, ShownItems, check
from tables.user.shown_bytes import (
    MAX_STAMP_MS,
    MAX_TIMES,
    Shown,
    body_of,
    body_shown,
    body_viewed,
    entries_in,
    opening_of,
    pack,
    read,
    stamp_of,
)
from tests.support.builders import NOW_MS, a_rendered
from tests.support.showings import show

any_time = st.integers(0, MAX_STAMP_MS)
any_item = st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(
    ["1", "11", "1;1", ",", "\xc1", "ÿ"]
)
any_shown = st.builds(
    lambda more, times, viewed: Shown(
        len(times) + more, min([*times, *([0] * more)], default=0), sorted(times), *viewed
    ),
    st.integers(0, 5),
    st.lists(any_time, max_size=MAX_TIMES),
    st.tuples(st.integers(1, 9), any_time),
)


@given(any_time, any_time)
def test_stamps_sort_as_times_do(a_ms: int, b_ms: int) -> None:
    assert (stamp_of(a_ms) < stamp_of(b_ms)) == (a_ms < b_ms)


@pytest.mark.parametrize("time_ms", [-1, MAX_STAMP_MS + 1])
def test_time_without_a_stamp_is_an_error(time_ms: int) -> None:
    with pytest.raises(OverflowError):
        stamp_of(time_ms)


@given(st.dictionaries(any_item.map("1/{}".format), any_shown, max_size=5))
def test_what_was_packed_is_read_back_in_its_order(items: dict[str, Shown]) -> None:
    found = ShownItems(RenderedState(pack(items)))
    assert list(found.items()) == list(items.items())


@given(any_shown | st.none(), st.lists(any_time, min_size=1, max_size=20).map(sorted))
def test_more_showings_are_what_adding_them_by_hand_gives(before: Shown | None, times: list[int]) -> None:
    shown = Shown() if before is None else before
    expected = Shown(
        shown.total + len(times),
        min(shown.first_ms, times[0]) if shown.total else times[0],
        sorted([*shown.times, *times])[-MAX_TIMES:],
        shown.viewed,
        shown.viewed_last_ms,
    )
    body = b"" if before is None else body_of(before)
    assert body_shown(body, b"".join(map(stamp_of, times))) == body_of(expected)


@given(any_shown, any_time)
def test_one_view_more_is_what_adding_it_by_hand_gives(shown: Shown, time_ms: int) -> None:
    expected = msgspec.structs.replace(
        shown, viewed=shown.viewed + 1, viewed_last_ms=max(shown.viewed_last_ms, time_ms)
    )
    assert read(body_viewed(body_of(shown), time_ms)) == expected
    assert read(body_viewed(None, time_ms)) == Shown(viewed=1, viewed_last_ms=time_ms)


@given(st.lists(any_item, min_size=1, max_size=60), st.lists(any_item, min_size=1, max_size=60))
def test_long_list_counts_as_its_items_one_by_one(first: list[str], second: list[str]) -> None:
    """Lists of more than 20 items use another code path."""
    whole: RenderedState | None = None
    single: RenderedState | None = None
    for number, items in enumerate((first, second)):
        whole = show(whole, a_rendered(items=tuple(items), time_ms=NOW_MS + number))
        for item in dict.fromkeys(items):
            single = show(single, a_rendered(items=(item,), time_ms=NOW_MS + number))
    assert whole == single


def test_key_that_begins_as_another_does_is_another() -> None:
    state = show(show(None, a_rendered(items=("12",))), a_rendered(items=("1", "2")))
    assert {key: shown.total for key, shown in ShownItems(state).items()} == {"1/12": 1, "1/1": 1, "1/2": 1}


@pytest.mark.parametrize(
    "packed",
    [
        b"1/1\xff" + stamp_of(1),
        b"\xc11/1" + stamp_of(1),
        b"\xc11/1\xff",
        b"\xc11/1\xff" + stamp_of(1)[:7],
        b"\xc11/1\xff1234567 ",
        b"\xc11/1\xff1,2,3;" + stamp_of(1),
        b"\xc11/1\xffx,2,3,4;" + stamp_of(1),
        b"\xc11/1\xff-1,2,3,4;" + stamp_of(1),
        b"\xc11/1\xff1,2,3,4;" + stamp_of(1) * 2,
        b"\xc11/1\xff99,2,3,4;" + stamp_of(1) * (MAX_TIMES + 1),
        b"\xc11/1\xff" + stamp_of(2) + stamp_of(1),
        b"\xc11/1\xff1,999999999999999999999,3,4;" + stamp_of(1),
        b"\xc1\xfe\xff" + stamp_of(1),
        (b"\xc11/1\xff" + stamp_of(1)) * 2,
    ],
)
def test_what_a_stranger_wrote_wrongly_is_refused(packed: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - which of them is of no use to anybody
        check(RenderedState(bytearray(packed)), 2**48)


@given(st.dictionaries(any_item.map("1/{}".format), any_shown, max_size=3))
def test_what_we_write_is_accepted(items: dict[str, Shown]) -> None:
    state = RenderedState(pack(items))
    check(state, 2**48)
    assert dict(ShownItems(state)) == items


@given(st.binary(max_size=40))
def test_bytes_of_any_kind_are_read_or_refused(packed: bytes) -> None:
    try:
        check(RenderedState(bytearray(packed)), 2**48)
    except ValueError:
        return
    assert len(ShownItems(RenderedState(bytearray(packed)))) <= len(list(entries_in(packed)))


def test_opening_is_the_key_between_bytes_that_utf8_has_not() -> None:
    assert opening_of("1/ÿÁ".encode()) == b"\xc1" + "1/ÿÁ".encode() + b"\xff"
