"""The age that the answers of a partition must carry: without contact with Kafka, or while events are hidden, unread or paused."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from agents.partition import Partition
from agents.registry import Partitions
from app.base.clock import SystemClock, elapsed_ms
from app.lookup.service import HiddenEventsError, OutOfTouchError
from app.worker.contact import ContactRule
from app.worker.lag import ConsumerFeed
from app.worker.visibility import DATED, Visibility

_RETRY_AFTER_S = 2


@dataclass(frozen=True, slots=True)
class AnswerAge:
    """One rule for all causes: fresh, then marked, then refused. The clock decides at each lookup.

    ``contact_ms`` returns the age of the contact that partitions depend on. ``hidden_ms`` returns for how long events of a
    partition may have been unread, None if that is not known. ``paused_ms`` returns for how long events may have waited behind a
    pause. This age is never refused: only an operator ends a pause, and an old answer is better than none for hours.
    """

    rule: ContactRule
    contact_ms: Callable[[Iterable[int]], int]
    hidden_ms: Callable[[int], int | None]
    paused_ms: Callable[[int], int] = lambda _: 0

    def stale_ms(self, partition: int) -> int | None:
        """Return the mark of a partition's answers; None while they are fresh. Raise UnavailableError if they are too old."""
        contact_ms, hidden_ms = self.contact_ms((partition,)), self.hidden_ms(partition)
        if self.rule.refuses(contact_ms):
            raise OutOfTouchError(partition, contact_ms, _RETRY_AFTER_S)
        if hidden_ms is None or self.rule.refuses(hidden_ms):
            raise HiddenEventsError(partition, hidden_ms, _RETRY_AFTER_S)
        return self.rule.stale_ms(max(contact_ms, hidden_ms, self.paused_ms(partition)))

    def refuses(self, partition: int) -> bool:
        """Return whether the answers of a partition are refused."""
        hidden_ms = self.hidden_ms(partition)
        oldest_ms = self.contact_ms((partition,))
        return hidden_ms is None or self.rule.refuses(max(oldest_ms, hidden_ms))


def folded_in(partitions: Partitions, feed: ConsumerFeed) -> Callable[[str, int], int]:
    """Return the function that says up to which offset a topic of a partition is folded: 0 while the partition is not open."""

    def folded(topic: str, number: int) -> int:
        partition = partitions.get(number)
        return 0 if partition is None else feed.folded(partition, topic)

    return folded


def behind(partitions: Partitions, visibility: Visibility) -> Callable[[int], int | None]:
    """Return the function that says for how long events of an open partition may have been unread."""

    def behind_ms(number: int) -> int | None:
        partition = partitions.get(number)
        if partition is None:
            return 0  # lookups of it are refused anyway
        return visibility.behind_ms(elapsed_ms(), number, lambda topic: _age_ms(partition, topic))

    return behind_ms


def paused(partitions: Partitions) -> Callable[[int], int]:
    """Return the function that says for how long events of a partition may have waited behind a pause: 0 without one."""

    def paused_ms(number: int) -> int:
        partition = partitions.get(number)
        if partition is None or not partition.halts:
            return 0
        return max((_age_ms(partition, topic) or 0 for topic in DATED if topic in partition.halts), default=0)

    return paused_ms


def _age_ms(partition: Partition, topic: str) -> int | None:
    """Return how old the first record of the last chunk of a topic is, None before the first chunk. All older records are folded."""
    as_of_ms = partition.as_of_ms.get(topic)
    return None if as_of_ms is None else max(0, SystemClock().now_ms() - as_of_ms)
