"""A partition over topics and a disk in memory: opened, killed and opened elsewhere, as workers do it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agents.announcements import Announcing
from agents.faust_agents import AGENTS
from agents.partition import Partition
from agents.partition_limits import PartitionLimits
from agents.ports import Output, PartitionLostError
from events.codec import encode
from events.model import EventBase, user_key
from tests.support.memory_outbox import LogRecord, MemoryLogs, MemoryOutbox, catch_up
from tests.support.memory_store import Disk, MemoryStore

FOLDS = {topic: fold for folds in AGENTS.values() for topic, fold in folds.items()}
HOUR_MS = 3_600_000


def a_record(event: EventBase | None = None, offset: int = 0, **fields: Any) -> LogRecord:
    """Build a record of the journal; ``key`` and ``value`` follow from the event unless given."""
    if event is not None:
        fields = {"key": user_key(event.customer, event.user), "value": encode(event), **fields}
    return LogRecord(offset, **{"key": None, "value": None, **fields})


class Silent:
    """An announcer that never announces anything."""

    def is_due(self, positions: Mapping[str, int], newest_ms: int) -> bool:
        return False

    def take(self, positions: Mapping[str, int], newest_ms: int) -> tuple[list[Output], list[Output]]:
        return [], []


class World:
    """The topics, and the partitions opened on them. ``announcer(number)`` makes the announcer of a partition."""

    def __init__(
        self, partitions: int = 1, announcer: Callable[[int], Announcing] = lambda _: Silent(), **limits: Any
    ) -> None:
        self._announcer = announcer
        self.logs = MemoryLogs()
        # No test waits for the timer.
        self.limits = PartitionLimits(**{"flush_interval_ms": HOUR_MS, "partitions": partitions, **limits})
        self.lost: list[PartitionLostError] = []
        self.failed: list[BaseException] = []
        self._opened: list[Partition] = []

    def open(
        self,
        number: int = 0,
        disk: Disk | None = None,
        epoch: int = 0,
        topic_ids: Mapping[str, str] | None = None,
    ) -> Partition:
        """Fence the partition's former writer, catch up with the changelogs, and open it."""
        outbox = MemoryOutbox(self.logs, number)
        store = MemoryStore(disk)
        catch_up(self.logs, number, store)
        partition = Partition(
            number,
            epoch,
            store,
            outbox,
            self._announcer(number),
            self.limits,
            self.lost.append,
            self.failed.append,
            topic_ids,
        )
        self._opened.append(partition)
        return partition

    def outbox(self, number: int = 0) -> MemoryOutbox:
        """Return the outbox of the partition's current owner."""
        return self.logs.owners[number]

    def produce(self, topic: str, *events: EventBase, number: int = 0) -> None:
        for event in events:
            self.logs.append(topic, number, (user_key(event.customer, event.user), encode(event)))

    @staticmethod
    def kill(partition: Partition) -> Disk:
        """End a partition as kill -9 does: nothing is flushed. Return its disk."""
        partition._timer.cancel()
        partition.store.close()
        return partition.store.disk

    def end(self) -> None:
        for partition in self._opened:
            self.kill(partition)


async def fold_records(partition: Partition, topic: str, records: Sequence[LogRecord]) -> None:
    await partition.fold(topic, records, FOLDS[topic])
