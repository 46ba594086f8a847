"""Errors of the consumer group that no retry solves: each ends the worker with a sentence.

aiokafka 0.14 keeps such an error until the next poll. Faust does not poll before the first assignment, so the worker would wait for ever.
"""

from collections.abc import Callable
from typing import Any, Final

from aiokafka.errors import (
    GroupAuthorizationFailedError,
    InconsistentGroupProtocolError,
    InvalidGroupIdError,
    InvalidSessionTimeoutError,
    KafkaError,
)

from app.base.errors import UptakeError

_CURES: Final[dict[type[KafkaError], str]] = {
    InvalidSessionTimeoutError: "the broker does not allow a session timeout of {session_ms} ms: set UPTAKE_SESSION_TIMEOUT_MS "
    "(and a UPTAKE_HEARTBEAT_MS of at most a third) within group.min.session.timeout.ms and group.max.session.timeout.ms of the "
    "broker, by default 6000 and 1800000",
    InconsistentGroupProtocolError: "the consumer group {group} has other members that are no workers of Uptake: choose another "
    "--app-id (UPTAKE_APP_ID), or stop them",
    InvalidGroupIdError: "the broker does not accept the consumer group {group}: choose another --app-id (UPTAKE_APP_ID)",
    GroupAuthorizationFailedError: "the broker does not let this worker join the consumer group {group}: allow it there, or choose "
    "another --app-id (UPTAKE_APP_ID)",
}


def group_error(error: BaseException, group: str, session_ms: int) -> UptakeError | None:
    """Return the foreseen error for an error of the group; None if a retry may solve it."""
    sentence = next((each for kind, each in _CURES.items() if isinstance(error, kind)), None)
    return None if sentence is None else UptakeError(sentence.format(group=group, session_ms=session_ms))


def report_group_errors(consumer: Any, on_failed: Callable[[UptakeError], None]) -> None:
    """Call ``on_failed`` when the coordination of a started consumer meets an error that no retry solves."""
    coordinator = consumer._coordinator
    push = coordinator._push_error_to_user

    def pushed(error: BaseException) -> Any:
        found = group_error(error, coordinator.group_id, coordinator._session_timeout_ms)
        if found is not None:
            on_failed(found)
        return push(error)

    coordinator._push_error_to_user = pushed
