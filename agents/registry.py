"""Registry of the partitions that are open on this worker."""

import asyncio
from collections.abc import Iterable, Iterator

from agents.partition import Partition
from agents.poison import Halt


class Partitions:
    """The partitions that are open here.

    ``epoch`` counts how often partitions were closed to be opened again: all of them, or those that are held. A chunk that was fetched
    before its partition was closed must be dropped. The consumer has since gone back to the position, and folding the chunk would skip
    the records before it.
    """

    def __init__(self, close_timeout_seconds: float) -> None:
        self._open: dict[int, Partition] = {}
        self._halts: dict[tuple[str, int], Halt] = {}
        self._held: set[int] = set()
        self._lost: list[Partition] = []
        self._close_timeout_seconds = close_timeout_seconds
        self.epoch = 0
        self.revoked_epoch = 0
        """The epoch that began when all partitions were last released."""
        self._held_epochs: dict[int, int] = {}

    def add(self, partition: Partition) -> None:
        """Add a partition that has caught up. Chunks are then folded into it, and lookups read it."""
        self._open[partition.number] = partition
        self._held.discard(partition.number)
        for topic, position in partition.positions.items():
            halt = self._halts.pop((topic, partition.number), None)
            if halt is not None and halt.position == position:
                partition.halts[topic] = halt  # a rebalance alone does not end a pause

    def forget_verified(self) -> None:
        """Let each partition check its keys again: a customer may be unknown from now on."""
        for partition in self._open.values():
            partition.overlay.verified.clear()

    def hold(self, numbers: Iterable[int]) -> None:
        """Let no record of these partitions be fetched before they are added, and none be folded that was fetched before now.

        Those that were open are lost, and wait for ``close_held``.
        """
        self.epoch += 1
        for number in numbers:
            self._held.add(number)
            self._held_epochs[number] = self.epoch
            partition = self._open.pop(number, None)
            if partition is not None:
                self._lost.append(partition)
                self._keep_halts(partition)

    def is_over(self, number: int, epoch: int) -> bool:
        """Tell whether a partition was closed since an epoch began, so that records of it that were fetched then must be dropped."""
        return epoch < self._held_epochs.get(number, self.revoked_epoch)

    async def close_held(self) -> None:
        """Release the producers and stores of partitions that were open when they were held."""
        for partition in list(self._lost):
            await partition.close(self._close_timeout_seconds)
            if partition in self._lost:  # not if all were revoked meanwhile
                self._lost.remove(partition)

    def _keep_halts(self, partition: Partition) -> None:
        self._halts.update({(topic, partition.number): halt for topic, halt in partition.halts.items()})

    def get(self, number: int) -> Partition | None:
        """Return the partition if it is open here and not lost, otherwise None."""
        partition = self._open.get(number)
        return partition if partition is not None and partition.is_open else None

    def __iter__(self) -> Iterator[Partition]:
        return iter(list(self._open.values()))

    def __len__(self) -> int:
        return len(self._open)

    def durable(self, topic: str, number: int) -> int | None:
        """Return the next offset of a source topic that a committed flush of an open partition covers; None if unknown."""
        partition = self._open.get(number)
        return None if partition is None else partition.durable.get(topic)

    def is_paused(self, topic: str, number: int) -> bool:
        """Tell whether a source topic of a partition is paused or the partition is held, so that no record of it need be fetched."""
        if number in self._held:
            return True
        partition = self._open.get(number)
        return partition is not None and topic in partition.halts

    async def on_revoked(self) -> None:
        """Flush, then drop overlay, cache, producer and store of all partitions, even of those that stay assigned.

        A worker that slept through a generation gets its partitions back without notice. Only the changelogs show that another worker
        wrote to them.
        """
        closing = [*self._open.values(), *self._lost]
        self.epoch += 1
        self.revoked_epoch = self.epoch
        self._held.clear()
        self._held_epochs.clear()
        for partition in closing:
            partition.is_open = False
        closed = await asyncio.gather(
            *(partition.close(self._close_timeout_seconds) for partition in closing), return_exceptions=True
        )
        for partition in closing:
            self._keep_halts(partition)
        self._open.clear()
        self._lost.clear()
        # Errors are raised only now, because one full disk must not prevent the release of the other partitions.
        for outcome in closed:
            if isinstance(outcome, BaseException):
                raise outcome
