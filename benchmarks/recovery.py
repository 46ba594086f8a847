"""How many records a second does a worker restore from the changelogs after it lost its disk, beside plain Faust?

Both find the same rows, of the tables of a shop's users, in changelogs of their own on the same broker, and an empty disk. The clocks
run from the moment that a worker knows its partitions until it says that all are restored. Then an independent reader opens what is on
disk and compares every key and value with what was written: a contestant that differs has no ratio.
"""

import argparse
import shutil
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import rocksdict

from benchmarks import journal
from benchmarks.command import finish, options, own_kafka, say, scratch
from benchmarks.ours import OURS, READY, START_SECONDS, Ours
from benchmarks.peers.arguments import ASSIGNED, RECOVERED
from benchmarks.processes import Contestant, measure, running
from benchmarks.rounds import Run, outcome, play
from benchmarks.rows import Digest, Population, digest_of, rows_of_visitors
from benchmarks.traffic import start_ms
from events.topics import POSITIONS, changelog
from tables.declare import BY_NAME

PEER: Final = "plain_faust"
TAKING_UP: Final = "opening partitions"
RESTORE_SECONDS: Final = 900.0
SOURCE: Final = "benchmark.events"


class Bench:
    """A broker with the changelogs of both, filled with the same rows."""

    def __init__(self, kafka: str, directory: Path, population: Population, partitions: int) -> None:
        self._kafka, self._directory, self._partitions = kafka, directory, partitions
        self._ours = Ours(kafka, directory, partitions)
        self._name = f"bench-{uuid.uuid4().hex[:8]}"
        self._tables = population.tables
        self.rows = population.rows
        now_ms = int(time.time() * 1000)
        journal.create_topics(kafka, [SOURCE], partitions, is_compacted=False)
        peers = {table: f"{self._name}-{table}-changelog" for table in self._tables}
        journal.create_topics(kafka, peers.values(), partitions, is_compacted=True)
        for table in self._tables:
            journal.load(kafka, changelog(table), population.records(table, now_ms))
            journal.load(kafka, peers[table], population.records(table, now_ms))
        journal.load(kafka, POSITIONS, journal.positions(partitions, now_ms))
        self._expected = population.digests

    def run(self, run: Run) -> None:
        """Restore into an empty directory."""
        state_dir = self._directory / f"{self._name}-{uuid.uuid4().hex[:8]}"
        state_dir.mkdir()
        run.count = self.rows
        try:
            if run.contestant == OURS:
                worker = self._ours.worker(run.contestant, self._name, state_dir)
                begins, ends = TAKING_UP, READY
            else:
                worker, begins, ends = self._peer(state_dir), ASSIGNED, RECOVERED
            with running(worker):
                worker.wait_for(begins, START_SECONDS)
                measure(run, [worker], lambda: worker.said(ends), RESTORE_SECONDS)
            found = restored_by_ours(state_dir) if run.contestant == OURS else restored_by_faust(state_dir)
            judge(run, self._expected, found)
        finally:
            shutil.rmtree(state_dir, ignore_errors=True)

    def _peer(self, state_dir: Path) -> Contestant:
        arguments = ["-m", "benchmarks.peers.faust_recovery", "--kafka", self._kafka, "--topic", SOURCE]
        arguments += ["--name", self._name, "--partitions", str(self._partitions)]
        arguments += ["--state-dir", str(state_dir), "--commit-seconds", "1", "--tables", *self._tables]
        return Contestant(PEER, arguments, self._directory, {})


def judge(run: Run, expected: Mapping[str, Digest], found: Mapping[str, Digest]) -> None:
    """Write into a run whether the rows on disk are those that were written; void it when they are not."""
    different = [table for table, digest in expected.items() if found.get(table) != digest]
    rows = sum(digest.rows for table, digest in found.items() if table in expected)
    run.verdict = f"{rows:,} rows on disk, {'all as written' if not different else 'not as written'}"
    if different:
        run.void = f"{run.verdict}: {', '.join(different)}"


def restored_by_ours(state_dir: Path) -> dict[str, Digest]:
    """Return the digest of each table on a worker's disk: a database a partition, a column family a table."""
    rows: dict[str, list[Iterator[tuple[bytes, bytes]]]] = {}
    open_databases = []
    for path in sorted((state_dir / "state").iterdir()):
        names = rocksdict.Rdict.list_cf(str(path), rocksdict.Options(raw_mode=True))
        families = {name: rocksdict.Options(raw_mode=True) for name in names}
        database = rocksdict.Rdict(str(path), rocksdict.Options(raw_mode=True), column_families=families)
        open_databases.append(database)
        for name in names:
            rows.setdefault(name, []).append(database.get_column_family(name).items())
    return {name: digest_of(row for part in parts for row in part) for name, parts in rows.items()}


def restored_by_faust(state_dir: Path) -> dict[str, Digest]:
    """Return the digest of each table on Faust's disk: a database a table and partition, with its offset under a key of its own."""
    rows: dict[str, list[Any]] = {}
    for path in sorted(state_dir.rglob("*.db")):
        database = rocksdict.Rdict(str(path), rocksdict.Options(raw_mode=True))
        rows.setdefault(path.name.rpartition("-")[0], []).append(database)
    return {
        name: digest_of(row for part in parts for row in part.items() if not row[0].startswith(b"__faust"))
        for name, parts in rows.items()
    }


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = options("recovery", __doc__, rounds=1)
    parser.add_argument("--keys", type=int, default=1_000_000, help="rows of all tables together")
    parser.add_argument("--events-per-user", type=int, default=20)
    parser.add_argument("--tables", nargs="*", choices=BY_NAME, help="rows of these tables only")
    parser.add_argument("--only", nargs="*", choices=(OURS, PEER), default=(OURS, PEER))
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; the last line printed is one JSON object. Return 0 when no ratio is void."""
    chosen = _parse(argv)
    visitors = rows_of_visitors(chosen.events_per_user, chosen.seed, start_ms(100_000))
    if chosen.tables:
        kept = [{table: rows[table] for table in chosen.tables if table in rows} for rows in visitors]
        visitors = [rows for rows in kept if rows]
    population = Population(visitors, chosen.keys, chosen.partitions, chosen.keys)
    with scratch("recovery") as directory, own_kafka(directory) as broker:
        say(f"recovery: filling the changelogs of {population.users:,} users, {population.rows:,} rows")
        bench = Bench(broker.bootstrap, directory, population, chosen.partitions)
        rounds = play(chosen.only, chosen.rounds, bench.run, say, "records")
    sizes = {
        table: {"rows": each.rows, "mean_bytes": round(each.size_bytes / max(1, each.rows))}
        for table, each in population.digests.items()
    }
    result = {
        **outcome(rounds, {f"vs_{PEER}": (OURS, PEER)}),
        "keys": population.rows,
        "users": population.users,
        "tables": sizes,
    }
    return finish("recovery", result, is_json=chosen.json)


if __name__ == "__main__":
    sys.exit(main())
