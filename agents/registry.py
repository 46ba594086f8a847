"""Which partitions does this worker own now, and what is their state of readiness?"""

import asyncio
from collections.abc import Iterator

from agents.partition import Partition
from agents.poison import Halt


class Partitions:
    """The partitions that are open here, all of one ``epoch``.

    A chunk that was fetched in an earlier epoch must be dropped: the position was sought again since, and what lies between would
    be missed.
    """

    def __init__(self, close_timeout_seconds: float) -> None:
        self._open: dict[int, Partition] = {}
        self._halts: dict[tuple[str, int], Halt] = {}
        self._close_timeout_seconds = close_timeout_seconds
        self.epoch = 0

    def add(self, partition: Partition) -> None:
        """Take a partition that has been caught up; from now on it is folded and read."""
        self._open[partition.number] = partition
        for topic, position in partition.positions.items():
            halt = self._halts.pop((topic, partition.number), None)
            if halt is not None and halt.position == position:
                partition.halts[topic] = halt  # another worker that came or went is no reason to go on

    def get(self, number: int) -> Partition | None:
        """Return the partition when it is open here and not lost."""
        partition = self._open.get(number)
        return partition if partition is not None and partition.is_open else None

    def __iter__(self) -> Iterator[Partition]:
        return iter(list(self._open.values()))

    def __len__(self) -> int:
        return len(self._open)

    def durable(self, topic: str, number: int) -> int | None:
        """Return the next offset of a source topic that a committed flush of an open partition covers."""
        partition = self._open.get(number)
        return None if partition is None else partition.durable.get(topic)

    def is_paused(self, topic: str, number: int) -> bool:
        """Tell whether a source topic of an open partition is paused, so that nothing of it need be fetched."""
        partition = self._open.get(number)
        return partition is not None and topic in partition.halts

    async def on_revoked(self) -> None:
        """Flush, then drop overlay, cache, producer and store of every partition: also of those that stay.

        A worker that slept through a generation gets its partitions back as if nothing had been; only the changelog knows.
        """
        closing = list(self._open.values())
        self.epoch += 1
        for partition in closing:
            partition.is_open = False
        closed = await asyncio.gather(
            *(partition.close(self._close_timeout_seconds) for partition in closing), return_exceptions=True
        )
        for partition in closing:
            self._halts.update({(topic, partition.number): halt for topic, halt in partition.halts.items()})
        self._open.clear()
        for outcome in closed:  # raised only now: one full disk must not keep the others from being released
            if isinstance(outcome, BaseException):
                raise outcome
