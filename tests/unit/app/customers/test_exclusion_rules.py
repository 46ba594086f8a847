"""Exclusion rules: what overrides them, and the spans that a text can name."""

from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.customers.exclusion_rules import REASONS, ExclusionRules, parse_within

spans = st.sampled_from(("session", "ever")) | st.integers(1, 10**9)
reasons = st.frozensets(st.sampled_from(REASONS))
values = {
    "threshold": st.integers(1, 100),
    "within": spans,
    "consumed_at_least": st.integers(0, 100),
    "reasons": reasons,
}
rules = st.builds(ExclusionRules, **values)
overrides = st.fixed_dictionaries({}, optional={name: st.none() | each for name, each in values.items()})


@given(rules, overrides)
def test_what_is_given_overrides_and_all_else_is_kept(own: ExclusionRules, given_values: dict) -> None:
    said = {name: value for name, value in given_values.items() if value is not None}
    assert asdict(own.override(**given_values)) == {**asdict(own), **said}


@given(rules, overrides, overrides)
def test_the_last_override_wins(own: ExclusionRules, first: dict, last: dict) -> None:
    said = {name: value for name, value in last.items() if value is not None}
    assert own.override(**first).override(**last) == own.override(**{**first, **said})


def test_zero_and_no_reason_are_values_and_not_left_out() -> None:
    changed = ExclusionRules().override(consumed_at_least=0, reasons=())
    assert (changed.consumed_at_least, changed.reasons) == (0, frozenset())


@pytest.mark.parametrize(
    ("text", "within"),
    [
        ("session", "session"),
        ("ever", "ever"),
        ("PT30M", 30 * 60_000),
        ("P7D", 7 * 86_400_000),
        ("Session", None),
        ("PT0S", None),
        ("soon", None),
        ("", None),
    ],
)
def test_a_span_is_a_duration_the_session_or_ever(text: str, within: object) -> None:
    assert parse_within(text) == within
