"""Measures the memory of rows in a worker's cache, and compares it with what each table says of its rows.

A shop's events are folded by a partition, whose rows are then put into dictionaries as often as needed, each row decoded from bytes of
its own. The resident memory of a fresh process says what they take. ``TableSpec.memory_per_row`` and ``memory_per_byte`` should agree.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import cycle, islice
from os import getpid
from types import SimpleNamespace
from typing import Any, Final

import msgspec

from agents.announcements import Announcer
from agents.faust_agents import AGENTS
from agents.partition import Partition
from agents.partition_limits import PartitionLimits
from agents.ports import Change, Committed, Flush, Reach
from app.demo.memory import resident_mb
from benchmarks.command import say
from benchmarks.shop import MIX, Shop
from benchmarks.traffic import CUSTOMER, user_name
from events import model
from events.codec import decode, encode
from events.model import user_key
from events.topics import JOURNAL, PARTIALS, TRANSFERS
from tables.base.table_spec import TableSpec
from tables.declare import BY_NAME, POSITIONS_TABLE

EVENTS_PER_USER: Final = (5, 25, 100)
_USERS: Final = 200
_COPIES: Final = 100_000
_OF_ALLOCATOR: Final = 40
"""Bytes of a row that the allocator adds to what Python asks for."""
_FOLDS: Final = {topic: fold for folds in AGENTS.values() for topic, fold in folds.items()}


class _Store:
    """Rows in dictionaries."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[bytes, bytes]] = {}
        self.written: dict[str, dict[bytes, bytes]] = {}
        """The last value of each key, also of deleted ones: some rows live for a moment only."""

    def get(self, table: str, key: bytes) -> bytes | None:
        return self.tables.get(table, {}).get(key)

    def scan(self, table: str, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        rows = self.tables.get(table, {})
        yield from [(key, rows[key]) for key in sorted(rows) if start <= key < end]

    def offsets(self) -> dict[str, int]:
        return {}

    def write(self, changes: Mapping[str, Iterable[Change]], _offsets: Mapping[str, int]) -> None:
        for table, changed in changes.items():
            rows = self.tables.setdefault(table, {})
            for key, value in changed:
                if value is None:
                    rows.pop(key, None)
                else:
                    rows[key] = self.written.setdefault(table, {})[key] = value

    def close(self) -> None:
        pass


class _Loop:
    """Hands what a partition sends back to it: the partition is the only one."""

    def __init__(self) -> None:
        self.records: list[tuple[str, Any]] = []

    async def commit(self, flush: Flush) -> Committed:
        self.records += [
            (output.topic, output) for output in flush.outputs if output.topic in (PARTIALS, TRANSFERS)
        ]
        return Committed()

    async def close(self) -> None:
        pass

    def reach(self, _topic: str, _partition: int) -> Reach | None:
        return None


def _events(events_per_user: int, start_ms: int, users: int) -> Iterator[model.EventBase]:
    """Yield a shop's events, some of them in an experiment, and for each consumption some heartbeats of a player."""
    mix = {**MIX, "consume": 100}
    for record in Shop(users * events_per_user, users, 1, 1, start_ms, mix=mix).records():
        event = decode(record.value)
        if isinstance(event, model.Rendered) and event.scenario == "home":
            event = msgspec.structs.replace(event, experiment="homes", variant="AB"[event.time_ms % 2])
        if isinstance(event, model.Click):
            event = msgspec.structs.replace(event, eid=f"event-{event.time_ms}")
        yield event
        if isinstance(event, model.Consume):
            for at in range(3):
                yield model.Playback(
                    customer=CUSTOMER,
                    user=event.user,
                    item=event.item,
                    time_ms=event.time_ms + at,
                    received_ms=event.time_ms + at,
                    session=f"s{event.time_ms}",
                    state="playing",
                    position_ms=at * 10_000,
                    duration_ms=100_000,
                )


async def _fold(events_per_user: int, start_ms: int, users: int) -> dict[str, list[bytes]]:
    store, loop = _Store(), _Loop()
    limits = PartitionLimits(partitions=1, flush_interval_ms=3_600_000, merge_after=2)
    announcer = Announcer(0, 1, loop, limits.caught_up_ms, limits.flush_interval_ms)
    failed: list[BaseException] = []
    partition = Partition(0, 0, store, loop, announcer, limits, failed.append, failed.append)
    waiting = [(JOURNAL, event) for event in _events(events_per_user, start_ms, users)]
    at, offsets = 0, {JOURNAL: 0, PARTIALS: 0, TRANSFERS: 0}
    while at < len(waiting) or loop.records:
        chunk: dict[str, list[Any]] = {}
        for topic, event in waiting[at : at + 2_000]:
            key = user_key(event.customer, event.user)
            chunk.setdefault(topic, []).append(
                SimpleNamespace(key=key, value=encode(event), timestamp=event.time_ms, headers=())
            )
        at += 2_000
        sent, loop.records = loop.records, []
        for topic, output in sent:
            chunk.setdefault(topic, []).append(
                SimpleNamespace(key=output.key, value=output.value, timestamp=start_ms, headers=())
            )
        for topic, records in chunk.items():
            for record in records:
                record.offset = offsets[topic]
                offsets[topic] += 1
            await partition.fold(topic, records, _FOLDS[topic])
        await partition.flush()
    await partition.close(10)
    if failed:
        raise failed[0]
    return {table: list(rows.values()) for table, rows in store.written.items() if table != POSITIONS_TABLE}


def sampled_rows(events_per_user: int, start_ms: int, users: int = _USERS) -> dict[str, list[bytes]]:
    """Return the encoded rows of every table that a shop's events leave rows in."""
    return asyncio.run(_fold(events_per_user, start_ms, users))


def _filled(table: TableSpec[Any] | None, rows: Sequence[bytes], copies: int) -> dict[bytes, Any]:
    """Return ``copies`` rows as a cache holds them: under a key of their own, each decoded from bytes of its own. No table: no rows."""
    if table is None:
        return {user_key(CUSTOMER, user_name(number)): None for number in range(copies)}
    decode_row = table.decode
    return {
        user_key(CUSTOMER, user_name(number)): decode_row(bytes(bytearray(row)))
        for number, row in enumerate(islice(cycle(rows), copies))
    }


def traced_memory(table: TableSpec[Any] | None, rows: Sequence[bytes], copies: int) -> float:
    """Return the bytes that a row takes by what Python allocates, which is the same each time.

    It is within 12 % of the resident memory of each table.
    """
    _filled(table, rows, 10)
    tracemalloc.start()
    try:
        kept = _filled(table, rows, copies)
        return tracemalloc.get_traced_memory()[0] / len(kept) + _OF_ALLOCATOR
    finally:
        tracemalloc.stop()


def estimated_memory(table: TableSpec[Any], rows: Sequence[bytes]) -> float:
    """Return the mean of what the table says that these rows take, in bytes."""
    return table.memory_per_row + table.memory_per_byte * sum(map(len, rows)) / len(rows)


def _resident_memory(table: TableSpec[Any] | None, rows: Sequence[bytes], copies: int) -> float:
    """Return the bytes that a row takes of this process. Call it once in a process: what is freed stays with it."""
    before = resident_mb(getpid()) or 0.0
    kept = _filled(table, rows, copies)
    after = resident_mb(getpid()) or 0.0
    return (after - before) * 1e6 / len(kept)


def _in_fresh_process(table: str, rows: Sequence[bytes], copies: int) -> float:
    asked = json.dumps({"table": table, "rows": [row.hex() for row in rows], "copies": copies})
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.cached_rows", "--child"],
        input=asked,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(ran.stdout)


def _measure_here(asked: Mapping[str, Any]) -> float:
    rows = [bytes.fromhex(row) for row in asked["rows"]]
    table = BY_NAME.get(asked["table"])
    _filled(table, rows, len(rows))
    return _resident_memory(table, rows, asked["copies"])


def main(argv: list[str] | None = None) -> int:
    """Print the memory of a row of each table, measured and estimated, as text and as one JSON object on the last line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cached_rows", description=__doc__)
    parser.add_argument(
        "--copies", type=int, default=_COPIES, help="rows of each table (default: %(default)s)"
    )
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args(argv)
    if chosen.child:
        print(_measure_here(json.load(sys.stdin)))
        return 0
    found: list[dict[str, Any]] = []
    absent = _in_fresh_process("", (), chosen.copies)
    say(f"a key without a row: {absent:,.0f} bytes")
    for events_per_user in EVENTS_PER_USER:
        sampled = sampled_rows(events_per_user, 1_700_000_000_000 // 60_000 * 60_000)
        for name, rows in sorted(sampled.items()):
            table = BY_NAME[name]
            mean = sum(map(len, rows)) / len(rows)
            # Of large rows fewer: the memory that is measured stays below a gigabyte.
            copies = max(1_000, min(chosen.copies, int(4e8 / (mean * 8 + 400))))
            measured, estimated = _in_fresh_process(name, rows, copies), estimated_memory(table, rows)
            traced = traced_memory(table, rows, min(copies, 5_000))
            found.append(
                {
                    "table": name,
                    "events_per_user": events_per_user,
                    "encoded_bytes": round(mean, 1),
                    "resident_bytes": round(measured),
                    "traced_bytes": round(traced),
                    "estimated_bytes": round(estimated),
                    "estimated_to_resident": round(estimated / measured, 2),
                }
            )
            say(
                f"{events_per_user:>4} events a user  {name:<18} {mean:>9,.1f} encoded  {measured:>9,.0f} resident  "
                f"{traced:>9,.0f} traced  {estimated:>9,.0f} estimated"
            )
    print(json.dumps({"benchmark": "cached_rows", "absent_bytes": round(absent), "rows": found}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
