"""What is kept when Kafka is away: a bounded queue on the local disk, one order a partition, durable before a client is told so.

The loop's side of it. Files are touched by one thread (spool_disk.py), so that a slow fsync holds up no request; all records that come
while it writes share the next fsync.
"""

import asyncio
import contextlib
import errno
import logging
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from app.journal.sink import SpoolCounts
from app.journal.spool_disk import Disk, SpoolBatch
from app.journal.spool_format import SpoolRecord, SpoolTarget, encode

log = logging.getLogger(__name__)

_PROBE_SECONDS: Final = 1.0
_ADOPT_SECONDS: Final = 10.0
_CHUNK_RECORDS: Final = 1_000
_CHUNK_BYTES: Final = 200_000
_SEGMENTS: Final = 16  # a drained segment is removed as a whole, so the bound should hold several
_MIN_SEGMENT_BYTES: Final = 65_536
_MAX_SEGMENT_BYTES: Final = 16 * 1_048_576

_T = TypeVar("_T")
Done = Callable[[OSError | None], None]


class _Waiting(NamedTuple):
    record: SpoolRecord
    data: bytes
    done: Done


class Spool:
    """Events of partitions, in order, until they are drained. At most ``limit_bytes`` on the disk, but for one group of records.

    ``changed`` is called when a partition has something, or nothing any more.
    """

    def __init__(self, base: Path, limit_bytes: int, changed: Callable[[], None] = lambda: None) -> None:
        segment_bytes = min(_MAX_SEGMENT_BYTES, max(_MIN_SEGMENT_BYTES, limit_bytes // _SEGMENTS))
        self.base, self.limit_bytes, self._changed = base, limit_bytes, changed
        self._disk = Disk(base, segment_bytes=segment_bytes)
        self._thread = ThreadPoolExecutor(1, "spool")
        self._number = 0
        self._queue: list[_Waiting] = []
        self._queued_bytes = 0
        self._pending: Counter[SpoolTarget] = Counter()
        self._queued: Counter[SpoolTarget] = Counter()
        self._passed: Counter[SpoolTarget] = Counter()
        self._finished: list[SpoolBatch] = []
        self._work, self._opened = asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failure: str | None = "the spool is being read"
        self._is_open = self._is_closing = False
        self._oldest_ms: int | None = None
        self.counts = SpoolCounts()

    # --- taking ---

    def refusal(self) -> str | None:
        """Return why nothing can be taken now; None when it can."""
        if self._failure is not None:
            return self._failure
        if self.counts.bytes + self._queued_bytes >= self.limit_bytes:
            return f"the spool in {self.base} is full ({self.limit_bytes} bytes, UPTAKE_SPOOL_BYTES)"
        return None

    @property
    def is_open(self) -> bool:
        """Whether it is known what is left of former processes. Until then nothing may overtake it."""
        return self._is_open

    async def opened(self) -> None:
        """Return when it is known."""
        await self._opened.wait()

    def add(self, place: SpoolTarget, received_ms: int, key: bytes, value: bytes, done: Done) -> None:
        """Take a record; ``done(None)`` when it is durable, ``done(error)`` when nothing of it stays. Ask ``refusal`` first."""
        record = SpoolRecord(self._number, place, received_ms, key, value)
        self._number += 1
        data = encode(record)
        self._queue.append(_Waiting(record, data, done))
        self._queued_bytes += len(data)
        self._queued[place] += 1
        self._work.set()

    def holds(self, place: SpoolTarget) -> int:
        """Return how many events of a partition are in the spool, or on their way into it."""
        return self._pending.get(place, 0) + self._queued.get(place, 0)  # asked for each event

    def places(self) -> list[SpoolTarget]:
        """Return the partitions of which there is something."""
        return [place for place, count in self._pending.items() if count]

    # --- draining ---

    async def read(self, place: SpoolTarget) -> SpoolBatch | None:
        """Return the next records of a partition; None when there are none on the disk (some may be on their way there)."""
        if not self._pending[place]:
            return None
        return await self._in_thread(self._disk.read, place, _CHUNK_RECORDS, _CHUNK_BYTES)

    def drained(self, chunk: SpoolBatch) -> None:
        """The broker has acknowledged a chunk."""
        self._pending[chunk.place] -= chunk.count
        self._passed[chunk.place] += chunk.count
        self._thread.submit(self._disk.pass_over, chunk)  # before anything that is read from now on
        self.counts.events -= chunk.count
        self.counts.drained += len(chunk.records)
        self._finished.append(chunk)
        self._work.set()

    async def written(self) -> None:
        """Return when the disk has what was added or drained up to now, or has refused it."""
        await self._in_thread(lambda: None)
        await asyncio.sleep(0)

    # --- running ---

    def start(self) -> None:
        """Begin to read what is left of former processes."""
        self._task = asyncio.create_task(self._run_or_fail(), name="spool")

    async def close(self) -> None:
        """Write what is on its way, and let go of the directories. What is in the spool stays there."""
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
        except Exception:  # a task's error is seen by nobody, and all who wait for it would wait for ever
            log.exception("the spool in %s has failed", self.base)
            self._fail(f"the spool in {self.base} has failed, the log says how; start the collector again")
            self._settle(self._take_queue(), OSError(errno.EIO, "the spool has failed"))

    async def _run(self) -> None:
        while not self._is_open and not self._is_closing:
            await self._open()
        adopted = time.monotonic()
        while True:
            await self._wait_for_work()
            if self._finished:
                await self._note_drained()
            if self._queue:
                await self._write()
            if self._failure is not None:
                await self._probe()
            if time.monotonic() - adopted > _ADOPT_SECONDS:
                adopted = time.monotonic()
                await self._adopt()
            if self._is_closing and not self._queue and not self._finished:
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
        self._number = self._disk.next_number
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

    async def _write(self) -> None:
        group = self._take_queue()
        failure: OSError | None = None
        try:
            await self._change(self._disk.append, [(waiting.record, waiting.data) for waiting in group])
        except OSError as error:
            self.counts.failures += 1
            self._fail(
                f"the spool in {self.base} cannot be written ({error.strerror or error}); make room there"
            )
            failure = error
        except BaseException:
            self._settle(group, OSError(errno.EIO, "the spool has failed"))
            raise
        else:
            self._recover()
            for waiting in group:
                self._pending[waiting.record.place] += 1
            self.counts.spooled += len(group)
            self.counts.events += len(group)
        self._settle(group, failure)

    def _take_queue(self) -> list[_Waiting]:
        group, self._queue = self._queue, []
        return group

    def _settle(self, group: list[_Waiting], failure: OSError | None) -> None:
        for waiting in group:
            self._queued[waiting.record.place] -= 1
            self._queued_bytes -= len(waiting.data)
            waiting.done(failure)
        self._changed()

    async def _note_drained(self) -> None:
        finished, self._finished = self._finished, []
        await self._change(self._disk.note, finished)
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
        self._passed.clear()
        self._pending = Counter(await self._change(self._disk.pending))
        self._pending.subtract(self._passed)  # while the disk was counting
        self.counts.events = self._pending.total()

    async def _change(self, function: Callable[..., _T], *arguments: object) -> _T:
        """Call a function of the disk in its thread, and take over how the disk then stands."""
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
