"""CPU time of the pure transitions of a `rendered` event (`tables.fold.fold_event`), without Kafka, RocksDB and Faust."""

import gc
import time
from collections import defaultdict
from itertools import islice
from typing import Any

import msgspec

from benchmarks.traffic import Traffic
from events.model import Event
from tables.base.table_spec import TableSpec
from tables.ctr.item_tally import ItemTally
from tables.ctr.panes import Tally
from tables.fold.fold_event import fold

_CHUNK = 20_000


class Memory:
    """A table in a dictionary."""

    def __init__(self) -> None:
        self.rows: dict[bytes, Any] = {}
        self.get = self.get_once = self.rows.get
        self.put = self.rows.__setitem__


class MemoryTables:
    """Tables in memory (tables/fold/fold_ports.py); each is created on first use."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.items = ItemTally(self.tally)
        self.rows: defaultdict[TableSpec[Any], Memory] = defaultdict(Memory)
        self.scenario_keepers: frozenset[str] = frozenset()
        self.contests: dict[str, dict[str, str]] = {}

    def all(self) -> dict[str, dict[bytes, Any]]:
        """Return the rows that are not deleted, of every table that has any."""
        kept = {
            table.name: {key: state for key, state in memory.rows.items() if state is not None}
            for table, memory in self.rows.items()
        }
        return {name: rows for name, rows in kept.items() if rows}


def transition_us(traffic: Traffic) -> float:
    """Return the mean CPU time of folding one event, in microseconds, without decoding and garbage collection."""
    tables: Any = MemoryTables()
    decode = msgspec.json.Decoder(Event).decode
    records, seconds, count = traffic.records(), 0.0, 0
    while chunk := [(record.key, decode(record.value)) for record in islice(records, _CHUNK)]:
        gc.disable()
        started = time.process_time()
        for key, event in chunk:
            fold(tables, key, event)
        seconds += time.process_time() - started
        gc.enable()
        count += len(chunk)
    return seconds / count * 1e6
