"""What an open transaction hides is as old as the newest end that committed readers have reached."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.worker.visibility import Opaque, Visibility
from events.topics import HISTORY, JOURNAL


def reported(*ends: tuple[int, int], topic: str = JOURNAL) -> Visibility:
    """Return what is known after one report (stable, high watermark) each 100 ms, the first at 100."""
    seen = Visibility()
    for number, (stable, high_watermark) in enumerate(ends, start=1):
        seen.heard(topic, 3, number * 100, stable, high_watermark)
    return seen


@pytest.mark.parametrize(
    ("ends", "hidden_ms"),
    [
        ([], 0),
        ([(17, 17)], 0),
        ([(18, 17)], 0),
        ([(17, 17), (17, 18)], 900),
        ([(17, 17), (17, 18), (17, 30), (17, 90)], 900),
        ([(17, 17), (17, 18), (18, 30), (18, 90)], 800),
        ([(17, 17), (17, 18), (30, 30)], 0),
        ([(17, 90), (18, 30)], None),
        ([(17, 17), (17, 90), (20, 20)], 0),
        ([(17, 18)], None),
        ([(17, 18), (17, 20), (18, 20)], 900),
        ([(17, 18), (20, 20)], 0),
    ],
    ids=[
        "nothing was heard",
        "nothing is hidden",
        "the answers came in between",
        "hidden since the last whole end",
        "more is hidden",
        "the first transaction ended, the next one hides on",
        "it ended",
        "nothing was ever whole",
        "the log lost its end",
        "it was open before",
        "what was there at the first report can be read",
        "it ended before anybody asked",
    ],
)
def test_hidden_records_are_as_old_as_the_last_whole_end(
    ends: list[tuple[int, int]], hidden_ms: int | None
) -> None:
    assert reported(*ends).hidden_ms(1_000, 3) == hidden_ms


def test_partition_hides_as_long_as_the_worst_of_its_topics_and_no_other_partition_does() -> None:
    seen = reported((5, 5), (5, 6))
    seen.heard(HISTORY, 3, 50, 9, 9)
    seen.heard(HISTORY, 3, 60, 9, 10)
    assert [seen.hidden_ms(1_000, number) for number in (3, 4)] == [950, 0]
    seen.heard(HISTORY, 3, 70, 10, 10)
    assert seen.hidden_ms(1_000, 3) == 900
    seen.forget()
    assert seen.hidden_ms(1_000, 3) == 0


def test_broker_is_asked_only_for_the_age_of_what_was_hidden_before() -> None:
    known, unknown = reported((5, 5), (5, 6)), reported((5, 6))
    assert known.opaque(10_000, 1_000) == []
    assert unknown.opaque(1_099, 1_000) == []
    (place,) = unknown.opaque(1_100, 1_000)
    assert place == Opaque(JOURNAL, 3, 5)
    unknown.began(place._replace(offset=4), 20)
    assert unknown.hidden_ms(1_000, 3) is None
    unknown.began(place, -70)  # before this machine was started
    assert unknown.hidden_ms(1_000, 3) == 1_070
    assert unknown.opaque(10_000, 1_000) == []
    known.began(place, -70)
    assert known.hidden_ms(1_000, 3) == 900


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=200))
def test_everything_that_was_there_before_can_be_read(steps: list[tuple[int, int]]) -> None:
    seen, ends, high_watermark, stable = Visibility(), [], 0, 0
    for number, (more, readable) in enumerate(steps, start=1):
        high_watermark += more
        stable = min(high_watermark, stable + readable)
        seen.heard(JOURNAL, 3, number * 10, stable, high_watermark)
        ends.append(high_watermark)
    now_ms = len(ends) * 10
    hidden_ms = seen.hidden_ms(now_ms, 3)
    if hidden_ms is None:
        assert ends[0] > stable
    elif hidden_ms:
        assert ends[(now_ms - hidden_ms) // 10 - 1] <= stable < high_watermark
    else:
        assert stable == high_watermark
