"""The position of a source partition is unknown while it is paused, so that no window closes over unread records."""

from types import SimpleNamespace
from typing import Any

from faust.types.tuples import TP

from agents.ports import Reach
from app.worker.lag import ConsumerFeed
from events.topics import JOURNAL


def test_paused_topic_is_not_read_to_its_end() -> None:
    paused: set[tuple[str, int]] = set()
    reaches = {TP(JOURNAL, 0): Reach(7, 7, 7)}
    ownership = SimpleNamespace(is_paused=lambda topic, partition: (topic, partition) in paused)
    consumer: Any = SimpleNamespace(ownership=ownership, reach=reaches.get)
    feed = ConsumerFeed()
    feed.app = SimpleNamespace(consumer=consumer)
    assert feed.reach(JOURNAL, 0) == Reach(7, 7, 7)
    assert feed.reach(JOURNAL, 1) is None
    paused.add((JOURNAL, 0))
    assert feed.reach(JOURNAL, 0) is None


def test_topic_is_folded_up_to_the_position_or_past_markers_when_nothing_is_in_flight() -> None:
    reaches = {TP(JOURNAL, 0): Reach(9, 9, 7)}
    feed = ConsumerFeed()
    passed = {TP(JOURNAL, 0): 5}
    feed.app = SimpleNamespace(consumer=SimpleNamespace(reach=reaches.get, passed=passed))

    def folded(number: int, position: int, *paused: str) -> int:
        partition: Any = SimpleNamespace(
            number=number, positions={JOURNAL: position}, halts=dict.fromkeys(paused)
        )
        return feed.folded(partition, JOURNAL)

    assert [folded(0, position) for position in (5, 7)] == [5, 7], "records may be on their way to the loop"
    passed[TP(JOURNAL, 0)] = 9
    assert [folded(0, position) for position in (5, 7)] == [5, 9]
    assert folded(1, 5) == 5, "nothing was fetched yet"
    assert folded(0, 5, JOURNAL) > 10**18, "it has an alarm of its own"
