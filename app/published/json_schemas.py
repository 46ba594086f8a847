"""JSON Schemas of every event and of windows for other programs, generated from events/model.py.

After a change of the model, `make schemas` writes docs/schemas/ and docs/asyncapi.json; a test compares them with the code.
The schemas are of draft 07, on which AsyncAPI builds.
"""

from typing import Any, Final

import msgspec

from events.model import EVENT_VERSION, NO_PROFILE_USER, RECORDS, BotEvents, EventBase, RecommendedList
from events.pseudonym import PSEUDONYM_PATTERN
from tables.ctr.windows import WindowRecord

_DRAFT: Final = "http://json-schema.org/draft-07/schema#"
LIST_NAME: Final = "RecommendedList"

# Checks of events/codec.py that the types of Python cannot express.
_CUSTOMER: Final = {"type": "string", "pattern": "^[!-{}~]{1,200}$"}
_USER: Final = {"type": "string", "pattern": f"^({PSEUDONYM_PATTERN}|{NO_PROFILE_USER})$"}
_PRICE: Final = {
    "type": "string",
    "pattern": "^[0-9]{1,12}(\\.[0-9]{1,12})?$",
    "description": "of one item, decimal; with a currency",
}
_QUANTITY: Final = {
    "type": "number",
    "exclusiveMinimum": 0,
    "maximum": 1_000_000_000,
    "default": 1,
    "description": "units, with at most 6 decimals",
}
_WRITTEN: Final[dict[str, dict[str, Any]]] = {
    "customer": {**_CUSTOMER, "description": "the customer of the event; printable ASCII without |"},
    "user": {**_USER, "description": "{key id}.{pseudonym}, never a raw id; ~ without a user"},
    "previous_user": {
        "type": "string",
        "pattern": f"^{PSEUDONYM_PATTERN}$",
        "description": "the pseudonym under the former key, while a key rotates",
    },
    "target": {**_USER, "description": "the pseudonym of the user that `user` turned out to be"},
    "v": {"const": EVENT_VERSION, "default": EVENT_VERSION, "description": "version of the format"},
    "price": _PRICE,
    "quantity": _QUANTITY,
}
_DESCRIPTIONS: Final = {
    "time_ms": "when it happened, ms since 1970 UTC; 0 or absent: when the broker received it",
    "received_ms": "when the collector received it; omit it when you write to Kafka yourself",
    "eid": "your own id of this event; use the same one when you send the event again",
    "created_ms": "the client's clock when it happened; kept, not used",
    "sent_ms": "the client's clock when it was sent; kept, not used",
    "is_clamped": "the client's time was outside the 24 hours before receipt",
    "row": "position of the list, from 0",
    "rank": "position of the first item, from 0",
    "properties": "other data, each a name and a text",
    "request_id": "the id of the recommendation call",
}


def event_schemas() -> dict[str, dict[str, Any]]:
    """Return the schema of each record of the journal by its name.

    References to ``#/definitions/RecommendedList`` stand for lists.
    """
    return {name: _event_schema(event) for name, event in RECORDS.items()}


def list_schema() -> dict[str, Any]:
    """Return the schema of one list of a ``recommended`` event."""
    return _schemas([RecommendedList])[LIST_NAME]


def window_schema() -> dict[str, Any]:
    """Return the schema of a record of ``uptake.ctr.windows``; it has no references."""
    found = _schemas([WindowRecord])
    schema = found.pop("WindowRecord")
    inlined: dict[str, Any] = _inlined(schema, found)
    return inlined


def files() -> dict[str, dict[str, Any]]:
    """Return the content of each file in docs/schemas by its name: one per event, one for any event, one for windows."""
    listed = list_schema()
    every: dict[str, dict[str, Any]] = {}
    for name, schema in event_schemas().items():
        with_lists = {"definitions": {LIST_NAME: listed}} if LIST_NAME in repr(schema) else {}
        every[f"{name}.json"] = {"$schema": _DRAFT, **schema, **with_lists}
    any_event = {
        "$schema": _DRAFT,
        "title": "Event",
        "description": "Any event of the journal.",
        "oneOf": [{"$ref": name} for name in every],
    }
    return every | {"event.json": any_event, "window.json": {"$schema": _DRAFT, **window_schema()}}


def text(document: dict[str, Any]) -> str:
    """Return a document as the text of its file."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def _event_schema(event: type[EventBase]) -> dict[str, Any]:
    found = _schemas([event])
    schema = found.pop(event.__name__)
    if event is BotEvents:
        schema = _inlined(schema, found)
    properties = schema["properties"]
    for name, own in properties.items():
        if name in _WRITTEN:
            is_optional = own.get("default", "") is None
            written = _WRITTEN[name]
            properties[name] = (
                {**written, "type": [written["type"], "null"], "default": None} if is_optional else written
            )
        elif name in _DESCRIPTIONS:
            properties[name] = {**own, "description": _DESCRIPTIONS[name]}
    if event is BotEvents:
        properties["user"] = {"const": NO_PROFILE_USER, "description": "nothing is known of who sent them"}
    if "price" in properties:
        schema["dependencies"] = {"price": ["currency"]}
    return schema


def _schemas(types: list[type]) -> dict[str, dict[str, Any]]:
    _, components = msgspec.json.schema_components(types, ref_template="#/definitions/{name}")
    portable: dict[str, dict[str, Any]] = _portable(components)
    return portable


def _portable(part: Any) -> Any:
    """Return a schema for other languages: in patterns they write ``$`` for the end of a text, Python a backslash and Z."""
    if isinstance(part, dict):
        return {
            name: value.replace("\\Z", "$") if name == "pattern" else _portable(value)
            for name, value in part.items()
        }
    return [_portable(each) for each in part] if isinstance(part, list) else part


def _inlined(part: Any, found: dict[str, dict[str, Any]]) -> Any:
    if isinstance(part, dict):
        if "$ref" in part:
            return _inlined(found[part["$ref"].rpartition("/")[2]], found)
        return {name: _inlined(value, found) for name, value in part.items()}
    return [_inlined(each, found) for each in part] if isinstance(part, list) else part
