"""The Protocol that lookups need from a worker, and the error for a partition that cannot answer now."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from app.customers.customer import Customer
from app.lookup.user_view import UserView
from tables.ctr.item_sums import ItemSums, SeenSums, StepOf
from tables.ctr.window_sums import StoredSpan, WindowRow

_RETRY_AFTER_S: Final = 2


class UnavailableError(Exception):
    """The data exists, but no worker can answer now: 503 with Retry-After, never an empty answer."""

    def __init__(
        self, sentence: str, retry_after_s: int, partition: int | None = None, progress: float | None = None
    ) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.retry_after_s = retry_after_s
        self.partition = partition
        self.progress = progress


class PartitionNotReady(UnavailableError):  # noqa: N818 - a temporary state
    """This worker restores the partition; ``progress`` is the share that is done, 0 to 1, None if not known."""

    def __init__(self, partition: int, retry_after_s: int, progress: float | None = None) -> None:
        done = "" if progress is None else f" ({progress:.0%} done)"
        sentence = f"partition {partition} is being restored{done}; ask again in {retry_after_s} s"
        super().__init__(sentence, retry_after_s, partition, progress)


class OutOfTouchError(UnavailableError):
    """This worker has had no contact with Kafka for so long that it answers nothing from a partition."""

    def __init__(self, partition: int, age_ms: int, retry_after_s: int) -> None:
        sentence = f"this worker has had no contact with Kafka for {age_ms // 1000} s; ask again in {retry_after_s} s"
        super().__init__(sentence, retry_after_s, partition)


class HiddenEventsError(UnavailableError):
    """The partition has not read events that are in Kafka, for too long or since an unknown time."""

    def __init__(self, partition: int, age_ms: int | None, retry_after_s: int) -> None:
        if age_ms is None:
            what = f"partition {partition} has not read the events that were there when it was opened"
        else:
            cause = "an open transaction in Kafka hides them, or the worker lags"
            what = f"partition {partition} has not read its events of the last {age_ms // 1000} s: {cause}"
        super().__init__(f"{what}; ask again in {retry_after_s} s", retry_after_s, partition)


class TooStaleError(UnavailableError):
    """The answer may lack events older than the client allows."""

    def __init__(self, stale_ms: int, max_stale_ms: int, partition: int | None = None) -> None:
        sentence = (
            f"the answer may lack the events of the last {stale_ms} ms, and max_stale_ms allows {max_stale_ms}; "
            f"ask again in {_RETRY_AFTER_S} s"
        )
        super().__init__(sentence, _RETRY_AFTER_S, partition)


class LookupService(Protocol):
    """A worker as lookups see it. Its answers include every event folded so far, flushed or not."""

    @property
    def customers(self) -> Mapping[str, Customer]:
        """All customers, by id."""

    @property
    def partition_count(self) -> int:
        """The number of partitions, over all workers."""

    def partition_of(self, key: bytes) -> int:
        """Return the partition of a user's or scenario's key."""

    def owner_of(self, partition: int) -> str | None:
        """Return the address (``http://host:port``) of the worker that owns a partition; None if it has no owner."""

    def standbys_of(self, partition: int) -> Sequence[str]:
        """Return the addresses of the other workers that keep a copy of a partition."""

    def is_local(self, partition: int) -> bool:
        """Return whether this worker owns a partition, restored or not."""

    def user_view(self, partition: int, key: bytes) -> UserView:
        """Return everything stored of a user; raise UnavailableError if it cannot be answered now.

        The caller only reads the answer, and does not keep it. Its ``stale_ms`` is that of the partition.
        """

    def stale_ms(self, partition: int) -> int | None:
        """Return the age (ms) that answers of a local partition must carry; None while they are fresh. Raise UnavailableError.

        They carry it while this worker has no contact with Kafka: another worker may own the partition by then. They also carry it
        while an open transaction hides events.
        """

    def stale_view(self, partition: int, key: bytes, max_stale_ms: int) -> UserView | None:
        """Return what this worker's copy of a partition stores of a user; None without a copy, or if it may lack older events."""

    def windows(
        self,
        partition: int,
        customer: str,
        scenario: str | None,
        dimension: str,
        segments: Sequence[StoredSpan],
    ) -> Iterable[Sequence[WindowRow]]:
        """Return the windows of one local partition that start within the segments, in short lists that may be empty.

        Each list is short work, after which others may run. Raise PartitionNotReady, also between two lists.
        ``scenario`` None: the windows of all scenarios.
        """

    def item_sums(
        self,
        partition: int,
        customer: str,
        scenario: str | None,
        dimension: str,
        segments: Sequence[StoredSpan],
        step_of: StepOf,
    ) -> Iterable[ItemSums | None]:
        """Return the items of one local partition by scenario and step, and None after each short piece of work.

        ``dimension`` is ITEM or ITEM_IMAGE. Raise PartitionNotReady, also between two pieces.
        """

    def seen_sums(
        self,
        partition: int,
        customer: str,
        scenario: str | None,
        segments: Sequence[StoredSpan],
        step_of: StepOf,
        *,
        by_variant: bool,
    ) -> Iterable[SeenSums | None]:
        """Return the unique users of one local partition by scenario, as ``item_sums`` does the items."""

    def status(self) -> Mapping[str, Any]:
        """Return the state of this worker as JSON; ``ready`` (bool) decides /health/ready."""
