"""Sends rows to the collector in gzipped batches: several at once, each user's rows in order, each row until it is decided.

A user belongs to one lane, and a lane has one batch in flight (send_window.py). Rows that the collector does not take now are sent
again. So are rows that it may have taken: every row has an ``eid``, so it counts once.
"""

import asyncio
import gzip
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from app.base.errors import UptakeError
from app.importer.batch_answer import row_results, words
from app.importer.elements import Converter, Problem, encoded
from app.importer.ledger import FATE_UNKNOWN, Ledger, RejectedRow, RowCounts
from app.importer.rows import FileRow
from app.importer.send_lane import SendLane
from app.importer.send_window import BATCH_ROWS, WINDOW_ROWS, SendWindow, SettledRows
from app.replay.http import Endpoint, NoAnswerError, NoConnectionError, basic_header
from app.replay.lanes import LONGEST_PAUSE_S, PAUSE_S

_GIVE_UP_S: Final = 300.0
"""A collector that takes nothing for this long ends the import. The import can be resumed."""
_SAVE_S: Final = 1.0
_TURN: Final = 100  # rows read before the batches get a turn
_GZIP_LEVEL: Final = 1  # the wire is not what is scarce
_TRY_AGAIN: Final = frozenset((408, 429, 500, 502, 503, 504))

Save = Callable[[int, int, RowCounts, list[RejectedRow]], None]
"""Makes a checkpoint durable, given the fields of SettledRows."""


