"""An Outbox over topics in memory: the double of KafkaOutbox under the same contract (tests/contract/test_outbox.py)."""

import asyncio
from collections import defaultdict
from typing import Literal, NamedTuple

from agents.ports import Change, Committed, Flush, PartitionLostError
from tables.declare import CHANGELOGS, TOPICS

LIMITS = {topic.name: topic.max_message_bytes for topic in TOPICS}
"""Topic -> the largest record that the broker takes, in bytes."""
Failure = Literal["before commit", "after commit"]


class LogRecord(NamedTuple):
    """One committed record, as a read_committed reader sees it."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp: int = 1_700_000_000_000


class MemoryLogs:
    """What a broker keeps: per topic and partition the committed records and the end; per partition its current writer."""

    def __init__(self) -> None:
        self._records: defaultdict[tuple[str, int], list[LogRecord]] = defaultdict(list)
        self._ends: defaultdict[tuple[str, int], int] = defaultdict(int)
        self.owners: dict[int, MemoryOutbox] = {}

    def append(self, topic: str, partition: int, record: tuple, *, is_committed: bool = True) -> int:
        """Add (key, value, headers, ...); return its offset. An uncommitted record uses an offset, but no reader sees it."""
        offset = self._ends[topic, partition]
        self._ends[topic, partition] += 1
        if is_committed:
            self._records[topic, partition].append(LogRecord(offset, *record))
        return offset

    def mark(self, topic: str, partition: int) -> None:
        """Write the marker that ends a transaction: it uses an offset, and no reader sees it."""
        self._ends[topic, partition] += 1

    def end(self, topic: str, partition: int) -> int:
        return self._ends[topic, partition]

    def read(self, topic: str, partition: int, start: int = 0) -> list[LogRecord]:
        return [record for record in self._records[topic, partition] if record.offset >= start]


class MemoryOutbox:
    """The one writer of a partition: creating it fences its predecessor.

    ``next_failure`` makes the next commit raise PartitionLostError, before or after the records are committed.
    While ``may_commit`` is cleared, a commit hangs before it takes effect; while ``may_answer`` is cleared, after it.
    ``flushes`` holds what was committed.
    """

    def __init__(self, logs: MemoryLogs, partition: int) -> None:
        self._logs, self._partition = logs, partition
        logs.owners[partition] = self
        self.next_failure: Failure | None = None
        self.may_commit, self.may_answer = asyncio.Event(), asyncio.Event()
        self.may_commit.set()
        self.may_answer.set()
        self.waiting = 0
        self.flushes: list[Flush] = []
        self._is_usable = True

    async def commit(self, flush: Flush) -> Committed:
        self.waiting += 1
        try:
            await self.may_commit.wait()
            committed = self._commit(flush)
            await self.may_answer.wait()
        except asyncio.CancelledError:
            self._is_usable = False
            raise
        finally:
            self.waiting -= 1
        return committed

    def _commit(self, flush: Flush) -> Committed:
        if not self._is_usable:
            raise PartitionLostError(self._partition, "the producer is closed, or an earlier commit failed")
        if self._logs.owners[self._partition] is not self:
            raise self._lost("fenced")
        records: list[tuple[str, int, tuple]] = [
            (CHANGELOGS[table], self._partition, (*change, ()))
            for table, changes in flush.changes.items()
            for change in changes
        ]
        records += [(output.topic, output.partition, output[2:]) for output in flush.outputs]
        is_too_large = any(len(record[1] or b"") > LIMITS[topic] for topic, _, record in records)
        is_committed = not is_too_large and self.next_failure != "before commit"
        committed = Committed()
        changelogs = set(CHANGELOGS.values())
        for topic, partition, record in records:
            offset = self._logs.append(topic, partition, record, is_committed=is_committed)
            if topic in changelogs:
                committed.offsets[topic] = offset + 1
        for topic, partition in {(topic, partition) for topic, partition, _ in records}:
            self._logs.mark(topic, partition)
        if is_too_large:
            raise self._lost("a record is too large")
        if is_committed:
            self.flushes.append(flush)
        if self.next_failure is not None:
            raise self._lost(self.next_failure)
        return committed

    def _lost(self, cause: str) -> PartitionLostError:
        self._is_usable = False
        return PartitionLostError(self._partition, cause)

    async def close(self) -> None:
        self._is_usable = False


def catch_up(logs: MemoryLogs, partition: int, store) -> None:
    """Bring a store to the end of the changelogs, as app/worker/restore.py does."""
    known = store.offsets()
    for table, topic in CHANGELOGS.items():
        changes: list[Change] = [
            (record.key or b"", record.value) for record in logs.read(topic, partition, known.get(topic, 0))
        ]
        store.write({table: changes}, {topic: logs.end(topic, partition)})
