"""The committed JSON Schemas are those of the code, and accept the records that a worker accepts."""

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from referencing import Registry, Resource

from app.published import json_schemas
from app.published.asyncapi import document
from events.codec import UndecodableError, decode, encode
from events.model import RECORDS
from tables.ctr.window_keys import WindowKey
from tables.ctr.windows import WindowState, encode_record
from tables.declare import TOPICS
from tests.support import builders
from tests.support.builders import a_bots, a_buy, a_click, a_clickrecommended, a_recommended, a_rendered

DOCS = Path(__file__).parents[4] / "docs"
STALE = "out of date: run `make schemas`, and look at the difference"
FILES = json_schemas.files()
DOCUMENT = document()
REGISTRY: Registry[Any] = Registry().with_resources(
    (name, Resource.from_contents(schema)) for name, schema in FILES.items()
)


def problems(value: object, schema: str) -> list[str]:
    validator = Draft7Validator(FILES[schema], registry=REGISTRY)
    return [error.message for error in validator.iter_errors(value)]


def a(name: str) -> Any:
    article = "an" if name[0] in "aeiou" else "a"
    return getattr(builders, f"{article}_{name}")()


def test_files_are_those_of_the_code() -> None:
    committed = {path.name: path.read_text(encoding="utf-8") for path in (DOCS / "schemas").iterdir()}
    assert committed == {name: json_schemas.text(schema) for name, schema in FILES.items()}, STALE
    assert (DOCS / "asyncapi.json").read_text(encoding="utf-8") == json_schemas.text(DOCUMENT), STALE


@pytest.mark.parametrize("name", sorted(FILES))
def test_schema_is_one(name: str) -> None:
    Draft7Validator.check_schema(FILES[name])


@pytest.mark.parametrize("name", RECORDS)
def test_schema_takes_what_the_collector_writes(name: str) -> None:
    value = json.loads(encode(a(name)))
    assert problems(value, f"{name}.json") == []
    assert problems(value, "event.json") == []


@pytest.mark.parametrize("quantity", [1, 2, Decimal("0.5"), Decimal("0.000001"), 10**9])
def test_schema_takes_units_whole_or_not(quantity: int | Decimal) -> None:
    raw = encode(a_buy(quantity=quantity))
    assert decode(raw).quantity == quantity  # type: ignore[union-attr]
    for read in (json.loads(raw), json.loads(raw, parse_float=Decimal)):
        assert problems(read, "event.json") == []


@pytest.mark.parametrize("name", RECORDS)
def test_schema_takes_every_field_of_the_event_and_requires_what_the_worker_requires(name: str) -> None:
    schema = FILES[f"{name}.json"]
    assert schema["properties"].keys() == {"type", *RECORDS[name].__struct_fields__}
    value = json.loads(encode(a(name)))
    for field in schema["required"]:
        without = {key: each for key, each in value.items() if key != field}
        assert problems(without, f"{name}.json")
        with pytest.raises(UndecodableError):
            decode(json.dumps(without).encode())


@pytest.mark.parametrize(
    ("event", "changes"),
    [
        (a_click(), {"type": "clic"}),
        (a_click(), {"item": 7}),
        (a_click(), {"item": "x" * 257}),
        (a_click(), {"itemtype": -1}),
        (a_click(), {"v": 2}),
        (a_click(), {"time_ms": -1}),
        (a_click(), {"rank": 1_000_001}),
        (a_click(), {"properties": {"a": 1}}),
        (a_buy(), {"quantity": 0}),
        (a_buy(), {"quantity": -0.5}),
        (a_buy(), {"quantity": 1_000_000_000.5}),
        (a_buy(), {"quantity": "two"}),
        (a_buy(), {"price": "12,50"}),
        (a_buy(), {"currency": "EURO"}),
        (a_rendered(), {"items": "7"}),
        (a_rendered(), {"items": ["7"] * 5_001}),
        (a_recommended(), {"lists": [{"items": [1]}]}),
        (a_bots(), {"user": builders.USER}),
        (a_bots(), {"counts": [{"events": 0}]}),
    ],
)
def test_schema_refuses_what_the_worker_refuses(event: Any, changes: dict[str, Any]) -> None:
    value = json.loads(encode(event)) | changes
    assert problems(value, "event.json")
    with pytest.raises(UndecodableError):
        decode(json.dumps(value).encode())


