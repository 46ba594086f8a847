"""The requests are encoded as the protocol of Kafka defines them: flexible versions, with compact arrays and tagged fields."""

from typing import Any

import pytest
from aiokafka import TopicPartition

from app.kafka.transaction_requests import DescribeProducers, DescribeTransactions, ListTransactions


@pytest.mark.parametrize(
    ("request_", "key", "encoded"),
    [
        (
            DescribeProducers([TopicPartition("ab", 0), TopicPartition("ab", 3)]),
            61,
            b"\x02\x03ab\x03\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00",
        ),
        (ListTransactions([7]), 66, b"\x01\x02\x00\x00\x00\x00\x00\x00\x00\x07\x00"),
        (DescribeTransactions(["ab"]), 65, b"\x02\x03ab\x00"),
    ],
)
def test_request_is_encoded(request_: Any, key: int, encoded: bytes) -> None:
    built = request_.prepare({key: (0, 0)})
    assert (built.API_KEY, built.API_VERSION, built.encode()) == (key, 0, encoded)
