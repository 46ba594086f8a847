"""Rates of the tenths and halves of a run follow from samples of CPU time by durable events."""

import pytest

from benchmarks import progress as module
from benchmarks.progress import FIRST_HALF, SECOND_HALF, SECOND_VS_FIRST, Progress, rates_of_parts
from benchmarks.rounds import Run


def test_slower_half_is_seen() -> None:
    samples = [(0, 0.0), (500, 1.0), (1_000, 3.0)]
    assert rates_of_parts(samples, 2) == [500.0, 250.0]
    assert rates_of_parts(samples, 10) == [500.0] * 5 + [250.0] * 5


def test_cpu_time_between_two_samples_grows_evenly() -> None:
    assert rates_of_parts([(0, 0.0), (400, 1.0), (1_000, 4.0)], 2) == [333.0, 200.0]


def test_part_without_cpu_time_has_no_rate() -> None:
    assert rates_of_parts([(0, 0.0), (500, 0.0), (1_000, 2.0)], 2) == [0.0, 250.0]


def test_samples_are_taken_once_a_second_and_when_there_is_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    now, durable, cpu, asked = [0.0], [0], [0.0], []
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])

    def count() -> int:
        asked.append(now[0])
        return durable[0]

    progress = Progress(count)
    for now[0], durable[0], cpu[0] in [(0.5, 90, 0.9), (1.0, 200, 1.0), (2.0, 200, 1.5), (3.0, 600, 2.0)]:
        progress.sample(lambda: cpu[0])
    assert asked == [1.0, 2.0, 3.0]
    progress.end(1_000, 4.0)
    assert progress.cpu_at(200) == 1.0
    assert progress.cpu_at(800) == 3.0
    run = Run("ours", count=1_000)
    progress.fill_in(run)
    assert run.figures == {FIRST_HALF: 286.0, SECOND_HALF: 222.0, SECOND_VS_FIRST: 0.776}
    assert len(run.tenths) == 10
