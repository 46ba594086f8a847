"""Which rows are done: the account of an import, settled in the order of the file, whatever order the answers come in. Pure."""

from dataclasses import dataclass
from typing import Final

import msgspec

FATE_UNKNOWN: Final = "fate_unknown"
"""The code of a row that may have been recorded or not."""


class RejectedRow(msgspec.Struct, frozen=True):
    """One row that is not recorded, as a line of the rejects file."""

    row: int
    code: str
    reason: str
    text: str


@dataclass(slots=True)
class RowCounts:
    """What became of the rows before the settled one."""

    accepted: int = 0
    rejected: int = 0
    skipped: int = 0
    unknown: int = 0

    @property
    def done(self) -> int:
        """How many rows came to an end."""
        return self.accepted + self.rejected + self.skipped + self.unknown

    @property
    def not_accepted(self) -> int:
        """How many rows are not known to be recorded, and were to be."""
        return self.rejected + self.unknown


RowOutcome = RejectedRow | str
"""What became of a row: ``accepted``, ``skipped``, or why it is not recorded."""


class Ledger:
    """Rows that are decided; ``next_row`` is the first that is not, all before it are settled.

    Rejects come out of ``take_rejects`` once they are settled, so in the order of the file and each once.
    """

    def __init__(self, next_row: int, counts: RowCounts) -> None:
        self.next_row, self.counts = next_row, counts
        self._waiting: dict[int, RowOutcome] = {}
        self._rejects: list[RejectedRow] = []

    def decide(self, row: int, outcome: RowOutcome) -> None:
        """Note what became of a row, and settle what can be."""
        self._waiting[row] = outcome
        while (settled := self._waiting.pop(self.next_row, None)) is not None:
            self.next_row += 1
            self._count(settled)

    def take_rejects(self) -> list[RejectedRow]:
        """Return the rejects that were settled since the last call."""
        taken, self._rejects = self._rejects, []
        return taken

    def _count(self, outcome: RowOutcome) -> None:
        if isinstance(outcome, RejectedRow):
            self._rejects.append(outcome)
            name = "unknown" if outcome.code == FATE_UNKNOWN else "rejected"
        else:
            name = outcome
        setattr(self.counts, name, getattr(self.counts, name) + 1)
