"""The data behind a worker's lookups: its open partitions and copies, and Faust's map of the owners of all partitions."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from agents.partition import Partition
from agents.registry import Partitions
from app.customers.customer import Customer
from app.lookup.service import PartitionNotReady
from app.lookup.user_view import UserView
from app.worker.answer_age import AnswerAge
from app.worker.hidden_ends import HiddenEnd
from app.worker.item_reads import read_items, read_seen
from app.worker.restore import Restorer
from app.worker.standby import Standbys
from app.worker.watchdog import Stall
from app.worker.window_reads import read_windows
from events.partitions import partition_of
from tables.base.table_spec import Stretch
from tables.ctr.item_sums import ItemSums, SeenSums, StepOf
from tables.ctr.window_sums import StoredSpan, WindowRow
from tables.declare import MOVED_TABLES, TABLES
from tables.fold.fold_ports import MOVED
from tables.store import StoreError
from tables.user import rendered
from tables.user.identity import IdentityState
from tables.user.impression_buckets import TornRowError, bucket_key, unmerged_entries
from tables.user.impressions import ImpressionsState

_RETRY_AFTER_S = 2


class Owners(Protocol):
    """The owners and copies of all partitions, and whether they are about to change (app/worker/assignor.py)."""

    @property
    def is_rebalancing(self) -> bool:
        """Whether a rebalance is in progress."""

    def owner_of(self, partition: int) -> str | None:
        """Return the address of the worker that owns a partition; None if it has no owner."""

    def owners(self) -> Mapping[int, str]:
        """Return the address of the owner of each partition that has one."""

    def standbys_of(self, partition: int) -> list[str]:
        """Return the addresses of the workers that keep a copy of a partition."""


class WorkerLookups:
    """Reads the partitions of this worker; every read includes what was folded so far, flushed or not."""

    def __init__(
        self,
        customers: Mapping[str, Customer],
        partitions: Partitions,
        restorer: Restorer,
        standbys: Standbys,
        partition_count: int,
        url: str,
        owners: Owners,
        lag: Callable[[Partition], int],
        answer_age: AnswerAge,
        stalls: Callable[[Iterable[int]], Sequence[Stall]] = lambda _: (),
        warnings: Callable[[], Sequence[str]] = tuple,
        open_transactions: Callable[[Iterable[int]], Sequence[HiddenEnd]] = lambda _: (),
        cache: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        """``lag`` returns the lag of a partition; ``answer_age`` says how old the answers of a partition may be.

        ``stalls`` returns the watchdog's active alarms of these partitions.

        ``warnings`` returns sentences for an operator; they do not make the worker unready.
        ``open_transactions`` returns the active alarms of transactions that hide the ends of these partitions, ``cache`` the state of rows.
        """
        self.customers, self.partition_count = customers, partition_count
        self._stalls, self._warnings, self._open_transactions = stalls, warnings, open_transactions
        self._partitions, self._restorer, self._standbys = partitions, restorer, standbys
        self._url, self._owners, self._lag = url, owners, lag
        self._answer_age, self._cache = answer_age, cache
        self._decoders = {table.name: table.decode for table in TABLES}

    def partition_of(self, key: bytes) -> int:
        """Return the partition of a user's or scenario's key."""
        return partition_of(key, self.partition_count)

    def owner_of(self, partition: int) -> str | None:
        """Return the address of the worker to which the group's leader assigned a partition; None if it has no owner."""
        return self._owners.owner_of(partition)

    def standbys_of(self, partition: int) -> list[str]:
        """Return the addresses of the other workers to which the group's leader assigned a copy of a partition."""
        return [
            url for url in self._owners.standbys_of(partition) if url.rstrip("/") != self._url.rstrip("/")
        ]

    def is_local(self, partition: int) -> bool:
        """Return whether this worker owns a partition, restored or not."""
        owner = self.owner_of(partition)
        return owner is not None and owner.rstrip("/") == self._url.rstrip("/")

    def _open(self, number: int) -> Partition:
        partition = self._partitions.get(number)
        if partition is None:
            progress = self._restorer.progress
            share = progress.done / progress.total if progress is not None and progress.total else None
            raise PartitionNotReady(number, _RETRY_AFTER_S, share)
        return partition

    def user_view(self, partition: int, key: bytes) -> UserView:
        """Return all that is known of a user; raise PartitionNotReady if the partition is not open, or its store is damaged."""
        owned = self._open(partition)
        tables = owned.overlay.tables
        try:
            return _view(lambda table, row: tables[table].read(row), key, self.stale_ms(partition))
        except StoreError as error:
            owned.lose_store(error)
            raise PartitionNotReady(partition, _RETRY_AFTER_S, None) from error

    def stale_ms(self, partition: int) -> int | None:
        """Return the age that an answer of a partition must carry; None while it is fresh. Raise UnavailableError if it is too old."""
        return self._answer_age.stale_ms(partition)

    def contact_age_ms(self) -> int:
        """Return the age of the oldest contact with Kafka that the open partitions depend on."""
        return self._answer_age.contact_ms(partition.number for partition in self._partitions)

    def stale_view(self, partition: int, key: bytes, max_stale_ms: int) -> UserView | None:
        """Return what this worker's copy of a partition holds of a user.

        None without a copy, or if the copy may lack events older than ``max_stale_ms``.
        """
        reading = self._standbys.reading(partition)
        if reading is None:
            return None
        store, stale_ms = reading
        if stale_ms > max_stale_ms:
            return None

        def read(table: str, row: bytes) -> Any:
            value = store.get(table, row)
            return None if value is None else self._decoders[table](value)

        try:
            return _view(read, key, stale_ms)
        except TornRowError:
            return None  # the copy has read some of the changelogs of a flush, and soon reads the others
        except StoreError:
            return None  # the copy is rebuilt (app/worker/standby.py)

    def windows(
        self,
        partition: int,
        customer: str,
        scenario: str | None,
        dimension: str,
        segments: Sequence[StoredSpan],
    ) -> Iterator[list[WindowRow]]:
        """Return the windows merged in a partition that start within the segments, in short lists that may be empty.

        Raise PartitionNotReady if the partition is not open, or its store is damaged. The caller may let other coroutines run
        between two lists.
        """
        self._open(partition)
        return read_windows(lambda: self._reading(partition), customer, scenario, dimension, segments)

    def item_sums(
        self,
        partition: int,
        customer: str,
        scenario: str | None,
        dimension: str,
        segments: Sequence[StoredSpan],
        step_of: StepOf,
    ) -> Iterator[ItemSums | None]:
        """Return the items of a partition by scenario, and None between short pieces of work; errors as in ``windows``."""
        self._open(partition)
        return read_items(lambda: self._reading(partition), customer, scenario, dimension, segments, step_of)

    def seen_sums(
        self,
        partition: int,
        customer: str,
        scenario: str | None,
        segments: Sequence[StoredSpan],
        step_of: StepOf,
        *,
        by_variant: bool,
    ) -> Iterator[SeenSums | None]:
        """Return the unique users of a partition by scenario, as ``item_sums`` does the items."""
        self._open(partition)
        return read_seen(
            lambda: self._reading(partition), customer, scenario, segments, step_of, by_variant=by_variant
        )

    @contextmanager
    def _reading(self, partition: int) -> Iterator[Partition]:
        """Read an open partition, which may have been closed since the last read. Raise PartitionNotReady also if its store is damaged."""
        owned = self._open(partition)
        try:
            yield owned
        except StoreError as error:
            owned.lose_store(error)
            raise PartitionNotReady(partition, _RETRY_AFTER_S, None) from error

    def status(self) -> Mapping[str, Any]:
        """Return the state of this worker for JSON; docs/operations.md lists the fields."""
        owners = self._owners.owners()
        assigned = sorted(
            number for number, url in owners.items() if url.rstrip("/") == self._url.rstrip("/")
        )
        age_ms = self.contact_age_ms()
        partitions: dict[str, Any] = {}
        for number in assigned:
            partition = self._partitions.get(number)
            if partition is None:
                partitions[str(number)] = {"ready": False}
                continue
            stats = partition.stats
            partitions[str(number)] = {
                "ready": True,
                "lag": self._lag(partition),
                "positions": dict(partition.positions),
                "durable": dict(partition.durable),
                "watermark_ms": partition.watermark_ms,
                "folded": stats.folded,
                "repeated": stats.repeated,
                "clamped": stats.clamped,
                "forwarded": stats.forwarded,
                "deadlettered": stats.deadlettered,
                "swept": stats.swept,
                "late": stats.late,
                "flushes": stats.flushes,
            }
        stalls = [stall.as_dict() for stall in self._stalls(assigned)]
        own = [alarm.as_dict() for partition in self._partitions for alarm in partition.alarms()]
        hidden = [each.as_dict() for each in self._open_transactions(assigned)]
        # With more workers than partitions, some workers own no partition; they are ready to take over.
        # A paused topic or a hidden end does not make a worker unready while lookups of all partitions continue.
        # After a stall any answer may be wrong.
        is_ready = (
            bool(owners)
            and all(entry["ready"] for entry in partitions.values())
            and not self._owners.is_rebalancing
            and not stalls
            and not self._answer_age.rule.refuses(age_ms)
            and not any(map(self._answer_age.refuses, assigned))
        )
        progress = self._restorer.progress
        warnings = [self._answer_age.rule.warning(age_ms), None if progress is None else progress.blocked]
        return {
            "ready": is_ready,
            "url": self._url,
            "lag": sum(entry.get("lag", 0) for entry in partitions.values()),
            "alarms": [*stalls, *own, *hidden],
            "warnings": [*self._warnings(), *(each for each in warnings if each is not None)],
            "kafka_contact_ms": age_ms,
            "damaged_stores": [each.as_dict() for each in self._restorer.stores.damaged()],
            "partitions": partitions,
            "cache": self._cache(),
            "standbys": self._standbys.status(),
            "restoring": None
            if progress is None
            else {
                "records": progress.total,
                "done": progress.done,
                "records_per_second": round(progress.rate),
                "seconds_left": progress.seconds_left,
            },
        }


def _view(read: Callable[[str, bytes], Any], key: bytes, stale_ms: int | None = None) -> UserView:
    """Return all that is known of a user; ``read`` (table, key) returns a row or None.

    Raise TornRowError if a copy has part of a flush.
    """
    own = Stretch({table.name: read(table.name, key) for table in MOVED_TABLES})
    known: IdentityState | None = read("identity", key)
    moved = None
    if known is not None and known.sent:  # only a login, or what follows it, writes the second rows
        moved = Stretch({table.name: read(table.name, key + MOVED) for table in MOVED_TABLES})
    log: ImpressionsState | None = read("impressions", key)
    shown = own[rendered.TABLE]
    return UserView(
        own,
        moved or None,
        known,
        log,
        read("recommended", key),
        ()
        if log is None
        else unmerged_entries(
            log,
            0 if shown is None else shown.merged,
            lambda number: read("impression_buckets", bucket_key(key, number)),
        ),
        stale_ms,
    )
