"""Does a partition stand still while more and more waits for it? Pure: looks come in, alarms come out (ARCHITECTURE.md, rule 6).

What may stand without anything being wrong is not counted: time in which the broker does not answer (it is waited for), in which a
partition is not open (it is being restored, or on its way to another worker), is paused, or in which this process itself was stopped.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from app.base.errors import UptakeError

_CAUSES: Final = (
    "Likely causes: a flush that the broker does not end (uptake.deadletters, a changelog or the transaction log without "
    "enough in-sync replicas), a disk that hangs, or a fault of ours"
)
_LONGEST_STEP: Final = 3
"""Looks that one may stand for: a process that was stopped for an hour has stood still, but has not been seen to."""


class SourcePartition(NamedTuple):
    """A source partition."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Sight:
    """What one look saw of an open partition: opened in ``epoch``, durable up to ``position`` (next offset), ``lag`` offsets behind."""

    epoch: int
    position: int
    lag: int


@dataclass(slots=True)
class Stall:
    """A partition that stands still: since how long (ms that count), where, and how far behind it was then and is now."""

    place: SourcePartition
    sight: Sight
    lag_before: int
    standing_ms: int = 0
    standing_here_ms: int = 0
    """Since it was opened last: one that is opened anew again and again stands because of something outside."""
    told_ms: int = 0
    """Of ``standing_ms``, when it was told last; 0 before the first alarm."""

    @property
    def is_growing(self) -> bool:
        """More waits than when it began to stand."""
        return self.sight.lag > self.lag_before

    def __str__(self) -> str:
        return (
            f"{self.place.topic} partition {self.place.partition} stands still at {self.sight.position} for "
            f"{self.standing_ms / 1000:.0f} s, while its lag has grown from {self.lag_before} to {self.sight.lag}. {_CAUSES}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the alarm for JSON."""
        return {
            "alarm": "stands_still",
            "topic": self.place.topic,
            "partition": self.place.partition,
            "position": self.sight.position,
            "lag": self.sight.lag,
            "seconds": round(self.standing_ms / 1000),
            "message": str(self),
        }


class StandsStillError(UptakeError):
    """A partition stood still for so long that the process must be started again."""

    def __init__(self, stall: Stall) -> None:
        super().__init__(
            f"{stall}. The worker ends, so that it is started again; it goes on from the position"
        )
        self.stall = stall


@dataclass(slots=True)
class Watchdog:
    """Remembers since when each source partition stands. One a worker; times are of a monotonic clock, ms.

    ``alarm_ms``: a partition that stood for so long while its lag grew is told of, and again after each further ``alarm_ms``.
    ``exit_ms``: one that stood so long without being opened anew ends the process; 0: never.
    """

    alarm_ms: int
    exit_ms: int
    interval_ms: int
    """Between two looks."""
    _stalls: dict[SourcePartition, Stall] = field(default_factory=dict)
    _looked_ms: int | None = None

    def look(self, now_ms: int, sights: Mapping[SourcePartition, Sight] | None) -> list[Stall]:
        """Take what is open and not paused now, None when the broker did not answer; return what is to be told.

        StandsStillError when the process must end.
        """
        passed_ms = 0 if self._looked_ms is None else now_ms - self._looked_ms
        passed_ms = min(passed_ms, _LONGEST_STEP * self.interval_ms)
        self._looked_ms = now_ms
        if sights is None:
            self._stalls.clear()
            return []
        told: list[Stall] = []
        for place, sight in sights.items():
            stall = self._stalls.get(place)
            if stall is None or stall.sight.lag == 0 or sight.position != stall.sight.position:
                self._stalls[place] = Stall(place, sight, sight.lag)
                continue
            stall.standing_ms += passed_ms
            is_same_opening = sight.epoch == stall.sight.epoch
            stall.standing_here_ms = stall.standing_here_ms + passed_ms if is_same_opening else 0
            stall.sight = sight
            if not stall.is_growing:
                continue
            if self.exit_ms and stall.standing_here_ms >= self.exit_ms:
                raise StandsStillError(stall)
            if stall.standing_ms - stall.told_ms >= self.alarm_ms:
                stall.told_ms = stall.standing_ms
                told.append(stall)
        return told

    def alarms(self, numbers: Iterable[int]) -> list[Stall]:
        """Return what was told of and still stands, of these partitions: others have another owner now."""
        ours = set(numbers)
        return [
            stall for stall in list(self._stalls.values()) if stall.told_ms and stall.place.partition in ours
        ]
