"""The records of the spool on their way to the disk and from there to Kafka, counted by partition. Pure: no I/O, no clock.

A record is queued until the disk has it, pending until Kafka has it, and then drained.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import NamedTuple

from app.journal.sink import SpoolCounts
from app.journal.spool_format import SpoolRecord, SpoolTarget, encode
from app.journal.spool_segments import SpoolBatch

Done = Callable[[OSError | None], None]
"""Called once: with None if the record is durable, with the error if nothing of it stays."""


class QueuedRecord(NamedTuple):
    """A record that the disk does not have yet. ``data`` is what will be written."""

    record: SpoolRecord
    data: bytes
    done: Done


class SpooledCount:
    """How many records of one partition are in the spool."""

    __slots__ = ("drained_since", "held", "pending")

    def __init__(self) -> None:
        self.held = 0
        """All records that are queued or pending."""
        self.pending = 0
        self.drained_since = 0
        """Records drained since the last ``SpoolQueue.begin_count``."""


class SpoolQueue:
    """Keeps records in order until the disk takes them, and counts them until Kafka has them."""

    def __init__(self) -> None:
        self.next_number = 0
        self.queued_bytes = 0
        self.counts = SpoolCounts()
        self._queued: list[QueuedRecord] = []
        self._drained: list[SpoolBatch] = []
        self._partitions: defaultdict[SpoolTarget, SpooledCount] = defaultdict(SpooledCount)

    def partition(self, place: SpoolTarget) -> SpooledCount:
        """Return the count of a partition. It is always the same object and changes in place."""
        return self._partitions[place]

    def places(self) -> list[SpoolTarget]:
        """Return the partitions with pending records."""
        return [place for place, count in self._partitions.items() if count.pending]

    @property
    def is_idle(self) -> bool:
        """Whether the disk has nothing to do: no record is queued, and all that was drained was taken."""
        return not self._queued and not self._drained

    # --- to the disk ---

    def add(self, place: SpoolTarget, received_ms: int, key: bytes, value: bytes, done: Done) -> None:
        """Queue a record."""
        record = SpoolRecord(self.next_number, place, received_ms, key, value)
        self.next_number += 1
        data = encode(record)
        self._queued.append(QueuedRecord(record, data, done))
        self.queued_bytes += len(data)
        self._partitions[place].held += 1

    def take_queued(self) -> list[QueuedRecord]:
        """Return the records to write next. They count as queued until ``written`` or ``refused``."""
        group, self._queued = self._queued, []
        return group

    def written(self, group: list[QueuedRecord]) -> None:
        """Count a group as pending: the disk has it."""
        for each in group:
            self._partitions[each.record.place].pending += 1
            self.queued_bytes -= len(each.data)
        self.counts.spooled += len(group)
        self.counts.events += len(group)

    def refused(self, group: list[QueuedRecord]) -> None:
        """Forget a group: nothing of it is on the disk."""
        for each in group:
            self._partitions[each.record.place].held -= 1
            self.queued_bytes -= len(each.data)

    # --- to Kafka ---

    def drained(self, batch: SpoolBatch) -> None:
        """Count a batch as drained: Kafka has it."""
        count = self._partitions[batch.place]
        count.held -= batch.count
        count.pending -= batch.count
        count.drained_since += batch.count
        self.counts.events -= batch.count
        self.counts.drained += len(batch.records)
        self._drained.append(batch)

    def take_drained(self) -> list[SpoolBatch]:
        """Return the batches drained since the last call: the disk has to note them."""
        batches, self._drained = self._drained, []
        return batches

    # --- recounting ---

    def begin_count(self) -> None:
        """Note that the disk counts its records from now on."""
        for count in self._partitions.values():
            count.drained_since = 0

    def end_count(self, found: Mapping[SpoolTarget, int]) -> None:
        """Take over what the disk has counted, without what was drained meanwhile."""
        for place in found.keys() | self._partitions.keys():
            count = self._partitions[place]
            queued = count.held - count.pending
            count.pending = found.get(place, 0) - count.drained_since
            count.held = count.pending + queued
        self.counts.events = sum(count.pending for count in self._partitions.values())
