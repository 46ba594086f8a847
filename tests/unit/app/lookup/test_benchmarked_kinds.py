"""The lookups of the benchmark `loop_lag` are answered as it expects, and are of every kind."""

import pytest

from benchmarks.lag_state import State
from benchmarks.lookup_kinds import Lookup, kinds
from tests.support.lookups import MemoryWorker, Start

STATE = State(scenarios=3, users=1_000, seed=1)
ON_DATA = {"ctr_too_many"}
"""The answer depends on what is stored."""


@pytest.mark.parametrize(
    "lookup", [each for each in kinds(STATE) if each.name not in ON_DATA], ids=lambda each: each.name
)
async def test_a_kind_is_answered_as_expected(start: Start, lookup: Lookup) -> None:
    client = await start(MemoryWorker())
    response = await client.request(
        lookup.method, lookup.target, data=lookup.body or None, headers=lookup.headers
    )
    assert response.status == lookup.status, await response.text()


def test_the_windows_are_more_than_one_answer_takes() -> None:
    table, windows = next(STATE.changelogs(str, 2, 1_700_000_000_000))
    records = list(windows)
    assert (table, len(records)) == ("windows", 10_000 + STATE.scenarios * (48 + 24 * 2 + 13 * 8))
    assert {record.partition for record in records} == {0, 1}
