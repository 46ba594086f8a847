"""A Store that keeps rows in dictionaries: the double of RocksStore under the same contract (tests/contract/test_store.py)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agents.ports import Change
from tables.declare import STORED
from tables.store import StoreDamageError


@dataclass
class Disk:
    """What outlives a store: rows per table, and the changelog offsets up to which they are complete."""

    tables: dict[str, dict[bytes, bytes]] = field(default_factory=dict)
    offsets: dict[str, int] = field(default_factory=dict)
    is_open: bool = False
    writes: int = 0
    is_damaged: bool = False
    """Whether each use of a table finds damage."""


class MemoryStore:
    """The rows of one partition. A store that is opened on the same disk again has the rows written before."""

    def __init__(self, disk: Disk | None = None, tables: Iterable[str] = STORED) -> None:
        self.disk = Disk() if disk is None else disk
        if self.disk.is_open:
            raise OSError("the disk is locked: another store has it open")
        self.disk.is_open = True
        self._names = frozenset(tables)
        self._is_closed = False

    def _table(self, table: str) -> dict[bytes, bytes]:
        if self._is_closed or table not in self._names:
            raise KeyError(table)
        if self.disk.is_damaged:
            raise StoreDamageError(Path("0"), "Corruption: block checksum mismatch")
        return self.disk.tables.setdefault(table, {})

    def get(self, table: str, key: bytes) -> bytes | None:
        return self._table(table).get(key)

    def scan(self, table: str, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        rows = self._table(table)
        yield from [(key, rows[key]) for key in sorted(rows) if start <= key < end]

    def offsets(self) -> dict[str, int]:
        if self._is_closed:
            raise KeyError("offsets")
        return dict(self.disk.offsets)

    def write(self, changes: Mapping[str, Iterable[Change]], offsets: Mapping[str, int]) -> None:
        if self._is_closed:
            raise KeyError("offsets")
        taken = [(self._table(table), list(rows)) for table, rows in changes.items()]
        for rows, changed in taken:
            for key, value in changed:
                if value is None:
                    rows.pop(key, None)
                else:
                    rows[key] = value
        self.disk.offsets.update(offsets)
        self.disk.writes += 1

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self.disk.is_open = False
