"""A full row becomes a bucket, and what the row says of its buckets finds each entry again."""

import pytest

from tables.user.call_places import CallPlace, find_place, report_call
from tables.user.elements import Impression
from tables.user.impression_buckets import (
    BUCKET_ENTRIES,
    Facts,
    SealedLog,
    TornRowError,
    bucket_key,
    buckets_of_call,
    drop_oldest,
    facts_of,
    is_full,
    is_old,
    seal,
    unmerged_buckets,
    unmerged_entries,
)
from tables.user.impressions import ImpressionsState, append, append_view, calls_of, log_of
from tables.user.log_entries import split_log
from tests.support.builders import MINUTE_MS, NOW_MS, a_viewed
from tests.support.laws import stored


def grown(
    entries: int, state: ImpressionsState | None = None
) -> tuple[ImpressionsState, dict[int, SealedLog]]:
    """Return a row after so many entries, every third a view, and its buckets."""
    state = ImpressionsState() if state is None else state
    buckets = {}
    for number in range(entries):
        at = NOW_MS + number * MINUTE_MS
        if number % 3 == 2:
            append_view(state, a_viewed(time_ms=at, received_ms=at))
        else:
            append(state, Impression(at, at, 1, [str(number)], request_id=f"r{number}"))
            report_call(calls_of(state), f"r{number}", CallPlace(at, None))
        while is_full(state):
            number_of, bucket = seal(state)
            buckets[number_of] = bucket
        state = stored(state)
    return state, buckets


def test_full_row_is_sealed_and_says_what_is_in_its_bucket() -> None:
    state, buckets = grown(BUCKET_ENTRIES * 2 + 3)
    assert list(buckets) == [0, 1]
    assert [len(list(split_log(bucket.log))) for bucket in buckets.values()] == [BUCKET_ENTRIES] * 2
    assert (state.kept + state.views, state.appended) == (3, BUCKET_ENTRIES * 2 + 3)
    assert facts_of(state) == [
        Facts(11, 5, 11, NOW_MS // MINUTE_MS + BUCKET_ENTRIES - 1),
        Facts(11, 5, 11, NOW_MS // MINUTE_MS + 2 * BUCKET_ENTRIES - 1),
    ]
    assert b"".join(bucket.log for bucket in buckets.values()) + log_of(state) == log_of(unsealed(35))


def unsealed(entries: int) -> ImpressionsState:
    state = ImpressionsState()
    for number in range(entries):
        at = NOW_MS + number * MINUTE_MS
        if number % 3 == 2:
            append_view(state, a_viewed(time_ms=at, received_ms=at))
        else:
            append(state, Impression(at, at, 1, [str(number)], request_id=f"r{number}"))
    return state


def test_long_lists_make_a_row_full_earlier() -> None:
    state = ImpressionsState()
    append(state, Impression(NOW_MS, NOW_MS, 1, [str(item) for item in range(2_000)]))
    assert is_full(state)
    assert seal(state)[0] == 0
    assert (state.kept, bytes(log_of(state))) == (0, b"")


@pytest.mark.parametrize("merged", range(BUCKET_ENTRIES * 3 + 4))
def test_entries_that_rendered_lacks_are_found(merged: int) -> None:
    total = BUCKET_ENTRIES * 3 + 3
    state, buckets = grown(total)
    found = unmerged_entries(state, merged, buckets.get)
    assert found == list(split_log(log_of(unsealed(total))))[merged:]
    missing_in_buckets = max(0, BUCKET_ENTRIES * 3 - merged)
    assert unmerged_buckets(state, merged) == -(-missing_in_buckets // BUCKET_ENTRIES)


def test_row_that_is_newer_than_rendered_or_its_buckets_is_torn() -> None:
    state, buckets = grown(BUCKET_ENTRIES + 1)
    with pytest.raises(TornRowError):
        unmerged_entries(state, 0, {}.get)
    state.merged = 5
    with pytest.raises(TornRowError):
        unmerged_entries(state, 4, buckets.get)
    assert unmerged_entries(state, state.appended + 9, buckets.get) == [], "rendered is newer"
    state.buckets = b""
    with pytest.raises(TornRowError):
        unmerged_entries(state, 5, buckets.get)


def test_calls_of_buckets_are_found_by_their_marks() -> None:
    state, buckets = grown(BUCKET_ENTRIES * 3)
    for number in (0, 1, 15, 16, 45):
        found = [
            find_place(buckets[bucket].calls, f"r{number}") for bucket in buckets_of_call(state, f"r{number}")
        ]
        assert CallPlace(NOW_MS + number * MINUTE_MS, None) in found
    assert not any(find_place(buckets[bucket].calls, "other") for bucket in buckets_of_call(state, "other"))


def test_oldest_bucket_goes_with_its_marks() -> None:
    state, _ = grown(BUCKET_ENTRIES * 2)
    assert drop_oldest(state) == 0
    assert len(facts_of(state)) == 1
    assert list(buckets_of_call(state, "r0")) == []
    assert list(buckets_of_call(state, "r16")) == [1]
    state, more = grown(BUCKET_ENTRIES, state)
    assert list(more) == [2], "a number is never used again"


def test_bucket_is_old_when_all_of_it_is() -> None:
    facts = Facts(1, 0, 0, NOW_MS // MINUTE_MS)
    assert not is_old(facts, NOW_MS)
    assert is_old(facts, NOW_MS + MINUTE_MS)


def test_rows_of_two_users_share_no_key() -> None:
    keys = {bucket_key(user, number) for user in (b"c|a", b"c|a1") for number in (0, 1, 256)}
    assert len(keys) == 6
