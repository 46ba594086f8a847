"""A user's experiments: the first variant, several of them, sums, bounds, and what a login takes along."""

from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.codec import UndecodableError
from tables.base.table_spec import Stretch
from tables.transfers import decode, encode
from tables.user.experiments import (
    TABLE,
    Contribution,
    ExperimentsState,
    Participation,
    UserValues,
    leave,
    take_part,
)
from tables.user.identity import Transfer
from tests.support.builders import DAY_MS, NOW_MS
from tests.support.laws import stored

SHOWN = UserValues(shown=2, calls=1)


def part(
    variant: str | None = "A", at: int = NOW_MS, values: UserValues = SHOWN, **fields: Any
) -> ExperimentsState:
    return ExperimentsState({"list": Participation(variant, at, values, **fields)}, at)


def seen(*parts: ExperimentsState) -> tuple[ExperimentsState, list[Contribution]]:
    state, all_of = ExperimentsState(), list[Contribution]()
    for each in parts:
        state, contributions = take_part(state, each)
        all_of += contributions
    return state, all_of


def sums(contributions: list[Contribution]) -> dict[tuple[str, str | None, UserValues], int]:
    total: Counter[Any] = Counter()
    for experiment, variant, _, values, times in contributions:
        total[experiment, variant, repr(values)] += times
    return {key: times for key, times in total.items() if times}


def test_second_event_replaces_what_the_first_contributed() -> None:
    state, contributions = seen(part(), part(None, NOW_MS + 1, UserValues(clicks=1)))
    both = UserValues(2, 1, 1)
    assert state.experiments == {"list": Participation("A", NOW_MS + 1, both)}
    assert contributions == [
        Contribution("list", "A", NOW_MS, SHOWN, 1),
        Contribution("list", "A", NOW_MS + 1, SHOWN, -1),
        Contribution("list", "A", NOW_MS + 1, both, 1),
    ]
    assert stored(state) == state


def test_user_who_saw_two_variants_belongs_to_none_for_ever() -> None:
    state, contributions = seen(part("A"), part("B"), part("A"))
    assert state.experiments["list"].saw_several
    assert state.experiments["list"].values == UserValues()
    assert sums(contributions) == {("list", None, repr(UserValues())): 1}


def test_late_event_counts_at_the_latest_time_of_the_user() -> None:
    """So the totals up to a time are always those of users as they once were: no square without its sum."""
    _, contributions = seen(part(at=NOW_MS), part(at=NOW_MS - 5))
    assert {each.time_ms for each in contributions} == {NOW_MS}


def test_values_without_a_variant_wait_for_one() -> None:
    state, contributions = seen(part(None, values=UserValues(clicks=1)))
    assert contributions == []
    state, contributions = take_part(state, part("B"))
    assert sums(contributions) == {("list", "B", repr(UserValues(2, 1, 1))): 1}


def test_experiments_beyond_the_bound_drop_the_longest_untouched() -> None:
    state = ExperimentsState()
    for number in range(20):
        state, _ = take_part(state, ExperimentsState({f"e{number}": Participation("A", NOW_MS)}, NOW_MS))
    state, _ = take_part(state, ExperimentsState({"e0": Participation("A", NOW_MS)}, NOW_MS))
    state, contributions = take_part(state, ExperimentsState({"e20": Participation("A", NOW_MS)}, NOW_MS))
    assert len(state.experiments) == 20
    assert "e1" not in state.experiments
    assert [each.experiment for each in contributions] == ["e20"]  # what was counted stays


def test_numbers_of_a_user_are_bounded() -> None:
    state, contributions = seen(
        part(values=UserValues(1_000_000, 0, 0, 0, 0, {"EUR": Decimal(10**15)})),
        part(values=UserValues(1_000_000, 0, 0, 0, 0, {"EUR": Decimal(10**15)})),
    )
    values = state.experiments["list"].values
    assert (values.shown, values.revenue) == (1_000_000, {"EUR": Decimal(10**15)})
    assert sums(contributions) == {("list", "A", repr(values)): 1}


def test_currencies_of_a_user_are_bounded() -> None:
    money = [UserValues(revenue={f"AA{chr(65 + number)}": Decimal(1)}) for number in range(9)]
    state, _ = seen(*[part(values=each) for each in money])
    assert len(state.experiments["list"].values.revenue) == 8


VARIANTS = st.sampled_from((None, "A", "A", "B"))
PARTS = st.builds(
    lambda variant, at, shown: part(variant, NOW_MS + at, UserValues(shown=shown)),
    VARIANTS,
    st.integers(-9, 9),
    st.integers(-3, 9),
)


@given(st.lists(PARTS, max_size=6), st.lists(PARTS, max_size=6))
def test_login_makes_two_users_one(source: list[ExperimentsState], target: list[ExperimentsState]) -> None:
    """Whatever both saw: all contributions together are those of the one row that is left."""
    own, contributions = seen(*source)
    there, others = seen(*target)
    moved, gone = leave(own, NOW_MS + 20, NOW_MS + 20)
    there, brought = take_part(there, stored(moved))
    total = sums([*contributions, *others, *gone, *brought])
    left = there.experiments.get("list")
    if left is None or (left.variant is None and not left.saw_several):
        assert total == {}
    else:
        assert total == {("list", None if left.saw_several else left.variant, repr(left.values)): 1}
    if any(source):
        seen_by_both = {each.experiments["list"].variant for each in (*source, *target)} - {None}
        assert left is not None
        assert left.saw_several is (len(seen_by_both) > 1)


@pytest.mark.parametrize(("days", "is_expired"), [(400, False), (401, True)])
def test_row_expires_400_days_after_its_last_event(days: int, is_expired: bool) -> None:
    state, _ = seen(part())
    assert TABLE.has_expired is not None
    assert TABLE.has_expired(b"", state, NOW_MS + days * DAY_MS) is is_expired


def a_transfer(values: UserValues, **experiments: Participation) -> Transfer:
    moved = ExperimentsState(experiments or {"list": Participation("A", NOW_MS, values)}, NOW_MS)
    return Transfer("c", "k1.a", "k1.b", 1, NOW_MS, NOW_MS, Stretch(), experiments=moved)


def test_transfer_brings_experiments() -> None:
    transfer = a_transfer(UserValues(5, 2, 1, 1, 1, {"EUR": Decimal("1.50")}))
    assert decode(encode(transfer)) == transfer


@pytest.mark.parametrize(
    "transfer",
    [
        a_transfer(UserValues(revenue={"EUR": Decimal("NaN")})),
        a_transfer(UserValues(revenue={"EUR": Decimal("1E+16")})),
        a_transfer(UserValues(shown=1_000_001)),
        a_transfer(UserValues(), **{f"e{number}": Participation("A") for number in range(21)}),
        a_transfer(UserValues(), list=Participation("A" * 257)),
    ],
)
def test_transfer_beyond_the_bounds_of_a_row_is_a_dead_letter(transfer: Transfer) -> None:
    with pytest.raises(UndecodableError):
        decode(encode(transfer))
