"""Which partitions does this worker own now, and what is their state of readiness?"""

import asyncio
from collections.abc import Iterator

from agents.partition import Partition


class Partitions:
    """The partitions that are open here, all of one ``epoch``.

    A chunk that was fetched in an earlier epoch must be dropped: the position was sought again since, and what lies between would
    be missed.
    """

    def __init__(self, close_timeout_seconds: float) -> None:
        self._open: dict[int, Partition] = {}
        self._close_timeout_seconds = close_timeout_seconds
        self.epoch = 0

    def add(self, partition: Partition) -> None:
        """Take a partition that has been caught up; from now on it is folded and read."""
        self._open[partition.number] = partition

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
        self._open.clear()
        for outcome in closed:  # raised only now: one full disk must not keep the others from being released
            if isinstance(outcome, BaseException):
                raise outcome
