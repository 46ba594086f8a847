"""Relations between settings: each broken one is a sentence with both names."""

import pytest

from app.base.setting_relations import broken_relation
from app.base.settings import Settings

DEFAULTS = Settings.model_construct().__dict__


def test_defaults_fit_together() -> None:
    assert broken_relation(DEFAULTS) is None


@pytest.mark.parametrize(
    ("given", "good"),
    [
        ({"heartbeat_ms": 20_000, "session_timeout_ms": 6_000}, {"heartbeat_ms": 2_000}),
        ({"flush_interval_ms": 5_000, "transaction_timeout_ms": 5_000}, {"transaction_timeout_ms": 5_001}),
        ({"caught_up_ms": 999, "flush_interval_ms": 1_000}, {"caught_up_ms": 1_000}),
        ({"watchdog_exit_ms": 2_000, "watchdog_alarm_ms": 2_001}, {"watchdog_exit_ms": 0}),
        ({"watchdog_alarm_ms": 19_999, "flush_interval_ms": 10_000}, {"watchdog_alarm_ms": 20_000}),
        ({"stall_ms": 10_001, "ack_timeout_ms": 10_000}, {"stall_ms": 10_000}),
    ],
)
def test_broken_relation_names_both_settings_and_a_cure(given: dict[str, int], good: dict[str, int]) -> None:
    problem = broken_relation({**DEFAULTS, **given}) or ""
    assert all(f"{name}" in problem and str(value) in problem for name, value in given.items())
    assert "; use " in problem
    assert broken_relation({**DEFAULTS, **given, **good}) is None


def test_short_session_with_the_default_heartbeat_names_both_cures() -> None:
    problem = broken_relation({**DEFAULTS, "session_timeout_ms": 6_000}) or ""
    assert "use at most 2000 (UPTAKE_HEARTBEAT_MS)" in problem
    assert "at least 9000 (UPTAKE_SESSION_TIMEOUT_MS)" in problem
