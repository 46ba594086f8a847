"""Which topics may other programs write and read, with which keys and messages: the AsyncAPI 3.0 document, made from our lists.

Seen from Uptake, as AsyncAPI wants it: it receives events and sends windows.
"""

from typing import Any, Final

from app.published.json_schemas import LIST_NAME, event_schemas, list_schema, window_schema
from events.model import NO_PROFILE_USER
from events.topics import HISTORY, JOURNAL, WINDOWS, Topic
from tables.declare import TOPICS

_ASYNCAPI: Final = "3.0.0"
_KAFKA_BINDING: Final = "0.5.0"

_USER_KEY: Final = {
    "type": "string",
    "pattern": f"^[!-{{}}~]{{1,200}}\\|([!-~]{{1,200}}|{NO_PROFILE_USER}[0-9]+)$",
    "description": "{customer}|{user}, ASCII; for nobody's events {customer}|~{n}, n any number. Partitioner: murmur2, Java's default",
}
_WINDOW_KEY: Final = {
    "type": "string",
    "description": "customer, scenario, dimension, granularity, start (13 digits), variant, row, rank, joined by the byte 0x1f",
}
_CHANNELS: Final = {
    JOURNAL: ("events", "Live events. Everything one user does is in one partition, in order."),
    HISTORY: ("history", "Events of the past: any time_ms before now is taken."),
    WINDOWS: ("windows", "Click-through rates. Absolute: keep the last record of each key."),
}


def document() -> dict[str, Any]:
    """Return the AsyncAPI document of the topics that other programs write or read."""
    events = event_schemas()
    topics = {topic.name: topic for topic in TOPICS}
    messages = {name: _message(name, schema, _USER_KEY) for name, schema in events.items()}
    messages["window"] = _message("window", window_schema(), _WINDOW_KEY)
    carried = {JOURNAL: list(events), HISTORY: list(events), WINDOWS: ["window"]}
    return {
        "asyncapi": _ASYNCAPI,
        "info": {
            "title": "Uptake",
            "version": "1.0.0",
            "description": "What users did with what they were shown: events in, click-through rates out. "
            "docs/producing.md tells how to make the pseudonyms and choose the partition.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "local": {
                "host": "127.0.0.1:9092",
                "protocol": "kafka",
                "description": "What `uptake up` starts.",
            }
        },
        "channels": {
            channel: _channel(topics[name], told, carried[name])
            for name, (channel, told) in _CHANNELS.items()
        },
        "operations": {
            "receiveEvents": _operation(
                "receive", "events", "Workers fold each event into the user's tables."
            ),
            "receiveHistory": _operation("receive", "history", "The same, beside the live events."),
            "sendWindows": _operation("send", "windows", "Windows, while they fill and when they are final."),
        },
        "components": {
            "messages": messages,
            "schemas": _schemas(events),
        },
    }


def _schemas(events: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        name: moved(schema)
        for name, schema in {**events, "window": window_schema(), LIST_NAME: list_schema()}.items()
    }


def moved(part: Any) -> Any:
    """Return a schema whose references point to where this document keeps its schemas."""
    if isinstance(part, dict):
        return {
            name: value.replace("#/definitions/", "#/components/schemas/") if name == "$ref" else moved(value)
            for name, value in part.items()
        }
    return [moved(each) for each in part] if isinstance(part, list) else part


def _message(name: str, schema: dict[str, Any], key: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "title": schema["title"],
        "summary": schema["description"],
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{name}"},
        "bindings": {"kafka": {"key": key, "bindingVersion": _KAFKA_BINDING}},
    }


def _channel(topic: Topic, told: str, messages: list[str]) -> dict[str, Any]:
    settings: dict[str, Any] = {"cleanup.policy": [topic.cleanup]}
    if topic.retention_ms is not None:
        settings["retention.ms"] = topic.retention_ms
    return {
        "address": topic.name,
        "description": told,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "topicConfiguration": settings,
                "bindingVersion": _KAFKA_BINDING,
            }
        },
    }


def _operation(action: str, channel: str, summary: str) -> dict[str, Any]:
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "summary": summary}
