"""Measures disk and memory per user, and how they grow with the number of users and with the events per user.

The rows that a shop's events leave are written into changelogs, by default for 100,000 and for 1,000,000 users. A worker with an empty
disk restores them and answers lookups of many users. Then its memory is read, and its disk before and after RocksDB has compacted it.
An independent reader compares every row on disk with what was written. The growth of a row is measured with the transitions alone.
"""

import argparse
import asyncio
import random
import shutil
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import rocksdict

from app.demo.memory import resident_mb
from app.local.tcp_ports import free_port
from benchmarks import against, journal
from benchmarks.checkouts import THIS, Checkout
from benchmarks.clients import Pool, exclusions
from benchmarks.command import finish, options, own_kafka, say, scratch
from benchmarks.ours import OURS, READY, Ours
from benchmarks.processes import measure, running
from benchmarks.recovery import judge, restored_by_ours
from benchmarks.rounds import Run
from benchmarks.rows import Population, Rows, rows_of_visitors
from benchmarks.traffic import CUSTOMER, start_ms
from events.topics import POSITIONS, changelog
from tables.declare import BY_NAME

LOOKUPS: Final = 20_000
GROWTH: Final = (5, 20, 50, 200, 1_000)
"""Events per user."""
RESTORE_SECONDS: Final = 900.0
MIB: Final = 1_048_576


def of_users(
    run: Run,
    directory: Path,
    visitors: Sequence[Rows],
    users: int,
    partitions: int,
    checkout: Checkout = THIS,
) -> dict[str, Any]:
    """Return the size of ``users`` users in Kafka, on a worker's disk and in its memory; ``void`` says what went wrong."""
    with own_kafka(directory, f"kafka-{users}") as broker:
        ours = Ours(broker.bootstrap, directory, partitions).of(checkout)
        user = ours.customer.rules.user
        population = Population(visitors, users, partitions, name=lambda number: user(f"u{number}"))
        now_ms = int(time.time() * 1000)
        for table in population.tables:
            journal.load(ours.kafka, changelog(table), population.records(table, now_ms))
        journal.load(ours.kafka, POSITIONS, journal.positions(partitions, now_ms))
        in_kafka = sum(size_bytes(path) for path in (broker.data_dir / "logs").glob("uptake.*.changelog-*"))
        run.count, data_dir, port = population.rows, directory / f"worker-{users}", free_port()
        worker = ours.worker(f"worker-{users}", "bench", data_dir, port)
        with running(worker):
            measure(run, [worker], lambda: worker.said(READY), RESTORE_SECONDS)
            restored_mb = resident_mb(worker.pid)
            refused = asyncio.run(_look_up(port, users))
            asked_mb = resident_mb(worker.pid)
            run.peak_mib = worker.peak_mib
    before = size_bytes(data_dir)
    after = compacted_bytes(data_dir / "state")
    judge(run, population.digests, restored_by_ours(data_dir))
    if refused:
        run.void = f"{refused} lookups were refused"
    shutil.rmtree(data_dir)
    say(
        f"{users:,} users: {after / users:,.0f} bytes a user on disk, {asked_mb:,.0f} MB of memory, {run.verdict}"
    )
    return {
        "users": users,
        "rows": population.rows,
        "encoded_bytes_per_user": round(sum(each.size_bytes for each in population.digests.values()) / users),
        "kafka_bytes_per_user": round(in_kafka / users),
        "disk_bytes_per_user": round(after / users),
        "disk_bytes_per_user_before_compaction": round(before / users),
        "memory_mb": {"restored": restored_mb, "after_lookups": asked_mb, "peak": run.peak_mib * MIB / 1e6},
        "restore_seconds": round(run.wall_seconds, 1),
        "void": run.void,
    }


async def _look_up(port: int, users: int) -> int:
    """Send lookups of users drawn evenly, enough to fill the caches; return how many were refused."""
    draw, pool = random.Random(1), Pool(port)
    left, refused = LOOKUPS, 0

    async def ask() -> None:
        nonlocal left, refused
        while left > 0:
            left -= 1
            answer = await pool.get(exclusions(CUSTOMER, f"u{draw.randrange(users)}"))
            refused += answer.status != 200

    await asyncio.gather(*(ask() for _ in range(8)))
    pool.close()
    return refused


def size_bytes(path: Path) -> int:
    """Return the disk space of all files below a directory, by blocks: a log segment may be longer than its written part."""
    return sum(file.stat().st_blocks * 512 for file in path.rglob("*") if file.is_file())


