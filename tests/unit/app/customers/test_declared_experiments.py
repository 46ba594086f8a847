"""Experiments of the customers file: what can be declared, and the sentence about what cannot."""

import tomllib
from typing import Any

import msgspec
import pytest

from app.customers.customer import Customer
from app.customers.customer_fields import FieldError, read_customer
from app.customers.declared_experiments import DeclaredExperiment

MINIMAL = {"key_id": "k1", "pseudonym_key": "00" * 32}


def read(text: str) -> Customer:
    return read_customer("c", {**MINIMAL, **tomllib.loads(text)})


def test_experiment_has_variants_in_the_order_of_the_file_and_a_plan() -> None:
    customer = read(
        """
        [experiments."new list"]
        variants = { control = 90, B = 10 }
        metric = "revenue_per_call"
        planned_users = 50_000
        effect = 0.03
        alpha = 0.01
        [experiments.other]
        variants = { A = 1, B = 1 }
        """
    )
    found = customer.experiments["new list"]
    assert list(found.variants) == ["control", "B"]
    assert found == DeclaredExperiment(
        {"control": 90, "B": 10}, "revenue_per_call", 50_000, 0.03, 0.01, are_scenarios=False
    )
    assert customer.experiments["other"] == DeclaredExperiment({"A": 1, "B": 1})
    assert customer.contests == {}


def test_scenarios_that_are_set_against_each_other_are_variants() -> None:
    customer = read(
        """
        [experiments.homes]
        scenarios = ["home", "new_home"]
        variants = { new_home = 3 }
        """
    )
    assert customer.experiments["homes"].variants == {"home": 1, "new_home": 3}
    assert customer.contests == {"home": "homes", "new_home": "homes"}


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "two variants or more"),
        ({"variants": {"A": 1}}, "two variants or more"),
        ({"scenarios": ["home", "home"]}, "two variants or more"),
        ({"variants": {"C": 1}, "scenarios": ["a", "b"]}, "not 'C'"),
        ({"variants": {"A": 0, "B": 1}}, "> 0"),
        ({"variants": {"A": 1, "": 1}}, "length >= 1"),
        ({"variants": {str(number): 1 for number in range(21)}}, "length <= 20"),
        ({"variants": {"A": 1, "B": 1}, "alpha": 1}, "< 1"),
        ({"variants": {"A": 1, "B": 1}, "effect": 0}, "> 0"),
        ({"variants": {"A": 1, "B": 1}, "metric": "clicks"}, "Invalid enum value"),
        ({"variants": {"A": 1, "B": 1}, "plan": 1}, "unknown field"),
    ],
)
def test_what_cannot_be_declared_is_refused_with_a_sentence(fields: dict[str, Any], says: str) -> None:
    with pytest.raises((FieldError, msgspec.ValidationError), match=says):
        read_customer("c", {**MINIMAL, "experiments": {"e": fields}})


def test_names_have_bounds_and_a_scenario_is_in_one_experiment() -> None:
    with pytest.raises(FieldError, match="256 characters"):
        read_customer("c", {**MINIMAL, "experiments": {"e" * 257: {"scenarios": ["a", "b"]}}})
    two = {"one": {"scenarios": ["a", "b"]}, "two": {"scenarios": ["b", "c"]}}
    with pytest.raises(FieldError, match="'b' is in 'one' and 'two'"):
        read_customer("c", {**MINIMAL, "experiments": two})
