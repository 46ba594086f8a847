"""Requests of lookups: valid values, defaults, and the answers to everything else."""

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict

from app.customers.customer import Customer
from app.customers.exclusion_rules import DEFAULT_REASONS, ExclusionRules
from app.lookup.query_params import Params
from app.lookup.requests import ExclusionsQuery, read_exclusions, read_filter
from app.lookup.rotation import Rotation
from events.rejections import RefusedError
from tests.support.lookups import CUSTOMER, MINUTE, NOW


def exclusions_query(**query: str) -> ExclusionsQuery:
    return read_exclusions(Params(MultiDict(query)), CUSTOMER, NOW)


def a_filter(*, is_for_many: bool = False, **body: Any) -> Any:
    raw = json.dumps({"candidates": ["1"], **body}).encode()
    return read_filter(raw, CUSTOMER, NOW, is_for_many=is_for_many)


def test_what_an_exclusion_lookup_does_not_say_is_the_customers_default() -> None:
    standard = ExclusionRules(
        threshold=2, within=30 * MINUTE, consumed_at_least=90, reasons=frozenset(DEFAULT_REASONS)
    )
    assert exclusions_query() == ExclusionsQuery(standard, None, NOW)
    by_session = replace(CUSTOMER, exclusions=ExclusionRules(threshold=5, within="session"))
    query = read_exclusions(Params(MultiDict()), by_session, NOW)
    assert query == ExclusionsQuery(replace(standard, threshold=5, within="session"), None, NOW)


def test_a_scenario_has_defaults_of_its_own_and_what_is_said_overrules_them() -> None:
    own = ExclusionRules(threshold=7, within="ever", consumed_at_least=60, reasons=frozenset(("bought",)))
    customer = replace(CUSTOMER, scenario_exclusions={"also_bought": own})

    def asked(**query: str) -> ExclusionRules:
        return read_exclusions(Params(MultiDict(query)), customer, NOW).rules

    def filtered(**body: Any) -> ExclusionRules:
        raw = json.dumps({"candidates": ["1"], **body}).encode()
        return read_filter(raw, customer, NOW, is_for_many=False).rules

    assert asked() == asked(scenario="home") == ExclusionRules()
    assert asked(scenario="also_bought") == own
    assert asked(scenario="also_bought", threshold="2", within="PT30M") == replace(
        own, threshold=2, within=30 * MINUTE
    )
    assert filtered(scenario="home") == ExclusionRules()
    assert filtered(scenario="also_bought") == own
    assert filtered(scenario="also_bought", exclude=["rendered"]).reasons == {"rendered"}


def test_an_exclusion_lookup_takes_every_parameter_of_the_specification() -> None:
    query = {
        "itemtype": "3",
        "threshold": "4",
        "within": "P1DT2H",
        "reasons": "rendered,bought",
        "consumed_at_least": "50",
        "as_of_ms": "17",
    }
    rules = ExclusionRules(
        threshold=4,
        within=26 * 60 * MINUTE,
        consumed_at_least=50,
        reasons=frozenset(("rendered", "bought")),
    )
    assert exclusions_query(**query) == ExclusionsQuery(rules, 3, 17)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("threshold", "0"),
        ("threshold", "-1"),
        ("threshold", "1e3"),
        ("threshold", "٣"),
        ("threshold", "9" * 30),
        ("within", "30"),
        ("within", "P1Y"),
        ("within", "PT0S"),
        ("reasons", "seen"),
        ("reasons", "rendered,"),
        ("consumed_at_least", "101"),
        ("itemtype", "0"),
        ("itemtype", "2147483648"),
        ("as_of_ms", "tomorrow"),
        ("as_of_ms", "99999999999999"),
        ("scenario", "x" * 257),
    ],
)
def test_a_wrong_parameter_is_named_with_what_it_takes(name: str, value: str) -> None:
    with pytest.raises(RefusedError) as refused:
        exclusions_query(**{name: value})
    assert refused.value.rejection.status == 400
    assert refused.value.rejection.parameter == name
    assert name in refused.value.rejection.sentence


SECONDS = [946_684_800, 1_574_553_600, 4_102_444_799]
"""The first, one, and the last value that can only be seconds."""
MILLISECONDS = [0, 5, 946_684_799, 4_102_444_800]
"""Small values, and the neighbours of those that can only be seconds."""


@pytest.mark.parametrize("seconds", SECONDS)
def test_a_time_in_seconds_is_refused_with_its_unit(seconds: int) -> None:
    for read in (
        lambda: exclusions_query(as_of_ms=str(seconds)),
        lambda: a_filter(as_of_ms=seconds),
    ):
        with pytest.raises(RefusedError) as refused:
            read()
        assert refused.value.rejection.code == "bad_parameter"
        assert "milliseconds" in refused.value.rejection.sentence
        assert f"{seconds}000" in refused.value.rejection.sentence


@pytest.mark.parametrize("time_ms", MILLISECONDS)
def test_a_small_time_in_milliseconds_is_valid(time_ms: int) -> None:
    assert exclusions_query(as_of_ms=str(time_ms)).as_of_ms == time_ms
    assert a_filter(as_of_ms=time_ms).as_of_ms == time_ms


def test_a_parameter_is_given_once() -> None:
    with pytest.raises(RefusedError, match="duplicate_parameter"):
        Params(MultiDict([("within", "PT1M"), ("within", "PT2M")]))


@pytest.mark.parametrize(
    "body",
    [
        '{"candidates":["1"],"threshold":1,"threshold":9}',
        '{"candidates":["1"],"threshold" : 1, "threshold" : 1}',
        '{"candidates":["\\":"],"rotation":{"strength":0.1,"strength":0.9}}',
    ],
)
def test_a_filter_names_each_field_once(body: str) -> None:
    with pytest.raises(RefusedError, match="duplicate_parameter"):
        read_filter(body.encode(), CUSTOMER, NOW, is_for_many=False)


