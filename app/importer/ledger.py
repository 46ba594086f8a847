"""Ledger of an import: counts its rows in file order, while answers arrive in any order. Pure."""

from dataclasses import dataclass
from typing import Final

import msgspec

FATE_UNKNOWN: Final = "fate_unknown"
"""Code of a row that may be recorded or not."""


class RejectedRow(msgspec.Struct, frozen=True):
    """A line of the rejects file: a row that is not recorded, or that may not be (FATE_UNKNOWN)."""

    row: int
    code: str
    reason: str
    text: str


@dataclass(slots=True)
class RowCounts:
    """Numbers of settled rows, by outcome."""

    accepted: int = 0
    rejected: int = 0
    skipped: int = 0
    unknown: int = 0

    @property
    def done(self) -> int:
        """The number of settled rows."""
        return self.accepted + self.rejected + self.skipped + self.unknown

    @property
    def not_accepted(self) -> int:
        """The number of rows that are not recorded, or may not be, without those left out."""
        return self.rejected + self.unknown


RowOutcome = RejectedRow | str
"""Outcome of a row: ``accepted``, ``skipped``, or a RejectedRow."""


class Ledger:
    """Outcomes of rows. A decided row is settled, and counted, once all rows before it are decided.

    ``next_row`` is the first row that is not decided. ``take_rejects`` returns settled rejects, so each once and in file order.
    """

    def __init__(self, next_row: int, counts: RowCounts) -> None:
        self.next_row, self.counts = next_row, counts
        self._waiting: dict[int, RowOutcome] = {}
        self._rejects: list[RejectedRow] = []

    def decide(self, row: int, outcome: RowOutcome) -> None:
        """Record the outcome of a row, and settle the rows that this makes possible."""
        self._waiting[row] = outcome
        while (settled := self._waiting.pop(self.next_row, None)) is not None:
            self.next_row += 1
            self._count(settled)

    def take_rejects(self) -> list[RejectedRow]:
        """Return the rejects settled since the last call, in file order."""
        taken, self._rejects = self._rejects, []
        return taken

    def _count(self, outcome: RowOutcome) -> None:
        if isinstance(outcome, RejectedRow):
            self._rejects.append(outcome)
            name = "unknown" if outcome.code == FATE_UNKNOWN else "rejected"
        else:
            name = outcome
        setattr(self.counts, name, getattr(self.counts, name) + 1)
