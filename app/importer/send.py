"""How do rows reach the collector: in gzipped batches, several on their way at once, each user's rows in order, each until it is decided.

A user belongs to one lane, and a lane has one batch on its way. What the collector does not take now is sent again; so is what may have
been taken or not, because every row has an ``eid``.
"""

import asyncio
import dataclasses
import gzip
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

import msgspec

from app.base.errors import UptakeError
from app.importer.elements import Converter, Problem, encoded
from app.importer.ledger import FATE_UNKNOWN, Ledger, RejectedRow, RowCounts
from app.importer.rows import FileRow
from app.replay.http import Answer, ClientConnection, Endpoint, NoAnswerError, NoConnectionError, basic_header
from app.replay.lanes import LONGEST_PAUSE_S, PAUSE_S

_BATCH: Final = 500
_BATCH_BYTES: Final = 262_144  # before it is packed
_WINDOW: Final = (
    20_000  # rows between the first that is not decided and the last that is read: what memory holds
)
_TIMEOUT_S: Final = 60.0
_GIVE_UP_S: Final = (
    300.0  # a collector that takes nothing for so long ends the import, which can be taken up again
)
_SAVE_S: Final = 1.0
_TURN: Final = 100  # rows read before the batches get a turn
_GZIP_LEVEL: Final = 1  # the wire is not what is scarce
_TRY_AGAIN: Final = frozenset((408, 429, 500, 502, 503, 504))

Save = Callable[[int, int, RowCounts, list[RejectedRow]], None]
"""Makes durable: next row, first row that was surely not sent, counts and rejects of the rows before the next."""


class _Item(NamedTuple):
    row: FileRow
    body: bytes


class _Result(msgspec.Struct):
    """What the collector says of one element."""

    status: str
    code: str = "rejected"
    reason: str = ""
    retry: bool = False


class _Results(msgspec.Struct):
    results: list[_Result]


