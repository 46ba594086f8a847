"""The command that aborts a transaction fits what is known of it; a worker's own transactions are recognised."""

import shlex
from typing import Any

import pytest
from aiokafka.errors import NotLeaderForPartitionError

from app.kafka.open_transactions import OpenTransaction, _open_of, abort_command, is_of_worker
from events.topics import JOURNAL


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        (None, ["abort", "--topic", JOURNAL, "--partition", "3", "--start-offset", "17"]),
        ("foreign", ["forceTerminateTransaction", "--transactionalId", "foreign"]),
        ("it's; mine", ["forceTerminateTransaction", "--transactionalId", "it's; mine"]),
    ],
)
def test_command_can_be_pasted_into_a_shell(name: str | None, arguments: list[str]) -> None:
    command = shlex.split(abort_command("broker:9092", JOURNAL, 3, 17, name))
    assert command == ["kafka-transactions.sh", "--bootstrap-server", "broker:9092", *arguments]


@pytest.mark.parametrize(
    ("name", "is_ours"),
    [
        ("uptake-3", True),
        ("uptake-3-4", False),
        ("uptake", False),
        ("uptake-x", False),
        ("", False),
        (None, False),
    ],
)
def test_transaction_of_a_worker_is_recognised_by_its_name(name: str | None, is_ours: bool) -> None:
    assert is_of_worker(OpenTransaction(JOURNAL, 3, 17, 1, 0, 0, name), "uptake") is is_ours


def answered(error_code: int) -> dict[str, Any]:
    producers = [
        {"producer_id": 7, "producer_epoch": 1, "last_timestamp": 50, "start_offset": start}
        for start in (-1, 17)
    ]
    partition = {"partition": 3, "error_code": error_code, "producers": producers if not error_code else []}
    return {"topics": [{"name": JOURNAL, "partitions": [partition]}]}


def test_producers_without_an_open_transaction_are_left_out() -> None:
    assert _open_of(answered(0)) == [OpenTransaction(JOURNAL, 3, 17, 7, 1, 50)]


def test_partition_that_has_another_leader_by_now_is_asked_for_again() -> None:
    with pytest.raises(NotLeaderForPartitionError):
        _open_of(answered(6))


def test_partition_that_may_not_be_described_has_none() -> None:
    assert _open_of(answered(29)) == []