def compacted_bytes(state: Path) -> int:
    """Compact every database, and return the size of all rows; logs and manifests, some MB per partition, are not included."""
    for path in state.iterdir():
        names = rocksdict.Rdict.list_cf(str(path), rocksdict.Options(raw_mode=True))
        # The same options as in tables/store.py: blocks compressed by lz4, bloom filters.
        families = {name: _options() for name in names}
        database = rocksdict.Rdict(str(path), _options(), column_families=families)
        for name in names:
            family = database.get_column_family(name)
            family.flush()
            family.compact_range(None, None)
            family.close()
        database.close()
    return sum(file.stat().st_size for file in state.rglob("*.sst"))


def _options() -> rocksdict.Options:
    table = rocksdict.BlockBasedOptions()
    table.set_bloom_filter(10, False)
    options = rocksdict.Options(raw_mode=True)
    options.set_block_based_table_factory(table)
    options.set_compression_type(rocksdict.DBCompressionType.lz4())
    return options


def growth(seed: int, time_ms: int, visitors: int = 100) -> Iterator[dict[str, Any]]:
    """Yield the size of a user's rows for each number of events: encoded, and decoded in memory."""
    for events in GROWTH:
        rows = rows_of_visitors(events, seed, time_ms, visitors)
        by_table: dict[str, int] = {}
        for of_user in rows:
            for (table, _), row in of_user.items():
                by_table[table] = by_table.get(table, 0) + len(row)
        yield {
            "events_per_user": events,
            "encoded_bytes_per_user": round(sum(by_table.values()) / visitors),
            "memory_bytes_per_user": round(_loaded_bytes(rows) / visitors),
            "by_table": {table: round(total / visitors) for table, total in sorted(by_table.items())},
        }


def _loaded_bytes(users: Sequence[Rows]) -> int:
    """Return the memory of rows that are loaded but not yet used."""
    decoders: dict[str, Callable[[bytes], Any]] = {}
    for table in {table for rows in users for table, _ in rows}:
        decoders[table] = BY_NAME[table].decode
    tracemalloc.start()
    try:
        # A copy of each row counts too: a row that stays bytes keeps alive what it was read from.
        loaded = [
            decoders[table](bytes(bytearray(row))) for rows in users for (table, _), row in rows.items()
        ]
        held, _ = tracemalloc.get_traced_memory()
        return held if loaded else 0
    finally:
        tracemalloc.stop()


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = options("state", __doc__, rounds=None)
    parser.add_argument(
        "--users",
        type=int,
        default=100_000,
        help="the smaller number of users (default: %(default)s); without --against, also 10 times as many",
    )
    parser.add_argument(
        "--events-per-user",
        type=int,
        default=20,
        help="mean number of events that made a user's rows (default: %(default)s)",
    )
    return against.parse(parser, argv)


@contextmanager
def _trials(chosen: argparse.Namespace) -> Iterator[list[against.Trial]]:
    visitors = rows_of_visitors(chosen.events_per_user, chosen.seed, start_ms(100_000))
    disk, memory = "disk_bytes_per_user", "memory_mb"

    def run_one(run: Run, checkout: Checkout) -> None:
        with scratch("state") as directory:
            found = of_users(run, directory, visitors, chosen.users, chosen.partitions, checkout)
        run.figures = {disk: found[disk], memory: found[memory]["after_lookups"]}

    measures = (against.figure(disk, against.LOWER), against.figure(memory, against.LOWER))
    yield [against.Trial("state", run_one, measures, unit="records")]


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark and print one JSON object as the last line; return 0 if no ratio is void, else 1."""
    chosen = _parse(argv)
    if chosen.against is not None:
        return against.run("state", chosen, _trials)
    grown = list(growth(chosen.seed, start_ms(1_000_000)))
    visitors = rows_of_visitors(chosen.events_per_user, chosen.seed, start_ms(100_000))
    with scratch("state") as directory:
        few, many = (
            of_users(Run(OURS), directory, visitors, users, chosen.partitions)
            for users in (chosen.users, 10 * chosen.users)
        )
    void = {str(each["users"]): each["void"] for each in (few, many) if each["void"]}
    memory = [each["memory_mb"]["after_lookups"] for each in (few, many)]
    result = {
        "ratios": {
            "disk_per_user_10x_users": round(many["disk_bytes_per_user"] / few["disk_bytes_per_user"], 3),
            "memory_10x_users": round(memory[1] / memory[0], 3),
        },
        "void": void,
        "memory_bytes_per_added_user": round((memory[1] - memory[0]) * 1e6 / (many["users"] - few["users"])),
        "events_per_user": chosen.events_per_user,
        "sizes": [few, many],
        "growth": grown,
    }
    return finish("state", result, is_json=chosen.json)


if __name__ == "__main__":
    sys.exit(main())
