"""The gate: credentials admit to one customer only, and a rate limit holds, for all events of a request or for none."""

import base64
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.collector.gate import MAX_RETRY_AFTER_S, Bucket, Gate
from app.customers.customer import Customer, RateLimit
from events.rejections import Rejection
from tests.support.tracker import rules

SHOP = Customer(rules(customer="shop", license_key="license-of-shop"), require_credentials=True)
OTHER = Customer(rules(customer="other", license_key="license-of-other"))
KEYLESS = Customer(rules(customer="keyless", license_key=None))
CUSTOMERS = {customer.id: customer for customer in (SHOP, OTHER, KEYLESS)}


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def code(rejection: Rejection | None) -> str | None:
    return None if rejection is None else rejection.code


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (basic("shop", "license-of-shop"), None),
        (basic("shop", "license-of-shop").replace("Basic", "bAsIc"), None),
        (None, "unauthorized"),
        ("", "unauthorized"),
        ("Basic", "unauthorized"),
        ("Basic !!!", "unauthorized"),
        ("Basic " + base64.b64encode(b"\xff:\xff").decode(), "unauthorized"),
        ("Basic " + base64.b64encode(b"shop").decode(), "unauthorized"),
        ("Bearer license-of-shop", "unauthorized"),
        (basic("shop", "license-of-sho"), "unauthorized"),
        (basic("shop", "license-of-shop "), "unauthorized"),
        (basic("shop", ""), "unauthorized"),
        (basic("Shop", "license-of-shop"), "unauthorized"),
        (basic("nobody", "license-of-shop"), "unauthorized"),
        (basic("other", "license-of-shop"), "unauthorized"),
        (basic("keyless", ""), "unauthorized"),
        (basic("keyless", "None"), "unauthorized"),
        (basic("other", "license-of-other"), "forbidden"),
        (basic("shop", "x" * 5_000), "unauthorized"),
    ],
)
def test_only_its_own_credentials_open_a_customer_that_requires_them(
    header: str | None, expected: str | None
) -> None:
    assert code(Gate(CUSTOMERS).admit(SHOP, header)) == expected


@pytest.mark.parametrize(
    "header", [None, "Basic !!!", basic("shop", "wrong"), basic("other", "license-of-other")]
)
def test_credentials_are_not_looked_at_where_they_are_not_required(header: str | None) -> None:
    assert Gate(CUSTOMERS).admit(replace(SHOP, require_credentials=False), header) is None


def test_credentials_of_one_customer_are_never_those_of_another() -> None:
    gate = Gate(CUSTOMERS)
    for owner in CUSTOMERS.values():
        for name in CUSTOMERS:
            for holder in CUSTOMERS.values():
                header = basic(name, str(holder.rules.license_key))
                is_own = name == owner.id == holder.id and holder.rules.license_key is not None
                assert gate.has_credentials(owner, header) is is_own


def test_no_key_stands_in_a_rejection() -> None:
    gate = Gate(CUSTOMERS)
    for header in (basic("shop", "license-of-sho"), basic("other", "license-of-other")):
        assert "license-of" not in repr(gate.admit(SHOP, header))


def limited(events_per_second: float = 2.0, burst: int = 3, name: str = "other") -> Customer:
    return replace(OTHER, rules=rules(customer=name), rate_limit=RateLimit(events_per_second, burst))


def test_a_burst_is_taken_and_then_the_rate() -> None:
    clock = Clock()
    gate, customer = Gate({}, clock), limited()
    assert [code(gate.admit(customer, None)) for _ in range(5)] == [None] * 3 + ["rate_limited"] * 2
    clock.now_s += 0.5
    assert [code(gate.admit(customer, None)) for _ in range(2)] == [None, "rate_limited"]
    clock.now_s += 60
    assert [code(gate.admit(customer, None)) for _ in range(4)] == [None] * 3 + ["rate_limited"]


