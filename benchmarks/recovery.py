"""Measures the records per CPU-second that a worker restores from changelogs after it lost its disk, compared with plain Faust.

Both start with an empty disk, and with the same rows of a shop's users in changelogs of their own on the same broker. The clocks run
from when a worker knows its partitions until it logs that all are restored. An independent reader then opens the databases on disk, and
compares every key and value with what was written. A contestant with a difference has no ratio.
"""

import argparse
import shutil
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import rocksdict

from benchmarks import against, journal
from benchmarks.checkouts import THIS, Checkout
from benchmarks.command import finish, options, own_kafka, say, scratch
from benchmarks.ours import OURS, READY, START_SECONDS, TAKING_UP, Ours
from benchmarks.peers.arguments import ASSIGNED, RECOVERED
from benchmarks.processes import Contestant, Words, measure, running
from benchmarks.rounds import Run, outcome, play
from benchmarks.rows import Digest, Population, digest_of, rows_of_visitors
from benchmarks.traffic import start_ms
from events.topics import POSITIONS, changelog
from tables.declare import BY_NAME

PEER: Final = "plain_faust"
RESTORE_SECONDS: Final = 900.0
SOURCE: Final = "benchmark.events"


class Bench:
    """Runs contestants on a broker that holds the same rows in the changelogs of both, or only in ours."""

    def __init__(
        self, kafka: str, directory: Path, population: Population, partitions: int, *, has_peer: bool
    ) -> None:
        self._kafka, self._directory, self._partitions = kafka, directory, partitions
        self._ours = Ours(kafka, directory, partitions)
        self._name = f"bench-{uuid.uuid4().hex[:8]}"
        self._tables = population.tables
        self.rows = population.rows
        now_ms = int(time.time() * 1000)
        journal.create_topics(kafka, [SOURCE], partitions, is_compacted=False)
        peers = {table: f"{self._name}-{table}-changelog" for table in self._tables} if has_peer else {}
        if peers:
            journal.create_topics(kafka, peers.values(), partitions, is_compacted=True)
        for table in self._tables:
            journal.load(kafka, changelog(table), population.records(table, now_ms))
            if table in peers:
                journal.load(kafka, peers[table], population.records(table, now_ms))
        journal.load(kafka, POSITIONS, journal.positions(partitions, now_ms))
        self._expected = population.digests

    def run(self, run: Run) -> None:
        """Let a contestant restore into an empty directory."""
        if run.contestant == OURS:
            self.restore(run, THIS)
            return
        with self._empty_directory() as state_dir:
            worker = self._peer(state_dir)
            self._measure(run, worker, ASSIGNED, RECOVERED)
            judge(run, self._expected, restored_by_faust(state_dir))

    def restore(self, run: Run, checkout: Checkout) -> None:
        """Let the worker of a checkout restore into an empty directory."""
        with self._empty_directory() as state_dir:
            worker = self._ours.of(checkout).worker(run.contestant, self._name, state_dir)
            self._measure(run, worker, TAKING_UP, READY)
            judge(run, self._expected, restored_by_ours(state_dir))

    def _measure(self, run: Run, worker: Contestant, begins: Words, ends: Words) -> None:
        run.count = self.rows
        with running(worker):
            worker.wait_for(begins, START_SECONDS)
            measure(run, [worker], lambda: worker.said(ends), RESTORE_SECONDS)

    @contextmanager
    def _empty_directory(self) -> Iterator[Path]:
        state_dir = self._directory / f"{self._name}-{uuid.uuid4().hex[:8]}"
        state_dir.mkdir()
        try:
            yield state_dir
        finally:
            shutil.rmtree(state_dir, ignore_errors=True)

    def _peer(self, state_dir: Path) -> Contestant:
        arguments = ["-m", "benchmarks.peers.faust_recovery", "--kafka", self._kafka, "--topic", SOURCE]
        arguments += ["--name", self._name, "--partitions", str(self._partitions)]
        arguments += ["--state-dir", str(state_dir), "--commit-seconds", "1", "--tables", *self._tables]
        return Contestant(PEER, arguments, self._directory, {})


def judge(run: Run, expected: Mapping[str, Digest], found: Mapping[str, Digest]) -> None:
    """Compare the rows on disk with those that were written, and write the verdict into a run; void it if they differ."""
    different = [table for table, digest in expected.items() if found.get(table) != digest]
    rows = sum(digest.rows for table, digest in found.items() if table in expected)
    run.verdict = f"{rows:,} rows on disk, {'all as written' if not different else 'not as written'}"
    if different:
        run.void = f"{run.verdict}: {', '.join(different)}"


def restored_by_ours(state_dir: Path) -> dict[str, Digest]:
    """Return the digest of each table on a worker's disk: one database per partition, one column family per table."""
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
    """Return the digest of each table on Faust's disk: one database per table and partition. Faust's own keys are skipped."""
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
    parser.add_argument(
        "--keys", type=int, default=1_000_000, help="rows of all tables together (default: %(default)s)"
    )
    parser.add_argument(
        "--events-per-user",
        type=int,
        default=20,
        help="mean number of events that made a user's rows (default: %(default)s)",
    )
    parser.add_argument(
        "--tables", nargs="*", choices=BY_NAME, help="restore only rows of these tables (default: all)"
    )
    parser.add_argument(
        "--only",
        nargs="*",
        choices=(OURS, PEER),
        default=(OURS, PEER),
        help="run only these contestants (default: all)",
    )
    return against.parse(parser, argv)


def _population(chosen: argparse.Namespace) -> Population:
    visitors = rows_of_visitors(chosen.events_per_user, chosen.seed, start_ms(100_000))
    if chosen.tables:
        kept = [{table: rows[table] for table in chosen.tables if table in rows} for rows in visitors]
        visitors = [rows for rows in kept if rows]
    return Population(visitors, chosen.keys, chosen.partitions, chosen.keys)


@contextmanager
def _bench(chosen: argparse.Namespace, population: Population, *, has_peer: bool) -> Iterator[Bench]:
    with scratch("recovery") as directory, own_kafka(directory) as broker:
        say(f"recovery: filling the changelogs of {population.users:,} users, {population.rows:,} rows")
        yield Bench(broker.bootstrap, directory, population, chosen.partitions, has_peer=has_peer)


@contextmanager
def _trials(chosen: argparse.Namespace) -> Iterator[list[against.Trial]]:
    with _bench(chosen, _population(chosen), has_peer=False) as bench:
        yield [against.Trial("recovery", bench.restore, against.rates("records"), unit="records")]


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark and print one JSON object as the last line; return 0 if no ratio is void, else 1."""
    chosen = _parse(argv)
    if chosen.against is not None:
        return against.run("recovery", chosen, _trials)
    population = _population(chosen)
    with _bench(chosen, population, has_peer=True) as bench:
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
