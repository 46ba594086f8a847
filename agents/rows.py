"""What a partition holds in memory of one table: decoded rows, which of them changed since the last flush, and a bounded cache.

A row changed since the last flush, or in a flush that is not yet in the store, is never evicted, so a read is always fresh.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, Generic, TypeVar

from agents.ports import Change

S = TypeVar("S")
_ABSENT: Final[Any] = object()


class Rows(Generic[S]):
    """The rows of one table of one partition. ``recent`` and ``older`` are the two halves of an approximate LRU."""

    __slots__ = ("_decode", "_encode", "_load", "changed", "loaded_bytes", "older", "recent")

    def __init__(
        self,
        load: Callable[[bytes], bytes | None],
        decode: Callable[[bytes], S],
        encode: Callable[[S], bytes],
    ) -> None:
        self._load, self._decode, self._encode = load, decode, encode
        self.recent: dict[bytes, S | None] = {}
        self.older: dict[bytes, S | None] = {}
        self.changed: dict[bytes, S | None] = {}
        self.loaded_bytes = 0

    def get(self, key: bytes) -> S | None:
        """Return the row as of the last folded event, or None."""
        state = self.recent.get(key, _ABSENT)
        if state is not _ABSENT:
            return state
        state = self.older.get(key, _ABSENT)
        if state is _ABSENT:
            raw = self._load(key)
            if raw is None:
                state = None
            else:
                state = self._decode(raw)
                self.loaded_bytes += len(raw)
        self.recent[key] = state
        return state

    def put(self, key: bytes, state: S | None) -> None:
        """Set a row (None deletes it). The row counts as changed until the next flush encodes it."""
        self.recent[key] = state
        self.changed[key] = state

    def encode_changes(self) -> list[Change]:
        """Return the changed rows, encoded, and start a new set of changes."""
        changed, self.changed = self.changed, {}
        encode = self._encode
        changes: list[Change] = []
        for key, state in changed.items():
            if state is None:
                changes.append((key, None))
            else:
                value = encode(state)
                self.loaded_bytes += len(value)
                changes.append((key, value))
        return changes

    def scan_memory(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, S | None]]:
        """Yield the rows in memory with ``start <= key < end``, in no order: they overrule what the store says."""
        for rows in (self.older, self.recent):
            for key, state in rows.items():
                if start <= key < end:
                    yield key, state

    def decode(self, raw: bytes) -> S:
        """Return the state of an encoded row."""
        return self._decode(raw)

    def age(self) -> None:
        """Forget the older half of the cache. Only between flushes: everything but ``changed`` is in the store then."""
        self.older = self.recent
        self.recent = dict(self.changed)
        self.loaded_bytes = 0

    def __len__(self) -> int:
        return len(self.recent)
