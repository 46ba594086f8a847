"""The rows of one table in a partition's memory: those changed since the last flush, and a bounded cache of decoded rows.

A row that changed since the last flush, or in a flush that is not yet in the store, is never evicted. So a read sees every folded
event.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from math import ceil
from typing import Any, Final, Generic, TypeVar

from agents.ports import Change
from tables.base.table_spec import MEMORY_PER_ROW, OBJECTS_PER_ENCODED_BYTE

_S = TypeVar("_S")
ABSENT_MEMORY: Final = 140
"""Bytes that a key without a row takes: the key itself and its place in a dictionary (benchmarks/cached_rows.py)."""
_TYPICAL_BYTES: Final = 100  # of an encoded row, until the first flush has measured some
_SAMPLE_ROWS: Final = 32  # encoded to measure a cache; more would stop the event loop for longer
_ABSENT: Final[Any] = object()


class CacheRoom:
    """How many bytes lookups may still add to the caches of a worker, until these are settled again.

    Lookups need a bound of their own. They go on while no flush commits, and then nothing may be evicted.
    """

    __slots__ = ("is_short", "memory", "taken")

    def __init__(self) -> None:
        self.memory = 0.0
        self.taken = 0.0
        self.is_short = False
        """Whether a row found no room."""

    def set(self, memory: float) -> None:
        """Set what is left, in bytes of memory."""
        self.memory, self.taken, self.is_short = memory, 0.0, False

    def take(self, memory: float) -> bool:
        """Take the room of one row. Return False if there was too little."""
        if self.memory < memory:
            self.is_short = True
            return False
        self.memory -= memory
        self.taken += memory
        return True


class CacheCounts:
    """Counts of the rows of one table since the worker started. Only the way of a missing row counts, so a row in memory costs nothing."""

    __slots__ = ("absent", "evicted", "evicted_memory", "fold_loads", "lookup_loads")

    def __init__(self) -> None:
        self.fold_loads = 0
        """Rows that a fold had to load from the store."""
        self.lookup_loads = 0
        """Rows that a lookup had to load from the store."""
        self.absent = 0
        """Keys that the store had no row of."""
        self.evicted = 0
        self.evicted_memory = 0.0


class RowCache(Generic[_S]):
    """The rows of one table of one partition.

    ``recent`` has the rows that were used since the last turn, and ``older`` the others, those first that were not used for longest.
    ``changed`` has the rows that changed since the last flush. Memory is the number of rows times the mean memory of one.
    """

    __slots__ = (
        "_aged",
        "_change_memory",
        "_decode",
        "_encode",
        "_leaving",
        "_load",
        "_memory_per_byte",
        "_memory_per_row",
        "_room",
        "_stays",
        "changed",
        "counts",
        "older",
        "recent",
        "row_memory",
    )

    def __init__(
        self,
        load: Callable[[bytes], bytes | None],
        decode: Callable[[bytes], _S],
        encode: Callable[[_S], bytes],
        memory_per_row: float = MEMORY_PER_ROW,
        memory_per_byte: float = OBJECTS_PER_ENCODED_BYTE,
        room: CacheRoom | None = None,
        counts: CacheCounts | None = None,
        *,
        stays_in_memory: bool = True,
    ) -> None:
        """``memory_per_row``, ``memory_per_byte``, ``stays_in_memory``: see TableSpec. ``room``: see ``read``."""
        self._stays = stays_in_memory
        self._leaving: list[bytes] = []
        self._room = CacheRoom() if room is None else room
        self.counts = CacheCounts() if counts is None else counts
        self._load, self._decode, self._encode = load, decode, encode
        self._memory_per_row, self._memory_per_byte = memory_per_row, memory_per_byte
        self.recent: dict[bytes, _S | None] = {}
        self.older: dict[bytes, _S | None] = {}
        self.changed: dict[bytes, _S | None] = {}
        self._aged = 0  # rows at the beginning of ``older`` that were there before the last turn, at most
        self.row_memory: float = self._cost(_TYPICAL_BYTES)
        """Estimated memory of a row, in bytes: the mean of the rows in memory."""
        self._change_memory: float = self.row_memory  # the mean of the rows of the last flush

    def get(self, key: bytes) -> _S | None:
        """Return the row as of the last folded event, or None if there is no row. It stays in memory until it is evicted.

        For folds. They wait for a flush when they hold too much (agents/partition.py).
        """
        state = self.recent.get(key, _ABSENT)
        if state is not _ABSENT:
            return state
        state = self.older.pop(key, _ABSENT)
        if state is _ABSENT:
            state, memory = self._stored(key)
            self._learn(memory)
            self.counts.fold_loads += state is not None
        self.recent[key] = state
        return state

    def get_once(self, key: bytes) -> _S | None:
        """Return the row as ``get`` does, but do not keep it in memory for this."""
        state: _S | None = self._in_memory(key)
        if state is _ABSENT:
            state, _ = self._stored(key)
            self.counts.fold_loads += state is not None
        return state

    def _stored(self, key: bytes) -> tuple[_S | None, float]:
        """Return the row in the store, or None for a missing row, and the memory that it takes."""
        raw = self._load(key)
        if raw is None:
            self.counts.absent += 1
            return None, ABSENT_MEMORY
        return self._decode(raw), self._cost(len(raw))

    def _cost(self, length: int) -> float:
        """Return the memory of a decoded row, by the length of its encoding."""
        return self._memory_per_row + length * self._memory_per_byte

    def _learn(self, memory: float) -> None:
        """Let a row that comes into memory enter the mean."""
        self.row_memory += (memory - self.row_memory) / (len(self.recent) + len(self.older) + 1)

    def read(self, key: bytes) -> _S | None:
        """Return the row as ``get`` does, for a reader that does not change its state.

        A row from the store stays in memory, absent or not, only while there is room.
        """
        state = self.recent.get(key, _ABSENT)
        if state is not _ABSENT:
            return state
        state = self.older.pop(key, _ABSENT)
        if state is _ABSENT:
            state, memory = self._stored(key)
            self.counts.lookup_loads += state is not None
            if not self._room.take(memory):
                return state
            self._learn(memory)
        self.recent[key] = state
        return state

    def peek(self, key: bytes, stored: bytes, decode: Callable[[bytes], Any] | None = None) -> _S | None:
        """Return the row as ``get`` does, given the stored value, without a change of the cache. ``decode`` reads it in part."""
        state = self._in_memory(key)
        return (decode or self._decode)(stored) if state is _ABSENT else state

    def _in_memory(self, key: bytes) -> Any:
        state = self.recent.get(key, _ABSENT)
        return self.older.get(key, _ABSENT) if state is _ABSENT else state

    def put(self, key: bytes, state: _S | None) -> None:
        """Set a row (None deletes it). The row counts as changed until the next flush encodes it."""
        self.recent[key] = state
        self.changed[key] = state

    def encode_changes(self) -> list[Change]:
        """Return the changed rows, encoded, and start a new set of changes."""
        changed, self.changed = self.changed, {}
        if not self._stays:
            self._leaving = list(changed)
        encode = self._encode
        changes: list[Change] = []
        for key, state in changed.items():
            if state is None:
                changes.append((key, None))
            else:
                changes.append((key, encode(state)))
        if changes:
            deleted = sum(value is None for _, value in changes)
            kept = len(changes) - deleted
            encoded_bytes = sum(len(value) for _, value in changes if value is not None)
            memory = (
                deleted * ABSENT_MEMORY + kept * self._memory_per_row + encoded_bytes * self._memory_per_byte
            )
            self._change_memory = memory / len(changes)
            self.row_memory += (self._change_memory - self.row_memory) * len(changes) / len(self)
        return changes

    def keys_in_memory(self) -> list[bytes]:
        """Return the keys of the rows in memory, unordered. A key may come twice."""
        return [*self.older, *self.recent]

    def among(self, keys: Iterable[bytes], start: bytes, end: bytes) -> Iterator[tuple[bytes, _S | None]]:
        """Yield those of the rows with ``start <= key < end`` that are in memory. A row that has left it is in the store."""
        for key in keys:
            if start <= key < end:
                state = self._in_memory(key)
                if state is not _ABSENT:
                    yield key, state

    def decode(self, raw: bytes) -> _S:
        """Return the state of an encoded row."""
        return self._decode(raw)

    @property
    def memory(self) -> float:
        """Estimated memory of all rows, in bytes."""
        return self.changed_memory + (len(self) - len(self.changed)) * self.row_memory

    @property
    def changed_memory(self) -> float:
        """Estimated memory of the rows that changed since the last flush, in bytes."""
        return len(self.changed) * self._change_memory

    @property
    def recent_memory(self) -> float:
        """Estimated memory of the rows that were used since the last turn and did not change since the last flush, in bytes."""
        return (len(self.recent) - len(self.changed)) * self.row_memory

    @property
    def aged_memory(self) -> float:
        """Estimated memory of the rows that were not used between the last two turns, in bytes."""
        return min(self._aged, len(self.older)) * self.row_memory

    def let_go(self) -> None:
        """Drop the rows of the last flush, which is in the store by now, if the table keeps no such rows in memory."""
        for key in self._leaving:
            if key not in self.changed:
                self.recent.pop(key, None)
                self.older.pop(key, None)
        self._leaving = []

    def turn(self) -> None:
        """Make all rows older that did not change since the last flush, and measure some. A row that is used then becomes recent again.

        Call it only between flushes, when all rows except ``changed`` are in the store.
        """
        self._aged = len(self.older)
        if self.older:
            self.older.update(self.recent)
        else:
            self.older = self.recent
        for key in self.changed:
            self.older.pop(key, None)
        self.recent = dict(self.changed)
        if self.older:
            sample = list(islice(self.older.values(), 0, None, len(self.older) // _SAMPLE_ROWS + 1))
            memory = sum(
                ABSENT_MEMORY if row is None else self._cost(len(self._encode(row))) for row in sample
            )
            # Rows that change often entered the mean often. Half of the way, because a sample is inexact too.
            self.row_memory += (memory / len(sample) - self.row_memory) / 2

    def evict(self, memory: float) -> float:
        """Drop older rows of about so much memory, first those that were not used for longest. Return the memory of what was dropped.

        Call it only between flushes, as ``turn``.
        """
        older = self.older
        due = min(len(older), ceil(memory / self.row_memory))
        if due == len(older):
            self.older = {}
        else:
            for key in list(islice(older, due)):
                del older[key]
        self._aged = max(0, self._aged - due)
        freed = due * self.row_memory
        self.counts.evicted += due
        self.counts.evicted_memory += freed
        return freed

    def __len__(self) -> int:
        return len(self.recent) + len(self.older)
