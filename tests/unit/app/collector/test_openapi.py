"""The OpenAPI document matches the code: paths, parameters, bounds, codes and statuses are each tried out."""

import json
import re
from typing import Any

import pytest

from app.collector.endpoints import JSON_EVENTS, PRESENTATIONS, REFUSED
from app.collector.openapi import OPERATOR_PAGES, codes_of, document
from app.collector.openapi_json import SET_HERE
from app.collector.openapi_parameters import COMMON, OWN, PATH, REQUIRED
from app.collector.static_files import BUILT_IN, SCRIPTS
from events.json_events import Reader
from events.model import ALIASES, EVENTS
from events.rejections import STATUS, Rejection
from events.signature import sign
from events.target import PREFIXES, build_target
from events.tracker import TRACKER_EVENTS, TRACKER_PATHS, Accepted
from events.wire_fields import COMMON_FIELDS, own_fields_of
from tests.support.tracker import LICENSE_KEY, RECEIVED_MS, RULES, event_of, report

DOCUMENT = document()
TRACKER = {path: item for path, item in DOCUMENT["paths"].items() if path.startswith("/{prefix}/")}
EVERY_PARAMETER = {**COMMON, **{name: each for own in OWN.values() for name, each in own.items()}}
GOOD = {
    "consent": "yes",
    "created": "1600000000000",
    "sent": "1600000000000",
    "row": "0",
    "rank": "0",
    "percentage": "7",
    "rating": "7",
    "quantity": "7",
    "fullprice": "1.50EUR",
    "price": "150",
    "currency": "EUR",
}


def segments_of(event: str) -> tuple[str, ...]:
    if event == "triggeropened":
        return ("u",)
    return ("u", "v") if event == "login" else ("u", "1", "5")


async def test_served_document_is_the_generated_one(collector: Any) -> None:
    response = await collector.get("/openapi.json")
    assert (response.status, response.content_type) == (200, "application/json")
    assert await response.json() == json.loads(json.dumps(DOCUMENT))


async def test_every_page_for_operators_is_served_as_documented(collector: Any) -> None:
    pages = {path for path, item in DOCUMENT["paths"].items() if "post" not in item}
    assert pages == {*OPERATOR_PAGES, *SCRIPTS, *BUILT_IN, REFUSED}
    for path, (_, media_type) in OPERATOR_PAGES.items():
        response = await collector.get(path)
        assert (response.status, response.content_type) == (200, media_type)


def test_every_event_and_alias_has_its_path() -> None:
    expected = {
        f"/{{prefix}}/{{customer}}/{name}/{TRACKER_PATHS[ALIASES.get(name, name)].replace('{item[,item]}', '{items}')}"
        for name in (*TRACKER_EVENTS, *ALIASES)
    }
    assert TRACKER.keys() == expected


def test_every_place_in_a_path_is_described() -> None:
    for path, item in TRACKER.items():
        described = [each["name"] for each in item["parameters"]]
        assert described == re.findall(r"{(\w+)}", path)
        assert all(each["required"] for each in item["parameters"])
        assert set(described) <= {"prefix", "customer", *PATH}
        assert item["parameters"][0]["schema"]["enum"] == sorted(PREFIXES)


@pytest.mark.parametrize("path", TRACKER)
def test_every_path_has_the_parameters_of_the_table_and_no_other(path: str) -> None:
    event = path.split("/")[3]
    fields = (*COMMON_FIELDS, *own_fields_of(EVENTS[ALIASES.get(event, event)]))
    expected = {name for field in fields if not field.is_in_path for name in field.tracker_names}
    for method in ("get", "post", "head"):
        assert {each["name"] for each in TRACKER[path][method]["parameters"]} == expected
    form = TRACKER[path]["post"]["requestBody"]["content"]["application/x-www-form-urlencoded"]
    assert form["schema"]["properties"].keys() == expected


@pytest.mark.parametrize("event", TRACKER_EVENTS)
@pytest.mark.parametrize("name", EVERY_PARAMETER)
def test_a_parameter_is_taken_by_the_events_that_list_it_and_a_property_of_others(
    event: str, name: str
) -> None:
    if name in ("overridetimestamp", "signature"):
        return  # another test covers these
    params = {name: GOOD.get(name, "w")}
    if event == "rate":
        params.setdefault("rating", "7")
    properties = event_of(build_target("00000", event, segments_of(event), params)).properties or {}
    is_listed = name in COMMON or name in OWN[event]
    assert (name not in properties) == is_listed


