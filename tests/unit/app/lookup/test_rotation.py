"""Rotation lowers the score of an item with each showing, and drops nothing."""

from hypothesis import given
from hypothesis import strategies as st

from app.lookup.rotation import Rotation, rotate, rotation_factor
from app.lookup.user_view import UserView
from tables.base.table_spec import Stretch
from tests.support.lookups import DAY, NOW, bought, shown

times = st.lists(st.integers(0, 30 * DAY), max_size=16)
rotations = st.builds(Rotation, st.integers(1, 30 * DAY), st.floats(0.01, 0.99))


@given(times, times, rotations, st.integers(0, 60 * DAY))
def test_a_factor_is_above_0_and_at_most_1(
    one: list[int], other: list[int], rotation: Rotation, now: int
) -> None:
    assert 0 < rotation_factor(one + other, rotation, now) <= 1


@given(times, rotations, st.integers(0, 30 * DAY))
def test_each_showing_lowers_the_factor_or_leaves_it_when_forgotten(
    known: list[int], rotation: Rotation, more: int
) -> None:
    now = 30 * DAY
    assert rotation_factor([*known, more], rotation, now) <= rotation_factor(known, rotation, now)
    assert rotation_factor([*known, now], rotation, now) < rotation_factor(known, rotation, now)


@given(times, rotations, st.integers(0, 90 * DAY))
def test_a_factor_recovers_with_time(known: list[int], rotation: Rotation, later: int) -> None:
    now = 30 * DAY
    before, after = rotation_factor(known, rotation, now), rotation_factor(known, rotation, now + later)
    assert after >= before * (1 - 1e-12)


def test_a_half_life_takes_half_of_a_showing_back() -> None:
    rotation = Rotation(half_life_ms=DAY, strength=0.5)
    assert [rotation_factor([0], rotation, age * DAY) for age in (0, 1, 2)] == [0.5, 0.75, 0.875]


def test_rotation_drops_nothing_and_knows_both_stretches() -> None:
    moved = Stretch()
    shown(moved, "2", at=NOW)
    own = Stretch()
    shown(own, "2", at=NOW)
    bought(own, "1", NOW)
    answer = rotate(UserView(own, moved), ["1", "2", "3"], 1, Rotation(strength=0.5), NOW)
    assert answer["kept"] == ["1", "2", "3"]
    assert answer["factors"] == [1.0, 0.25, 1.0]
    assert answer["dropped"] == []


def test_only_showings_in_the_scenario_lower_the_factor_where_it_is_asked_for() -> None:
    own = Stretch()
    shown(own, "1", at=NOW, scenario="home")
    shown(own, "1", at=NOW)
    view = UserView(own)
    factors = [
        rotate(view, ["1"], 1, Rotation(strength=0.5), NOW, scenario)["factors"]
        for scenario in (None, "home", "other")
    ]
    assert factors == [[0.25], [0.5], [1.0]]
