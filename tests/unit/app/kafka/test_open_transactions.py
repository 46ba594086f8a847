"""The command that aborts a transaction fits what is known of it; a worker's own transactions are recognised."""

import shlex

import pytest

from app.kafka.open_transactions import OpenTransaction, abort_command, is_of_worker
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
