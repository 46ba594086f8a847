"""Opens all partitions after an assignment, seeks the consumer to their positions, and then resumes it.

It replaces Faust's table recovery, since there are no Faust tables. Faust's recovery service still decides when it runs.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from aiokafka.errors import KafkaError
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.types.tuples import TP

from agents.ports import PartitionLostError
from agents.registry import Partitions
from app.base.errors import TopicMismatchError, UptakeError
from app.worker.assignor import copied_here
from app.worker.restore import Restorer, check_position
from app.worker.standby import Standbys
from events.topics import JOURNAL
from tables.store import StoreDamageError, StoreError

log = logging.getLogger(__name__)

_MAX_PAUSE_SECONDS: Final = 10.0


class _SourceRecreatedError(UptakeError):
    """A source topic ends before the position in it: the topic was deleted and recreated."""

    def __init__(self, tp: TP, position: int, end: int) -> None:
        super().__init__(
            f"{tp.topic} partition {tp.partition} ends at {end}, but the position is {position}: the topic was recreated. "
            "Restore it, or start afresh: docs/operations.md says how"
        )
        self.tp, self.position, self.end = tp, position, end


def check_numbers(numbers: set[int], partitions: int) -> None:
    """Raise TopicMismatchError if the journal has more partitions than this deployment: somebody added some.

    No other topic has partitions with these numbers, and users would be looked up in the wrong partitions.
    """
    if numbers and max(numbers) >= partitions:
        raise TopicMismatchError(JOURNAL, partitions, max(numbers) + 1)


class _RevokedError(Exception):
    """All partitions were released while some were opened; another opening follows."""


class PositionRecovery(Recovery):
    """Opens partitions and seeks to their positions. The table manager sets its attributes."""

    partitions: Partitions
    restorer: Restorer
    standbys: Standbys
    reopen_pause_seconds: float
    _later: frozenset[int] = frozenset()
    """The partitions that are opened while the others fold and answer: their state is rebuilt after damage."""
    _opening_later: asyncio.Future[None] | None = None
    """Opens them."""

    async def _resume_streams(self, generation_id: int = 0) -> None:
        app: Any = self.app
        consumer = app.consumer
        consumer.stop_flow()
        await self._wait(consumer.wait_idle())
        await self._stop_opening_later()
        # After a rebalance nothing is open; after a lost partition, other partitions may still be open.
        await self.partitions.on_revoked()
        await app.on_rebalance_complete.send()
        assignment: set[TP] = set(consumer.assignment())
        if app.consumer_generation_id != generation_id:
            return  # another assignment is in progress and will signal again
        owned = {tp.partition for tp in assignment}  # in any source topic: one of them may be missing
        await self.standbys.set_copies(copied_here(app.assignor), owned)
        if assignment:
            await self._open_partitions(consumer, owned, assignment)
        self.completed.set()
        app.flow_control.resume()
        consumer.resume_flow()
        await app._fetcher.maybe_start()
        self.tables.on_actives_ready()
        self.tables.on_standbys_ready()
        app.on_rebalance_end()

    async def _open_partitions(self, consumer: Any, numbers: set[int], assignment: set[TP]) -> None:
        log.info("opening partitions %s", ", ".join(map(str, sorted(numbers))))
        pause = 0.5
        while True:
            try:
                check_numbers(numbers, self.restorer.limits.partitions)
                await self._wait(self._open_and_seek(consumer, numbers, assignment))
                break
            except (KafkaError, OSError) as error:
                log.warning("partitions cannot be opened, trying again in %.1f s: %r", pause, error)
                await self._wait(asyncio.sleep(pause))
                pause = min(pause * 2, _MAX_PAUSE_SECONDS)
            except StoreDamageError as error:
                # the next attempt sets the damaged state aside
                log.warning("%s; opening again in %.1f s", error, pause)
                await self._wait(asyncio.sleep(pause))
                pause = min(pause * 2, _MAX_PAUSE_SECONDS)
            except (UptakeError, StoreError) as error:
                self.restorer.on_failed(error)  # raising it here would log a page of traceback
                await self._wait(asyncio.Event().wait())
        opened = {partition.number for partition in self.partitions}
        self._resume_opened(consumer, opened, assignment)
        if numbers - opened:
            self._open_beside(consumer, numbers - opened, assignment)

    @staticmethod
    def _resume_opened(consumer: Any, numbers: set[int], assignment: set[TP]) -> None:
        consumer.resume_partitions({tp for tp in assignment if tp.partition in numbers})
        log.info("ready: partitions %s", ", ".join(map(str, sorted(numbers))))

    def _open_beside(self, consumer: Any, numbers: set[int], assignment: set[TP]) -> None:
        """Open partitions while the others fold and answer. None of their records is fetched before."""
        self.partitions.hold(numbers)
        self._later |= numbers
        if self._opening_later is None or self._opening_later.done():
            self._opening_later = self.add_future(self._open_later(consumer, assignment))

    async def _open_later(self, consumer: Any, assignment: set[TP]) -> None:
        revoked_epoch, pause = self.partitions.revoked_epoch, 0.5
        while self._later:
            numbers = set(self._later)
            log.info("rebuilding partitions %s, the others go on", ", ".join(map(str, sorted(numbers))))
            try:
                await self.partitions.close_held()
                opened = await self._open_and_seek(consumer, numbers, assignment, revoked_epoch)
            except _RevokedError:
                return
            except (KafkaError, OSError, StoreDamageError) as error:
                log.warning("partitions cannot be rebuilt, trying again in %.1f s: %r", pause, error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _MAX_PAUSE_SECONDS)
            except Exception as error:  # noqa: BLE001 - no code awaits this task, so its error must end the worker
                self.restorer.on_failed(error)
                return
            else:
                self._later -= opened
                self._resume_opened(consumer, opened, assignment)

    async def _stop_opening_later(self) -> None:
        task, self._opening_later, self._later = self._opening_later, None, frozenset()
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _open_and_seek(
        self, consumer: Any, numbers: set[int], assignment: set[TP], revoked_epoch: int | None = None
    ) -> set[int]:
        """Open partitions, to whose positions the consumer then seeks; return those that were opened.

        No record that is fetched before the seek is folded after it. If others are fetched meanwhile, these must be held, and
        ``revoked_epoch`` be given: when another begins, raise _RevokedError.
        """
        if revoked_epoch not in (None, self.partitions.revoked_epoch):
            raise _RevokedError
        opened = await self.restorer.open(numbers, self.partitions.epoch)
        numbers = {partition.number for partition in opened}
        assignment = {tp for tp in assignment if tp.partition in numbers}
        try:
            earliest = await consumer.earliest_offsets(*assignment)
            ends = await consumer.highwaters(*assignment)
            positions = {partition.number: partition.positions for partition in opened}
            for partition in opened:
                if any(ends[tp] for tp in assignment if tp.partition == partition.number):
                    check_position(partition)
            seeks: dict[TP, int] = {}
            for tp in assignment:
                position = positions[tp.partition].get(tp.topic)
                if position is not None and position > ends[tp]:
                    raise _SourceRecreatedError(tp, position, ends[tp])
                if position is not None and position < earliest[tp]:
                    log.error(
                        "%s partition %d: offsets %d to %d were deleted before they were read",
                        tp.topic,
                        tp.partition,
                        position,
                        earliest[tp],
                    )
                seeks[tp] = max(position or 0, earliest[tp])
            # A fetch that began before they were held would move them on after the seek.
            await consumer.wait_idle()
            await consumer.seek_wait(seeks)
            if revoked_epoch not in (None, self.partitions.revoked_epoch):
                raise _RevokedError
        except BaseException:
            await asyncio.gather(*(partition.close(0) for partition in opened))
            raise
        consumer.forget(assignment)
        for partition in opened:
            self.partitions.add(partition)
            self.restorer.stores.rebuilt(partition.number)
            if partition.lost is not None:  # whoever reported that may not have found it here yet
                self.on_lost(partition.lost)
        self.standbys.forget(numbers)
        return numbers

    def on_lost(self, error: PartitionLostError) -> None:
        """Reopen what is lost after a pause, unless a rebalance comes first. A rebalance is the usual cause, unless it is the store."""
        log.warning("%s", error)
        generation = self.app.consumer_generation_id

        async def reopen() -> None:
            await asyncio.sleep(self.reopen_pause_seconds)
            if self.app.consumer_generation_id == generation and not self.app.rebalancing:
                self._reopen(generation)

        self.add_future(reopen())

    def _reopen(self, generation: int) -> None:
        """Reopen the partitions that were lost with their store. After another loss any partition may be stale: reopen all."""
        lost = {
            partition.number: partition.lost for partition in self.partitions if partition.lost is not None
        }
        if all(error.is_of_store for error in lost.values()):
            if lost:
                self._open_beside(self.app.consumer, set(lost), set(self.app.consumer.assignment()))
        else:
            self._generation_id = generation
            self.signal_recovery_start.set()


class PositionTables(TableManager):
    """Faust's table manager without Faust tables: it opens partitions by PositionRecovery and releases them on stop."""

    partitions: Partitions
    restorer: Restorer
    standbys: Standbys
    reopen_pause_seconds: float

    @property
    def recovery(self) -> PositionRecovery:
        """The recovery service."""
        if self._recovery is None:
            recovery = PositionRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
            recovery.partitions, recovery.restorer = self.partitions, self.restorer
            recovery.standbys = self.standbys
            recovery.reopen_pause_seconds = self.reopen_pause_seconds
            self._recovery = recovery
        return self._recovery  # type: ignore[return-value]

    async def on_stop(self) -> None:
        """Flush and release all partitions, after the fetcher has stopped."""
        await super().on_stop()
        try:
            await self.partitions.on_revoked()
        finally:
            await self.standbys.close()


def table_manager(
    partitions: Partitions, restorer: Restorer, standbys: Standbys, reopen_pause_seconds: float
) -> Callable[..., PositionTables]:
    """Return a factory for Faust's ``TableManager`` setting, with these arguments filled in."""

    def create(app: Any, **kwargs: Any) -> PositionTables:
        manager = PositionTables(app, **kwargs)
        manager.partitions, manager.restorer, manager.standbys = partitions, restorer, standbys
        manager.reopen_pause_seconds = reopen_pause_seconds
        return manager

    return create
