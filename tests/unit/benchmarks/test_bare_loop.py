"""The bare loop folds by the same transitions as a worker."""

from typing import Any

from benchmarks.peers.bare_loop import TABLES, Tables
from benchmarks.traffic import Traffic
from benchmarks.transitions import MemoryTables
from events.codec import decode
from tables.ctr import panes
from tables.fold.fold_event import fold


class EmptyDatabase:
    """A database without rows; each column family is one as well."""

    def get_column_family(self, name: str) -> "EmptyDatabase":
        return self

    def get(self, key: bytes) -> None:
        return None


def test_rows_of_the_bare_loop_are_those_of_the_fold() -> None:
    traffic = Traffic(events=300, users=20, partitions=1, seed=3, start_ms=1_700_000_000_000)
    bare: Any = Tables(EmptyDatabase())
    expected: Any = MemoryTables()
    for record in traffic.records():
        fold(bare, record.key, decode(record.value))
        fold(expected, record.key, decode(record.value))
    for table in set(TABLES) - {panes.TABLE}:  # panes are the tally's until a flush
        encoded = dict(bare.rows[table].encode_changes())
        assert encoded
        assert encoded == {key: table.encode(row) for key, row in expected.rows[table].rows.items()}
    assert bare.tally.drain(lambda key: None, 0).keys() == expected.tally.drain(lambda key: None, 0).keys()
