"""The older of lost contact and hidden events decides what a partition answers, by one rule."""

import pytest

from app.lookup.service import HiddenEventsError, OutOfTouchError, UnavailableError
from app.worker.answer_age import AnswerAge
from app.worker.contact import ContactRule

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


def test_refusal_says_for_how_long_events_have_been_hidden() -> None:
    assert "hidden events of partition 3 for 300 s" in str(HiddenEventsError(3, 300_001, 2))
    assert "partition 3 has not read the events that were there" in str(HiddenEventsError(3, None, 2))