def test_price_without_a_currency_is_refused_by_both() -> None:
    value = json.loads(encode(a_buy()))
    del value["currency"]
    assert problems(value, "buy.json")
    with pytest.raises(UndecodableError):
        decode(json.dumps(value).encode())


def test_unknown_and_absent_fields_are_taken_by_both() -> None:
    value = json.loads(encode(a_clickrecommended())) | {"new_field": 1, "scenario": None, "rank": None}
    assert problems(value, "event.json") == []
    assert decode(json.dumps(value).encode()).scenario is None  # type: ignore[union-attr]


def test_window_schema_takes_a_window() -> None:
    key = WindowKey("00000", "home", "scenario", "minute", 0)
    state = WindowState()
    state.counts.revenue["EUR"] = Decimal("1.50")
    value = json.loads(encode_record(key, state))
    assert problems(value, "window.json") == []
    assert problems(value | {"final": "yes"}, "window.json")


def test_patterns_are_those_that_every_language_reads() -> None:
    everything = json.dumps([FILES, DOCUMENT])
    assert not re.search(r"\\\\[AZ]|\(\?P", everything)


# --- AsyncAPI -------------------------------------------------------------------------------------------------------------------------


def resolved(reference: str) -> Any:
    found: Any = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def references(part: Any) -> list[str]:
    if isinstance(part, dict):
        return (
            [part["$ref"]] if "$ref" in part else [ref for each in part.values() for ref in references(each)]
        )
    return [ref for each in part for ref in references(each)] if isinstance(part, list) else []


def test_references_of_the_asyncapi_document_resolve() -> None:
    found = references(DOCUMENT)
    assert len(found) > 2 * len(RECORDS)
    for reference in found:
        assert resolved(reference)


def test_asyncapi_document_has_the_parts_that_the_standard_requires() -> None:
    """The official parser (npm, @asyncapi/parser 3) accepts the document; it is not among our dependencies."""
    found = DOCUMENT
    assert found["asyncapi"].startswith("3.")
    assert {"title", "version"} <= found["info"].keys()
    for server in found["servers"].values():
        assert {"host", "protocol"} <= server.keys()
    for operation in found["operations"].values():
        assert operation["action"] in ("send", "receive")
        assert operation["channel"]["$ref"].removeprefix("#/channels/") in found["channels"]
    assert {operation["channel"]["$ref"] for operation in found["operations"].values()} == {
        f"#/channels/{name}" for name in found["channels"]
    }


def test_asyncapi_document_has_the_topics_as_they_are_kept_with_all_events() -> None:
    topics = {topic.name: topic for topic in TOPICS}
    channels = {channel["address"]: channel for channel in DOCUMENT["channels"].values()}
    assert channels.keys() == {"uptake.events", "uptake.events.history", "uptake.ctr.windows"}
    for name, channel in channels.items():
        binding = channel["bindings"]["kafka"]
        assert binding["topicConfiguration"]["cleanup.policy"] == [topics[name].cleanup]
        assert binding["topicConfiguration"].get("retention.ms") == topics[name].retention_ms
    assert channels["uptake.events"]["messages"].keys() == RECORDS.keys()


def test_key_of_the_asyncapi_document_fits_the_keys_that_we_write() -> None:
    pattern = DOCUMENT["components"]["messages"]["click"]["bindings"]["kafka"]["key"]["pattern"]
    for key in ("00000|k1.4ps7pergoegq6hgqvvri3455pi", "00000|~7", f"shop.de|k-2.{'a' * 26}"):
        assert re.search(pattern, key)
    for key in ("00000", "|k1.a", "00000|", "00000|k1.ä", "00000|k1.a", "00000|max"):
        assert not re.search(pattern, key)
