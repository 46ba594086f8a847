"""S2: hypothesis sends generated requests to every endpoint: none is answered 5xx, accepted events are recorded once.

Schemathesis does the same from the OpenAPI document that the collector serves; the document must name each answer.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app.collector.endpoints import CLICKED, JSON_EVENTS, SHOWN
from events.codec import decode, encode
from events.model import EVENTS
from events.rejections import STATUS
from events.target import build_target
from events.tracker import TRACKER_EVENTS
from tests.faults.ledger import Outcome
from tests.support import fuzz, fuzz_json
from tests.support.golden import CUSTOMERS_TOML
from tests.support.live_collector import KeptConnection, LiveCollector, live_collector
from tests.support.tracker import RECEIVED_MS, RULES, event_of

pytestmark = [pytest.mark.broker, pytest.mark.fault("S2"), pytest.mark.timeout(1_200)]

ENDPOINTS: dict[str, st.SearchStrategy[fuzz.Request]] = {
    "tracker": fuzz.tracker_requests(),
    **{name: fuzz_json.native_requests(name, kind) for name, kind in JSON_EVENTS.items()},
    "presentationtracking": fuzz_json.page_requests(SHOWN),
    "watch click": fuzz_json.page_requests(CLICKED),
}
DOCUMENTED = {*STATUS.values()} - {500} | {200, 204}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def collector(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveCollector]:
    with live_collector(kafka, tmp_path_factory.mktemp("fuzz"), CUSTOMERS_TOML) as started:
        yield started


@pytest.fixture(scope="session")
def cases(is_long: bool) -> int:
    return 10_000 if is_long else 150


def drawn(cases: int, strategy: st.SearchStrategy[Any], check: Callable[[Any], None]) -> None:
    """Check ``cases`` values, the same ones in every run."""

    @settings(
        max_examples=cases,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def each(value: Any) -> None:
        check(value)

    each()


def accepted(collector: LiveCollector) -> int:
    """Return the collector's own count of accepted events."""
    page = collector.ask("GET /metrics").body.decode()
    return sum(
        int(float(count))
        for count in re.findall(r"^uptake_collector_accepted_total{.*} (.+)$", page, re.MULTILINE)
    )


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_no_request_is_answered_5xx(collector: LiveCollector, cases: int, endpoint: str) -> None:
    statuses: Counter[int] = Counter()
    before, recorded_before = accepted(collector), len(collector.records())
    with KeptConnection(collector) as connection:

        def check(request: fuzz.Request) -> None:
            answer = connection.ask(request.wire(), has_no_body=request.method == "HEAD")
            statuses[answer.status] += 1
            assert answer.status in DOCUMENTED, (request, answer)
            assert answer.status < 500, (request, answer)
            assert "Set-Cookie" not in answer.headers

        drawn(cases, ENDPOINTS[endpoint], check)
    taken = accepted(collector) - before
    difference = len(collector.records()) - recorded_before - taken
    Outcome(
        fault=f"S2 {endpoint}",
        sent=statuses.total(),
        lost=max(-difference, 0),
        doubled=max(difference, 0),
        effect={"accepted": taken, "refused": sum(n for status, n in statuses.items() if status >= 400)},
        more={"server_errors": sum(n for status, n in statuses.items() if status >= 500)},
    ).must_be_exact()
    assert "Traceback" not in collector.log.read_text()


def test_what_is_built_is_parsed_back(cases: int) -> None:
    names: Counter[str] = Counter()

    def check(drawn_event: tuple[str, tuple[list[str], dict[str, str], dict[str, Any]]]) -> None:
        name, (segments, params, said) = drawn_event
        pseudonyms = {field: RULES.user(said[field]) for field in ("user", "target") if field in said}
        times = {"time_ms": RECEIVED_MS, "received_ms": RECEIVED_MS}
        event = event_of(build_target("00000", name, segments, params))
        assert event == EVENTS[name](customer="00000", **times, **{**said, **pseudonyms})
        assert decode(encode(event)) == event
        names[name] += 1

    named = st.sampled_from(TRACKER_EVENTS).flatmap(lambda name: st.tuples(st.just(name), fuzz.events(name)))
    drawn(cases, named, check)
    print(f"S2 parse(build(x)) == x: cases {names.total()} events {len(names)}")
    assert len(names) > len(TRACKER_EVENTS) // 2


def known_customers(document: dict[str, Any]) -> dict[str, Any]:
    """Restrict the document to the test's customers; for any others, schemathesis would only see 404."""
    for item in document["paths"].values():
        for parameter in item.get("parameters", ()):
            if parameter["name"] == "customer":
                parameter["schema"] = {"enum": ["00000", "types", "numbers"]}
    return document


def test_every_answer_is_one_that_the_document_names(collector: LiveCollector, is_long: bool) -> None:
    schema = schemathesis.openapi.from_dict(
        known_customers(requests.get(f"{collector.url}/openapi.json", timeout=30).json())
    )
    operations = [found.ok() for found in schema.get_all_operations()]
    statuses: Counter[int] = Counter()
    for operation in operations:
        with requests.Session() as session:

            def check(case: Any, session: requests.Session = session) -> None:
                response = case.call(base_url=collector.url, session=session)
                statuses[response.status_code] += 1
                case.validate_response(response, checks=CHECKS)

            strategy = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
            drawn(10_000 // len(operations) if is_long else 2, strategy, check)
    Outcome(
        fault="S2 openapi",
        sent=statuses.total(),
        lost=0,
        doubled=0,
        effect={"operations": len(operations), "accepted": statuses[200] + statuses[204]},
        more={"server_errors": sum(n for status, n in statuses.items() if status >= 500)},
    ).must_be_exact()
