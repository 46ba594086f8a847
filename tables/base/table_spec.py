"""Description of one table: its rows, its key, and what a login and age do to a row."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

import msgspec

_S = TypeVar("_S")

# The memory of a cached row, measured by `python -m benchmarks.cached_rows`. What differs by more than a quarter stands in its table.
MEMORY_PER_ROW: Final = 265
"""Bytes that a cached row takes in addition to its content: its key, its place in a dictionary, the objects around the content."""
OBJECTS_PER_ENCODED_BYTE: Final = 8.0
"""Bytes of memory that a decoded row of Python objects takes per byte of its encoding."""
PACKED_PER_ENCODED_BYTE: Final = 1.0
"""The same for a row that is kept in memory as one run of bytes."""


@dataclass(frozen=True, slots=True, eq=False)
class TableSpec(Generic[_S]):
    """One table.

    ``name`` is the name of its column family, and part of the name of its changelog topic. ``key``, ``value`` and ``expiry`` are the
    words of docs/topics-and-tables.md; a test compares them.
    """

    name: str
    row: type[_S]
    """Type of a row, stored as msgpack."""
    key: str
    value: str
    expiry: str
    is_user_table: bool = True
    """Whether the table has one row per user, under the user's key."""
    merge: Callable[[_S | None, _S], _S] | None = None
    """Merges a row that a login moved into the target's row. None: a login does not move the table."""
    has_expired: Callable[[bytes, _S, int], bool] | None = None
    """Decides whether a sweep deletes a row, by its key, its state and the receipt of the newest event (ms). None: no sweep."""
    memory_per_row: float = MEMORY_PER_ROW
    """Bytes of memory that a cached row takes in addition to what follows from the length of its encoding."""
    memory_per_byte: float = OBJECTS_PER_ENCODED_BYTE
    """Bytes of memory that a decoded row takes per byte of its encoding."""
    stays_in_memory: bool = True
    """Whether a row that a fold changed stays in memory when it is stored. False for rows that folds seldom need again."""
    row_of_sweep: type[Any] | None = None
    """Type as which a sweep reads a stored row, if not as a whole: the first fields of ``row``, enough for ``has_expired``."""

    encode: Callable[[_S], bytes] = field(init=False)
    """Encodes a row."""
    decode: Callable[[bytes], _S] = field(init=False)
    """Decodes a row."""
    decode_for_sweep: Callable[[bytes], Any] = field(init=False)
    """Decodes what ``has_expired`` needs of a row."""

    @property
    def is_moved(self) -> bool:
        """Whether a login moves the rows of this table to its target."""
        return self.merge is not None

    def __post_init__(self) -> None:
        set_once = object.__setattr__
        set_once(self, "encode", msgspec.msgpack.Encoder(decimal_format="string").encode)
        set_once(self, "decode", msgspec.msgpack.Decoder(self.row).decode)
        set_once(self, "decode_for_sweep", msgspec.msgpack.Decoder(self.row_of_sweep or self.row).decode)


class Stretch:
    """The rows of one user, at most one per table. A login moves a stretch to its target."""

    __slots__ = ("rows",)

    def __init__(self, rows: dict[str, Any] | None = None) -> None:
        """Take rows by the name of their table; None means no row."""
        self.rows = {} if rows is None else {name: row for name, row in rows.items() if row is not None}

    def __getitem__(self, table: TableSpec[_S]) -> _S | None:
        """Return the row of a table, or None."""
        return self.rows.get(table.name)

    def __setitem__(self, table: TableSpec[_S], row: _S) -> None:
        """Set the row of a table."""
        self.rows[table.name] = row

    def __eq__(self, other: object) -> bool:
        """Tell whether the rows are equal."""
        return isinstance(other, Stretch) and self.rows == other.rows

    __hash__ = None  # type: ignore[assignment]  # a stretch is mutable

    def __bool__(self) -> bool:
        """Tell whether there is any row."""
        return bool(self.rows)

    def __repr__(self) -> str:
        """Return the rows, for tests that fail."""
        return f"Stretch({self.rows!r})"