class RowSender:
    """Sends the rows of one file, once. ``save`` runs in another thread, never twice at once, and never again after an error."""

    def __init__(
        self,
        endpoint: Endpoint,
        customer: str,
        license_key: str,
        converter: Converter,
        ledger: Ledger,
        save: Save,
        *,
        concurrency: int = 8,
        skip_before: int = 0,
        window: int = WINDOW_ROWS,
        batch: int = BATCH_ROWS,
        pause_s: float = PAUSE_S,
        give_up_s: float = _GIVE_UP_S,
        save_s: float = _SAVE_S,
    ) -> None:
        self._endpoint, self._converter, self._ledger, self._save = endpoint, converter, ledger, save
        self._target = f"/v1/{customer}/events"
        self._headers = {
            "Content-Type": "application/x-ndjson",
            "Content-Encoding": "gzip",
            "Authorization": basic_header(customer, license_key),
        }
        self._window = SendWindow(ledger, lanes=concurrency, rows=window, batch_rows=batch)
        self._skip_before = skip_before
        self._pause_s, self._give_up_s, self._save_s = pause_s, give_up_s, save_s
        self._lanes = [SendLane(number, queue) for number, queue in enumerate(self._window.queues)]
        self._moved = asyncio.Event()  # rows were decided, or more may be sent
        self._save_now = asyncio.Event()
        self._stop = asyncio.Event()
        self._writer = ThreadPoolExecutor(
            1, "checkpoint"
        )  # one: also after a cancelled save no two run at once
        self._is_broken = False
        self._started = self._taken_at = time.monotonic()
        self._done_before = ledger.counts.done
        self._bad_before = ledger.counts.not_accepted
        self.retries = 0

    @property
    def tally(self) -> "RowSender":
        """The counts of this run, for a progress bar."""
        return self

    @property
    def done(self) -> int:
        """The number of rows settled in this run."""
        return self._ledger.counts.done - self._done_before

    @property
    def not_accepted(self) -> int:
        """The number of those rows that are not recorded."""
        return self._ledger.counts.not_accepted - self._bad_before

    def seconds(self) -> float:
        """Return how long the run has taken so far."""
        return time.monotonic() - self._started

    def stop(self) -> None:
        """Read nothing more. Rows that were read are still sent, unless the collector pushes back."""
        self._stop.set()
        self._moved.set()

    @property
    def is_stopped(self) -> bool:
        """Whether ``stop`` was called."""
        return self._stop.is_set()

    async def run(self, rows: Iterable[FileRow]) -> None:
        """Send all rows; raise UptakeError if that is impossible. What is settled is saved in any case."""
        try:
            async with asyncio.TaskGroup() as group:
                saving = group.create_task(self._save_often())
                sending = [group.create_task(self._send_all(lane)) for lane in self._lanes]
                await self._read_all(rows)
                for lane in self._lanes:
                    lane.end()
                await asyncio.gather(*sending)
                saving.cancel()
        except ExceptionGroup as errors:
            foreseen, _ = errors.split(UptakeError)
            raise errors if foreseen is None else foreseen.exceptions[0] from None
        finally:
            await self._save_once(is_last=True)
            self._writer.shutdown()

    # --- reading ------------------------------------------------------------------------------------------------------------------

    async def _read_all(self, rows: Iterable[FileRow]) -> None:
        for turn, row in enumerate(rows):
            if turn % _TURN == 0:
                await asyncio.sleep(0)
            while not self.is_stopped and not self._window.admit(row.number):
                if self._window.needs_checkpoint(row.number):
                    self._save_now.set()
                self._moved.clear()
                await self._moved.wait()
            if self.is_stopped:
                return
            self._take(row)

    def _take(self, row: FileRow) -> None:
        """Queue a row, or decide it without sending."""
        if row.number < self._skip_before:
            return self._reject(
                row, FATE_UNKNOWN, "it may have been sent before the stop, and was left out as asked"
            )
        if row.values is None:
            return self._reject(row, "unreadable", row.problem)
        element = self._converter.element(row.number, row.values)
        if element is None:
            self._window.skip(row)
            return self._moved.set()
        if isinstance(element, Problem):
            return self._reject(row, element.code, element.sentence)
        body = encoded(element)
        if isinstance(body, Problem):
            return self._reject(row, body.code, body.sentence)
        lane = self._window.queue(row, str(element.get("user", "")), body)
        return self._lanes[lane].wake()

    def _reject(self, row: FileRow, code: str, reason: str) -> None:
        self._window.reject(row, code, reason)
        self._moved.set()

    # --- sending ------------------------------------------------------------------------------------------------------------------

    async def _send_all(self, lane: SendLane) -> None:
        try:
            while not lane.is_given_up and await lane.has_more():
                await self._send(lane)
        finally:
            lane.close()

    async def _send(self, lane: SendLane) -> None:
        """Send the current batch of a lane once, and pause if rows have to be sent again."""
        batch = lane.queue.batch()
        body = gzip.compress(b"\n".join([item.body for item in batch]) + b"\n", _GZIP_LEVEL, mtime=0)
        request = self._endpoint.post(self._target, body, self._headers)
        try:
            answer = await lane.ask(self._endpoint, request)
        except (NoAnswerError, NoConnectionError) as error:
            await self._retry(lane, len(batch), None, str(error))
            return
        if answer.status == 200:
            decided = self._window.decide(lane.number, row_results(answer.body, len(batch)))
            if decided:
                self._moved.set()
                self._taken_at = time.monotonic()
                lane.pause_s = 0.0
            if decided < len(batch):
                reason = "it takes some events and not others"
                await self._retry(lane, len(batch) - decided, answer.retry_after_s, reason)
            return
        reason = words(answer.status, answer.body)
        if answer.status == 413:
            if self._window.shrink(lane.number, reason):
                self._moved.set()
        elif answer.status in _TRY_AGAIN:
            await self._retry(lane, len(batch), answer.retry_after_s, reason)
        else:
            raise UptakeError(f"the collector refuses the batches: {reason}")

    async def _retry(self, lane: SendLane, rows: int, wanted_s: float | None, reason: str) -> None:
        """Pause before rows are sent again; longer each time, unless the collector says how long."""
        self.retries += rows
        if time.monotonic() - self._taken_at > self._give_up_s:
            raise UptakeError(f"the collector has taken nothing for {self._give_up_s:.0f} s: {reason}")
        lane.pause_s = min(max(2 * lane.pause_s, self._pause_s), LONGEST_PAUSE_S)
        try:
            async with asyncio.timeout(lane.pause_s if wanted_s is None else max(wanted_s, self._pause_s)):
                await self._stop.wait()
        except TimeoutError:
            return
        lane.is_given_up = True

    # --- saving -------------------------------------------------------------------------------------------------------------------

    async def _save_often(self) -> None:
        while True:
            self._save_now.clear()
            await self._save_once()
            try:
                async with asyncio.timeout(self._save_s):
                    await self._save_now.wait()
            except TimeoutError:
                continue

    async def _save_once(self, *, is_last: bool = False) -> None:
        """Make the next checkpoint durable. Rows beyond its ``may_be_sent`` wait for the one after it."""
        settled = self._window.settled(is_last=is_last)
        saved = asyncio.get_running_loop().run_in_executor(self._writer, self._write, settled)
        # Cancelled before the thread has begun, it would never run, and these rejects were taken out already.
        await asyncio.shield(saved)
        self._window.saved(settled)
        self._moved.set()

    def _write(self, settled: SettledRows) -> None:
        if self._is_broken:
            return  # rejects of the rows before were lost; the checkpoint before them still stands
        try:
            self._save(*settled)
        except BaseException:
            self._is_broken = True
            raise
