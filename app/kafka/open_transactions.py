"""Finds the open transactions of a topic's partitions: who has them, since when, and the command that aborts them.

Consumers that read committed records stop where the first open transaction of a partition begins (its last stable offset).
aiokafka 0.14 lacks the requests that show these transactions. This module sends its own: DescribeProducers, ListTransactions and
DescribeTransactions, which brokers from 3.0 on answer.
"""

import logging
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import CompactArray, CompactString, Int16, Int32, Int64, Schema, TaggedFields

from app.kafka.clients import AIOKafkaClient

_log: Final = logging.getLogger(__name__)
_DESCRIBE_PRODUCERS: Final = 61
_DESCRIBE_TRANSACTIONS: Final = 65
_LIST_TRANSACTIONS: Final = 66
_NO_OFFSET: Final = -1
LONG_OPEN_MS: Final = 8_000
"""A transaction that is open for this long is a problem. A flush is one too, and takes milliseconds."""


@dataclass(frozen=True, slots=True)
class OpenTransaction:
    """An open transaction: where it begins in a partition, and its producer.

    ``since_ms`` is when it began; the time of the producer's last record if the coordinator does not know the transaction.
    ``transactional_id`` is None in that case.
    """

    topic: str
    partition: int
    start_offset: int
    producer_id: int
    producer_epoch: int
    since_ms: int
    transactional_id: str | None = None


def abort_command(
    bootstrap: str, topic: str, partition: int, start_offset: int, transactional_id: str | None = None
) -> str:
    """Return the command of Kafka 4.1 that aborts the transaction that begins at an offset.

    By its transactional id the transaction ends in all its partitions, and its producer is fenced.
    Without one only the marker in this partition is left to write.
    """
    tool = f"kafka-transactions.sh --bootstrap-server {bootstrap}"
    if transactional_id is None:
        return f"{tool} abort --topic {topic} --partition {partition} --start-offset {start_offset}"
    return f"{tool} forceTerminateTransaction --transactionalId {shlex.quote(transactional_id)}"


def is_of_worker(transaction: OpenTransaction, app_id: str) -> bool:
    """Return whether a worker's flush has the transaction. Its next owner or its time limit ends it, and the watchdog sees a hang."""
    prefix, _, number = (transaction.transactional_id or "").rpartition("-")
    return prefix == app_id and number.isdecimal()


class _Producers(Response):  # type: ignore[misc]  # aiokafka has no types
    API_KEY = _DESCRIBE_PRODUCERS
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("name", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("error_code", Int16),
                        ("error_message", CompactString("utf-8")),
                        (
                            "producers",
                            CompactArray(
                                ("producer_id", Int64),
                                ("producer_epoch", Int32),
                                ("last_sequence", Int32),
                                ("last_timestamp", Int64),
                                ("coordinator_epoch", Int32),
                                ("start_offset", Int64),
                                ("tags", TaggedFields),
                            ),
                        ),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _ProducersQuestion(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = _DESCRIBE_PRODUCERS
    API_VERSION = 0
    RESPONSE_TYPE = _Producers
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("name", CompactString("utf-8")), ("partitions", CompactArray(Int32)), ("tags", TaggedFields)
            ),
        ),
        ("tags", TaggedFields),
    )


class _DescribeProducers(Request[_ProducersQuestion]):  # type: ignore[misc]
    API_KEY = _DESCRIBE_PRODUCERS

    def __init__(self, partitions: Iterable[TopicPartition]) -> None:
        topics: dict[str, list[int]] = {}
        for tp in partitions:
            topics.setdefault(tp.topic, []).append(tp.partition)
        self._topics: list[Any] = [(topic, numbers, {}) for topic, numbers in topics.items()]

    def build(self, request_struct_class: Any) -> Any:
        return request_struct_class(self._topics, {})


