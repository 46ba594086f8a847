"""A partition is behind by what waits, what an open transaction hides, and what was there when it was opened, until that is folded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.worker.visibility import Opaque, Visibility
from events.topics import HISTORY, JOURNAL


def folded_up_to(offset: int) -> Visibility:
    """Return what a worker knows that has folded every topic up to an offset."""
    return Visibility(lambda _topic, _partition: offset)


def reported(*ends: tuple[int, int], folded: int) -> Visibility:
    """Return what is known after one report (stable, high watermark) each 100 ms, the first at 100."""
    seen = folded_up_to(folded)
    for number, (stable, high_watermark) in enumerate(ends, start=1):
        seen.heard(JOURNAL, 3, number * 100, stable, high_watermark)
    return seen


def behind_ms(seen: Visibility, folded: int, now_ms: int = 1_000, partition: int = 3) -> int | None:
    seen.folded = lambda _topic, _partition: folded
    return seen.behind_ms(now_ms, partition)


@pytest.mark.parametrize(
    ("ends", "folded", "age_ms"),
    [
        ([], 0, 0),
        ([(17, 17)], 17, 0),
        ([(17, 17), (30, 30)], 17, 900),
        ([(17, 17), (30, 30), (40, 40)], 30, 800),
        ([(17, 17)], 16, None),
        ([(18, 17)], 18, 0),
        ([(17, 17), (17, 18)], 17, 900),
        ([(17, 17), (17, 18), (17, 30), (17, 90)], 17, 900),
        ([(17, 17), (17, 18), (18, 30), (18, 90)], 18, 800),
        ([(17, 17), (17, 18), (18, 30), (18, 90)], 17, 900),
        ([(17, 17), (17, 18), (30, 30)], 30, 0),
        ([(17, 17), (17, 18), (30, 30)], 20, 800),
        ([(17, 17), (17, 90), (20, 20)], 20, 0),
        ([(17, 18)], 17, None),
        ([(17, 18), (17, 20), (18, 20)], 18, 900),
        ([(17, 18), (20, 20)], 20, 0),
        ([(17, 18), (20, 20)], 17, None),
    ],
    ids=[
        "nothing was heard",
        "nothing is hidden",
        "it lags",
        "it lags, and has folded what was there at the second report",
        "it has not folded what was there at the first report",
        "the answers came in between",
        "hidden since the last whole end",
        "more is hidden",
        "the first transaction ended, the next one hides on",
        "it ended, and nothing is folded since",
        "it ended, and all is folded",
        "it ended, and a part is folded",
        "the log lost its end",
        "it was open before",
        "what was there at the first report is folded",
        "it ended before anybody asked, and all is folded",
        "it ended before anybody asked, and nothing is folded",
    ],
)
def test_partition_is_behind_as_long_as_its_last_whole_end(
    ends: list[tuple[int, int]], folded: int, age_ms: int | None
) -> None:
    assert behind_ms(reported(*ends, folded=folded), folded) == age_ms


def test_partition_that_is_opened_is_behind_until_it_has_folded_what_was_there() -> None:
    seen = reported((50, 50), folded=0)  # fetched while it was closed
    seen.heard(JOURNAL, 3, 100, 50, 50, is_opening=True)
    assert seen.opaque(10_000, 0) == [], "the broker cannot say more of a backlog"
    assert behind_ms(seen, 49) is None
    assert behind_ms(seen, 50) == 0
    assert behind_ms(seen, 0) == 0, "from then on it keeps up"


def test_age_of_a_backlog_is_not_known_before_its_first_record_is_folded() -> None:
    seen = folded_up_to(10)
    seen.heard(JOURNAL, 3, 100, 50, 50, is_opening=True)
    seen.heard(JOURNAL, 4, 100, 50, 51, is_opening=True)
    assert [behind_ms(seen, 10, 600_000, number) for number in (3, 4)] == [None, None]
    assert behind_ms(seen, 50, 600_000) == 0


def test_import_of_the_past_that_waits_makes_no_answer_old() -> None:
    seen = folded_up_to(10)
    seen.heard(HISTORY, 3, 100, 50, 50)
    seen.heard(HISTORY, 3, 200, 60, 60)
    assert seen.behind_ms(600_000, 3) == 0


def test_age_of_a_worker_that_never_catches_up_grows_as_it_lags() -> None:
    seen = folded_up_to(0)
    for number in range(1, 1_001):  # 10 events each 100 ms, of which it folds 9
        seen.folded = lambda _topic, _partition, folded=9 * number: folded  # type: ignore[misc]
        seen.heard(JOURNAL, 3, number * 100, number * 10, number * 10)
    age_ms = seen.behind_ms(1_000 * 100, 3)
    assert age_ms is not None
    assert 10_000 <= age_ms <= 10_000 + 64 * 100, "it has folded what was there 10 s ago"


def test_partition_is_behind_like_the_worst_of_its_topics_and_no_other_partition_is() -> None:
    seen = reported((5, 5), (5, 6), folded=5)
    seen.heard(HISTORY, 3, 50, 9, 9)
    seen.heard(HISTORY, 3, 60, 9, 10)
    read = {JOURNAL: 5, HISTORY: 9}
    seen.folded = lambda topic, _partition: read[topic]
    assert [seen.behind_ms(1_000, number) for number in (3, 4)] == [950, 0]
    read[HISTORY] = 10
    assert seen.behind_ms(1_000, 3) == 900
    seen.forget()
    assert seen.behind_ms(1_000, 3) == 0


def test_backlog_of_an_opening_is_as_old_as_the_record_that_is_folded_next() -> None:
    read = [10]
    seen = Visibility(lambda _topic, _partition: read[0])
    seen.heard(JOURNAL, 3, 100, 50, 50, is_opening=True)
    ages = {JOURNAL: 70_000}

    def now(now_ms: int) -> int | None:
        return seen.behind_ms(now_ms, 3, ages.get)

    assert now(200) == now(20_000) == 70_000
    ages[JOURNAL], read[0] = 900, 49
    assert now(200) == 900
    read[0] = 50
    assert now(200) == 0


def test_broker_is_asked_only_for_the_age_of_what_was_hidden_before() -> None:
    known, unknown = reported((5, 5), (5, 6), folded=5), reported((5, 6), folded=5)
    assert known.opaque(10_000, 1_000) == []
    assert unknown.opaque(1_099, 1_000) == []
    (place,) = unknown.opaque(1_100, 1_000)
    assert place == Opaque(JOURNAL, 3, 5)
    unknown.began(place._replace(offset=4), 20)
    assert behind_ms(unknown, 5) is None
    unknown.began(place, -70)  # before this machine was started
    assert behind_ms(unknown, 5) == 1_070
    assert unknown.opaque(10_000, 1_000) == []
    known.began(place, -70)
    assert behind_ms(known, 5) == 900


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=200))
def test_everything_that_was_there_before_is_folded(steps: list[tuple[int, int, int]]) -> None:
    ends, high_watermark, stable, folded = [], 0, 0, 0
    seen = Visibility(lambda _topic, _partition: folded)
    for number, (more, readable, read) in enumerate(steps, start=1):
        high_watermark += more
        stable = min(high_watermark, stable + readable)
        folded = min(stable, folded + read)
        seen.heard(JOURNAL, 3, number * 10, stable, high_watermark)
        ends.append(high_watermark)
    now_ms = len(ends) * 10
    age_ms = behind_ms(seen, folded, now_ms)
    if age_ms is None:
        assert ends[0] > folded
    elif age_ms:
        assert ends[(now_ms - age_ms) // 10 - 1] <= folded < high_watermark
    else:
        assert folded == high_watermark
