"""A sparse log writes the first occurrence at once, later ones at a bounded rate, and loses no count."""

from collections import Counter

import pytest

from app.collector.sparse_log import LOG_EVERY_S, MOST_LINES, LineKind, SparseLog


class Lines:
    """The log, its lines and its clock."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.written: list[tuple[LineKind, int]] = []
        self.log = SparseLog(lambda kind, count: self.written.append((kind, count)), lambda: self.now_s)

    def counts(self) -> Counter[LineKind]:
        total: Counter[LineKind] = Counter()
        for kind, count in self.written:
            total[kind] += count
        return total


@pytest.fixture
def lines() -> Lines:
    return Lines()


def test_first_is_written_at_once_and_the_others_later(lines: Lines) -> None:
    for _ in range(5):
        lines.log.add(("a",))
    assert lines.written == [(("a",), 1)]
    lines.now_s += LOG_EVERY_S - 0.1
    lines.log.report()
    assert lines.written == [(("a",), 1)]
    lines.now_s += 0.1
    lines.log.report()
    assert lines.written == [(("a",), 1), (("a",), 4)]


def test_report_writes_nothing_where_nothing_is_left(lines: Lines) -> None:
    lines.log.add(("a",))
    lines.now_s += 10 * LOG_EVERY_S
    lines.log.report()
    assert lines.written == [(("a",), 1)]


def test_the_end_writes_what_is_left_before_it_is_due(lines: Lines) -> None:
    lines.log.add(("a",), 3)
    lines.log.add(("a",), 4)
    lines.log.report(is_last=True)
    assert lines.written == [(("a",), 3), (("a",), 4)]


def test_many_kinds_share_a_bound_and_none_is_lost(lines: Lines) -> None:
    kinds = [(f"customer {number}", "reason") for number in range(3 * MOST_LINES)]
    for _ in range(10):
        for kind in kinds:
            lines.log.add(kind)
    assert len(lines.written) == MOST_LINES
    for minute in range(2, 8):
        lines.now_s += LOG_EVERY_S
        lines.log.report()
        assert len(lines.written) <= minute * MOST_LINES
    assert lines.counts() == dict.fromkeys(kinds, 10)


def test_kinds_that_do_not_occur_any_more_are_forgotten(lines: Lines) -> None:
    for number in range(50):
        lines.log.add((f"gone {number}",))
    lines.now_s += LOG_EVERY_S
    lines.log.report()
    assert lines.log._unlogged == {}
