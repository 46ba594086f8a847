"""What a partition needs from outside, by Protocol: records, a store, a transactional outbox; and what a flush carries."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

Change = tuple[bytes, bytes | None]
"""A row and its encoded value; None deletes it."""


class SourceRecord(Protocol):
    """A record of a source topic, as aiokafka returns it."""

    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int


class Chunk(NamedTuple):
    """A run of records of one partition, fetched while the partitions of ``epoch`` were open (app/worker/transport.py)."""

    topic: str
    partition: int
    epoch: int
    records: list[Any]


class Output(NamedTuple):
    """A record that a fold sends on; ``partition`` is where it must go."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(slots=True)
class Flush:
    """One transaction: the changed rows of each table (each key once), what is sent on, and the position all that stands for."""

    changes: dict[str, list[Change]]
    outputs: list[Output]
    positions: dict[str, int]
    """Next offset of every source topic."""


@dataclass(slots=True)
class Committed:
    """What the broker confirmed: per changelog topic, the offset after the last record written to it."""

    offsets: dict[str, int] = field(default_factory=dict)


class PartitionLostError(Exception):
    """The broker refuses our writes of ``partition``: it has, or had, another owner, or the transaction was aborted by time.

    What was folded since the last flush is dropped; it is read again from the position, here or elsewhere.
    """

    def __init__(self, partition: int, cause: str) -> None:
        super().__init__(f"partition {partition} is lost: {cause}")
        self.partition, self.cause = partition, cause


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
        """Write a flush as one transaction; raise PartitionLostError when the broker refuses it or its fate is unknown."""

    async def close(self) -> None: ...


class Reach(NamedTuple):
    """How far the consumer is in one partition of a topic, as offsets.

    Where what can be read ends, what is fetched next, and behind the last record that was fetched to be folded (0: none yet).
    """

    end: int
    next: int
    fetched: int


class Feed(Protocol):
    """The consumer, as far as it is asked how far it is (app/worker/lag.py)."""

    def reach(self, topic: str, partition: int) -> Reach | None:
        """Return how far it is, None when it does not know."""
