"""An error of the group that no retry solves is told to the worker with a cure; others are left to aiokafka."""

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    InconsistentGroupProtocolError,
    InvalidGroupIdError,
    InvalidSessionTimeoutError,
    KafkaError,
    NotCoordinatorForGroupError,
)

from app.base.errors import UptakeError
from app.worker.group_errors import group_error, report_group_errors


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (InvalidSessionTimeoutError(), "session timeout of 3000 ms: set UPTAKE_SESSION_TIMEOUT_MS"),
        (InconsistentGroupProtocolError(), "the consumer group uptake has other members"),
        (InvalidGroupIdError(), "choose another --app-id"),
        (GroupAuthorizationFailedError("uptake"), "does not let this worker join"),
    ],
)
def test_error_that_no_retry_solves_names_its_cure(error: KafkaError, words: str) -> None:
    found = group_error(error, "uptake", 3_000)
    assert isinstance(found, UptakeError)
    assert words in str(found)


def test_errors_of_the_coordination_are_reported_once_and_kept_for_aiokafka() -> None:
    kept: list[BaseException] = []
    reported: list[UptakeError] = []
    coordinator: Any = SimpleNamespace(
        _push_error_to_user=kept.append, group_id="uptake", _session_timeout_ms=3_000
    )
    report_group_errors(SimpleNamespace(_coordinator=coordinator), reported.append)
    errors = [NotCoordinatorForGroupError(), InvalidSessionTimeoutError()]
    for error in errors:
        coordinator._push_error_to_user(error)
    assert kept == errors
    assert len(reported) == 1
    assert "3000 ms" in str(reported[0])
