"""How far is this worker behind: records of its source topics that no committed flush covers yet, or that were not folded yet."""

from typing import Any

from faust.types.tuples import TP

from agents.partition import Partition
from agents.ports import Reach
from events.topics import SOURCES


def lag_of(consumer: Any, partition: Partition) -> int:
    """Return how many offsets of a partition's sources are not durable yet; commit markers that were passed over do not count.

    What is not fetched is taken from the broker's last fetch answer, so a record shows at most half a second late; of a topic that is
    paused, from the watchdog's last look.
    """
    return sum(topic_lag(consumer, partition, topic) for topic in SOURCES)


def topic_lag(consumer: Any, partition: Partition, topic: str) -> int:
    """Return the same of one source topic."""
    tp = TP(topic, partition.number)
    unread, delivered = consumer.unread(tp), consumer.delivered(tp)
    lag: int = unread + max(0, delivered - partition.durable.get(topic, 0))
    return lag


class ConsumerFeed:
    """How far Faust's consumer is, for partitions and lookups, which are built before it. ``app`` is the Faust app."""

    app: Any

    def lag(self, partition: Partition) -> int:
        """Return how many offsets of a partition's sources are not durable yet."""
        return lag_of(self.app.consumer, partition)

    def reach(self, topic: str, partition: int) -> Reach | None:
        """Return how far the consumer is; None when the broker has not told yet where the partition ends.

        None too for a topic that is paused: what waits there is not read, so windows must not be closed over it.
        """
        consumer = self.app.consumer
        if consumer.ownership.is_paused(topic, partition):
            return None
        reach: Reach | None = consumer.reach(TP(topic, partition))
        return reach
