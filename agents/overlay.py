"""The rows and tallies of one partition in memory, and the changes that a flush takes from them."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from agents.ports import Change, Output, Store
from agents.row_budget import RowBudget
from agents.row_cache import RowCache
from agents.scenario_places import ScenarioPlaces
from events.model import user_key
from events.partitions import partition_of
from events.topics import PARTIALS, TRANSFERS, WINDOWS
from tables.base.table_spec import TableSpec
from tables.ctr import additions, panes, partials, scenario_names, windows
from tables.ctr.item_tally import ItemTally
from tables.ctr.panes import Tally
from tables.ctr.window_keys import WindowKey
from tables.ctr.windows import encode_record
from tables.declare import TABLES
from tables.transfers import encode as encode_transfer
from tables.user.identity import Transfer

_S = TypeVar("_S")

MAX_SCENARIOS: Final = 10_000
_MAX_VERIFIED_KEYS: Final = 50_000  # about 10 MB; other keys are hashed again


class _CachesByTable(Protocol):
    """The rows of every table."""

    def __getitem__(self, table: TableSpec[_S]) -> RowCache[_S]: ...


class Held(NamedTuple):
    """What a partition holds in memory."""

    changes: int
    """Rows and tallies that wait for the next flush."""
    memory: float
    """Estimated memory of all rows, in bytes."""


@dataclass(slots=True)
class _LaneTables:
    """The tables for the events of one lane (live or history). Both lanes share the rows; each has its own tallies."""

    tally: Tally
    items: ItemTally
    rows: _CachesByTable
    transfer: Callable[[Transfer], None]
    scenario_keepers: Container[str]
    contests: Mapping[str, Mapping[str, str]]


class Overlay:
    """All tables of a partition in memory, as of the last folded event."""

    def __init__(
        self,
        store: Store,
        number: int,
        partitions: int,
        max_scenarios: int = MAX_SCENARIOS,
        scenario_keepers: Container[str] = (),
        switched_off: Mapping[str, Container[str]] | None = None,
        contests: Mapping[str, Mapping[str, str]] | None = None,
        budget: RowBudget | None = None,
    ) -> None:
        """``budget`` bounds the rows of this partition together with those of others."""
        self._store, self._number, self._partitions = store, number, partitions
        budget = RowBudget() if budget is None else budget
        caches = {table: self._cache(table, budget) for table in TABLES}
        self.rows: _CachesByTable = caches
        self.tables = {table.name: rows for table, rows in caches.items()}
        self.share = budget.join(self.tables)
        self.places = ScenarioPlaces(self.rows[scenario_names.TABLE], number, max_scenarios)
        self.tally = Tally(switched_off)
        self.history_tally = Tally(switched_off)
        self.scenario_keepers = scenario_keepers
        self.contests = contests = {} if contests is None else contests
        self.items, self.history_items = (
            ItemTally(tally, switched_off) for tally in (self.tally, self.history_tally)
        )
        self.live = _LaneTables(self.tally, self.items, self.rows, self.transfer, scenario_keepers, contests)
        self.history = _LaneTables(
            self.history_tally, self.history_items, self.rows, self.transfer, scenario_keepers, contests
        )
        self._transfer_outputs: list[Output] = []
        self.verified: dict[bytes, tuple[str, str]] = {}
        self.newest_received_ms = 0
        self.newest_time_ms = 0

    def _cache(self, table: TableSpec[Any], budget: RowBudget) -> RowCache[Any]:
        get, name = self._store.get, table.name
        return RowCache(
            lambda key: get(name, key),
            table.decode,
            table.encode,
            table.memory_per_row,
            table.memory_per_byte,
            budget.room,
            budget.counts(name),
            stays_in_memory=table.stays_in_memory,
        )

    def held(self) -> Held:
        """Return what the tables hold. Folding asks every few hundred records."""
        changes, memory = self.share.measure()
        changes += len(self.tally) + len(self.history_tally) + len(self.items) + len(self.history_items)
        return Held(changes, memory)

    def transfer(self, transfer: Transfer) -> None:
        """Send a transfer to the target's partition. It is encoded immediately, because its states may change later."""
        key = user_key(transfer.customer, transfer.target)
        self._transfer_outputs.append(
            Output(TRANSFERS, partition_of(key, self._partitions), key, encode_transfer(transfer))
        )

    def verify(self, key: bytes, customer: str, user: str) -> None:
        """Remember that a key fits its user, so that the user's next event need not be checked."""
        if len(self.verified) >= _MAX_VERIFIED_KEYS:
            self.verified.clear()
        self.verified[key] = (customer, user)

    def encode_changes(self) -> tuple[dict[str, list[Change]], list[Output]]:
        """Return the changed rows of all tables, and the records to send: transfers, partial counts and windows."""
        outputs, self._transfer_outputs = self._transfer_outputs, []
        outputs.extend(self._publish_panes())
        outputs.extend(self._publish_windows())
        changes = {name: rows.encode_changes() for name, rows in self.tables.items() if rows.changed}
        return changes, outputs

    def _publish_panes(self) -> Iterator[Output]:
        name_of = self.places.namer(self.newest_received_ms)
        self.items.count_places()
        self.history_items.count_places()
        drained = self.tally.drain(
            lambda key: self.rows[panes.TABLE].get(key.encode()), self.newest_received_ms, name_of
        )
        for pane in drained.values():
            pane.is_history = False
        if len(self.history_tally):
            past = self.history_tally.drain(
                lambda key: drained.get(key) or self.rows[panes.TABLE].get(key.encode()),
                self.newest_received_ms,
                name_of,
            )
            for pane in past.values():
                pane.is_history = pane.is_history or pane.version == 1
            drained |= past
        for key, pane in drained.items():
            self.rows[panes.TABLE].put(key.encode(), pane)
        for record_key, value in partials.records(drained, self._number, self.newest_time_ms):
            yield Output(PARTIALS, partition_of(record_key, self._partitions), record_key, value)
        for items in (self.items, self.history_items):
            added = items.drain(name_of)
            for record_key, value in additions.records(added, self._number, self.newest_received_ms):
                yield Output(PARTIALS, partition_of(record_key, self._partitions), record_key, value)

    def _publish_windows(self) -> Iterator[Output]:
        for key, state in self.rows[windows.TABLE].changed.items():
            value = None if state is None else encode_record(WindowKey.decode(key), state)
            yield Output(WINDOWS, self._number, key, value)

    def keys_in_memory(self, table: str) -> list[bytes]:
        """Return the keys of a table's rows in memory, unordered. A key may come twice."""
        return self.tables[table].keys_in_memory()

    def scan(
        self, table: str, start: bytes, end: bytes, most: int, in_memory: Iterable[bytes]
    ) -> tuple[dict[bytes, Any], bytes | None]:
        """Return at most ``most`` rows of a key range in key order, and the key to continue from; None if there are no more.

        Rows in memory win over the store. ``in_memory`` are the keys in memory of this range, or of more. All keys of the table are too
        many to look through for each of many scans. Rows that came into memory since the caller got them may be missing.
        """
        rows = self.tables[table]
        found: dict[bytes, Any] = {
            key: rows.decode(value) for key, value in islice(self._store.scan(table, start, end), most)
        }
        if len(found) == most:
            end = next(reversed(found)) + b"\x00"  # beyond it, the store has not been read
        found.update(rows.among(in_memory, start, end))
        keys = sorted(found)[:most]
        rest = keys[-1] + b"\x00" if len(keys) == most else None
        return {key: found[key] for key in keys if found[key] is not None}, rest

    def stored(
        self, table: str, start: bytes, end: bytes, decode: Callable[[bytes], Any] | None = None
    ) -> Iterator[tuple[bytes, Any]]:
        """Yield the rows of a key range that are in the store, each with its state in memory if it has one (None: deleted).

        ``decode`` reads stored rows in part.
        """
        rows = self.tables[table]
        for key, value in self._store.scan(table, start, end):
            yield key, rows.peek(key, value, decode)

    def first_stored(self, table: str, start: bytes, end: bytes) -> bytes | None:
        """Return the first key in a range that has a row in the store."""
        return next((key for key, _ in self._store.scan(table, start, end)), None)
