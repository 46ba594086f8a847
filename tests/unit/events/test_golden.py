"""Every line of the golden file, through the parser: the request becomes the documented event or rejection."""

import json
import re
import shutil
from collections import Counter

import pytest

from app.collector.endpoints import JSON_EVENTS
from app.customers.customer_registry import Customers
from events import json_bodies
from events.codec import encode
from events.json_events import Reader
from events.model import ALIASES
from events.presentation import (
    clicked_element,
    joined,
    read_click,
    read_data,
    read_form,
    shown_element,
    user_of,
)
from events.rejections import STATUS, Rejection
from events.rules import Rules
from events.target import PREFIXES, read_target, split_path
from events.tracker import TRACKER_EVENTS, Accepted, parse
from tests.support.golden import CUSTOMERS_TOML, Line, lines, with_defaults
from tests.support.repository import ROOT

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


Outcome = Accepted | Rejection | None


def outcomes_of(line: Line, customers: Customers) -> list[Outcome] | Rejection:
    """Return what the elements of a request become, one for a tracker request; a Rejection if it is refused as a whole."""
    raw_path, _, raw_query = line.target(NOW_MS).partition("?")
    if raw_path.startswith("/v1/"):
        _, _, customer_id, name = raw_path.split("/")
        return of_many(
            line,
            Reader(
                customers[customer_id].rules, RECEIVED_MS, event=JSON_EVENTS[name], is_owner=is_owner(line)
            ),
        )
    if raw_path.startswith("/uitracking/"):
        named = re.search(r"customer=(\w+)", raw_query)
        return of_a_video_page(line, raw_path, customers["00000" if named is None else named[1]].rules)
    path = split_path(raw_path)
    if isinstance(path, Rejection):
        return path
    customer = customers.get(path.customer)
    if customer is None:
        return Rejection("unknown_customer", "as the collector says it", "customer")
    target = read_target(path, raw_query, line.body)
    return target if isinstance(target, Rejection) else [parse(target, customer.rules, RECEIVED_MS)]


def is_owner(line: Line) -> bool:
    return "Authorization" in line.headers


def of_many(line: Line, reader: Reader) -> list[Outcome] | Rejection:
    is_lines = line.headers["Content-Type"] == "application/x-ndjson"
    read = json_bodies.read(line.sent_body(NOW_MS), 5_000, is_lines=is_lines)
    return read if isinstance(read, Rejection) else [reader.read(value) for value in read[0]]


def of_a_video_page(line: Line, raw_path: str, rules: Rules) -> list[Outcome] | Rejection:
    is_click, is_json = raw_path.endswith("/click"), line.headers["Content-Type"] == "application/json"
    reader = Reader(rules, RECEIVED_MS)
    page = json.loads(line.body) if is_json else (read_click if is_click else read_form)(line.body)
    if isinstance(page, Rejection):
        return page
    user = user_of(page, None, rules)
    if is_click:
        return [reader.read(clicked_element(page, user, rules))]
    data = read_data(page.pop("data", None), 5_000)
    if isinstance(data, Rejection):
        return data
    return [reader.read(shown_element(value, page, user, rules)) for value in data]


@pytest.mark.parametrize("line", PARSED, ids=lambda line: f"{line.number}")
def test_request_becomes_what_the_document_says(line: Line, customers: Customers) -> None:
    outcomes = outcomes_of(line, customers)
    if isinstance(outcomes, list) and line.results is not None:
        told = [each.code if isinstance(each, Rejection) else "accepted" for each in outcomes]
        assert told == list(line.results), line.where
    elif isinstance(outcomes, list) and len(outcomes) == 1 and isinstance(outcomes[0], Rejection):
        outcomes = outcomes[0]
    if isinstance(outcomes, Rejection):
        assert (outcomes.code, outcomes.status) == (line.code, line.status), line.where
        assert line.parameter in (None, outcomes.parameter), line.where
        return
    assert line.code is None, line.where
    accepted = [each for each in joined(outcomes)[0] if isinstance(each, Accepted)]
    records = [with_defaults(json.loads(encode(each.event))) for each in accepted]
    assert records == line.expected(NOW_MS, RECEIVED_MS), line.where
    assert {each.topic for each in accepted} <= {line.topic}, line.where


def test_the_file_has_every_event_alias_prefix_and_code_of_the_parser() -> None:
    targets = [line.target(NOW_MS).split("/") for line in LINES]
    assert {target[3] for target in targets if len(target) > 3} >= {*TRACKER_EVENTS, *ALIASES}
    assert {target[1] for target in targets} >= PREFIXES
    codes = Counter(line.code for line in LINES)
    said_by_others = {  # their tests are in tests/unit/app/collector
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
    known = (
        "requirements: ",
        "video tracking article, ",
        "tracker manual, ",
        "shipped client, ",
        *sections(),
    )
    assert not [line.where for line in LINES if not line.source.startswith(known)]


def sections() -> list[str]:
    """Return how a line cites a section of our pages: ``docs/events.md, Time: ``."""
    return [
        f"docs/{name}, {heading}: "
        for name in ("http-api.md", "events.md")
        for heading in re.findall(
            r"^#+ (.+)$", (ROOT / "docs" / name).read_text(encoding="utf-8"), re.MULTILINE
        )
    ]
