"""The time as of which a copy is complete: never later than true, also if positions arrive before their rows."""

from hypothesis import given
from hypothesis import strategies as st

from app.worker.freshness import MAX_ROUNDS, Freshness, Round


def a_round(at: int, *, position: int = 10, rows_end: int = 100, journal_end: int = 10) -> Round:
    """Return a round of a partition with one source, `journal`, and one changelog, `rows`."""
    return Round(at, {"journal": position}, {"rows": rows_end}, {"journal": journal_end})


def test_nothing_is_known_before_the_rows_of_the_position_are_read() -> None:
    freshness = Freshness()
    freshness.ask(a_round(1_000))
    freshness.read({"rows": 99})
    assert freshness.complete_ms is None
    freshness.read({"rows": 100})
    assert freshness.complete_ms == 1_000


def test_what_the_position_reaches_later_makes_an_earlier_moment_complete() -> None:
    freshness = Freshness()
    freshness.ask(a_round(1_000, position=10, journal_end=15))
    freshness.read({"rows": 100})
    assert freshness.complete_ms is None
    freshness.ask(a_round(2_000, position=15, rows_end=120, journal_end=25))
    freshness.read({"rows": 119})
    assert freshness.complete_ms is None
    freshness.read({"rows": 120})
    assert freshness.complete_ms == 1_000


def test_a_copy_whose_owner_is_gone_grows_old_while_events_come() -> None:
    freshness = Freshness()
    for number in range(10):
        freshness.ask(a_round(1_000 + number, journal_end=10 + number))
        freshness.read({"rows": 100})
    assert freshness.complete_ms == 1_000


def test_a_copy_of_a_partition_where_nothing_happens_stays_fresh() -> None:
    freshness = Freshness()
    for number in range(3 * MAX_ROUNDS):
        freshness.ask(a_round(1_000 + number))
        freshness.read({"rows": 100})
        assert freshness.complete_ms == 1_000 + number


def test_commit_markers_at_the_end_are_looked_at_once_the_source_stands_still() -> None:
    freshness = Freshness()
    freshness.ask(a_round(1_000))
    freshness.read({"rows": 100})
    freshness.ask(a_round(2_000, journal_end=12))
    freshness.read({"rows": 100})
    assert freshness.doubts() == {}, "it moved just now: its events may still arrive"
    freshness.ask(a_round(3_000, journal_end=12))
    freshness.read({"rows": 100})
    assert freshness.doubts() == {"journal": 10}
    freshness.found_none("journal", 12)
    freshness.read({"rows": 100})
    assert freshness.complete_ms == 3_000
    assert freshness.doubts() == {}


def test_the_first_missing_record_says_how_old_a_copy_is_of_which_nothing_was_known() -> None:
    freshness = Freshness()
    freshness.ask(a_round(5_000, journal_end=500))
    freshness.read({"rows": 100})
    assert freshness.doubts() == {"journal": 10}
    freshness.found("journal", 11, 3_000)
    freshness.read({"rows": 100})
    assert freshness.complete_ms == 3_000
    assert freshness.doubts() == {}


def test_a_missing_record_from_the_future_makes_nothing_fresher_than_now() -> None:
    freshness = Freshness()
    freshness.ask(a_round(5_000, journal_end=500))
    freshness.read({"rows": 100})
    freshness.found("journal", 11, 9_000)
    freshness.read({"rows": 100})
    assert freshness.complete_ms == 5_000


def test_a_missing_record_that_was_counted_since_says_nothing_more() -> None:
    freshness = Freshness()
    freshness.ask(a_round(5_000, journal_end=500))
    freshness.read({"rows": 100})
    freshness.found("journal", 11, 3_000)
    freshness.ask(a_round(6_000, position=400, journal_end=500))
    freshness.read({"rows": 100})
    assert freshness.complete_ms is None
    assert freshness.doubts() == {"journal": 400}


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 3)), max_size=40))
def test_never_fresher_than_the_first_event_that_is_missing(steps: list[tuple[int, int, int]]) -> None:
    """At each step, events arrive, the owner counts some of them as one row each, and the copy reads some rows."""
    freshness = Freshness()
    arrived_ms: list[int] = []
    counted = copied = 0
    for step, (arrive, count, read) in enumerate(steps):
        now_ms = 1_000 * (step + 1)
        freshness.ask(
            Round(now_ms - 500, {"journal": copied}, {"rows": counted}, {"journal": len(arrived_ms)})
        )
        arrived_ms += [now_ms] * arrive
        counted = min(counted + count, len(arrived_ms))
        copied = min(copied + read, counted)
        freshness.read({"rows": copied})
        for topic, start in freshness.doubts().items():
            if start < len(arrived_ms):
                freshness.found(topic, start, arrived_ms[start])
            else:
                freshness.found_none(topic, len(arrived_ms))
        missing_ms = arrived_ms[copied] if copied < len(arrived_ms) else None
        if freshness.complete_ms is not None and missing_ms is not None:
            assert freshness.complete_ms <= missing_ms
