"""A partition: the rows in its memory, the flushes that make them durable, and the position that these cover.

A record counts exactly when its offset is below the committed position. A flush commits rows, outputs and position in one transaction,
and writes the store after it. Folding continues while a flush is in flight.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from agents.addition_merges import AdditionMerger
from agents.announcements import STALE, Announcing
from agents.closing import Closer
from agents.deadletter import dead_letter
from agents.overlay import Overlay
from agents.partition_limits import PartitionLimits, PartitionStats
from agents.poison import BadRuns, Halt
from agents.ports import Flush, Outbox, Output, PartitionLostError, SourceRecord, Store
from agents.positions import position_rows, read_positions, read_source_ids
from agents.scenario_places import Crowd
from agents.sweep import Sweeper
from agents.unknown_customers import UnknownCustomer
from events.codec import UndecodableError
from tables.ctr import watermarks
from tables.ctr.watermarks import WatermarkRules
from tables.declare import POSITIONS_TABLE
from tables.store import StoreDamageError, StoreError

_SLICE_SECONDS: Final = 0.004  # after this time a fold yields to the event loop, for lookups
SLICE_RECORDS: Final = 32  # records between two checks of the clock
_CHECK_RECORDS: Final = 512  # after so many records in short chunks, which end before their first slice does, folding may have to wait

FoldOne = Callable[["Partition", Any], None]
"""Folds one record into a partition. Raises UndecodableError for a record that must go to the dead letters."""


class Partition:
    """One partition of the journal and of all topics that follow it, owned by this worker in one generation."""

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
        """Read the position from the store. ``topic_ids`` are those of the source topics; the next flush stores them."""
        self.number, self.epoch = number, epoch
        self.limits = limits
        self.stats = PartitionStats()
        self.store = store
        self.overlay = Overlay(
            store,
            number,
            limits.partitions,
            limits.max_scenarios,
            limits.scenario_keepers,
            limits.switched_off,
            limits.contests,
            limits.budget,
        )
        self.merger = AdditionMerger(self.overlay, limits.max_items, limits.merge_after)
        self.overlay.share.settle()
        self.rules = WatermarkRules(limits.partitions, limits.grace_ms, STALE * limits.caught_up_ms)
        self.closer = Closer(self.overlay, number, self.rules)
        self._announcer = announcer
        self._sweeper = Sweeper()
        self.outputs: list[Output] = []
        self._outbox, self._on_lost, self._on_failed = outbox, on_lost, on_failed
        self.topic_ids = dict(topic_ids or {})
        """Source topic -> the id of the topic that the position refers to, if known."""
        self._are_ids_kept = self.topic_ids == read_source_ids(store, number)
        self.positions = read_positions(store, number)
        """Next offset to fold, per source topic."""
        self.durable: dict[str, int] = dict(self.positions)
        """Next offset that a committed flush covers, per source topic."""
        self.as_of_ms: dict[str, int] = {}  # when the broker had the first record of each last chunk
        self.halts: dict[str, Halt] = {}
        """Source topics that are paused. None of their records is folded or fetched until the partition is opened again."""
        self._bad_runs = BadRuns(number, limits.poison)
        self.is_open = True
        self.lost: PartitionLostError | None = None
        self._is_released = False
        self._unchecked = 0
        self._flushing = asyncio.Lock()
        self._closing = asyncio.Event()
        self._timer = asyncio.get_running_loop().create_task(self._flush_regularly())

    # --- folding ------------------------------------------------------------------------------------------------------------------

    async def fold(self, topic: str, records: Sequence[SourceRecord], fold_one: FoldOne) -> None:
        """Fold a chunk of a source topic in slices, without the records below the position, which were folded before.

        Return early if the partition is closed meanwhile. Its next owner reads the rest again from the position.
        """
        if topic in self.halts or not records:
            return
        self.as_of_ms[topic] = records[0].timestamp
        deadline = time.perf_counter() + _SLICE_SECONDS
        positions, stats = self.positions, self.stats
        count = 0
        for record in records:
            if not self.is_open:
                return
            offset = record.offset
            if offset < positions.get(topic, 0):
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
            except StoreDamageError as error:
                self.lose_store(error)
                return
            except BaseException as error:
                # Rows may be half changed, so this partition must not flush again.
                self._lose(PartitionLostError(self.number, f"{topic} offset {record.offset}: {error!r}"))
                raise
            positions[topic] = offset + 1
            stats.folded += 1
            count += 1
            if count >= SLICE_RECORDS:
                count = 0
                if time.perf_counter() >= deadline:
                    if self._must_flush():
                        await self.flush()
                    await asyncio.sleep(0)
                    deadline = time.perf_counter() + _SLICE_SECONDS
        self._bad_runs.passed(topic, len(records))
        self._unchecked += len(records)
        if self._unchecked >= _CHECK_RECORDS:
            self._unchecked = 0
            if self._must_flush():
                await self.flush()

    def _must_flush(self) -> bool:
        """Tell whether so many changes wait that folding must wait for a flush. This back-pressure reaches the fetch."""
        overlay = self.overlay
        changes = overlay.held().changes + len(self.outputs)
        return changes >= self.limits.flush_max_changes or overlay.share.must_wait()

    @property
    def watermark_ms(self) -> int:
        """The watermark of this partition. A window is final if the watermark has passed its end by the grace."""
        try:
            state = self.overlay.rows[watermarks.TABLE].get(watermarks.row_key(self.number))
        except StoreError as error:
            self.lose_store(error)
            return 0
        return 0 if state is None else state.reached_ms

    def alarms(self) -> list[Halt | Crowd | UnknownCustomer]:
        """Return the active alarms."""
        unknown = self.limits.unknown_customers
        return [
            *self.halts.values(),
            *self.overlay.places.alarms(self.overlay.newest_received_ms),
            *(() if unknown is None else unknown.alarms(self.number)),
        ]

    def send(self, output: Output) -> None:
        """Send a record in the transaction of the next flush."""
        self.outputs.append(output)
        self.overlay.share.outputs_bytes += len(output.value or b"")

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
        except Exception as error:  # noqa: BLE001 - no code awaits this task, so its error must end the worker
            self._on_failed(error)

    async def flush(self) -> bool:
        """Make all that was folded durable. Return whether it is.

        A partition that is lost is closed and reported to ``on_lost``.
        """
        async with self._flushing:
            if self.lost is not None:
                return False
            share = self.overlay.share
            share.hold()
            try:
                is_due = self.is_open and self._announcer.is_due(self.positions, self.overlay.newest_time_ms)
                closed = await self.closer.close_due(lambda: self.is_open) if self.is_open else 0
                closed += await self.merger.merge_due(lambda: self.is_open) if self.is_open else 0
                # Closing windows yields to the loop, so the partition may be lost or released by now.
                if self.lost is not None or self._is_released:
                    return False
                if self.positions == self.durable and not is_due and not closed:
                    share.settle()  # lookups fill the cache of an idle partition too
                    return True
                self.stats.swept += await self._sweeper.sweep_due(self.overlay, lambda: self.is_open)
                if self.lost is not None or self._is_released:
                    return False
                flush = self._encode()
                committed = await self._outbox.commit(flush)
                if self._is_released:
                    return False  # closed while the broker did not answer; the next owner reads the committed rows
                self.store.write(flush.changes, committed.offsets)
            except PartitionLostError as error:
                self._lose(error)
                self._on_lost(error)
                return False
            except StoreDamageError as error:
                self.lose_store(error)
                return False
            except BaseException as error:
                self._lose(PartitionLostError(self.number, f"a flush failed: {error!r}"))
                raise
            self.durable = flush.positions
            self._are_ids_kept = self._are_ids_kept or POSITIONS_TABLE in flush.changes
            share.settle()
            self.stats.flushes += 1
            return True

    def _encode(self) -> Flush:
        """Take the changes. It does not yield to the loop, so no record is folded meanwhile."""
        first, last = self._announcer.take(self.positions, self.overlay.newest_time_ms)
        outputs, self.outputs = first + self.outputs, []
        self.overlay.share.send()
        positions = dict(self.positions)
        changes, published = self.overlay.encode_changes()
        if positions:  # empty before the first fold, if the flush only carries an announcement
            ids = None if self._are_ids_kept else self.topic_ids
            changes[POSITIONS_TABLE] = position_rows(self.number, positions, ids)
        return Flush(changes, outputs + published + last, positions)

    def lose_store(self, error: StoreError) -> None:
        """Lose the partition because its store cannot be read. When it is opened again, a damaged store is rebuilt."""
        if self.lost is None:
            self._lose(lost := PartitionLostError(self.number, str(error), is_of_store=True))
            self._on_lost(lost)

    def _lose(self, error: PartitionLostError) -> None:
        """Never flush again: the changes since the last flush are lost, or their fate is unknown."""
        self.lost = error
        self.is_open = False

    async def close(self, timeout_seconds: float) -> None:
        """Stop folding, try one last flush, and release producer and store.

        The last flush may fail, or its outcome may be unknown. So the next owner reads the changelogs to their end before it folds.
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
            self.overlay.share.leave()
