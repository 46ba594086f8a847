"""Histories of many users: the journal and the peer get the same events, and no two events of a user have one time."""

from collections import defaultdict

import pytest

from benchmarks.profiles import KINDS_OF_TRAFFIC, RENDERED, Profiles
from benchmarks.traffic import CUSTOMER
from events.codec import decode
from events.model import user_key
from events.partitions import partition_of
from tests.support.lookups import NOW

PARTITIONS = 4
SPAN_MS = 3_600_000


def profiles(traffic: str, users: int = 30) -> Profiles:
    return Profiles(users, 12, 1, NOW, SPAN_MS, traffic)


def pseudonym(user: str) -> str:
    return f"k1.{user}"


@pytest.mark.parametrize("traffic", KINDS_OF_TRAFFIC)
def test_journal_and_histories_have_the_same_events(traffic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "benchmarks.profiles._VISITORS", 7
    )  # so that users share histories, the last copy in part
    made = profiles(traffic)
    found = defaultdict(list)
    for record in made.records(PARTITIONS, pseudonym):
        event = decode(record.value)
        assert (record.time_ms, record.key) == (event.time_ms, user_key(CUSTOMER, event.user))
        assert record.partition == partition_of(record.key, PARTITIONS)
        found[event.user].append((type(event), event.time_ms, getattr(event, "items", None)))
    expected = {
        pseudonym(user): [(type(event), event.time_ms, getattr(event, "items", None)) for event in history]
        for user, history in made.histories()
    }
    assert len(expected) == made.users
    assert found == {user: history for user, history in expected.items() if history}


def test_times_are_in_the_span_and_differ_within_a_user() -> None:
    made = profiles(RENDERED)
    times = [record.time_ms for record in made.records(PARTITIONS, pseudonym)]
    assert times == sorted(times)
    assert times[0] > NOW - SPAN_MS
    assert times[-1] == NOW
    for _, history in made.histories():
        of_user = [event.time_ms for event in history]
        assert len(set(of_user)) == len(of_user)


def test_same_seed_same_journal() -> None:
    one, other = (list(profiles("shop").records(PARTITIONS, pseudonym)) for _ in range(2))
    assert one == other


def test_description_counts_what_was_shown() -> None:
    made = profiles(RENDERED)
    described = made.describe()
    assert described["showings_per_user"] == 12 * 4
    assert 0 < described["shown_items_per_user"] <= 12 * 4
