"""Who owns one partition's memory: rows changed since the last flush, the flush that makes them durable, and the position it covers.

A record counts exactly when its offset is below the committed position. Rows, outputs and position are committed in one transaction;
the store is written after it. Folding goes on while a flush is being sent.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from agents.announcements import STALE, Announcing
from agents.closing import Closer
from agents.deadletter import dead_letter
from agents.overlay import Overlay
from agents.poison import BadRuns, Halt, PoisonRule
from agents.ports import Flush, Outbox, Output, PartitionLostError, SourceRecord, Store
from agents.positions import position_rows, read_positions, read_source_ids
from agents.sweep import Sweeper
from events.codec import UndecodableError
from tables.ctr import watermarks
from tables.ctr.watermarks import WatermarkRules
from tables.declare import POSITIONS_TABLE

_SLICE_SECONDS: Final = 0.004  # how long a fold may keep the loop: lookups wait behind it
SLICE_RECORDS: Final = 32  # records between two looks at the clock

FoldOne = Callable[["Partition", Any], None]
"""Folds one record into a partition; raises UndecodableError for what must go to the dead letters."""


@dataclass(slots=True)
class PartitionLimits:
    """What a partition may hold before it flushes, and before its cache ages."""

    flush_interval_ms: int = 1_000
    flush_max_changes: int = 20_000
    cache_rows: int = 2_500
    cache_bytes: int = 12_582_912
    """Estimated memory, not encoded size; also what may wait for a flush."""
    partitions: int = 8
    poison: PoisonRule | None = field(default_factory=PoisonRule)
    """When a source topic is paused; None: never, all of it may go to the dead letters."""
    grace_ms: int = 600_000
    """How long a window waits for events out of order."""
    caught_up_ms: int = 10_000
    """A source with nothing to read for so long does not hold the windows."""


@dataclass(slots=True)
class PartitionStats:
    """What a partition has done since it was opened."""

    folded: int = 0
    deadlettered: int = 0
    forwarded: int = 0
    repeated: int = 0
    clamped: int = 0
    swept: int = 0
    late: int = 0
    flushes: int = 0


class Partition:
    """One partition of the journal and of everything that follows it, owned by this worker in one generation."""

    def __init__(
        self,
        number: int,
        epoch: int,
        store: Store,
        outbox: Outbox,
        announcer: Announcing,
        limits: PartitionLimits,
        on_lost: Callable[[PartitionLostError], None],
        on_failed: Callable[[BaseException], None],
        topic_ids: Mapping[str, str] | None = None,
    ) -> None:
        """Read the position from the store. ``topic_ids``: of the source topics, kept beside the position from the next flush on."""
        self.number, self.epoch = number, epoch
        self.limits = limits
        self.stats = PartitionStats()
        self.store = store
        self.overlay = Overlay(store, number, limits.partitions)
        self.rules = WatermarkRules(limits.partitions, limits.grace_ms, STALE * limits.caught_up_ms)
        self.closer = Closer(self.overlay, number, self.rules)
        self._announcer = announcer
        self._sweeper = Sweeper()
        self.outputs: list[Output] = []
        self._outputs_bytes = 0
        self._outbox, self._on_lost, self._on_failed = outbox, on_lost, on_failed
        self.topic_ids = dict(topic_ids or {})
        """Of the source topics that the position is of, as far as they are known."""
        self._are_ids_kept = self.topic_ids == read_source_ids(store, number)
        self.positions = read_positions(store, number)
        """Next offset to fold, per source topic."""
        self.durable: dict[str, int] = dict(self.positions)
        """Next offset that a committed flush covers, per source topic."""
        self.halts: dict[str, Halt] = {}
        """Source topics that are paused: nothing of them is folded or fetched until the partition is opened anew."""
        self._bad_runs = BadRuns(number, limits.poison)
        self.is_open = True
        self.lost: PartitionLostError | None = None
        self._is_released = False
        self._flushing = asyncio.Lock()
        self._closing = asyncio.Event()
        self._timer = asyncio.get_running_loop().create_task(self._flush_regularly())

    # --- folding ------------------------------------------------------------------------------------------------------------------

    async def fold(self, topic: str, records: Sequence[SourceRecord], fold_one: FoldOne) -> None:
        """Fold a chunk of a source topic, in slices. Records below the position were folded already and are passed over.

        Returns early when the partition is closed meanwhile: what is left is read again from the position by its next owner.
        """
        if topic in self.halts:
            return
        deadline = time.perf_counter() + _SLICE_SECONDS
        count = 0
        for record in records:
            if not self.is_open:
                return
            if record.offset < self.positions.get(topic, 0):
                continue
            try:
                fold_one(self, record)
            except UndecodableError as error:
                self.dead_letter(topic, record, error)
                halt = self._bad_runs.bad(topic, records, record.offset, error)
                if halt is not None:
                    self.halts[topic] = halt
                    self.positions[topic] = halt.position
                    self.stats.folded += 1
                    return
            except BaseException as error:
                # rows may be half changed: nothing of this partition may be flushed any more
                self._lose(PartitionLostError(self.number, f"{topic} offset {record.offset}: {error!r}"))
                raise
            self.positions[topic] = record.offset + 1
            self.stats.folded += 1
            count += 1
            if count >= SLICE_RECORDS:
                count = 0
                if time.perf_counter() >= deadline:
                    if self._must_flush():
                        await self.flush()
                    await asyncio.sleep(0)
                    deadline = time.perf_counter() + _SLICE_SECONDS
        self._bad_runs.passed(topic, len(records))

    def _must_flush(self) -> bool:
        """Whether so much waits for a flush that folding has to wait for it: the back-pressure that reaches up to the fetch."""
        overlay, limits = self.overlay, self.limits
        return (
            overlay.changes + len(self.outputs) >= limits.flush_max_changes
            or overlay.changed_memory + self._outputs_bytes >= limits.cache_bytes
        )

    @property
    def watermark_ms(self) -> int:
        """How far event time has come here: windows that ended by then, less the grace, are final."""
        state = self.overlay.rows[watermarks.TABLE].get(watermarks.row_key(self.number))
        return 0 if state is None else state.reached_ms

    def send(self, output: Output) -> None:
        """Send a record on, in the transaction of the next flush."""
        self.outputs.append(output)
        self._outputs_bytes += len(output.value or b"")

    def dead_letter(self, topic: str, record: SourceRecord, error: UndecodableError) -> None:
        """Keep a record that cannot be folded (agents/deadletter.py)."""
        self.stats.deadlettered += 1
        self.send(dead_letter(self.number, topic, record, error))

    # --- flushing -----------------------------------------------------------------------------------------------------------------

    async def _flush_regularly(self) -> None:
        interval_seconds = self.limits.flush_interval_ms / 1000
        try:
            while not self._closing.is_set():
                try:
                    async with asyncio.timeout(interval_seconds):
                        await self._closing.wait()
                except TimeoutError:
                    await self.flush()
        except Exception as error:  # noqa: BLE001 - a task's error is seen by nobody; this ends the worker
            self._on_failed(error)

    async def flush(self) -> bool:
        """Make everything folded so far durable; return whether it is. A lost partition is closed, and its owner told."""
        async with self._flushing:
            if self.lost is not None:
                return False
            try:
                is_due = self.is_open and self._announcer.is_due(self.positions, self.overlay.newest_time_ms)
                closed = await self.closer.close_due(lambda: self.is_open) if self.is_open else 0
                if self.lost is not None or self._is_released:
                    return False  # while windows were closed, which lets others run
                if self.positions == self.durable and not is_due and not closed:
                    return True
                flush = self._encode()
                committed = await self._outbox.commit(flush)
                if self._is_released:
                    return False  # closed while the broker did not answer: the next owner reads what was committed
                self.store.write(flush.changes, committed.offsets)
            except PartitionLostError as error:
                self._lose(error)
                self._on_lost(error)
                return False
            except BaseException as error:
                self._lose(PartitionLostError(self.number, f"a flush failed: {error!r}"))
                raise
            self.durable = flush.positions
            self._are_ids_kept = self._are_ids_kept or POSITIONS_TABLE in flush.changes
            self.overlay.settle(self.limits.cache_rows, self.limits.cache_bytes)
            self.stats.flushes += 1
            return True

    def _encode(self) -> Flush:
        """Take what changed; nothing is folded meanwhile, for this does not yield to the loop."""
        first, last = self._announcer.take(self.positions, self.overlay.newest_time_ms)
        outputs, self.outputs, self._outputs_bytes = first + self.outputs, [], 0
        positions = dict(self.positions)
        self.stats.swept += self._sweeper.sweep(self.overlay)
        changes, published = self.overlay.encode_changes()
        if positions:  # none before anything was folded, when there is only something to announce
            ids = None if self._are_ids_kept else self.topic_ids
            changes[POSITIONS_TABLE] = position_rows(self.number, positions, ids)
        return Flush(changes, outputs + published + last, positions)

    def _lose(self, error: PartitionLostError) -> None:
        """Never flush again: what was changed since the last flush is gone, or of unknown fate."""
        self.lost = error
        self.is_open = False

    async def close(self, timeout_seconds: float) -> None:
        """Stop folding, try one last flush, and let go of producer and store.

        The last flush may fail or not be known to have succeeded: the next owner reads the changelog to its end before it folds.
        """
        self.is_open = False
        self._closing.set()
        try:
            async with asyncio.timeout(timeout_seconds):
                await self.flush()
        except TimeoutError:
            self.lost = PartitionLostError(self.number, "the last flush took too long")
        finally:
            self._is_released = True
            await self._outbox.close()
            self._timer.cancel()
            self.store.close()
