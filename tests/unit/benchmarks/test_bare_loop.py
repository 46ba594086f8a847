"""The bare loop keeps whole rows, and its tallies are those of a worker."""

from typing import Any

from benchmarks.peers.bare_loop import Tables
from benchmarks.peers.whole_rows import IMPRESSIONS, RENDERED, remember, show
from benchmarks.traffic import Traffic
from benchmarks.transitions import MemoryTables
from events.codec import decode
from tables.fold.fold_event import fold


class EmptyDatabase:
    """A database without rows; each column family is one as well."""

    def get_column_family(self, name: str) -> "EmptyDatabase":
        return self

    def get(self, key: bytes) -> None:
        return None


def test_bare_loop_keeps_whole_rows_and_counts_what_a_worker_counts() -> None:
    traffic = Traffic(events=300, users=20, partitions=1, seed=3, start_ms=1_700_000_000_000)
    bare: Any = Tables(EmptyDatabase())
    worker: Any = MemoryTables()
    shown: dict[bytes, Any] = {}
    logged: dict[bytes, Any] = {}
    for record in traffic.records():
        event: Any = decode(record.value)
        bare.fold(record.key, event)
        fold(worker, record.key, event)
        shown[record.key] = show(shown.get(record.key), event)
        logged[record.key] = remember(logged.get(record.key), event)
    for table, rows in ((RENDERED, shown), (IMPRESSIONS, logged)):
        encoded = dict(bare.rows[table].encode_changes())
        assert encoded == {key: table.encode(row) for key, row in rows.items()}
        assert len(encoded) == 20
    for tables in (bare, worker):
        tables.items.count_places()
    drained = bare.tally.drain(lambda key: None, 0)
    assert drained
    assert drained == worker.tally.drain(lambda key: None, 0)
