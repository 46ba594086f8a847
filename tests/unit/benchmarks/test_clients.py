"""Percentiles of a benchmark, and a pace that does not wait for answers."""

import asyncio
import time

import pytest

from benchmarks.clients import paced, percentiles


@pytest.mark.parametrize(
    ("values", "p50", "p99", "greatest"),
    [
        ([5.0], 5.0, 5.0, 5.0),
        ([float(number) for number in range(100, 0, -1)], 50.0, 99.0, 100.0),
        ([1.0] * 199 + [9.0], 1.0, 1.0, 9.0),
        ([1.0] * 98 + [9.0, 9.0], 1.0, 9.0, 9.0),
    ],
)
def test_percentiles_are_values_that_were_measured(
    values: list[float], p50: float, p99: float, greatest: float
) -> None:
    assert percentiles(values) == {"count": len(values), "p50": p50, "p99": p99, "max": greatest}


def test_nothing_measured_has_no_percentile() -> None:
    assert percentiles([]) == {"count": 0, "p50": None, "p99": None, "max": None}


async def test_pace_goes_on_while_answers_are_awaited() -> None:
    answered, dues = asyncio.Event(), list[float]()

    async def act(due: float) -> None:
        dues.append(due)
        if len(dues) == 5:
            answered.set()
        await answered.wait()

    await paced(1_000.0, answered.is_set, act)
    assert len(dues) >= 5
    assert dues == sorted(dues)
    assert dues[-1] <= time.monotonic() + 0.001
