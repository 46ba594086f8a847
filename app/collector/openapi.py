"""The OpenAPI 3.1 document of the collector, made from the lists that the code itself uses."""

from typing import Any, Final

from app.collector import openapi_json, openapi_refused
from app.collector.endpoints import REFUSED
from app.collector.openapi_parameters import COMMON, OWN, PATH, REQUIRED
from app.collector.static_files import BUILT_IN, SCRIPTS
from events.model import ALIASES
from events.rejections import STATUS
from events.target import PREFIXES
from events.tracker import TRACKER_EVENTS, TRACKER_PATHS

Schema = dict[str, Any]

OPERATOR_PAGES: Final[dict[str, tuple[str, str]]] = {
    # path: (what it answers, media type)
    "/health/live": ("The process runs.", "text/plain"),
    "/health/ready": ("Whether events are accepted now; 503 lists the problems.", "application/json"),
    "/metrics": ("Prometheus metrics.", "text/plain"),
    "/openapi.json": ("This document.", "application/json"),
}

_METHODS: Final = ("get", "post", "head", "options")
_NOT_FROM_TRACKER: Final = frozenset(("method_not_allowed", "unknown_path"))
_NO_BODY: Final = frozenset(("get", "head", "options"))


def document() -> Schema:
    """Return the document."""
    paths: Schema = {path: _page(path) for path in OPERATOR_PAGES}
    paths |= {path: _static(path) for path in (*SCRIPTS, *BUILT_IN)}
    paths[REFUSED] = openapi_refused.operation()
    for name in (*TRACKER_EVENTS, *ALIASES):
        event = ALIASES.get(name, name)
        template = _template(TRACKER_PATHS[event])
        paths[f"/{{prefix}}/{{customer}}/{name}/{template}"] = _event(name, event)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Uptake collector",
            "version": "1",
            "description": "Accepts events of the tracker API. docs/http-api.md describes each parameter.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths | openapi_json.paths(),
        "components": {
            "schemas": {"Problem": _problem(), **openapi_json.schemas(), **openapi_refused.schemas()},
            "securitySchemes": {
                "customer": {"type": "http", "scheme": "basic"},
                "api_key": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def codes_of(status: int) -> list[str]:
    """Return the rejection codes that are answered with a status, sorted."""
    return sorted(code for code, its in STATUS.items() if its == status)


def _template(path: str) -> str:
    return path.replace("{item[,item]}", "{items}")


def _event(name: str, event: str) -> Schema:
    places = [segment.strip("{}") for segment in _template(TRACKER_PATHS[event]).split("/")]
    shared = [
        _in_path("prefix", {"type": "string", "enum": sorted(PREFIXES)}, "all mean the same"),
        _in_path(
            "customer", {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"}, "the customer's id, a string"
        ),
        *(_in_path(place, *PATH[place]) for place in places),
    ]
    own = {**COMMON, **OWN[event]}
    item: Schema = {"parameters": shared}
    for method in _METHODS:
        operation: Schema = {
            "operationId": f"{method}-{name}",
            "summary": _summary(method, name),
            "responses": _preflight() if method == "options" else _answers(method),
        }
        if method != "options":
            operation["parameters"] = [_in_query(each, *own[each], method) for each in own]
            operation["security"] = [{}, {"customer": []}]
        if name in ALIASES:
            operation["deprecated"] = True
        if method not in _NO_BODY:
            form = {
                "schema": {
                    "type": "object",
                    "properties": {each: schema for each, (schema, _) in own.items()},
                }
            }
            operation["requestBody"] = {"content": {"application/x-www-form-urlencoded": form}}
        item[method] = operation
    return item


def _summary(method: str, name: str) -> str:
    if method == "options":
        return "A browser's preflight"
    return f"Check a {name} and record nothing" if method == "head" else f"Report a {name}"


def _in_path(name: str, schema: Schema, said: str) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": schema, "description": said}


def _in_query(name: str, schema: Schema, said: str, method: str) -> Schema:
    parameter: Schema = {"name": name, "in": "query", "schema": schema, "description": said}
    if name in REQUIRED and method in _NO_BODY:  # a POST may have it in the body
        parameter["required"] = True
    return parameter


def _answers(method: str) -> Schema:
    script = {"application/javascript": {"schema": {"type": "string"}}}
    answers: Schema = {
        "200": {
            "description": "Accepted; with a 1x1 image for `Accept: image/...`, the JSONP script, or the result for `debug=1`",
            "content": {
                **script,
                **openapi_json.RESULT,
                **({} if method == "post" else {"image/gif": {"schema": {"type": "string"}}}),
            },
        },
        "204": {"description": "Accepted, and durable (or nothing to record)"},
    }
    for status in sorted({its for code, its in STATUS.items() if code not in _NOT_FROM_TRACKER}):
        answer: Schema = {"description": ", ".join(codes_of(status))}
        if method != "head":
            answer["content"] = {
                "text/plain": {"schema": {"type": "string"}},
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}},
                **script,
                **openapi_json.RESULT,
            }
        if status in (429, 503):
            answer["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}}
        answers[str(status)] = answer
    return answers


def _preflight() -> Schema:
    said: Schema = {"204": {"description": "The methods and headers that a page may send"}}
    for status in (400, 404):
        said[str(status)] = {
            "description": ", ".join(codes_of(status)),
            "content": {
                "text/plain": {"schema": {"type": "string"}},
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}},
            },
        }
    return said


def _page(path: str) -> Schema:
    said, kind = OPERATOR_PAGES[path]
    content = {kind: {"schema": {} if kind == "application/json" else {"type": "string"}}}
    answers: Schema = {"200": {"description": said, "content": content}}
    if path == "/metrics":
        answers["401"] = {"description": "The operators' key is needed"}
    if path == "/health/ready":
        answers["503"] = {"description": "Not ready", "content": content}
    name = path.strip("/").replace("/", "-").removesuffix(".json")
    return {"get": {"operationId": name, "summary": said, "responses": answers}}


def _static(path: str) -> Schema:
    name = path.rpartition("/")[2]
    said: Schema = {"description": "The file"}
    answers: Schema = {
        "200": said,
        "204": {"description": "It is empty"},
        "304": {"description": "You have it"},
    }
    answers["404"] = {"description": "There is no such file, or no such customer"}
    places = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    said_of = {"customer": "the customer's id", "plugin": "the plugin's id, if it has one"}
    operation: Schema = {
        "get": {
            "operationId": "-".join(("get", *places[1:], name)),
            "summary": f"The file {name}",
            "responses": answers,
        }
    }
    if places:
        operation["parameters"] = [_in_path(place, {"type": "string"}, said_of[place]) for place in places]
    return operation


def _problem() -> Schema:
    text = {"type": "string"}
    return {
        "type": "object",
        "description": "RFC 9457",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": text,
            "title": text,
            "status": {"type": "integer"},
            "detail": {
                "type": "string",
                "description": "for people: the parameter, its value and which values are valid",
            },
            "code": {"type": "string", "enum": sorted(STATUS)},
            "parameter": text,
            "value": text,
        },
    }
