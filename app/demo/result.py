"""Result of a demo: counts and differences, lookups, times and memory; also as one JSON object."""

from dataclasses import dataclass
from typing import Any

from app.demo.counts import CellCounts, CountDifference
from app.demo.lookups import Lookup
from app.demo.memory import peak_mb, resident_mb
from app.local.stack import Stack
from app.replay.lanes import ReplayTally


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of one worker, in MB (10^6 bytes); None if the system does not report it."""

    name: str
    peak_mb: float | None
    resident_mb: float | None

    @classmethod
    def of(cls, name: str, pid: int) -> "Memory":
        """Return the memory of a process."""
        return cls(name, peak_mb(pid), resident_mb(pid))


@dataclass(frozen=True, slots=True)
class DemoResult:
    """Everything that a demo found out. ``compared`` is the number of cells that each of the two readings was compared in."""

    stack: Stack
    ready_seconds: float
    tally: ReplayTally
    drain_seconds: float
    counts: CellCounts
    expected: CellCounts
    compared: int
    differences: list[CountDifference]
    lookups: list[Lookup]
    memory: list[Memory]
    restarts: dict[str, int]

    @property
    def is_equal(self) -> bool:
        """Whether all counts and lookups are as expected."""
        return not self.differences and all(lookup.is_right for lookup in self.lookups)

    def as_dict(self) -> dict[str, Any]:
        """Return the result for JSON; docs/demo.md describes the fields."""
        return {
            "equal": self.is_equal,
            "ready_seconds": round(self.ready_seconds, 2),
            "replay": self.tally.as_dict(),
            "drain_seconds": round(self.drain_seconds, 2),
            "workers": [
                {"name": memory.name, "peak_mb": _rounded(memory.peak_mb), "mb": _rounded(memory.resident_mb)}
                for memory in self.memory
            ],
            "restarts": self.restarts,
            "compared": self.compared,
            "counts": self._totals(),
            "differences": [
                {"read": read, **cell._asdict(), "expected": expected, "found": found}
                for read, cell, expected, found in self.differences
            ],
            "lookups": [
                {
                    "url": lookup.url,
                    "equal": lookup.is_right,
                    "items": sorted(lookup.items),
                    "expected": sorted(lookup.question.items),
                }
                for lookup in self.lookups
            ],
        }

    def _totals(self) -> dict[str, dict[str, int]]:
        totals: dict[str, dict[str, int]] = {}
        for cell, number in sorted(self.counts.items()):
            if cell.part == "total":
                totals.setdefault(cell.group, {})[cell.counter] = number
        return totals


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 1)