@pytest.mark.parametrize("event", TRACKER_EVENTS)
def test_every_event_takes_a_signed_time(event: str) -> None:
    params = {"overridetimestamp": "2012-01-01T11:00:00", "rating": "7"}
    params["signature"] = sign(segments_of(event)[1:], LICENSE_KEY, params)
    assert event_of(build_target("00000", event, segments_of(event), params)).time_ms == 1_325_415_600_000


@pytest.mark.parametrize(
    "name", [name for name, (schema, _) in EVERY_PARAMETER.items() if "maximum" in schema]
)
def test_bounds_of_numbers_are_those_of_the_parser(name: str) -> None:
    schema, _ = EVERY_PARAMETER[name]
    event = next((event for event, own in OWN.items() if name in own), "click")
    at_least = schema["minimum"] if "minimum" in schema else schema["exclusiveMinimum"] + 1
    values = [
        (at_least, True),
        (schema["maximum"], True),
        (at_least - 1, False),
        (schema["maximum"] + 1, False),
    ]
    if schema["type"] == "number":
        values += [(0.5, True), (schema["maximum"] + 0.5, False)]
    for value, is_taken in values:
        outcome = report(build_target("00000", event, segments_of(event), {name: str(value)}))
        assert isinstance(outcome, Accepted) == is_taken, (name, value)


@pytest.mark.parametrize(
    "name", [name for name, (schema, _) in EVERY_PARAMETER.items() if "maxLength" in schema]
)
def test_bounds_of_words_are_those_of_the_parser(name: str) -> None:
    schema, _ = EVERY_PARAMETER[name]
    event = next((event for event, own in OWN.items() if name in own), "click")
    for length, is_taken in [(schema["maxLength"], True), (schema["maxLength"] + 1, False)]:
        params = {name: "w" * length, "rating": "7"}
        assert (
            isinstance(report(build_target("00000", event, segments_of(event), params)), Accepted) == is_taken
        )


def test_what_is_required_is_required() -> None:
    for event in TRACKER_EVENTS:
        outcome = report(build_target("00000", event, segments_of(event)))
        assert isinstance(outcome, Rejection) == bool(REQUIRED & OWN[event].keys()), event


def test_every_status_and_code_of_a_rejection_is_documented() -> None:
    said = {
        int(status): set(answer["description"].split(", "))
        for item in TRACKER.values()
        for status, answer in item["get"]["responses"].items()
        if int(status) >= 400
    }
    assert {code for codes in said.values() for code in codes} >= STATUS.keys() - {"method_not_allowed"}
    assert all(codes == set(codes_of(status)) for status, codes in said.items())
    problem = DOCUMENT["components"]["schemas"]["Problem"]
    assert problem["properties"]["code"]["enum"] == sorted(STATUS)


# --- JSON -----------------------------------------------------------------------------------------------------------------------------


def test_every_endpoint_that_takes_json_is_described() -> None:
    described = {path for path, item in DOCUMENT["paths"].items() if "post" in item and path not in TRACKER}
    assert described == {f"/v1/{{customer}}/{name}" for name in JSON_EVENTS} | PRESENTATIONS


def test_every_event_is_described_with_the_fields_that_a_client_gives() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert schemas.keys() >= EVENTS.keys()
    assert "bots" not in schemas  # no client sends it
    for name, event in EVENTS.items():
        described = schemas[name]
        assert described["properties"].keys() == set(event.__struct_fields__) - SET_HERE | {"type", "consent"}
        assert "customer" not in described["required"]


@pytest.mark.parametrize("field", sorted(SET_HERE))
def test_fields_that_are_left_out_are_refused(field: str) -> None:
    element = {"type": "login", "user": "u", "target": "v", field: 1}
    outcome = Reader(RULES, RECEIVED_MS).read(element)
    assert isinstance(outcome, Rejection)
    assert outcome.parameter == field


def test_every_reference_leads_to_a_schema() -> None:
    named = set(re.findall(r"'#/components/schemas/(\w+)'", repr(DOCUMENT)))
    assert named <= DOCUMENT["components"]["schemas"].keys()
    assert "#/definitions/" not in repr(DOCUMENT)
