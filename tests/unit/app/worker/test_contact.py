"""The age of a worker's contact with Kafka decides whether its lookups are fresh, marked or refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.worker.contact import Contact, ContactRule
from events.topics import HISTORY, JOURNAL

RULE = ContactRule.of(session_timeout_ms=9_000, max_stale_ms=300_000)
ages = st.integers(0, 1_000_000)


@pytest.mark.parametrize(
    ("age_ms", "stale_ms", "is_refused"),
    [
        (0, None, False),
        (6_000, None, False),
        (6_001, 6_001, False),
        (9_000, 9_000, False),
        (300_000, 300_000, False),
        (300_001, 300_001, True),
    ],
)
def test_answer_is_fresh_then_marked_then_refused(
    age_ms: int, stale_ms: int | None, is_refused: bool
) -> None:
    assert (RULE.stale_ms(age_ms), RULE.refuses(age_ms)) == (stale_ms, is_refused)


def test_warning_says_for_how_long_and_what_lookups_do() -> None:
    assert RULE.warning(6_000) is None
    assert RULE.warning(7_900) == (
        "Kafka has not answered this worker for 7 s: its lookups carry stale_ms until it does"
    )
    assert "are refused" in str(RULE.warning(300_001))


@given(st.integers(1_000, 600_000), st.integers(0, 600_000), ages)
def test_no_fresh_answer_is_as_old_as_the_session_and_none_is_refused_unmarked(
    session_ms: int, max_stale_ms: int, age_ms: int
) -> None:
    rule = ContactRule.of(session_ms, max_stale_ms)
    stale_ms = rule.stale_ms(age_ms)
    assert stale_ms in (None, age_ms)
    if stale_ms is None:
        assert age_ms < session_ms
        assert not rule.refuses(age_ms)
        assert rule.warning(age_ms) is None
    elif age_ms > max_stale_ms:
        assert rule.refuses(age_ms)
    else:
        assert not rule.refuses(age_ms)


def test_before_any_answer_the_age_counts_from_the_start() -> None:
    assert Contact(1_000).age_ms(5_000, [0]) == 4_000


@given(
    st.integers(0, 100),
    st.lists(st.integers(0, 100)),
    st.dictionaries(st.tuples(st.sampled_from([JOURNAL, HISTORY]), st.integers(0, 2)), st.integers(0, 100)),
    st.sets(st.integers(0, 2)),
)
def test_age_is_that_of_the_oldest_contact_that_the_partitions_depend_on(
    started_ms: int, beats_ms: list[int], leaders_ms: dict[tuple[str, int], int], partitions: set[int]
) -> None:
    contact = Contact(started_ms)
    for beat_ms in beats_ms:
        contact.heard_group(beat_ms)
    for (topic, number), seen_ms in leaders_ms.items():
        contact.heard_leader(topic, number, seen_ms)
        contact.heard_leader(topic, number, 0)  # a late answer makes nothing older
    theirs = [seen_ms for (_, number), seen_ms in leaders_ms.items() if number in partitions]
    assert contact.age_ms(200, partitions) == 200 - min([max([started_ms, *beats_ms]), *theirs])


def test_partition_does_not_depend_on_the_leader_of_another() -> None:
    contact = Contact(0)
    contact.heard_group(100)
    contact.heard_leader(JOURNAL, 0, 20)
    contact.heard_leader(JOURNAL, 1, 90)
    assert [contact.age_ms(100, [0]), contact.age_ms(100, [1]), contact.age_ms(100, [0, 1])] == [80, 10, 80]


def test_what_waits_to_be_folded_is_not_fetched_and_does_not_age() -> None:
    contact = Contact(0)
    contact.heard_group(100)
    contact.heard_leader(JOURNAL, 0, 20)
    contact.heard_leader(HISTORY, 0, 40)
    contact.waits = lambda place: place == (JOURNAL, 0)
    assert contact.age_ms(100, [0]) == 60


def test_new_generation_forgets_the_partitions_of_the_last_one() -> None:
    contact = Contact(0)
    contact.heard_leader(JOURNAL, 0, 20)
    contact.joined(100)
    assert contact.age_ms(100, [0]) == 0
