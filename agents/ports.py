"""Protocols for what a partition needs from outside (records, a store, a transactional outbox), and the content of a flush."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

Change = tuple[bytes, bytes | None]
"""A row's key and its encoded value; None deletes the row."""


class SourceRecord(Protocol):
    """A record of a source topic, as aiokafka returns it."""

    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: Sequence[tuple[str, bytes]]


class Chunk(NamedTuple):
    """A run of records of one partition, whose fetch began in ``epoch`` (app/worker/transport.py)."""

    topic: str
    partition: int
    epoch: int
    records: list[Any]


class Output(NamedTuple):
    """A record to send to ``partition`` of ``topic`` in the next flush."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(slots=True)
class Flush:
    """One transaction: the changed rows of each table (each key once), the records to send, and the position that it covers."""

    changes: dict[str, list[Change]]
    outputs: list[Output]
    positions: dict[str, int]
    """Next offset of every source topic."""


@dataclass(slots=True)
class Committed:
    """The broker's confirmation: per changelog topic, the offset after the last record that was written to it."""

    offsets: dict[str, int] = field(default_factory=dict)


class PartitionLostError(Exception):
    """The broker refuses our writes of ``partition``, or their fate is unknown, or its store cannot be read (``is_of_store``).

    In the first two cases the partition has, or had, another owner, or its transaction timed out. Its changes since the last flush are
    dropped. The next owner, here or elsewhere, reads them again from the position.
    """

    def __init__(self, partition: int, cause: str, *, is_of_store: bool = False) -> None:
        super().__init__(f"partition {partition} is lost: {cause}")
        self.partition, self.cause, self.is_of_store = partition, cause, is_of_store


class Store(Protocol):
    """Rows on disk, always a prefix of the committed changelog (tables/store.py)."""

    def get(self, table: str, key: bytes) -> bytes | None: ...

    def scan(self, table: str, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]: ...

    def offsets(self) -> dict[str, int]: ...

    def write(self, changes: Mapping[str, Iterable[Change]], offsets: Mapping[str, int]) -> None: ...

    def close(self) -> None: ...


class Outbox(Protocol):
    """The one producer that may write for a partition (app/worker/outbox.py)."""

    async def commit(self, flush: Flush) -> Committed:
        """Write a flush as one transaction. Raise PartitionLostError if the broker refuses it or its fate is unknown."""

    async def close(self) -> None: ...


class Reach(NamedTuple):
    """The consumer's progress in one partition of a topic, as offsets.

    ``end`` is the end of the partition, with records that an open transaction still hides, and ``next`` the offset to fetch next.
    ``fetched`` is the offset after the last record that was fetched for folding (0: no record yet).
    """

    end: int
    next: int
    fetched: int


class Feed(Protocol):
    """The consumer, as a source of its own progress (app/worker/lag.py)."""

    def reach(self, topic: str, partition: int) -> Reach | None:
        """Return the progress in a partition of a topic, or None if it is unknown."""
