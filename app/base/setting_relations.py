"""Relations between settings: values that are valid alone and not together."""

from collections.abc import Mapping
from typing import Any, Final

_HEARTBEATS: Final = 3  # in a session timeout, so that one lost heartbeat ends no session
_FLUSHES: Final = 2  # in an alarm time, so that a healthy partition raises no alarm


def broken_relation(values: Mapping[str, Any]) -> str | None:
    """Return what is wrong between the settings and how to correct it, or None. ``values``: name -> value, of all settings."""
    heartbeat_ms, session_ms = values["heartbeat_ms"], values["session_timeout_ms"]
    if _HEARTBEATS * heartbeat_ms > session_ms:
        return (
            f"heartbeat_ms is {heartbeat_ms}, more than a third of session_timeout_ms ({session_ms}), "
            f"so the group would lose workers that are alive; use at most {session_ms // _HEARTBEATS} "
            f"(UPTAKE_HEARTBEAT_MS), or a session timeout of at least {_HEARTBEATS * heartbeat_ms} "
            f"(UPTAKE_SESSION_TIMEOUT_MS)"
        )
    flush_ms, transaction_ms = values["flush_interval_ms"], values["transaction_timeout_ms"]
    if flush_ms >= transaction_ms:
        return (
            f"flush_interval_ms is {flush_ms}, not less than transaction_timeout_ms ({transaction_ms}), "
            f"so the broker could abort a flush before the next one is due; use a shorter flush interval"
        )
    caught_up_ms = values["caught_up_ms"]
    if caught_up_ms < flush_ms:
        return (
            f"caught_up_ms is {caught_up_ms}, less than flush_interval_ms ({flush_ms}), "
            f"and only a flush announces that a partition is caught up; use several flush intervals"
        )
    alarm_ms, exit_ms = values["watchdog_alarm_ms"], values["watchdog_exit_ms"]
    if 0 < exit_ms < alarm_ms:
        return (
            f"watchdog_exit_ms is {exit_ms}, less than watchdog_alarm_ms ({alarm_ms}), "
            f"so the worker would end before it raises the alarm; use a longer time, or 0 for never"
        )
    if alarm_ms < _FLUSHES * flush_ms:
        return (
            f"watchdog_alarm_ms is {alarm_ms}, less than two times flush_interval_ms ({flush_ms}), "
            f"and positions move with a flush only; use at least {_FLUSHES * flush_ms}, or a shorter flush interval"
        )
    stall_ms, ack_ms = values["stall_ms"], values["ack_timeout_ms"]
    if stall_ms > ack_ms:
        return (
            f"stall_ms is {stall_ms}, more than ack_timeout_ms ({ack_ms}), "
            f"so events would be answered 504 before others go into the spool; use a shorter stall time"
        )
    return None
