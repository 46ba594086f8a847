"""The part of the OpenAPI document about JSON bodies: batches of events, and video pages."""

from typing import Any, Final, get_args

from app.collector.bots import BotKind
from app.collector.endpoints import CLICKED, JSON_EVENTS, SHOWN
from app.published.asyncapi import moved
from app.published.json_schemas import LIST_NAME, event_schemas, list_schema
from events.model import EVENTS
from events.rejections import STATUS
from events.target import DEBUG
from events.wire_fields import WIRE_FIELDS
from events.wire_values import CONSENT, ValueKind

Schema = dict[str, Any]

SET_HERE: Final = frozenset(
    [field.name for field in WIRE_FIELDS if field.value.kind is ValueKind.SET_BY_COLLECTOR]
)
"""Fields of a record that the collector sets."""

_RAW_USER: Final = {
    "type": ["string", "integer"],
    "description": "as the site calls the user; `not_defined` for no user",
}
_RAW_FIELDS: Final = frozenset(
    [field.name for field in WIRE_FIELDS if field.is_in_json and field.value.kind is ValueKind.USER]
)
_ELEMENT: Final = "Event"
_FORM: Final = "application/x-www-form-urlencoded"
_PRESENTATION: Final[Schema] = {
    "type": "object",
    "description": "one item that was shown; what else is there is kept",
    "required": ["video_id"],
    "properties": {
        "time": {"type": "integer", "description": "the page's clock, ms since 1970"},
        "request_id": {"type": "string"},
        "video_id": {"type": ["integer", "string"]},
        "track_id": {"type": ["integer", "string"], "description": "names the list"},
        "row": {"type": "integer", "minimum": 0, "description": "which carousel, from 0"},
        "rank": {"type": "integer", "minimum": 0, "description": "which place in it, from 0"},
        "location": {"type": "string"},
        "image_key": {"type": "string", "description": "the thumbnail under test"},
    },
}
_CLICK: Final[Schema] = {
    "type": "object",
    "description": "the page address, or its parts",
    "properties": {
        "url": {
            "type": "string",
            "description": "/watch/{video}?trackId={track}&tctx={row},{rank},{request_id}",
        },
        "video_id": {"type": ["integer", "string"]},
        "trackId": {"type": ["integer", "string"]},
        "tctx": {"type": "string"},
        "user": {"type": "string"},
    },
}
_SHOWN: Final[Schema] = {
    "type": "object",
    "properties": {
        "esn": {"type": ["string", "null"], "description": "the device, when there is no user"},
        "user": {"type": "string"},
        "data": {"type": "array", "items": {"$ref": "#/components/schemas/Presentation"}},
    },
}


RESULT: Final[Schema] = {"application/json": {"schema": {"$ref": "#/components/schemas/Result"}}}
"""The content of an answer to ``debug=1``."""
_DEBUG: Final[Schema] = {
    "name": DEBUG,
    "in": "query",
    "schema": {"enum": ["1"]},
    "description": "each result shows its event as it was recorded",
}


def schemas() -> Schema:
    """Return the schemas of the bodies and of the answers to them."""
    events = {name: _from_client(schema) for name, schema in event_schemas().items() if name in EVENTS}
    return {
        **events,
        LIST_NAME: list_schema(),
        _ELEMENT: {"oneOf": [{"$ref": f"#/components/schemas/{name}"} for name in events]},
        "Presentation": _PRESENTATION,
        "Result": _result(),
        "Results": _results(),
    }


def paths() -> Schema:
    """Return the paths of the native endpoints and of video pages."""
    customer = {"name": "customer", "in": "path", "required": True, "schema": {"type": "string"}}
    found: Schema = {
        f"/v1/{{customer}}/{name}": {"parameters": [customer, _DEBUG], "post": _native(name, event)}
        for name, event in JSON_EVENTS.items()
    }
    query = {"name": "customer", "in": "query", "schema": {"type": "string"}, "description": "or HTTP Basic"}
    for path, said, schema in (
        (SHOWN, "What a page of carousels showed", _SHOWN),
        (CLICKED, "The click that follows", _CLICK),
    ):
        content = {"application/json": {"schema": schema}, _FORM: {"schema": schema}}
        name = path.rpartition("/")[2]
        found[path] = {"parameters": [query, _DEBUG], "post": _operation(name, said, content)}
    return found


def _native(name: str, event: str | None) -> Schema:
    element = {"$ref": f"#/components/schemas/{event or _ELEMENT}"}
    many = {"schema": {"type": "array", "items": element}}
    content = {
        "application/json": many if event is None else {"schema": {"anyOf": [element, many["schema"]]}},
        "text/plain": {"schema": {"type": "string", "description": "the same, as sendBeacon sends it"}},
        "application/x-ndjson": {"schema": {"type": "string", "description": "one event a line"}},
    }
    return _operation(name, f"Many events in one body: {name}", content)


def _operation(name: str, said: str, content: Schema) -> Schema:
    problem = {"$ref": "#/components/schemas/Problem"}
    either = {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in ("Results", "Result")]}
    results = {"application/json": {"schema": either}}
    refused = {"text/plain": {"schema": {"type": "string"}}, "application/problem+json": {"schema": problem}}
    answers: Schema = {
        "200": {
            "description": "A result for each element, in order",
            "content": {**results, "image/gif": {}},
        },
        "204": {"description": "A single one, or a form: all of it is durable"},
    }
    for status in sorted(set(STATUS.values())):
        codes = ", ".join(sorted(code for code, its in STATUS.items() if its == status))
        answers[str(status)] = {
            "description": codes,
            "content": {**refused, **results},
        }
    return {
        "operationId": f"post-{name}",
        "summary": said,
        "security": [{}, {"customer": []}],
        "requestBody": {"required": True, "content": content},
        "responses": answers,
    }


def _from_client(schema: Schema) -> Schema:
    """Return the schema of an event as a client writes it: with raw users, and without the fields that the collector sets."""
    fields = {
        name: _RAW_USER if name in _RAW_FIELDS else field
        for name, field in schema["properties"].items()
        if name not in SET_HERE
    }
    fields["customer"] = {"type": "string", "description": "when given: that of the path"}
    fields["consent"] = {"enum": list(CONSENT.choices), "description": "`none`: the event builds no profile"}
    required = [name for name in schema.get("required", ()) if name != "customer"]
    changed: Schema = moved({**schema, "properties": fields, "required": required})
    return changed


def _result() -> Schema:
    return {
        "type": "object",
        "required": ["status"],
        "properties": {
            "status": {"enum": ["accepted", "rejected"]},
            "code": {"enum": sorted(STATUS)},
            "reason": {"type": "string", "description": "for people"},
            "parameter": {"type": "string"},
            "retry": {"type": "boolean", "description": "whether it may be sent again as it is"},
            "event": {
                "type": ["object", "null"],
                "description": "for `debug=1`: the record in Kafka, with a pseudonym; null if there was nothing to record",
            },
            "bot": {
                "enum": list(get_args(BotKind)),
                "description": "why the event was only counted: no person sent it",
            },
            "topic": {"type": "string", "description": "of the record"},
            "left_out": {
                "type": "array",
                "items": {"type": "string"},
                "description": "what the event was recorded without",
            },
        },
    }


def _results() -> Schema:
    return {
        "type": "object",
        "required": ["accepted", "rejected", "results"],
        "properties": {
            "accepted": {"type": "integer"},
            "rejected": {"type": "integer"},
            "results": {"type": "array", "items": {"$ref": "#/components/schemas/Result"}},
        },
    }