def test_what_is_refused_costs_nothing_and_says_when_to_come_again() -> None:
    clock = Clock()
    gate, customer = Gate({}, clock), limited(0.25, 1)
    assert gate.admit(customer, None) is None
    for _ in range(10):
        refused = gate.admit(customer, None)
        assert refused is not None
        assert (refused.status, refused.retry_after_s) == (429, 4)
    clock.now_s += 4
    assert gate.admit(customer, None) is None


def test_a_batch_costs_its_events_and_one_beyond_the_burst_is_waited_for_afterwards() -> None:
    clock = Clock()
    gate, customer = Gate({}, clock), limited(10, 20)
    assert gate.charge(customer, 15) is None
    assert code(gate.charge(customer, 6)) == "rate_limited"
    assert gate.charge(customer, 5) is None
    clock.now_s += 2
    assert gate.charge(customer, 100) is None
    refused = gate.charge(customer, 1)
    assert refused is not None
    assert refused.retry_after_s == 9
    clock.now_s += 8.1
    assert gate.charge(customer, 1) is None


def test_batch_that_was_let_in_is_charged_the_rest_even_when_it_is_larger_than_the_burst() -> None:
    clock = Clock()
    gate, customer = Gate({}, clock), limited(10, 20)
    for _ in range(3):
        assert gate.admit(customer, None) is None
        assert gate.charge_rest(customer, 100) is None
        clock.now_s += 10
    assert gate.admit(customer, None) is None
    assert gate.charge_rest(customer, 1) is None
    assert gate.admit(customer, None) is None
    refused = gate.charge_rest(customer, 20)
    assert refused is not None
    assert refused.retry_after_s == 1  # 18 are available, 20 are needed for the next try
    clock.now_s += 1
    assert gate.admit(customer, None) is None
    assert gate.charge_rest(customer, 20) is None


def test_customers_have_buckets_of_their_own() -> None:
    gate = Gate({}, Clock())
    one, two = limited(1, 1, "one"), limited(1, 1, "two")
    assert gate.admit(one, None) is None
    assert code(gate.admit(one, None)) == "rate_limited"
    assert gate.admit(two, None) is None


def test_a_changed_limit_holds_at_once_and_a_reload_without_a_change_gives_nothing_away() -> None:
    gate = Gate({}, Clock())
    assert gate.admit(limited(1, 1), None) is None
    assert code(gate.admit(limited(1, 1), None)) == "rate_limited"
    assert gate.admit(limited(5, 5), None) is None


def test_the_wait_is_bounded() -> None:
    gate, customer = Gate({}, Clock()), limited(0.0001, 1)
    assert gate.admit(customer, None) is None
    refused = gate.admit(customer, None)
    assert refused is not None
    assert refused.retry_after_s == MAX_RETRY_AFTER_S


def test_who_is_refused_for_credentials_spends_nothing_of_the_rate() -> None:
    gate = Gate({}, Clock())
    customer = replace(SHOP, rate_limit=RateLimit(1, 1))
    for _ in range(5):
        assert code(gate.admit(customer, None)) == "unauthorized"
    assert gate.admit(customer, basic("shop", "license-of-shop")) is None


@given(
    st.floats(0.1, 1_000),
    st.integers(1, 1_000),
    st.lists(st.tuples(st.integers(1, 50), st.floats(0, 5)), max_size=60),
)
def test_never_more_than_the_burst_and_what_the_time_allows(
    rate: float, burst: int, asked: list[tuple[int, float]]
) -> None:
    bucket, now_s, taken, greatest = Bucket(RateLimit(rate, burst), burst, 0.0), 0.0, 0, 0
    for cost, pause_s in asked:
        now_s += pause_s
        if bucket.take(cost, now_s) == 0:
            taken += cost
            greatest = max(greatest, cost)
    assert taken <= burst + rate * now_s + max(0, greatest - burst) + 1e-6


@given(st.text() | st.binary().map(lambda raw: "Basic " + base64.b64encode(raw).decode()))
def test_no_header_whatsoever_is_an_error(header: str) -> None:
    assert code(Gate(CUSTOMERS).admit(SHOP, header)) == "unauthorized"
