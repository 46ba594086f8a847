"""A login moves what belongs elsewhere, once, and both users count what they hold together."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from events.codec import UndecodableError
from tables.base.table_spec import Stretch
from tables.transfers import decode, encode
from tables.user.attribution import click, convert, show
from tables.user.attribution_moves import Moved, absorb, follow, log_in, next_login
from tables.user.belonging import CONVERSION_MS
from tables.user.elements import Conversion, Impression, JoiningClick, Place
from tables.user.identity import Transfer
from tables.user.impressions import KEEP_MS, MAX_LOGINS, MOST_IMPRESSIONS, ImpressionsState
from tests.support.attribution_rows import HOME, clicked, converted, shown
from tests.support.builders import CUSTOMER, MINUTE_MS, NOW_MS, OTHER_USER, USER
from tests.support.laws import stored


def logged_in(state: ImpressionsState, time_ms: int = NOW_MS, target: str = OTHER_USER) -> Moved:
    moved, changed = log_in(state, USER, time_ms, time_ms, target)
    assert changed == {}
    return msgspec.msgpack.decode(msgspec.msgpack.encode(moved), type=Moved)


def test_login_moves_all_that_is_the_users_own() -> None:
    state = ImpressionsState()
    shown(state)
    clicked(state)
    converted(state)
    moved = logged_in(state)
    assert (state.kept, state.clicks, state.conversions) == (0, (), ())
    assert {each.origin for each in (*moved.impressions, *moved.clicks, *moved.conversions)} == {USER}
    target = ImpressionsState()
    assert absorb(target, OTHER_USER, moved, NOW_MS, NOW_MS) == {}, "its counts came with it"
    later = Conversion(NOW_MS + 1, NOW_MS, "1/1", "purchases", "EUR", Decimal(10))
    assert convert(stored(target), OTHER_USER, later) == {
        ("purchases", HOME, None): 1,
        ("revenue", HOME, "EUR"): 10,
    }


def test_what_came_by_a_login_goes_on_only_with_a_later_one() -> None:
    state, source = ImpressionsState(), ImpressionsState()
    shown(source)
    absorb(state, USER, logged_in(source, NOW_MS + 5), NOW_MS + 5, NOW_MS)
    assert not logged_in(state, NOW_MS + 5)
    assert len(logged_in(state, NOW_MS + 6).impressions) == 1


def test_what_comes_after_its_login_was_folded_goes_on_with_the_first_later_one() -> None:
    state = ImpressionsState()
    for at, target in ((5, "a"), (9, "b"), (7, "c"), (12, "d")):
        logged_in(state, NOW_MS + at, target)
    found = [
        login and login.target for at in (4, 5, 8, 9, 12) if (login := next_login(state, NOW_MS + at)) or True
    ]
    assert found == ["a", "b", "b", "d", None]
    assert state.last_login is not None
    assert state.last_login.target == "d"


def test_logins_are_kept_for_25_hours_and_at_most_16() -> None:
    state = ImpressionsState()
    for number in range(MAX_LOGINS + 5):
        logged_in(state, NOW_MS + number)
    assert len(state.logins) == MAX_LOGINS
    logged_in(state, NOW_MS + KEEP_MS + 100)
    assert len(state.logins) == 1


def a_late_click(time_ms: int) -> JoiningClick:
    return JoiningClick(time_ms, time_ms, "1/1", None, "mail")


def test_click_under_the_old_id_follows_the_login_unless_its_showing_is_here() -> None:
    state = ImpressionsState()
    shown(state)
    logged_in(state, NOW_MS + 1)
    assert follow(state, USER, a_late_click(NOW_MS)) is None, "it is older than the login"
    assert follow(state, USER, a_late_click(NOW_MS + 1 + CONVERSION_MS + 1)) is None
    sent = follow(state, USER, a_late_click(NOW_MS + 2))
    assert sent is not None
    assert (sent[0].target, len(sent[1].clicks), sent[2]) == (OTHER_USER, 1, {})
    shown(state, NOW_MS + 2)
    assert follow(state, USER, a_late_click(NOW_MS + 3)) is None


def test_purchase_under_the_old_id_counts_after_the_login() -> None:
    state, target = ImpressionsState(), ImpressionsState()
    shown(state)
    clicked(state)
    absorb(target, OTHER_USER, logged_in(state), NOW_MS, NOW_MS)
    sent = follow(state, USER, Conversion(NOW_MS + 9, NOW_MS + 9, "1/1", "purchases"))
    assert sent is not None
    login, moved, alone = sent
    assert alone == {}
    assert absorb(target, OTHER_USER, moved, login.time_ms, NOW_MS) == {("purchases", HOME, None): 1}


def test_call_that_is_settled_for_one_user_still_counts_for_another() -> None:
    """Both may report the same request: the page was shown before the login and after it."""

    def impression() -> Impression:
        return Impression(NOW_MS, NOW_MS, 1, ["1"], "home", request_id="r", call_ms=NOW_MS)

    source, target = ImpressionsState(), ImpressionsState()
    show(source, USER, impression())
    clicked(source, NOW_MS + 1)
    for number in range(MOST_IMPRESSIONS):
        shown(source, NOW_MS + 2 + number, items=("9",))
    assert len(source.settled_calls) == 1
    show(target, OTHER_USER, impression())
    own = click(target, OTHER_USER, JoiningClick(NOW_MS + 1, NOW_MS + 1, "1/1"))
    assert own["clicked_calls", Place(NOW_MS, "home"), None] == 1
    assert absorb(target, OTHER_USER, logged_in(source, NOW_MS + MINUTE_MS), NOW_MS, NOW_MS) == {}


def test_target_takes_back_what_its_click_counted_when_the_showing_comes() -> None:
    source, target = ImpressionsState(), ImpressionsState()
    shown(source)
    convert(target, OTHER_USER, Conversion(NOW_MS + 3, NOW_MS + 3, "1/1", "purchases"))
    at_click = Place(NOW_MS + 2, "mail", item="1/1")
    later = JoiningClick(NOW_MS + 2, NOW_MS + 2, "1/1", None, "mail")
    assert click(target, OTHER_USER, later) == {("purchases", at_click, None): 1}
    assert absorb(target, OTHER_USER, logged_in(source, NOW_MS + 1), NOW_MS + 1, NOW_MS + 1) == {
        ("attributed_clicks", HOME, None): 1,
        ("purchases", HOME, None): 1,
        ("purchases", at_click, None): -1,
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"counter": "rendered"},
        {"amount": Decimal("sNaN")},
        {"amount": Decimal("1E+999999")},
        {"currency": "euro"},
        {"item_key": "shoe"},
        {"time_ms": -1},
        {"number": 2**60},
    ],
    ids=str,
)
def test_transfer_whose_elements_cannot_be_counted_is_malformed(fields: dict[str, Any]) -> None:
    """Any producer may write to the topic. In a row, such an element would fail every flush of the partition."""
    good = Conversion(NOW_MS, NOW_MS, "1/1", "purchases", "EUR", Decimal(1), USER, 1)

    def record(conversion: Conversion) -> bytes:
        return encode(
            Transfer(CUSTOMER, USER, OTHER_USER, 1, NOW_MS, NOW_MS, Stretch(), Moved([], [], [conversion]))
        )

    assert decode(record(good)).attribution == Moved([], [], [good])
    with pytest.raises(UndecodableError, match="malformed"):
        decode(record(msgspec.structs.replace(good, **fields)))