def test_a_candidate_that_looks_like_a_field_is_no_second_field() -> None:
    body = '{"candidates":["\\"threshold\\":", "\\"threshold\\":"],"threshold":1}'
    assert len(read_filter(body.encode(), CUSTOMER, NOW, is_for_many=False).candidates) == 2


def test_a_mistyped_parameter_is_refused_with_those_there_are() -> None:
    params = Params(MultiDict({"treshold": "2"}))
    params.integer("threshold", 1, 9)
    with pytest.raises(RefusedError) as refused:
        params.done()
    assert refused.value.rejection.sentence == "'treshold' is not a parameter here; there are: threshold"


def test_a_filter_takes_everything_of_the_specification() -> None:
    asked = a_filter(
        itemtype=2,
        candidates=["a", 7],
        scenario="home",
        limit=1,
        exclude=["bought"],
        threshold=3,
        within="session",
        consumed_at_least=10,
        as_of_ms=5,
    )
    assert (asked.candidates, asked.itemtype, asked.limit, asked.as_of_ms) == (["a", "7"], 2, 1, 5)
    assert asked.rules == ExclusionRules(
        threshold=3, within="session", consumed_at_least=10, reasons=frozenset(("bought",))
    )
    assert asked.rotation is None


def test_candidates_are_of_item_type_1_unless_the_body_names_another() -> None:
    assert a_filter().itemtype == 1
    assert a_filter(itemtype=3).itemtype == 3


def test_rotation_has_defaults() -> None:
    assert a_filter(rotation={}).rotation == Rotation()
    assert a_filter(rotation={"half_life": "PT6H", "strength": 0.3}).rotation == Rotation(
        6 * 60 * MINUTE, 0.3
    )


@pytest.mark.parametrize(
    "body",
    [
        {"candidates": "1"},
        {"candidates": [1.5]},
        {"candidates": [None]},
        {"candidates": ["x" * 257]},
        {"candidates": ["1"] * 10_001},
        {"limit": -1},
        {"limit": "3"},
        {"exclude": ["seen"]},
        {"threshold": 0},
        {"within": "soon"},
        {"consumed_at_least": 101},
        {"rotation": {"strength": 1}},
        {"rotation": {"strength": 0}},
        {"rotation": {"half_life": "PT0S"}},
        {"rotation": {"halflife": "PT1H"}},
        {"itemtype": 2_147_483_648},
        {"as_of_ms": -1},
        {"canditates": []},
        {"users": ["u"]},
    ],
)
def test_a_wrong_filter_is_refused_with_a_sentence(body: dict[str, Any]) -> None:
    with pytest.raises(RefusedError) as refused:
        a_filter(**body)
    assert refused.value.rejection.status == 400
    assert len(refused.value.rejection.sentence) > 10


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff",
        b"[" * 10_000,
        b'{"candidates":["\xed\xa0\x80"]}',
        b'{"candidates":[NaN]}',
    ],
)
def test_a_body_that_is_no_filter_is_refused(raw: bytes) -> None:
    with pytest.raises(RefusedError, match="bad_body"):
        read_filter(raw, CUSTOMER, NOW, is_for_many=False)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"users": []},
        {"users": [""]},
        {"users": ["a\nb"]},
        {"users": ["u"] * 300, "candidates": ["1"] * 1_000},
    ],
)
def test_a_filter_for_many_needs_users_and_has_bounds(body: dict[str, Any]) -> None:
    with pytest.raises(RefusedError):
        a_filter(is_for_many=True, **body)


@given(
    st.binary()
    | st.text().map(str.encode)
    | st.from_type(dict[str, int]).map(lambda body: json.dumps(body).encode())
)
def test_no_body_whatsoever_escapes_as_another_error(raw: bytes) -> None:
    with suppress(RefusedError):
        read_filter(raw, CUSTOMER, NOW, is_for_many=False)


KEEPS = replace(CUSTOMER, showings_by_scenario=True)


def asked_scope(customer: Customer, **given: str) -> tuple[str | None, str | None]:
    raw = json.dumps({"candidates": ["1"], **given}).encode()
    return (
        read_exclusions(Params(MultiDict(given)), customer, NOW).in_scenario,
        read_filter(raw, customer, NOW, is_for_many=False).in_scenario,
    )


def test_showings_count_by_scenario_only_where_it_is_asked_for() -> None:
    assert asked_scope(KEEPS, scope="scenario", scenario="home") == ("home", "home")
    for asked in ({}, {"scenario": "home"}, {"scope": "all", "scenario": "home"}):
        assert asked_scope(KEEPS, **asked) == (None, None)
    assert asked_scope(CUSTOMER, scope="all") == (None, None)


@pytest.mark.parametrize(
    ("customer", "given", "sentence"),
    [
        (KEEPS, {"scope": "scenario"}, "needs the parameter scenario"),
        (KEEPS, {"scope": "page", "scenario": "home"}, "scenario or all"),
        (CUSTOMER, {"scope": "scenario", "scenario": "home"}, "showings_by_scenario"),
    ],
)
def test_a_scope_that_cannot_be_had_is_refused(
    customer: Customer, given: dict[str, str], sentence: str
) -> None:
    raw = json.dumps({"candidates": ["1"], **given}).encode()
    for ask in (
        lambda: read_exclusions(Params(MultiDict(given)), customer, NOW),
        lambda: read_filter(raw, customer, NOW, is_for_many=False),
    ):
        with pytest.raises(RefusedError) as refused:
            ask()
        assert sentence in refused.value.rejection.sentence
