"""Names and compares the counts of the demo's data: flat cells, so that no number can be left out."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple

DEMO_COUNTERS: Final = ("impressions", "clicks", "attributed_clicks")

CountPart = Literal["total", "position", "day", "hour", "item"]


class Cell(NamedTuple):
    """The name of one number. ``group`` is ``{variant}/{scenario}``, as in ``bts/all``.

    ``at`` depends on the part: empty for ``total``, ``1`` for a position, ``2019-11-24`` for a UTC day, ``2019-11-24 05`` for an hour,
    ``1/7`` for an item. Items count over all variants.
    """

    group: str
    part: CountPart
    at: str
    counter: str

    def __str__(self) -> str:
        """Return the name for people."""
        place = self.part if not self.at else f"{self.part} {self.at}"
        return f"{self.group}, {place}, {self.counter}"


CellCounts = dict[Cell, int]
"""Number of each cell. A missing cell is 0: a window without events does not exist."""


class CountDifference(NamedTuple):
    """A number that is not as expected. ``read`` names the source of ``found``."""

    read: str
    cell: Cell
    expected: int
    found: int

    def __str__(self) -> str:
        """Return the difference as a sentence."""
        return f"{self.read}: {self.cell}: expected {self.expected:,}, found {self.found:,}"


def compare(expected: Mapping[Cell, int], found: Mapping[Cell, int], read: str) -> list[CountDifference]:
    """Return every cell in which the two sides differ, in order. ``read`` names the source of ``found``."""
    return [
        CountDifference(read, cell, expected.get(cell, 0), found.get(cell, 0))
        for cell in sorted({*expected, *found})
        if expected.get(cell, 0) != found.get(cell, 0)
    ]


def add(counts: CellCounts, group: str, part: CountPart, at: str, numbers: Mapping[str, int]) -> None:
    """Add numbers to the cells of one place; ``numbers`` is counter -> number."""
    for counter, number in numbers.items():
        cell = Cell(group, part, at, counter)
        counts[cell] = counts.get(cell, 0) + number


def group_of(variant: str | None, scenario: str) -> str:
    """Return the name of a group; a missing variant is a dash."""
    return f"{variant or '-'}/{scenario}"


def position_of(row: int | None, rank: int | None) -> str:
    """Return a position as the files count it: row 0, rank p-1 is position p. Other places keep row and rank."""
    return f"{rank + 1}" if row == 0 and rank is not None else f"row {row} rank {rank}"


def day_of(time_ms: int) -> str:
    """Return the UTC day of a time."""
    return datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%d")


def hour_of(time_ms: int) -> str:
    """Return the UTC hour of a time."""
    return datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%d %H")
