"""Pauses a source topic with an alarm if nearly all of its records cannot be folded.

Otherwise, a record that cannot be folded becomes a dead letter, and folding continues. If nearly all records are bad, a producer has
another format, or the worker is too old. Records after the pause stay in the source topic and need no replay from the dead letters.
"""

import logging
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agents.ports import SourceRecord
from agents.unknown_customers import UNKNOWN_CUSTOMER
from events.codec import UndecodableError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PoisonRule:
    """Pause a source topic in a partition if more than ``percent`` of its last ``records`` records are bad."""

    records: int = 1_000
    percent: int = 90

    @property
    def bad(self) -> int:
        """The number of bad records at which the topic is paused."""
        return self.records * self.percent // 100 + 1


@dataclass(frozen=True, slots=True)
class Halt:
    """A source topic that is paused at ``position`` (the next offset), and the fault of its last bad record."""

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
            f"cannot be folded (the last: {self.reason}: {self.detail[:200]}). They are in the dead letters; later records wait. "
            "Repair the producer, or upgrade the worker if it is older than the records, and restart this worker. "
            "With --accept-bad, it sends all bad records to the dead letters (docs/operations.md)"
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
    """Counts the bad records of one partition. Good records cost nothing, because they are counted once per chunk."""

    def __init__(self, partition: int, rule: PoisonRule | None) -> None:
        """Take the rule. Without one, no topic is ever paused."""
        self._partition, self._rule = partition, rule
        self._passed: Counter[str] = Counter()
        self._bad: dict[str, deque[int]] = {}

    def passed(self, topic: str, records: int) -> None:
        """Count the records of a chunk that was folded."""
        self._passed[topic] += records

    def bad(
        self, topic: str, chunk: Sequence[SourceRecord], offset: int, error: UndecodableError
    ) -> Halt | None:
        """Count a bad record of a chunk that is not counted yet. Return a Halt if the rule pauses the topic."""
        rule = self._rule
        if (
            rule is None or error.reason == UNKNOWN_CUSTOMER
        ):  # that has an alarm of its own, and ends without a restart
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
