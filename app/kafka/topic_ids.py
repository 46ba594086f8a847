"""Topic ids: they show whether a topic is still the one that our state came from.

Kafka gives each topic an id when the topic is created, and another one when it is recreated.
aiokafka 0.14 requests an older version of the metadata, without ids. This module sends the request that has them.
"""

import logging
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Final

from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from app.base.errors import UptakeError
from app.kafka.clients import AIOKafkaClient

_log: Final = logging.getLogger(__name__)
_METADATA: Final = 3
_VERSION: Final = 10  # the first version with ids; brokers from 2.8 on support it
_NONE: Final = bytes(16)


class TopicRecreatedError(UptakeError):
    """Topics were deleted and recreated, but state that needs the former ones is left. ``topics`` has their names."""

    def __init__(self, partition: int, topics: Iterable[str], consequence: str) -> None:
        self.partition, self.topics = partition, sorted(topics)
        super().__init__(
            f"{', '.join(self.topics)}: recreated since partition {partition} was last flushed. {consequence} "
            "Restore the former topic, or start afresh: docs/operations.md says how"
        )


class _Uuid:
    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: Any) -> bytes:
        read: bytes = data.read(16)
        return read


class _Answer(Response):  # type: ignore[misc]  # aiokafka has no types
    API_KEY = _METADATA
    API_VERSION = _VERSION
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class _Question(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = _METADATA
    API_VERSION = _VERSION
    RESPONSE_TYPE = _Answer
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("topic_id", _Uuid), ("name", CompactString("utf-8")), ("tags", TaggedFields)),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _TopicIds(Request[_Question]):  # type: ignore[misc]
    API_KEY = _METADATA

    def __init__(self, names: Iterable[str]) -> None:
        self._topics: list[Any] = [(_NONE, name, {}) for name in names]

    def build(self, request_struct_class: Any) -> Any:
        return request_struct_class(self._topics, False, False, False, {})


async def read_topic_ids(bootstrap: str, names: Iterable[str]) -> dict[str, str]:
    """Return the current id of each topic that the broker knows. Empty for a broker before 2.8, which has no ids."""
    client = AIOKafkaClient(bootstrap_servers=bootstrap)
    try:
        await client.bootstrap()
        answer = await client.send(client.get_random_node(), _TopicIds(names))
    except (NotImplementedError, IncompatibleBrokerVersion) as error:
        _log.warning("the broker reports no topic ids, so a recreated topic may go unnoticed: %r", error)
        return {}
    finally:
        await client.close()
    return {
        topic["name"]: str(uuid.UUID(bytes=topic["topic_id"]))
        for topic in answer.to_object()["topics"]
        if topic["error_code"] == 0 and topic["topic_id"] != _NONE
    }


def recreated(known: Mapping[str, str], now: Mapping[str, str], names: Iterable[str]) -> list[str]:
    """Return those of ``names`` whose id changed; a topic whose id was or is unknown counts as unchanged."""
    return [name for name in names if name in known and name in now and known[name] != now[name]]
