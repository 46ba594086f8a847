"""Sums of the health page: rates from counters that may start again."""

import pytest

from app.dashboard.health_sums import EventRate, accepted_events, added_up, folded_events


def test_a_rate_is_over_the_last_seconds() -> None:
    rate = EventRate()
    rates = [rate.take(second * 1_000, {"a": second * 100, "b": 0}) for second in range(20)]
    assert rates[0] is None
    assert rates[1:] == [100.0] * 19
    assert [rate.take((20 + second) * 1_000, {"a": 1_900, "b": 0}) for second in range(6)][-1] == 0.0


def test_a_counter_that_was_started_again_counts_from_zero() -> None:
    rate = EventRate()
    rate.take(0, {"a": 1_000})
    assert rate.take(1_000, {"a": 30}) == 30.0


def test_a_counter_that_is_new_or_gone_changes_nothing() -> None:
    rate = EventRate()
    rate.take(0, {"a": 10})
    assert rate.take(1_000, {"a": 20, "b": 5_000}) == 10.0
    assert rate.take(2_000, {"b": 5_010}) == 10.0


@pytest.mark.parametrize("now_ms", [0, 1_000])
def test_without_a_counter_there_is_no_rate(now_ms: int) -> None:
    rate = EventRate()
    rate.take(0, {"a": 1})
    assert rate.take(now_ms, {}) is None


def test_a_clock_that_is_set_back_gives_no_rate() -> None:
    rate = EventRate()
    rate.take(1_000, {"a": 1})
    assert rate.take(500, {"a": 2}) is None


def test_accepted_events_are_the_sum_of_one_metric() -> None:
    metrics = (
        b"# HELP uptake_collector_accepted_total Events\n"
        b"# TYPE uptake_collector_accepted_total counter\n"
        b'uptake_collector_accepted_total{event="rendered"} 12.0\n'
        b'uptake_collector_accepted_total{event="click"} 1.5e+03\n'
        b"uptake_collector_empty_total 4.0\n"
    )
    assert accepted_events(metrics) == 1_512
    assert accepted_events(b"") == 0


def test_a_worker_without_a_state_has_no_counters() -> None:
    silent = {"url": "http://a", "ok": False, "status": None, "detail": "it does not answer"}
    restoring = {"url": "http://b", "ok": False, "status": {"partitions": {"0": {"ready": False}}}}
    assert list(folded_events(silent)) == list(folded_events(restoring)) == []
    sums = added_up([silent], [])
    assert (sums["lag"], sums["deadlettered"], sums["spooled"]) == (None, None, 0)
    assert sums["alarms"][0]["message"] == "this worker: it does not answer"
