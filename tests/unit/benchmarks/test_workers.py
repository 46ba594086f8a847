"""Rules of the recovery benchmark: a group is stable if all workers own as many, and a restored disk must be equal."""

from typing import Any

import pytest

from benchmarks.recovery import judge
from benchmarks.rounds import Run
from benchmarks.rows import Digest
from benchmarks.status import are_shared


def worker(*partitions: int, ready: bool = True) -> dict[str, Any]:
    return {"ready": ready, "partitions": {str(number): {} for number in partitions}}


@pytest.mark.parametrize(
    ("workers", "is_so"),
    [
        ([worker(0, 1), worker(2, 3)], True),
        ([worker(0, 1, 2, 3)], True),
        ([worker(0, 1, 2, 3), worker()], False),
        ([worker(0, 1, 2), worker(3)], False),
        ([worker(0, 1), worker(1, 2)], False),
        ([worker(0, 1), worker(2, 3, ready=False)], False),
        ([worker(0, 1), {}], False),
    ],
)
def test_group_is_shared_when_all_have_as_many(workers: list[dict[str, Any]], is_so: bool) -> None:
    assert are_shared(workers, 4) is is_so


def test_restored_rows_that_differ_void_the_run() -> None:
    expected = {"rendered": Digest(2, 77, 10), "clicked": Digest(1, 5, 5)}
    run = Run("ours")
    judge(run, expected, {**expected, "offsets": Digest(9, 9, 9)})
    assert run.void is None
    assert run.verdict == "3 rows on disk, all as written"
    judge(run, expected, {**expected, "clicked": Digest(1, 6, 5)})
    assert run.void is not None
    assert "clicked" in run.void
