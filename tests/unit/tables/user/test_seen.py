"""An eid is one event for 24 hours by receipt, and no two users or ids share a row."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.model import user_key
from tables.user.seen import SEEN_KEEP_MS, is_expired, is_repeat, row_key
from tests.support.builders import NOW_MS


@pytest.mark.parametrize(
    ("seen_ms", "received_ms", "repeats"),
    [
        (None, NOW_MS, False),
        (NOW_MS, NOW_MS, True),
        (NOW_MS, NOW_MS - 1, True),  # another collector's clock is behind
        (NOW_MS, NOW_MS + SEEN_KEEP_MS - 1, True),
        (NOW_MS, NOW_MS + SEEN_KEEP_MS, False),
    ],
)
def test_eid_is_known_for_24_hours(seen_ms: int | None, received_ms: int, repeats: bool) -> None:
    assert is_repeat(seen_ms, received_ms) is repeats


@given(st.integers(0, NOW_MS * 2), st.integers(0, NOW_MS * 2))
def test_row_is_deleted_only_when_it_says_nothing(seen_ms: int, now_ms: int) -> None:
    assert is_expired(seen_ms, now_ms) is not is_repeat(seen_ms, now_ms)


names = st.text(st.characters(codec="ascii", exclude_characters="\0|"), max_size=3)


@given(st.tuples(names, names, st.text(max_size=4)), st.tuples(names, names, st.text(max_size=4)))
def test_two_events_share_a_row_only_when_user_and_eid_are_the_same(one, other) -> None:
    rows = [row_key(user_key(customer, user), eid) for customer, user, eid in (one, other)]
    assert (rows[0] == rows[1]) is (one == other)


def test_lone_surrogate_in_an_eid_has_a_row() -> None:
    assert row_key(b"c|u", "\ud800") != row_key(b"c|u", "?")
