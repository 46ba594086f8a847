"""The AsyncAPI 3.0 document of the topics that other programs may write and read, with their keys and messages.

It is generated from our lists of topics and events. As AsyncAPI asks, it describes Uptake's side: it receives events and sends windows.
"""

from typing import Any, Final

from app.published.json_schemas import LIST_NAME, event_schemas, list_schema, window_schema
from events.model import NO_PROFILE_USER
from events.pseudonym import PSEUDONYM_PATTERN
from events.topics import HISTORY, JOURNAL, WINDOWS, Topic
from tables.declare import TOPICS

_ASYNCAPI: Final = "3.0.0"
_KAFKA_BINDING: Final = "0.5.0"

_USER_KEY: Final = {
    "type": "string",
    "pattern": f"^[!-{{}}~]{{1,200}}\\|({PSEUDONYM_PATTERN}|{NO_PROFILE_USER}[0-9]+)$",
    "description": "{customer}|{user}, ASCII; {customer}|~{number} for events without a user. Partitioner: murmur2, Java's default",
}
_WINDOW_KEY: Final = {
    "type": "string",
    "description": "customer, scenario, dimension, granularity, start (13 digits), variant, row, rank, joined by the byte 0x1f",
}
_CHANNELS: Final = {
    JOURNAL: ("events", "Live events. Everything one user does is in one partition, in order."),
    HISTORY: ("history", "Past events: any time_ms before now is accepted."),
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
            "description": "What users did with the items they were shown: events in, click-through rates out. "
            "docs/producing.md explains how to make the pseudonyms and choose the partition.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "local": {
                "host": "127.0.0.1:9092",
                "protocol": "kafka",
                "description": "The broker that `uptake up` starts.",
            }
        },
        "channels": {
            channel: _channel(topics[name], description, carried[name])
            for name, (channel, description) in _CHANNELS.items()
        },
        "operations": {
            "receiveEvents": _operation(
                "receive", "events", "Workers fold each event into the user's tables."
            ),
            "receiveHistory": _operation(
                "receive",
                "history",
                "Workers fold past events in the same way, in addition to the live events.",
            ),
            "sendWindows": _operation("send", "windows", "Windows while they fill, and when they are final."),
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
    """Return a schema whose references point to the schemas of this document."""
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


def _channel(topic: Topic, description: str, messages: list[str]) -> dict[str, Any]:
    settings: dict[str, Any] = {"cleanup.policy": [topic.cleanup]}
    if topic.retention_ms is not None:
        settings["retention.ms"] = topic.retention_ms
    return {
        "address": topic.name,
        "description": description,
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
