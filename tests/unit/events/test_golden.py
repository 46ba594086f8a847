"""Every line of the golden file, through the parser: the request becomes the event, or the rejection, that the documents say."""

import json
import shutil
from collections import Counter

import pytest

from app.customers import Customers
from events.codec import encode
from events.model import ALIASES
from events.rejections import STATUS, Rejection
from events.target import PREFIXES, read_target, split_path
from events.tracker import TRACKER_EVENTS, Accepted, parse
from tests.support.golden import CUSTOMERS_TOML, Line, lines, with_defaults

LINES = list(lines())
PARSED = [line for line in LINES if line.only != "http"]
NOW_MS = 1_700_000_000_000
RECEIVED_MS = NOW_MS + 40


@pytest.fixture(scope="module")
def customers(tmp_path_factory: pytest.TempPathFactory) -> Customers:
    path = tmp_path_factory.mktemp("golden") / "uptake.toml"
    shutil.copyfile(CUSTOMERS_TOML, path)
    path.chmod(0o600)
    return Customers.load(path)


def outcome_of(line: Line, customers: Customers) -> Accepted | Rejection | None:
    raw_path, _, raw_query = line.target(NOW_MS).partition("?")
    path = split_path(raw_path)
    if isinstance(path, Rejection):
        return path
    customer = customers.get(path.customer)
    if customer is None:
        return Rejection("unknown_customer", "as the collector says it", "customer")
    target = read_target(path, raw_query, line.body)
    return target if isinstance(target, Rejection) else parse(target, customer.rules, RECEIVED_MS)


@pytest.mark.parametrize("line", PARSED, ids=lambda line: f"{line.number}")
def test_request_becomes_what_the_document_says(line: Line, customers: Customers) -> None:
    outcome = outcome_of(line, customers)
    if isinstance(outcome, Rejection):
        assert (outcome.code, outcome.status) == (line.code, line.status), line.where
        assert line.parameter in (None, outcome.parameter), line.where
        return
    assert line.code is None, line.where
    records = [] if outcome is None else [with_defaults(json.loads(encode(outcome.event)))]
    assert records == line.expected(NOW_MS, RECEIVED_MS), line.where
    assert outcome is None or outcome.topic == line.topic, line.where


def test_the_file_has_every_event_alias_prefix_and_code_of_the_parser() -> None:
    targets = [line.target(NOW_MS).split("/") for line in LINES]
    assert {target[3] for target in targets if len(target) > 3} >= {*TRACKER_EVENTS, *ALIASES}
    assert {target[1] for target in targets} >= PREFIXES
    codes = Counter(line.code for line in LINES)
    said_by_others = {  # what says these has tests of its own: tests/unit/app/collector, test_native.py
        "unauthorized",
        "forbidden",
        "rate_limited",
        "internal",
        "unavailable",
        "fate_unknown",
        "request_timeout",
        "malformed_request",
        "bad_json",
        "too_many_elements",
    }
    assert set(STATUS) - said_by_others <= codes.keys()


def test_the_file_has_two_hundred_lines_for_parser_and_collector_and_each_says_where_it_is_from() -> None:
    assert sum(line.only is None for line in LINES) >= 200
    known = ("seed 000, ", "seed 001, ", "seed 004, ", "TRACKER_API, ", "SEMANTICS, ", "FAULTS, ")
    assert not [line.where for line in LINES if not line.source.startswith(known)]
