"""The traffic repeats for the same seed, and has the properties that docs/benchmarks.md states."""

from collections import Counter
from dataclasses import replace

import msgspec

from benchmarks.traffic import Traffic
from events.codec import decode
from events.model import Rendered
from events.partitions import partition_of

TRAFFIC = Traffic(events=2_000, users=50, partitions=4, seed=1, start_ms=1_700_000_000_000)


def test_same_seed_same_records() -> None:
    assert list(TRAFFIC.records()) == list(TRAFFIC.records())


def test_records_are_events_of_the_journal() -> None:
    for number, record in enumerate(TRAFFIC.records()):
        event = decode(record.value)
        assert isinstance(event, Rendered)
        assert len(set(event.items)) == len(event.items) == 4
        assert record.key == f"{event.customer}|{event.user}".encode()
        assert record.partition == partition_of(record.key, 4)
        assert event.time_ms == record.time_ms == TRAFFIC.start_ms + number


def test_first_items_of_the_lists_follow_zipf() -> None:
    drawn = Counter(decode(record.value).items[0] for record in TRAFFIC.records())  # type: ignore[union-attr]
    weights = [1 / rank**1.1 for rank in range(1, 5_001)]
    expected = TRAFFIC.events * weights[0] / sum(weights)
    assert abs(drawn["1"] - expected) < 5 * expected**0.5
    assert drawn["1"] > drawn["2"] > drawn["10"]


def test_rate_of_the_event_times_changes_nothing_else() -> None:
    faster = replace(TRAFFIC, per_second=3_000)
    for number, (slow, fast) in enumerate(zip(TRAFFIC.records(), faster.records(), strict=True)):
        one, other = decode(slow.value), decode(fast.value)
        assert other.time_ms == TRAFFIC.start_ms + number // 3
        assert (fast.key, msgspec.structs.replace(other, time_ms=0, received_ms=0)) == (
            slow.key,
            msgspec.structs.replace(one, time_ms=0, received_ms=0),
        )