class _Listing(Response):  # type: ignore[misc]
    API_KEY = _LIST_TRANSACTIONS
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("unknown_state_filters", CompactArray(CompactString("utf-8"))),
        (
            "transactions",
            CompactArray(
                ("transactional_id", CompactString("utf-8")),
                ("producer_id", Int64),
                ("state", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _ListingQuestion(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = _LIST_TRANSACTIONS
    API_VERSION = 0
    RESPONSE_TYPE = _Listing
    SCHEMA = Schema(
        ("state_filters", CompactArray(CompactString("utf-8"))),
        ("producer_id_filters", CompactArray(Int64)),
        ("tags", TaggedFields),
    )


class _ListTransactions(Request[_ListingQuestion]):  # type: ignore[misc]
    API_KEY = _LIST_TRANSACTIONS

    def __init__(self, producer_ids: Iterable[int]) -> None:
        self._producer_ids = list(producer_ids)

    def build(self, request_struct_class: Any) -> Any:
        return request_struct_class([], self._producer_ids, {})


class _Description(Response):  # type: ignore[misc]
    API_KEY = _DESCRIBE_TRANSACTIONS
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "transactions",
            CompactArray(
                ("error_code", Int16),
                ("transactional_id", CompactString("utf-8")),
                ("state", CompactString("utf-8")),
                ("timeout_ms", Int32),
                ("start_ms", Int64),
                ("producer_id", Int64),
                ("producer_epoch", Int16),
                (
                    "topics",
                    CompactArray(
                        ("topic", CompactString("utf-8")),
                        ("partitions", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _DescriptionQuestion(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = _DESCRIBE_TRANSACTIONS
    API_VERSION = 0
    RESPONSE_TYPE = _Description
    SCHEMA = Schema(("transactional_ids", CompactArray(CompactString("utf-8"))), ("tags", TaggedFields))


class _DescribeTransactions(Request[_DescriptionQuestion]):  # type: ignore[misc]
    API_KEY = _DESCRIBE_TRANSACTIONS

    def __init__(self, transactional_ids: Iterable[str]) -> None:
        self._transactional_ids = list(transactional_ids)

    def build(self, request_struct_class: Any) -> Any:
        return request_struct_class(self._transactional_ids, {})


async def find_open_transactions(
    bootstrap: str, partitions: Iterable[TopicPartition]
) -> list[OpenTransaction]:
    """Return the open transactions of these partitions, in the order of topic, partition and offset.

    Empty for a broker before 3.0, which cannot list them, and without the right to describe the topics.
    """
    client = AIOKafkaClient(bootstrap_servers=bootstrap)
    try:
        await client.bootstrap()
        cluster = await client.fetch_all_metadata()  # asking for a topic by name may create it
        leaders: dict[int, list[TopicPartition]] = {}
        for tp in partitions:
            leader = cluster.leader_for_partition(tp)
            if leader is not None and leader >= 0:
                leaders.setdefault(leader, []).append(tp)
        found: list[OpenTransaction] = []
        for leader, led in leaders.items():
            found += _open_of((await client.send(leader, _DescribeProducers(led))).to_object())
        if found:
            found = await _with_starts(client, [broker.nodeId for broker in cluster.brokers()], found)
    except (NotImplementedError, IncompatibleBrokerVersion) as error:
        _log.warning("the broker lists no open transactions: %r", error)
        return []
    finally:
        await client.close()
    return sorted(found, key=lambda each: (each.topic, each.partition, each.start_offset))


def _open_of(answer: Mapping[str, Any]) -> list[OpenTransaction]:
    return [
        OpenTransaction(
            topic["name"],
            partition["partition"],
            producer["start_offset"],
            producer["producer_id"],
            producer["producer_epoch"],
            producer["last_timestamp"],
        )
        for topic in answer["topics"]
        for partition in topic["partitions"]
        if partition["error_code"] == 0
        for producer in partition["producers"]
        if producer["start_offset"] != _NO_OFFSET
    ]


async def _with_starts(
    client: AIOKafkaClient, brokers: Iterable[int], found: list[OpenTransaction]
) -> list[OpenTransaction]:
    """Add what the coordinators know: the transactional ids, and when the transactions began."""
    known: dict[int, tuple[str, int]] = {}
    for broker in brokers:
        try:
            listing = (
                await client.send(broker, _ListTransactions({each.producer_id for each in found}))
            ).to_object()
            names = [each["transactional_id"] for each in listing["transactions"]]
            if names:
                described = (await client.send(broker, _DescribeTransactions(names))).to_object()
                known.update(
                    (each["producer_id"], (each["transactional_id"], each["start_ms"]))
                    for each in described["transactions"]
                    if each["error_code"] == 0
                )
        except KafkaError as error:
            _log.warning("broker %d does not say whose transactions are open: %r", broker, error)
    return [
        replace(each, transactional_id=name, since_ms=start_ms if start_ms > 0 else each.since_ms)
        for each in found
        for name, start_ms in [known.get(each.producer_id, (None, 0))]
    ]
