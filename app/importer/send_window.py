"""The rows of an import between reading and outcome: a window that slides over the file, and a queue of batches for each lane.

Pure: no I/O, no clock. send.py reads the rows and sends the batches.
"""

import dataclasses
import zlib
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from app.importer.batch_answer import RowResult
from app.importer.ledger import Ledger, RejectedRow, RowCounts
from app.importer.rows import FileRow

BATCH_ROWS: Final = 500
_BATCH_BYTES: Final = 262_144  # before compression
WINDOW_ROWS: Final = 20_000
"""Rows from the first undecided one to the last that is read: what memory holds."""


class QueuedRow(NamedTuple):
    """A row that has to be sent, and the JSON of its element."""

    row: FileRow
    body: bytes


class RowQueue:
    """The rows of some users, in the order of the file. A batch is current until each of its rows is decided."""

    def __init__(self, batch_rows: int = BATCH_ROWS) -> None:
        self._batch_rows = batch_rows
        self._rows: deque[QueuedRow] = deque()
        self._batches: deque[list[QueuedRow]] = deque()

    def add(self, row: QueuedRow) -> None:
        """Add a row behind all others."""
        self._rows.append(row)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to send."""
        return not self._batches and not self._rows

    def batch(self) -> list[QueuedRow]:
        """Return the current batch, the oldest rows that are not decided. The queue must not be empty."""
        if not self._batches:
            self._batches.append(self._next_rows())
        return self._batches[0]

    def _next_rows(self) -> list[QueuedRow]:
        taken = [self._rows.popleft()]
        size_bytes = len(taken[0].body)
        while self._rows and len(taken) < self._batch_rows:
            size_bytes += len(self._rows[0].body)
            if size_bytes > _BATCH_BYTES:
                break
            taken.append(self._rows.popleft())
        return taken

    def keep(self, left: list[QueuedRow]) -> None:
        """Reduce the current batch to the rows that have to be sent again; none: the next batch is current."""
        if left:
            self._batches[0] = left
        else:
            self._batches.popleft()

    def split(self) -> None:
        """Replace the current batch by its two halves."""
        batch = self._batches.popleft()
        half = len(batch) // 2
        self._batches.extendleft((batch[half:], batch[:half]))


class SettledRows(NamedTuple):
    """What a checkpoint has to make durable.

    All rows before ``next_row`` are decided. No row from ``may_be_sent`` on was sent. ``rejects`` are those since the last checkpoint.
    """

    next_row: int
    may_be_sent: int
    counts: RowCounts
    rejects: list[RejectedRow]


class SendWindow:
    """Says which rows may be read and sent, and keeps the outcome of each. ``queues`` has one queue for each lane."""

    def __init__(
        self, ledger: Ledger, *, lanes: int, rows: int = WINDOW_ROWS, batch_rows: int = BATCH_ROWS
    ) -> None:
        self._ledger, self._rows = ledger, rows
        self.queues = [RowQueue(batch_rows) for _ in range(lanes)]
        self._next_to_read = ledger.next_row
        self._may_be_sent = ledger.next_row

    # --- reading ---

    def needs_checkpoint(self, number: int) -> bool:
        """Return whether a row may be sent only after the next checkpoint."""
        return number >= self._may_be_sent

    def admit(self, number: int) -> bool:
        """Return whether the next row is in the window and may be sent. If it is, the caller queues or decides it."""
        if number >= self._may_be_sent or number - self._ledger.next_row >= self._rows:
            return False
        self._next_to_read = number + 1
        return True

    def queue(self, row: FileRow, user: str, body: bytes) -> int:
        """Put a row into the queue of its user; return the lane."""
        lane = zlib.crc32(user.encode()) % len(self.queues)
        self.queues[lane].add(QueuedRow(row, body))
        return lane

    # --- outcomes ---

    def skip(self, row: FileRow) -> None:
        """Decide that a row is no event."""
        self._ledger.decide(row.number, "skipped")

    def reject(self, row: FileRow, code: str, reason: str) -> None:
        """Decide that a row is not recorded."""
        self._ledger.decide(row.number, RejectedRow(row.number, code, reason, row.shown()))

    def decide(self, lane: int, results: Sequence[RowResult]) -> int:
        """Apply one result to each row of a lane's current batch; return how many rows are decided.

        The others stay in front of the lane, in their order.
        """
        batch, decide = self.queues[lane].batch(), self._ledger.decide
        left = []
        for item, result in zip(batch, results, strict=True):
            if result.status == "accepted":
                decide(item.row.number, "accepted")
            elif result.retry:
                left.append(item)
            else:
                self.reject(item.row, result.code, result.reason)
        self.queues[lane].keep(left)
        return len(batch) - len(left)

    def shrink(self, lane: int, reason: str) -> bool:
        """Split a batch that is too large; reject a row that is too large by itself. Return whether a row was decided."""
        queue = self.queues[lane]
        batch = queue.batch()
        if len(batch) > 1:
            queue.split()
            return False
        self.reject(batch[0].row, "body_too_large", reason)
        queue.keep([])
        return True

    # --- checkpoints ---

    def settled(self, *, is_last: bool = False) -> SettledRows:
        """Return the next checkpoint. Its rejects are in no other one."""
        ledger = self._ledger
        may_be_sent = self._next_to_read if is_last else ledger.next_row + 2 * self._rows
        return SettledRows(
            ledger.next_row, may_be_sent, dataclasses.replace(ledger.counts), ledger.take_rejects()
        )

    def saved(self, settled: SettledRows) -> None:
        """Note that a checkpoint is durable: more rows may be sent."""
        self._may_be_sent = settled.may_be_sent