class RowSender:
    """Sends the rows of one file, once. ``save`` is called in another thread, never twice at once, and never after it failed."""

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
        window: int = _WINDOW,
        batch: int = _BATCH,
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
        self._window, self._batch, self._skip_before = window, batch, skip_before
        self._pause_s, self._give_up_s, self._save_s = pause_s, give_up_s, save_s
        self._lanes = [_Lane() for _ in range(concurrency)]
        self._read = self._allowed = (
            ledger.next_row
        )  # the next row to read; the first that may not be sent yet
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
        """The counts of this run, as a progress bar wants them."""
        return self

    @property
    def done(self) -> int:
        """How many rows were settled in this run."""
        return self._ledger.counts.done - self._done_before

    @property
    def not_accepted(self) -> int:
        """How many of them are not recorded."""
        return self._ledger.counts.not_accepted - self._bad_before

    def seconds(self) -> float:
        """Return how long it has run so far."""
        return time.monotonic() - self._started

    def stop(self) -> None:
        """Read nothing more; what was read is still sent, unless the collector pushes back."""
        self._stop.set()
        self._moved.set()

    @property
    def is_stopped(self) -> bool:
        """Say whether it was told to stop."""
        return self._stop.is_set()

    async def run(self, rows: Iterable[FileRow]) -> None:
        """Send all rows; raise UptakeError when that cannot go on. What is settled is saved in any case."""
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
            while not self.is_stopped and not self._may_read(row.number):
                self._moved.clear()
                await self._moved.wait()
            if self.is_stopped:
                return
            self._read = row.number + 1
            self._take(row)

    def _may_read(self, number: int) -> bool:
        if number >= self._allowed:
            self._save_now.set()
        return number < self._allowed and number - self._ledger.next_row < self._window

    def _take(self, row: FileRow) -> None:
        if row.number < self._skip_before:
            return self._reject(
                row, FATE_UNKNOWN, "it may have been sent before the stop, and was left out as asked"
            )
        if row.values is None:
            return self._reject(row, "unreadable", row.problem)
        element = self._converter.element(row.number, row.values)
        if element is None:
            return self._decide(row, "skipped")
        if isinstance(element, Problem):
            return self._reject(row, element.code, element.sentence)
        body = encoded(element)
        if isinstance(body, Problem):
            return self._reject(row, body.code, body.sentence)
        user = str(element.get("user", "")).encode()
        self._lanes[zlib.crc32(user) % len(self._lanes)].put(_Item(row, body))
        return None

    def _decide(self, row: FileRow, outcome: RejectedRow | str) -> None:
        self._ledger.decide(row.number, outcome)
        self._moved.set()

    def _reject(self, row: FileRow, code: str, reason: str) -> None:
        self._decide(row, RejectedRow(row.number, code, reason, row.shown()))

    # --- sending ------------------------------------------------------------------------------------------------------------------

    async def _send_all(self, lane: "_Lane") -> None:
        try:
            while await lane.has_more():
                batch = lane.take(self._batch)
                while batch and not lane.is_given_up:
                    batch = await self._send(lane, batch)
                if lane.is_given_up:
                    return
        finally:
            lane.close()

    async def _send(self, lane: "_Lane", batch: list[_Item]) -> list[_Item]:
        """Send a batch once; return what is still to be sent, after the pause that was asked for."""
        body = gzip.compress(b"\n".join([item.body for item in batch]) + b"\n", _GZIP_LEVEL, mtime=0)
        request = self._endpoint.post(self._target, body, self._headers)
        try:
            answer = await lane.ask(self._endpoint, request)
        except (NoAnswerError, NoConnectionError) as error:
            self.retries += len(batch)
            await self._wait(lane, None, str(error))
            return batch
        if answer.status == 200:
            left = self._sort_out(batch, answer)
            if len(left) < len(batch):
                self._taken_at = time.monotonic()
                lane.pause_s = 0.0
            if left:
                self.retries += len(left)
                await self._wait(lane, answer.retry_after_s, "it takes some events and not others")
            return left
        if answer.status == 413:
            return await self._send_in_parts(lane, batch, answer)
        if answer.status not in _TRY_AGAIN:
            raise UptakeError(f"the collector refuses the batches: {_words(answer)}")
        self.retries += len(batch)
        await self._wait(lane, answer.retry_after_s, _words(answer))
        return batch

    async def _send_in_parts(self, lane: "_Lane", batch: list[_Item], answer: Answer) -> list[_Item]:
        if len(batch) == 1:
            self._reject(batch[0].row, "body_too_large", _words(answer))
            return []
        half = len(batch) // 2
        for part in (batch[:half], batch[half:]):
            left = part
            while left:
                if lane.is_given_up:
                    return []
                left = await self._send(lane, left)
        return []

    def _sort_out(self, batch: list[_Item], answer: Answer) -> list[_Item]:
        """Decide each row of a batch by its result; return those that are to be sent again."""
        try:
            results = msgspec.json.decode(answer.body, type=_Results).results
        except (msgspec.DecodeError, UnicodeDecodeError):
            results = []
        if len(results) != len(batch):
            raise UptakeError(
                "the answer is not that of an Uptake collector: it has no result for each event"
            )
        left = []
        for item, result in zip(batch, results, strict=True):
            if result.status == "accepted":
                self._decide(item.row, "accepted")
            elif result.retry:
                left.append(item)
            else:
                self._reject(item.row, result.code, result.reason)
        return left

    async def _wait(self, lane: "_Lane", wanted_s: float | None, reason: str) -> None:
        """Pause before the next try; longer each time, unless the collector says how long."""
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
        """Save what is settled, and how far may be sent next: rows beyond that wait until it is durable."""
        ledger = self._ledger
        allowed = self._read if is_last else ledger.next_row + 2 * self._window
        counts = dataclasses.replace(ledger.counts)
        loop = asyncio.get_running_loop()
        saved = loop.run_in_executor(
            self._writer, self._write, ledger.next_row, allowed, counts, ledger.take_rejects()
        )
        # Cancelled before the thread has begun, it would never run, and these rejects were taken out already.
        await asyncio.shield(saved)
        self._allowed = allowed
        self._moved.set()

    def _write(self, next_row: int, allowed: int, counts: RowCounts, rejects: list[RejectedRow]) -> None:
        if self._is_broken:
            return  # rejects of the rows before were lost; the checkpoint before them still stands
        try:
            self._save(next_row, allowed, counts, rejects)
        except BaseException:
            self._is_broken = True
            raise


class _Lane:
    """The rows of some users that wait to be sent, and the connection they go by."""

    def __init__(self) -> None:
        self._items: deque[_Item] = deque()
        self._arrived = asyncio.Event()
        self._is_ended = False
        self._connection: ClientConnection | None = None
        self.pause_s = 0.0
        self.is_given_up = False

    def put(self, item: _Item) -> None:
        self._items.append(item)
        self._arrived.set()

    def end(self) -> None:
        """Nothing comes any more."""
        self._is_ended = True
        self._arrived.set()

    async def has_more(self) -> bool:
        """Return True when there is something to send, False when nothing will come."""
        while not self._items and not self._is_ended:
            self._arrived.clear()
            await self._arrived.wait()
        return bool(self._items)

    def take(self, most: int) -> list[_Item]:
        """Return the next rows, at most so many and at most BATCH_BYTES of them, but one."""
        taken = [self._items.popleft()]
        size = len(taken[0].body)
        while self._items and len(taken) < most:
            size += len(self._items[0].body)
            if size > _BATCH_BYTES:
                break
            taken.append(self._items.popleft())
        return taken

    async def ask(self, endpoint: Endpoint, request: bytes) -> Answer:
        """Send a request and return the answer; raise NotSentError or NoAnswerError."""
        if self._connection is None or not self._connection.is_usable:
            self.close()
            self._connection = await endpoint.connect()
        return await self._connection.ask(request, _TIMEOUT_S)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _words(answer: Answer) -> str:
    """Return the server's own words."""
    try:
        problem = msgspec.json.decode(answer.body, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = answer.body.decode("utf-8", "replace").strip()[:500]
        return f"status {answer.status}: {text}" if text else f"status {answer.status}"
    return f"status {answer.status}, {problem.get('code', '')}: {problem.get('detail', '')}"
