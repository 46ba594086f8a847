"""The rows of one table in a partition's memory: those changed since the last flush, and a bounded cache of decoded rows.

A row that changed since the last flush, or in a flush that is not yet in the store, is never evicted. So a read sees every folded
event.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Final, Generic, TypeVar

from agents.ports import Change

_S = TypeVar("_S")
_MEMORY_PER_ROW: Final = 400
"""Bytes that each row takes in addition: its key, its places in dictionaries, the objects around its content."""
_NEWEST_WEIGHT: Final = 0.05  # weight of the newest row in the running mean of row sizes
_ABSENT: Final[Any] = object()


class CacheRoom:
    """How much lookups may still add to the caches of one partition, until these age again.

    Lookups need a bound of their own. They go on while no flush commits, and then nothing may age.
    """

    __slots__ = ("is_short", "memory", "rows")

    def __init__(self) -> None:
        self.rows = 0
        self.memory = 0.0
        self.is_short = False
        """Whether a row found no room."""

    def set(self, rows: int, memory: float) -> None:
        """Set what is left: a number of rows, and bytes of memory."""
        self.rows, self.memory, self.is_short = rows, memory, False

    def take(self, memory: float) -> bool:
        """Take the room of one row. Return False if there was too little."""
        if self.rows <= 0 or self.memory < memory:
            self.is_short = True
            return False
        self.rows -= 1
        self.memory -= memory
        return True


class RowCache(Generic[_S]):
    """The rows of one table of one partition.

    ``recent`` and ``older`` are the two halves of an approximate LRU. ``changed`` has the rows that changed since the last flush.
    ``row_bytes`` is the running mean of the size of encoded rows, from which the memory is estimated.
    """

    __slots__ = (
        "_decode",
        "_encode",
        "_leaving",
        "_load",
        "_memory_per_byte",
        "_room",
        "_stays",
        "changed",
        "older",
        "recent",
        "row_bytes",
    )

    def __init__(
        self,
        load: Callable[[bytes], bytes | None],
        decode: Callable[[bytes], _S],
        encode: Callable[[_S], bytes],
        memory_per_byte: float = 8.0,
        room: CacheRoom | None = None,
        *,
        stays_in_memory: bool = True,
    ) -> None:
        """``memory_per_byte``: bytes of memory that a decoded row takes per byte of its encoding. ``room``: see ``read``.

        ``stays_in_memory``: whether a row stays when it is stored.
        """
        self._stays = stays_in_memory
        self._leaving: list[bytes] = []
        self._room = CacheRoom() if room is None else room
        self._load, self._decode, self._encode = load, decode, encode
        self._memory_per_byte = memory_per_byte
        self.recent: dict[bytes, _S | None] = {}
        self.older: dict[bytes, _S | None] = {}
        self.changed: dict[bytes, _S | None] = {}
        self.row_bytes = 100.0

    def get(self, key: bytes) -> _S | None:
        """Return the row as of the last folded event, or None if there is no row. It stays in memory until the cache ages.

        For folds. They wait for a flush when they hold too much (agents/partition.py).
        """
        state = self.recent.get(key, _ABSENT)
        if state is not _ABSENT:
            return state
        state = self.older.get(key, _ABSENT)
        if state is _ABSENT:
            state, _ = self._stored(key)
        self.recent[key] = state
        return state

    def get_once(self, key: bytes) -> _S | None:
        """Return the row as ``get`` does, but do not keep it in memory for this."""
        state = self._in_memory(key)
        return self._stored(key)[0] if state is _ABSENT else state

    def _stored(self, key: bytes) -> tuple[_S | None, int]:
        """Return the row in the store with the length of its encoding, or (None, 0) for a missing row. The length enters the mean."""
        raw = self._load(key)
        if raw is None:
            return None, 0
        state = self._decode(raw)
        self.row_bytes += (len(raw) - self.row_bytes) * _NEWEST_WEIGHT
        return state, len(raw)

    def read(self, key: bytes) -> _S | None:
        """Return the row as ``get`` does, for a reader that does not change its state.

        It stays in memory, absent or not, only while there is room.
        """
        state = self.recent.get(key, _ABSENT)
        if state is not _ABSENT:
            return state
        state = self.older.get(key, _ABSENT)
        memory = self.row_memory
        if state is _ABSENT:
            state, length = self._stored(key)
            if length:
                memory = max(memory, _MEMORY_PER_ROW + length * self._memory_per_byte)
        if self._room.take(memory):
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
            encoded_bytes = sum(len(value) for _, value in changes if value is not None)
            self.row_bytes += (encoded_bytes / len(changes) - self.row_bytes) * min(
                1.0, len(changes) * _NEWEST_WEIGHT
            )
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
    def row_memory(self) -> float:
        """Estimated memory of a row, in bytes."""
        return _MEMORY_PER_ROW + self.row_bytes * self._memory_per_byte

    @property
    def memory(self) -> int:
        """Estimated memory of all rows, in bytes."""
        return int(len(self) * self.row_memory)

    def let_go(self) -> None:
        """Drop the rows of the last flush, which is in the store by now, if the table keeps no such rows in memory."""
        for key in self._leaving:
            if key not in self.changed:
                self.recent.pop(key, None)
                self.older.pop(key, None)
        self._leaving = []

    def age(self, max_memory: int) -> None:
        """Drop the older half of the cache, and as much of the recent half as exceeds ``max_memory``.

        Call it only between flushes, when all rows except ``changed`` are in the store.
        """
        keep = int(max_memory / self.row_memory)
        excess = len(self.recent) - keep
        self.older = dict(islice(self.recent.items(), excess, None)) if excess > 0 else self.recent
        self.recent = dict(self.changed)

    def __len__(self) -> int:
        return len(self.recent) + len(self.older)
