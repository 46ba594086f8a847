"""Requests about open transactions that aiokafka 0.14 lacks. Brokers from 3.0 on answer them."""

from collections.abc import Iterable
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import CompactArray, CompactString, Int16, Int32, Int64, Schema, TaggedFields

_DESCRIBE_PRODUCERS: Final = 61
_DESCRIBE_TRANSACTIONS: Final = 65
_LIST_TRANSACTIONS: Final = 66


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


class DescribeProducers(Request[_ProducersQuestion]):  # type: ignore[misc]
    """Asks the leader of partitions which producers write to them, and where their open transactions begin."""

    API_KEY = _DESCRIBE_PRODUCERS

    def __init__(self, partitions: Iterable[TopicPartition]) -> None:
        topics: dict[str, list[int]] = {}
        for tp in partitions:
            topics.setdefault(tp.topic, []).append(tp.partition)
        self._topics: list[Any] = [(topic, numbers, {}) for topic, numbers in topics.items()]

    def build(self, request_struct_class: Any) -> Any:
        """Return the request as the broker reads it."""
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


class ListTransactions(Request[_ListingQuestion]):  # type: ignore[misc]
    """Asks a coordinator for the transactional ids of producers."""

    API_KEY = _LIST_TRANSACTIONS

    def __init__(self, producer_ids: Iterable[int]) -> None:
        self._producer_ids = list(producer_ids)

    def build(self, request_struct_class: Any) -> Any:
        """Return the request as the broker reads it."""
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


class DescribeTransactions(Request[_DescriptionQuestion]):  # type: ignore[misc]
    """Asks a coordinator for the state of transactions, and when they began."""

    API_KEY = _DESCRIBE_TRANSACTIONS

    def __init__(self, transactional_ids: Iterable[str]) -> None:
        self._transactional_ids = list(transactional_ids)

    def build(self, request_struct_class: Any) -> Any:
        """Return the request as the broker reads it."""
        return request_struct_class(self._transactional_ids, {})
