"""Records are written when they are due, and late ones at once."""

from benchmarks.paced_producer import paced
from benchmarks.traffic import Record

RECORD = Record(0, b"k", b"v", 0)


def test_records_are_written_at_the_rate() -> None:
    now = [100.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    written = [now[0] - 100.0 for _ in paced([RECORD] * 3_000, 1_000.0, lambda: now[0], sleep)]
    late = [at - number / 1_000 for number, at in enumerate(written)]
    assert -1e-9 < min(late) <= max(late) < 0.01


def test_late_writer_does_not_wait() -> None:
    now = [0.0]
    slept: list[float] = []
    for number, _ in enumerate(paced([RECORD] * 100, 100.0, lambda: now[0], slept.append)):
        if number == 0:
            now[0] = 10.0  # longer than all records take
    assert slept == []
