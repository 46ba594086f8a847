"""Detects source partitions whose end an open transaction of another producer hides, and describes the alarm.

Pure: it receives the ends that each check saw, and what the broker said of the transactions.
The page docs/operations.md#open_transaction describes the alarm.

An end is hidden while the last stable offset is before the high watermark.
Short transactions, as those of a flush, hide ends too, but each for milliseconds: the last stable offset then moves.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from app.kafka.open_transactions import LONG_OPEN_MS, OpenTransaction, abort_command, is_of_worker
from app.worker.watchdog import SourcePartition


class LogEnds(NamedTuple):
    """Where a partition ends: for readers of committed records, and for its leader."""

    stable: int
    high_watermark: int


@dataclass(slots=True)
class HiddenEnd:
    """Records of a source partition behind an open transaction. ``seen_ms`` is when a check first saw it (wall clock)."""

    place: SourcePartition
    ends: LogEnds
    bootstrap: str
    seen_ms: int
    first_ms: int
    last_ms: int
    """Monotonic times of the first and the last check that saw it."""
    transaction: OpenTransaction | None = None
    is_alarm: bool = False

    @property
    def records(self) -> int:
        """How many offsets are hidden; the records of the transaction itself and markers of others count."""
        return self.ends.high_watermark - self.ends.stable

    @property
    def since_ms(self) -> int:
        """When the transaction began, or when a check first saw it if the broker does not say."""
        return self.seen_ms if self.transaction is None else min(self.seen_ms, self.transaction.since_ms)

    @property
    def command(self) -> str:
        """The command that aborts the transaction."""
        name = None if self.transaction is None else self.transaction.transactional_id
        return abort_command(self.bootstrap, self.place.topic, self.place.partition, self.ends.stable, name)

    def __str__(self) -> str:
        transaction = self.transaction
        if transaction is None:
            producer = "a producer that the broker does not name"
        elif transaction.transactional_id is None:
            producer = f"producer {transaction.producer_id}, which no coordinator knows"
        else:
            producer = f"producer {transaction.producer_id} ({transaction.transactional_id})"
        seconds = (self.seen_ms - self.since_ms + self.last_ms - self.first_ms) / 1000
        return (
            f"{self.place.topic} partition {self.place.partition}: a transaction of {producer} has been open at "
            f"{self.ends.stable} for {seconds:.0f} s and hides up to {self.records} records. They are not lost; they are read "
            f"when it ends. End it in its producer, or abort it: {self.command}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the alarm for JSON."""
        transaction = self.transaction
        return {
            "alarm": "open_transaction",
            "topic": self.place.topic,
            "partition": self.place.partition,
            "position": self.ends.stable,
            "hidden": self.records,
            "producer_id": None if transaction is None else transaction.producer_id,
            "transactional_id": None if transaction is None else transaction.transactional_id,
            "since_ms": self.since_ms,
            "command": self.command,
            "message": str(self),
        }


@dataclass(slots=True)
class HiddenEnds:
    """Tracks how long the ends of source partitions have been hidden. A worker has one."""

    bootstrap: str
    app_id: str
    _hidden: dict[SourcePartition, HiddenEnd] = field(default_factory=dict)

    def look(
        self, monotonic_ms: int, wall_ms: int, ends: Mapping[SourcePartition, LogEnds]
    ) -> list[SourcePartition]:
        """Take the ends that a check saw; return the partitions of which the transactions must be looked up.

        A partition that was not checked is forgotten: another worker may own it now.
        """
        hidden: dict[SourcePartition, HiddenEnd] = {}
        for place, seen in ends.items():
            if seen.high_watermark <= seen.stable:
                continue
            known = self._hidden.get(place)
            if known is None or known.ends.stable != seen.stable:
                known = HiddenEnd(place, seen, self.bootstrap, wall_ms, monotonic_ms, monotonic_ms)
            known.ends, known.last_ms = seen, monotonic_ms
            hidden[place] = known
        self._hidden = hidden
        return [
            place
            for place, known in hidden.items()
            if not known.is_alarm and known.last_ms - known.first_ms >= LONG_OPEN_MS
        ]

    def explain(self, places: Iterable[SourcePartition], found: Iterable[OpenTransaction]) -> list[HiddenEnd]:
        """Take what the broker says of the open transactions of these partitions; return the alarms to log.

        A transaction of a worker is no alarm.
        """
        begins = {(each.topic, each.partition, each.start_offset): each for each in found}
        alarms: list[HiddenEnd] = []
        for place in places:
            known = self._hidden[place]
            known.transaction = begins.get((*place, known.ends.stable))
            if known.transaction is None or not is_of_worker(known.transaction, self.app_id):
                known.is_alarm = True
                alarms.append(known)
        return alarms

    def alarms(self, numbers: Iterable[int]) -> list[HiddenEnd]:
        """Return the active alarms of these partitions."""
        ours = set(numbers)
        return [known for known in self._hidden.values() if known.is_alarm and known.place.partition in ours]
