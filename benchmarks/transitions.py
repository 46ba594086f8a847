"""What do the pure transitions of a `rendered` event cost, without Kafka, RocksDB and Faust? CPU time of `tables.fold` alone."""

import gc
import time
from itertools import islice
from typing import Any

import msgspec

from benchmarks.traffic import Traffic
from events.model import Event
from tables.fold import fold
from tables.panes import Tally

_CHUNK = 20_000


class Memory:
    """A table in a dictionary."""

    def __init__(self) -> None:
        self._rows: dict[bytes, Any] = {}
        self.get = self._rows.get
        self.put = self._rows.__setitem__


class MemoryTables:
    """Tables of tables/fold_ports.py, each made when it is first asked for."""

    def __init__(self) -> None:
        self.tally = Tally()

    def __getattr__(self, table: str) -> Memory:
        rows = Memory()
        setattr(self, table, rows)
        return rows


def transition_us(traffic: Traffic) -> float:
    """Return the microseconds of CPU that folding one event takes, over all events; neither decoding nor garbage collection is counted."""
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
