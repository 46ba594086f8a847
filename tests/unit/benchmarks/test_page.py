"""The benchmark of the page: when a step is held, and the past day that its views show."""

from typing import Any

import pytest

from benchmarks.page import _parse, is_held
from benchmarks.page_site import past_day, target
from events.codec import decode

NOW_MS = 1_700_000_000_000
GOOD = {"seconds": 20.01, "least_updates": 18, "lost": 0, "spread_ms": {"p99": 400.0}}


@pytest.mark.parametrize(
    ("change", "is_so"),
    [
        ({}, True),
        ({"least_updates": 17}, False),
        ({"lost": 1}, False),
        ({"spread_ms": {"p99": 1_000.1}}, False),
        ({"spread_ms": {"p99": None}}, False),
    ],
)
def test_a_step_is_held_if_every_client_is_served_in_time(change: dict[str, Any], is_so: bool) -> None:
    assert is_held(GOOD | change) is is_so


def test_the_past_day_has_an_event_a_quarter_and_scenario() -> None:
    events = [decode(record.value) for record in past_day(8, NOW_MS)]
    assert len(events) == 95 * 4
    assert len({(event.time_ms // 900_000, event.scenario) for event in events}) == 95 * 4  # type: ignore[union-attr]
    assert all(NOW_MS - 86_400_000 < event.time_ms < NOW_MS for event in events)


def test_views_are_streams_of_the_dashboard() -> None:
    assert target("day") == "/dashboard/00000/ctr/stream?span=P1D&granularity=PT15M"


def test_smoke_is_small() -> None:
    chosen = _parse(["--smoke", "--probes", "3"])
    assert (chosen.probes, chosen.clients, chosen.seconds) == (3, [20], 3.0)
