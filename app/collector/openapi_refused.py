"""The part of the OpenAPI document about the page of refused requests, made from the struct of its entries."""

from typing import Any, Final

import msgspec

from app.collector.refusal_entries import RefusedRequest
from events.rejections import STATUS, UNREAD_REASONS

Schema = dict[str, Any]

_NAME: Final = "RefusedRequests"


def operation() -> Schema:
    """Return the path item."""
    page = {"application/json": {"schema": {"$ref": f"#/components/schemas/{_NAME}"}}}
    answers: Schema = {
        "200": {"description": "What this collector refused since it started", "content": page},
        "401": {"description": "The customer's API key is needed"},
        "404": {"description": "There is no such customer"},
    }
    customer = {"name": "customer", "in": "path", "required": True, "schema": {"type": "string"}}
    get = {
        "operationId": "refused",
        "summary": "The refused requests of a customer, without raw ids",
        "security": [{}, {"api_key": []}],
        "responses": answers,
    }
    return {"parameters": [customer], "get": get}


def schemas() -> Schema:
    """Return the schemas of the page."""
    (entry,), components = msgspec.json.schema_components(
        [RefusedRequest], ref_template="#/components/schemas/{name}"
    )
    counts = {"type": "object", "additionalProperties": {"type": "integer"}}
    page: Schema = {
        "type": "object",
        "required": ["customer", "since_ms", "refused", "recorded_without", "last"],
        "properties": {
            "customer": {"type": "string"},
            "since_ms": {"type": "integer", "description": "when the collector started"},
            "refused": {**counts, "propertyNames": {"enum": sorted(STATUS)}},
            "recorded_without": {**counts, "propertyNames": {"enum": sorted(UNREAD_REASONS)}},
            "last": {"type": "array", "items": entry, "description": "the newest first"},
        },
    }
    return {_NAME: page, **components}
