"""Protocols for the tables of a partition, as the folds use them. agents/overlay.py implements them."""

from collections.abc import Container, Mapping
from typing import Final, Protocol, TypeVar

from tables.base.table_spec import TableSpec
from tables.ctr.item_tally import ItemTally
from tables.ctr.panes import Tally
from tables.user.identity import Transfer

_S = TypeVar("_S")

MOVED: Final = b"\0moved"
"""Suffix of a user's second row, which keeps what a login moved: the user's own lookups see it, and it is never sent again.

No user key has a NUL, so no two rows share a key.
"""


class TableRows(Protocol[_S]):
    """The rows of one table."""

    def get(self, key: bytes) -> _S | None: ...

    def get_once(self, key: bytes) -> _S | None:
        """Return a row that will not be needed soon again, so it need not stay in memory."""

    def put(self, key: bytes, state: _S | None) -> None: ...


class RowsByTable(Protocol):
    """The rows of every table."""

    def __getitem__(self, table: TableSpec[_S]) -> TableRows[_S]: ...


class Tables(Protocol):
    """All tables of a partition, the tallies of its panes and of its items, and the output for transfers."""

    @property
    def tally(self) -> Tally: ...

    @property
    def items(self) -> ItemTally: ...

    @property
    def rows(self) -> RowsByTable: ...

    @property
    def scenario_keepers(self) -> Container[str]:
        """Customers whose showings are remembered by scenario too."""

    @property
    def contests(self) -> Mapping[str, Mapping[str, str]]:
        """Declared experiments whose variants are scenarios: customer -> scenario -> experiment."""

    def transfer(self, transfer: Transfer) -> None: ...
