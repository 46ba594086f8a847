"""Lag of a worker: the records of its source topics that are not folded yet, or not covered by a committed flush."""

from typing import Any, Final

from faust.types.tuples import TP

from agents.partition import Partition
from agents.ports import Reach
from events.topics import SOURCES

_EVERYTHING: Final = 2**63 - 1


def lag_of(consumer: Any, partition: Partition) -> int:
    """Return how many offsets of a partition's sources are not durable yet. Commit markers that were passed do not count.

    Records that an open transaction hides count: they were acknowledged, and no lookup knows them.
    The end of a topic comes from the broker's last fetch answer, so a new record counts after at most half a second.
    The end of a paused topic comes from the watchdog's last check.
    """
    return sum(_topic_lag(consumer, partition, topic) for topic in SOURCES)


def _topic_lag(consumer: Any, partition: Partition, topic: str) -> int:
    """Return the lag of one source topic, counted as by ``lag_of``."""
    unread: int = consumer.unread(TP(topic, partition.number))
    return unread + _undurable(consumer, partition, topic)


def readable_lag(consumer: Any, partition: Partition, topic: str, stable_end: int) -> int:
    """Return the lag of one source topic up to its last stable offset: what the worker can work on."""
    unread: int = consumer.unread(TP(topic, partition.number), stable_end)
    return unread + _undurable(consumer, partition, topic)


def _undurable(consumer: Any, partition: Partition, topic: str) -> int:
    delivered: int = consumer.delivered(TP(topic, partition.number))
    return max(0, delivered - partition.durable.get(topic, 0))


class ConsumerFeed:
    """Shows partitions and lookups how far Faust's consumer is. ``app`` is the Faust app, which is built after them."""

    app: Any

    def lag(self, partition: Partition) -> int:
        """Return how many offsets of a partition's sources are not durable yet."""
        return lag_of(self.app.consumer, partition)

    def folded(self, partition: Partition, topic: str) -> int:
        """Return the offset up to which a source topic is folded. Commit markers that were passed count.

        A paused topic counts as folded: it has an alarm of its own, and lookups go on.
        """
        if topic in partition.halts:
            return _EVERYTHING
        position = partition.positions.get(topic, 0)
        tp = TP(topic, partition.number)
        reach: Reach | None = self.app.consumer.reach(tp)
        if reach is None or position < reach.fetched:
            return position
        # ``reach.next`` moves before the records that it passes arrive here
        passed: int = self.app.consumer.passed.get(tp, 0)
        return max(position, passed)

    def reach(self, topic: str, partition: int) -> Reach | None:
        """Return how far the consumer is; None until the broker has reported where the partition ends.

        A paused topic also gives None: its waiting records are not read, so no window may close over them.
        """
        consumer = self.app.consumer
        if consumer.ownership.is_paused(topic, partition):
            return None
        reach: Reach | None = consumer.reach(TP(topic, partition))
        return reach
