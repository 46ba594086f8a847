"""Detects source partitions that make no progress while their lag grows.

Pure: it receives what each check saw, and returns alarms. The page docs/operations.md#stands_still describes the alarm.
These times do not count, because nothing is wrong with the partition:

- The broker does not answer: the worker waits for it.
- The partition is not open: it is being restored, or another worker opens it.
- The source topic is paused in the partition.
- This process itself was stopped.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from app.base.errors import UptakeError

_CAUSES: Final = (
    "Likely causes: a flush that the broker does not end (uptake.deadletters, a changelog or the transaction log without "
    "enough in-sync replicas), a disk that hangs, or a bug in Uptake"
)
_LONGEST_STEP: Final = 3
"""At most this many intervals count between two checks: if the process was stopped for an hour, no check saw that hour."""


class SourcePartition(NamedTuple):
    """A partition of a source topic."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Sight:
    """What one check saw of an open partition: opened in ``epoch``, durable up to ``position`` (next offset), ``lag`` offsets behind."""

    epoch: int
    position: int
    lag: int


@dataclass(slots=True)
class Stall:
    """A partition without progress: for how long (ms that count), at which position, and its lag then and now."""

    place: SourcePartition
    sight: Sight
    lag_before: int
    stalled_ms: int = 0
    stalled_here_ms: int = 0
    """Since the partition was last opened. If it is reopened again and again, the cause is outside the process."""
    alarmed_ms: int = 0
    """``stalled_ms`` at the last alarm; 0 before the first."""

    @property
    def is_growing(self) -> bool:
        """The lag is greater than when the stall began."""
        return self.sight.lag > self.lag_before

    def __str__(self) -> str:
        return (
            f"{self.place.topic} partition {self.place.partition} has been stalled at {self.sight.position} for "
            f"{self.stalled_ms / 1000:.0f} s, while its lag has grown from {self.lag_before} to {self.sight.lag}. {_CAUSES}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the alarm for JSON."""
        return {
            "alarm": "stands_still",
            "topic": self.place.topic,
            "partition": self.place.partition,
            "position": self.sight.position,
            "lag": self.sight.lag,
            "seconds": round(self.stalled_ms / 1000),
            "message": str(self),
        }


class StalledError(UptakeError):
    """A partition was stalled for so long that the process must be restarted."""

    def __init__(self, stall: Stall) -> None:
        super().__init__(
            f"{stall}. The worker ends, so that it is restarted; it then resumes from the position"
        )
        self.stall = stall


@dataclass(slots=True)
class Watchdog:
    """Tracks how long each source partition has been stalled. A worker has one watchdog; times are monotonic, in ms.

    ``alarm_ms``: after this time without progress while the lag grew, raise an alarm; repeat it after each further ``alarm_ms``.
    ``exit_ms``: after this time without progress and without being reopened, the process must end; 0: never.
    """

    alarm_ms: int
    exit_ms: int
    interval_ms: int
    """Time between two checks."""
    _stalls: dict[SourcePartition, Stall] = field(default_factory=dict)
    _looked_ms: int | None = None

    def look(self, now_ms: int, sights: Mapping[SourcePartition, Sight] | None) -> list[Stall]:
        """Take what a check saw of the partitions that are open and not paused; return the alarms to log.

        ``sights`` is None if the broker did not answer. Raise StalledError if the process must end.
        """
        passed_ms = 0 if self._looked_ms is None else now_ms - self._looked_ms
        passed_ms = min(passed_ms, _LONGEST_STEP * self.interval_ms)
        self._looked_ms = now_ms
        if sights is None:
            self._stalls.clear()
            return []
        alarms: list[Stall] = []
        for place, sight in sights.items():
            stall = self._stalls.get(place)
            if stall is None or stall.sight.lag == 0 or sight.position != stall.sight.position:
                self._stalls[place] = Stall(place, sight, sight.lag)
                continue
            stall.stalled_ms += passed_ms
            is_same_opening = sight.epoch == stall.sight.epoch
            stall.stalled_here_ms = stall.stalled_here_ms + passed_ms if is_same_opening else 0
            stall.sight = sight
            if not stall.is_growing:
                continue
            if self.exit_ms and stall.stalled_here_ms >= self.exit_ms:
                raise StalledError(stall)
            if stall.stalled_ms - stall.alarmed_ms >= self.alarm_ms:
                stall.alarmed_ms = stall.stalled_ms
                alarms.append(stall)
        return alarms

    def alarms(self, numbers: Iterable[int]) -> list[Stall]:
        """Return the active alarms of these partitions; other partitions have another owner now."""
        ours = set(numbers)
        return [
            stall
            for stall in list(self._stalls.values())
            if stall.alarmed_ms and stall.place.partition in ours
        ]
