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
