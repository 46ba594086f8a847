"""A bounded queue on the local disk for the time while Kafka is away: durable before a client is answered, in order by partition.

One thread does the work on the files (spool_disk.py), so that a slow fsync delays no request. All records that come while it writes
share the next fsync. spool_queue.py counts what is in the spool.
"""

import asyncio
import contextlib
import errno
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from app.journal.sink import SpoolCounts
from app.journal.spool_disk import Disk
from app.journal.spool_format import SpoolTarget
from app.journal.spool_queue import Done, QueuedRecord, SpooledCount, SpoolQueue
from app.journal.spool_segments import SpoolBatch

log = logging.getLogger(__name__)

_PROBE_SECONDS: Final = 1.0
_ADOPT_SECONDS: Final = 10.0
_CHUNK_RECORDS: Final = 1_000
_CHUNK_BYTES: Final = 200_000
_SEGMENTS: Final = 16  # a drained segment is removed as a whole, so the bound should hold several
_MIN_SEGMENT_BYTES: Final = 65_536
_MAX_SEGMENT_BYTES: Final = 16 * 1_048_576

_T = TypeVar("_T")


class Spool:
    """Keeps events on the disk until they are drained. They take ``limit_bytes`` at most, except for the last group of records.

    ``changed`` is called when there may be something else to send, or the spool takes records again.
    """

    def __init__(self, base: Path, limit_bytes: int, changed: Callable[[], None] = lambda: None) -> None:
        segment_bytes = min(_MAX_SEGMENT_BYTES, max(_MIN_SEGMENT_BYTES, limit_bytes // _SEGMENTS))
        self.base, self.limit_bytes, self._changed = base, limit_bytes, changed
        self._disk = Disk(base, segment_bytes=segment_bytes)
        self._thread = ThreadPoolExecutor(1, "spool")
        self._queue = SpoolQueue()
        self.counts = self._queue.counts
        self._work, self._opened = asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failure: str | None = "the spool is being read"
        self._is_open = self._is_closing = False
        self._oldest_ms: int | None = None

    # --- taking ---

    def refusal(self) -> str | None:
        """Return why the spool takes nothing now; None if it takes records."""
        if self._failure is not None:
            return self._failure
        if self.counts.bytes + self._queue.queued_bytes >= self.limit_bytes:
            return f"the spool in {self.base} is full ({self.limit_bytes} bytes, UPTAKE_SPOOL_BYTES)"
        return None

    @property
    def is_open(self) -> bool:
        """Whether the spool has read what former processes left. Until then nothing may overtake that."""
        return self._is_open

    async def opened(self) -> None:
        """Return when ``is_open`` is true."""
        await self._opened.wait()

    def add(self, place: SpoolTarget, received_ms: int, key: bytes, value: bytes, done: Done) -> None:
        """Take a record, and call ``done`` when it is durable or refused. Ask ``refusal`` first."""
        self._queue.add(place, received_ms, key, value, done)
        self._work.set()

    def holds(self, place: SpoolTarget) -> int:
        """Return how many events of a partition are in the spool, or on their way into it."""
        return self._queue.partition(place).held

    def partition(self, place: SpoolTarget) -> SpooledCount:
        """Return the count behind ``holds``, which changes in place, for callers that ask for each event."""
        return self._queue.partition(place)

    def places(self) -> list[SpoolTarget]:
        """Return the partitions with events on the disk."""
        return self._queue.places()

    # --- draining ---

    async def read(self, place: SpoolTarget) -> SpoolBatch | None:
        """Return the next records of a partition; None if the disk has none (some may be on their way there)."""
        if not self._queue.partition(place).pending:
            return None
        return await self._in_thread(self._disk.read, place, _CHUNK_RECORDS, _CHUNK_BYTES)

    def drained(self, chunk: SpoolBatch) -> None:
        """Drop a batch that the broker has acknowledged."""
        self._queue.drained(chunk)
        self._thread.submit(self._disk.pass_over, chunk)  # before anything that is read from now on
        self._work.set()

    async def written(self) -> None:
        """Return when the disk has taken or refused what was added or drained so far."""
        await self._in_thread(lambda: None)
        await asyncio.sleep(0)

    # --- running ---

    def start(self) -> None:
        """Start to read what former processes left."""
        self._task = asyncio.create_task(self._run_or_fail(), name="spool")

    async def close(self) -> None:
        """Write what is queued, and release the directories. What is in the spool stays there."""
        self._is_closing = True
        self._work.set()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
        if self._is_open:
            self._is_open = False
            await self._in_thread(self._disk.close)
        self._thread.shutdown()

    async def _run_or_fail(self) -> None:
        try:
            await self._run()
        except Exception:  # the error of a task is not seen, and all who wait for it would wait for ever
            log.exception("the spool in %s has failed", self.base)
            self._fail(f"the spool in {self.base} has failed, the log says how; start the collector again")
            self._refuse(self._queue.take_queued(), OSError(errno.EIO, "the spool has failed"))

    async def _run(self) -> None:
        while not self._is_open and not self._is_closing:
            await self._open()
        adopted = time.monotonic()
        while True:
            await self._wait_for_work()
            if drained := self._queue.take_drained():
                await self._change(self._disk.note, drained)
                self._changed()
            if group := self._queue.take_queued():
                await self._write(group)
            if self._failure is not None:
                await self._probe()
            if time.monotonic() - adopted > _ADOPT_SECONDS:
                adopted = time.monotonic()
                await self._adopt()
            if self._is_closing and self._queue.is_idle:
                return

    async def _open(self) -> None:
        try:
            await self._in_thread(self._disk.open)
        except OSError as error:
            self._fail(f"the spool in {self.base} cannot be used ({error}); choose another UPTAKE_SPOOL_DIR")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PROBE_SECONDS):
                    while not self._is_closing:
                        self._work.clear()
                        await self._work.wait()
            return
        await self._count()
        self._queue.next_number = self._disk.next_number
        self._is_open, self._failure = True, None
        self._opened.set()
        if self.counts.events:
            log.info(
                "the spool in %s holds %d events (%d bytes); they are sent before newer ones of their partitions",
                self.base,
                self.counts.events,
                self.counts.bytes,
            )
        self._changed()

    async def _wait_for_work(self) -> None:
        seconds = _PROBE_SECONDS if self._failure is not None else _ADOPT_SECONDS
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._work.wait()
        self._work.clear()

    async def _write(self, group: list[QueuedRecord]) -> None:
        try:
            await self._change(self._disk.append, [(each.record, each.data) for each in group])
        except OSError as error:
            self.counts.failures += 1
            self._fail(
                f"the spool in {self.base} cannot be written ({error.strerror or error}); make room there"
            )
            self._refuse(group, error)
        except BaseException:
            self._refuse(group, OSError(errno.EIO, "the spool has failed"))
            raise
        else:
            self._recover()
            self._queue.written(group)
            self._settle(group, None)

    def _refuse(self, group: list[QueuedRecord], failure: OSError) -> None:
        self._queue.refused(group)
        self._settle(group, failure)

    def _settle(self, group: list[QueuedRecord], failure: OSError | None) -> None:
        for each in group:
            each.done(failure)
        self._changed()

    async def _probe(self) -> None:
        try:
            await self._in_thread(self._disk.probe)
        except OSError:
            return
        self._recover()

    async def _adopt(self) -> None:
        try:
            found = await self._change(self._disk.adopt)
        except OSError as error:
            log.warning("what other collectors left in %s cannot be read: %s", self.base, error)
            return
        if found:
            await self._count()
            log.info("took over what a collector that ended left in %s", self.base)
            self._changed()

    async def _count(self) -> None:
        self._queue.begin_count()
        self._queue.end_count(await self._change(self._disk.pending))

    async def _change(self, function: Callable[..., _T], *arguments: object) -> _T:
        """Call a function of the disk in its thread, and take over the counts of the disk."""
        result, state = await self._in_thread(lambda: (function(*arguments), self._disk.state()))
        counts = self.counts
        counts.bytes, self._oldest_ms = state.size_bytes, state.oldest_ms
        counts.quarantined, counts.damaged, counts.torn_bytes = (
            state.quarantined,
            state.damaged,
            state.torn_bytes,
        )
        return result

    def snapshot(self, now_ms: int) -> SpoolCounts:
        """Return the counts, with the age of the oldest event by the wall clock."""
        self.counts.oldest_seconds = (
            0.0 if self._oldest_ms is None else max(0, now_ms - self._oldest_ms) / 1000
        )
        return self.counts

    def _fail(self, failure: str) -> None:
        if self._failure != failure:
            log.error("%s", failure)
        self._failure = failure

    def _recover(self) -> None:
        if self._failure is not None:
            log.info("the spool in %s can be written again", self.base)
            self._failure = None
            self._changed()

    async def _in_thread(self, function: Callable[..., _T], *arguments: object) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)
