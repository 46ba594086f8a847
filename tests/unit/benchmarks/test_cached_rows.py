"""Each table knows what its rows take in memory."""

import pytest

from agents.row_cache import ABSENT_MEMORY
from benchmarks.cached_rows import estimated_memory, sampled_rows, traced_memory
from tables.declare import BY_NAME, TABLES

TOLERANCE = 0.25
COPIES = 1_000
START_MS = 1_700_000_040_000


@pytest.fixture(scope="module", params=[5, 40])
def sampled(request: pytest.FixtureRequest) -> dict[str, list[bytes]]:
    return sampled_rows(request.param, START_MS, users=60)


def test_estimated_memory_of_rows_is_within_a_quarter_of_what_is_measured(
    sampled: dict[str, list[bytes]],
) -> None:
    wrong = {}
    for name, rows in sampled.items():
        measured = traced_memory(BY_NAME[name], rows, COPIES)
        estimated = estimated_memory(BY_NAME[name], rows)
        if abs(estimated - measured) > TOLERANCE * measured:
            wrong[name] = f"{estimated:,.0f} estimated, {measured:,.0f} measured"
    assert wrong == {}


def test_every_table_is_measured() -> None:
    found = sampled_rows(40, START_MS, users=60).keys()
    assert {table.name for table in TABLES} == found


def test_memory_of_a_key_without_a_row_is_within_a_quarter_of_what_is_measured() -> None:
    measured = traced_memory(None, (), COPIES)
    assert abs(ABSENT_MEMORY - measured) <= TOLERANCE * measured
