"""Is a source topic all poison? Then it is left where it stands, with an alarm, instead of being drained into the dead letters.

A record that cannot be folded becomes a dead letter, and the next one is folded. When nearly all are like that, the fault is not
theirs: a producer with another format, or a worker that is too old. What was not taken yet stays in the source topic and costs nobody
a replay.
"""

import logging
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agents.ports import SourceRecord
from events.codec import UndecodableError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PoisonRule:
    """More than ``percent`` of the last ``records`` records of a source topic in a partition are bad: it is paused."""

    records: int = 1_000
    percent: int = 90

    @property
    def bad(self) -> int:
        """How many bad ones among them are too many."""
        return self.records * self.percent // 100 + 1


@dataclass(frozen=True, slots=True)
class Halt:
    """A source topic that is paused at ``position`` (the next offset), and what the last bad record was."""

    topic: str
    partition: int
    position: int
    bad: int
    records: int
    reason: str
    detail: str

    def __str__(self) -> str:
        return (
            f"{self.topic} partition {self.partition} is paused at {self.position}: {self.bad} of its last {self.records} records "
            f"cannot be folded (the last: {self.reason}: {self.detail[:200]}). They are in the dead letters; what follows waits. "
            "Mend the producer, or start a worker that reads it, and start this one again; "
            "with --accept-bad all of them go to the dead letters (docs/operations.md)"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the alarm for JSON."""
        return {
            "alarm": "paused",
            "topic": self.topic,
            "partition": self.partition,
            "position": self.position,
            "bad": self.bad,
            "of": self.records,
            "reason": self.reason,
            "message": str(self),
        }


class BadRuns:
    """Counts the bad records of one partition. A good one costs nothing: it is counted with its chunk."""

    def __init__(self, partition: int, rule: PoisonRule | None) -> None:
        """Without a rule nothing is ever paused."""
        self._partition, self._rule = partition, rule
        self._passed: Counter[str] = Counter()
        self._bad: dict[str, deque[int]] = {}

    def passed(self, topic: str, records: int) -> None:
        """Count the records of a chunk that was folded."""
        self._passed[topic] += records

    def bad(
        self, topic: str, chunk: Sequence[SourceRecord], offset: int, error: UndecodableError
    ) -> Halt | None:
        """Count a bad record, which is in a chunk that is not counted yet; return the pause when it is one too many."""
        rule = self._rule
        if rule is None:
            return None
        index = bisect_left(chunk, offset, key=lambda record: record.offset)
        number = self._passed[topic] + index
        numbers = self._bad.setdefault(topic, deque(maxlen=rule.bad))
        numbers.append(number)
        spanned = number - numbers[0] + 1
        if len(numbers) < rule.bad or spanned > rule.records:
            return None
        halt = Halt(topic, self._partition, offset + 1, rule.bad, spanned, error.reason, error.detail)
        log.error("%s", halt)
        return halt
