"""What do lookups need from the worker that answers them: one Protocol, and the error for what is not here now."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from app.customers.customer import Customer
from app.lookup.user_view import UserView
from tables.ctr.window_sums import StoredSpan, WindowRow


class UnavailableError(Exception):
    """What was asked for exists, but cannot be answered now: 503 with Retry-After, never an empty answer."""

    def __init__(
        self, sentence: str, retry_after_s: int, partition: int | None = None, progress: float | None = None
    ) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.retry_after_s = retry_after_s
        self.partition = partition
        self.progress = progress


class PartitionNotReady(UnavailableError):  # noqa: N818 - it is a state, which passes
    """A partition of this worker is being restored; ``progress`` is the share done, 0 to 1, None when not known."""

    def __init__(self, partition: int, retry_after_s: int, progress: float | None = None) -> None:
        done = "" if progress is None else f" ({progress:.0%} done)"
        sentence = f"partition {partition} is being restored{done}; ask again in {retry_after_s} s"
        super().__init__(sentence, retry_after_s, partition, progress)


class LookupService(Protocol):
    """A worker as lookups see it. Reading methods see every event folded so far, flushed or not."""

    @property
    def customers(self) -> Mapping[str, Customer]:
        """All customers, by id."""

    @property
    def partition_count(self) -> int:
        """How many partitions there are, over all workers."""

    def partition_of(self, key: bytes) -> int:
        """Return the partition of a user's or scenario's key."""

    def owner_of(self, partition: int) -> str | None:
        """Return the address (``http://host:port``) of the worker that owns a partition; None when nobody does."""

    def standbys_of(self, partition: int) -> Sequence[str]:
        """Return the addresses of the other workers that keep a copy of a partition."""

    def is_local(self, partition: int) -> bool:
        """Tell whether this worker owns a partition, restored or not."""

    def user_view(self, partition: int, key: bytes) -> UserView:
        """Return all that is known of a user; raise PartitionNotReady. The answer is only read, and not kept."""

    def stale_view(self, partition: int, key: bytes, max_stale_ms: int) -> UserView | None:
        """Return what this worker's copy of a partition knows of a user; None without a copy, or when it may lack older events."""

    def windows(
        self,
        partition: int,
        customer: str,
        scenario: str | None,
        dimension: str,
        segments: Sequence[StoredSpan],
    ) -> list[WindowRow]:
        """Return the windows of one local partition that start within the segments; raise PartitionNotReady.

        Without a scenario those of all scenarios.
        """

    def status(self) -> Mapping[str, Any]:
        """Return the state of this worker as JSON; ``ready`` (bool) decides /health/ready."""
