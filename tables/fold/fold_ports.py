"""What the folds need of a partition's tables, by Protocol; agents/overlay.py has them."""

from typing import Final, Protocol, TypeVar

from tables.base.table_spec import TableSpec
from tables.ctr.panes import Tally
from tables.user.identity import Transfer

_S = TypeVar("_S")

MOVED: Final = b"\0moved"
"""Suffix of the row that keeps what a login moved on: the source's own lookups still see it, and it is never sent again.

No user key holds a NUL, so no two rows share a key.
"""


class TableRows(Protocol[_S]):
    """The rows of one table."""

    def get(self, key: bytes) -> _S | None: ...

    def put(self, key: bytes, state: _S | None) -> None: ...


class RowsByTable(Protocol):
    """The rows of every table."""

    def __getitem__(self, table: TableSpec[_S]) -> TableRows[_S]: ...


class Tables(Protocol):
    """Every table of a partition, the tally of its panes, and the way out for transfers."""

    @property
    def tally(self) -> Tally: ...

    @property
    def rows(self) -> RowsByTable: ...

    def transfer(self, transfer: Transfer) -> None: ...
