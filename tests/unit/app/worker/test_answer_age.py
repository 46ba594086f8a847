"""The older of lost contact and hidden events decides what a partition answers, by one rule."""

import time

import pytest

from agents.poison import PoisonRule
from agents.registry import Partitions
from app.lookup.service import HiddenEventsError, OutOfTouchError, UnavailableError
from app.worker.answer_age import AnswerAge, paused
from app.worker.contact import ContactRule
from events.topics import JOURNAL
from tests.support.partitions import World, a_record, fold_records

RULE = ContactRule.of(session_timeout_ms=9_000, max_stale_ms=300_000)


@pytest.mark.parametrize(
    ("contact_ms", "hidden_ms", "answer"),
    [
        (0, 0, None),
        (6_000, 6_000, None),
        (6_001, 0, 6_001),
        (0, 6_001, 6_001),
        (7_000, 8_000, 8_000),
        (8_000, 7_000, 8_000),
        (0, 300_000, 300_000),
        (0, 300_001, HiddenEventsError),
        (0, None, HiddenEventsError),
        (7_000, None, HiddenEventsError),
        (300_001, 0, OutOfTouchError),
        (300_001, None, OutOfTouchError),
    ],
)
def test_answers_are_fresh_then_marked_then_refused(
    contact_ms: int, hidden_ms: int | None, answer: int | type[UnavailableError] | None
) -> None:
    age = AnswerAge(RULE, lambda _: contact_ms, lambda _: hidden_ms)
    if isinstance(answer, type):
        with pytest.raises(answer) as raised:
            age.stale_ms(3)
        assert raised.value.partition == 3
        assert age.refuses(3)
    else:
        assert age.stale_ms(3) == answer
        assert not age.refuses(3)


@pytest.mark.parametrize(
    ("paused_ms", "mark"), [(6_000, None), (6_001, 6_001), (86_400_000, 86_400_000)], ids=str
)
def test_pause_marks_answers_however_long_it_lasts(paused_ms: int, mark: int | None) -> None:
    age = AnswerAge(RULE, lambda _: 0, lambda _: 0, lambda _: paused_ms)
    assert age.stale_ms(3) == mark
    assert not age.refuses(3)


async def test_events_behind_a_pause_are_as_old_as_the_chunk_that_ended_it() -> None:
    world = World(poison=PoisonRule(10, 90))
    partition, partitions = world.open(), Partitions(close_timeout_seconds=1.0)
    partitions.add(partition)
    paused_ms = paused(partitions)
    now_ms = time.time_ns() // 1_000_000
    assert paused_ms(0) == 0
    bad = [a_record(value=b"{", offset=offset, timestamp=now_ms - 60_000) for offset in range(10)]
    await fold_records(partition, JOURNAL, bad)
    assert JOURNAL in partition.halts
    assert 60_000 <= paused_ms(0) < 120_000
    assert paused_ms(7) == 0
    world.end()


def test_refusal_says_for_how_long_events_have_been_hidden() -> None:
    assert "partition 3 has not read its events of the last 300 s" in str(HiddenEventsError(3, 300_001, 2))
    assert "partition 3 has not read the events that were there" in str(HiddenEventsError(3, None, 2))
