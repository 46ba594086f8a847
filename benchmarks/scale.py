"""Measures how much of a worker's events per CPU-second is kept when a second worker shares the same journal.

The journal is written in one transaction, which is committed when the group is stable. Then all workers are ready, each has its share
of the partitions, and none has read an event. The clocks run from there until the positions of all partitions are at the end. CPU is
that of all workers together. After each run, the counts are compared with the journal.
"""

import argparse
import shutil
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from app.local.tcp_ports import free_port
from benchmarks import against, journal
from benchmarks.checkouts import THIS, Checkout
from benchmarks.command import finish, options, own_kafka, say, scratch
from benchmarks.ours import START_SECONDS, Loaded, Ours
from benchmarks.processes import Contestant, ContestantError, measure, running
from benchmarks.rounds import Run, outcome, play
from benchmarks.status import are_shared, status_of
from benchmarks.traffic import Traffic, start_ms
from events.topics import JOURNAL

WORKERS: Final = {"1_worker": 1, "2_workers": 2}
STABLE_SECONDS: Final = 2.0


class Bench:
    """Runs workers on a broker, and writes the journal again for each run."""

    def __init__(self, kafka: str, directory: Path, traffic: Traffic) -> None:
        self._directory, self._traffic = directory, traffic
        self._ours = Ours(kafka, directory, traffic.partitions)

    def run(self, run: Run) -> None:
        """Fold the journal with one worker or with two."""
        self.fold(WORKERS[run.contestant], run, THIS)

    def fold(self, count: int, run: Run, checkout: Checkout) -> None:
        """Start workers of a checkout, wait until the group is stable, commit the journal, and measure."""
        ours, app_id = self._ours.of(checkout), f"bench-{uuid.uuid4().hex[:8]}"
        ours.fresh_topics(keep=())
        ports = [free_port() for _ in range(count)]
        directories = [self._directory / f"{app_id}-{number}" for number in range(len(ports))]
        try:
            with journal.withheld(ours.kafka, JOURNAL, self._traffic.records()) as release:
                ends = journal.ends(ours.kafka, JOURNAL)
                run.count = sum(ends.values())
                workers = [
                    ours.worker(f"{run.contestant}-{port}", app_id, data_dir, port)
                    for port, data_dir in zip(ports, directories, strict=True)
                ]
                with running(*workers), ours.positions() as positions:
                    _wait_until_stable(workers, ports, self._traffic.partitions)
                    release()
                    measure(run, workers, lambda: positions() == ends)
            ours.check(run, Loaded(ours.count(), ends))
        finally:
            for data_dir in directories:
                shutil.rmtree(data_dir, ignore_errors=True)


def _wait_until_stable(workers: list[Contestant], ports: list[int], partitions: int) -> None:
    """Return when every worker has been ready with an equal share of the partitions for ``STABLE_SECONDS``."""
    deadline = time.monotonic() + START_SECONDS
    since: float | None = None
    while since is None or time.monotonic() - since < STABLE_SECONDS:
        for worker in workers:
            worker.check()
        if time.monotonic() > deadline:
            raise ContestantError(f"the group is not stable: {[status_of(port) for port in ports]}")
        is_so = are_shared([status_of(port) for port in ports], partitions)
        since = (since or time.monotonic()) if is_so else None
        time.sleep(0.2)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = options("scale", __doc__)
    parser.add_argument(
        "--events", type=int, default=500_000, help="events in the journal (default: %(default)s)"
    )
    parser.add_argument(
        "--users", type=int, default=20_000, help="users in the journal (default: %(default)s)"
    )
    return against.parse(parser, argv, tuple(WORKERS))


@contextmanager
def _bench(traffic: Traffic) -> Iterator[Bench]:
    with scratch("scale") as directory, own_kafka(directory) as broker:
        yield Bench(broker.bootstrap, directory, traffic)


def _traffic(chosen: argparse.Namespace) -> Traffic:
    return Traffic(chosen.events, chosen.users, chosen.partitions, chosen.seed, start_ms(chosen.events))


@contextmanager
def _trials(chosen: argparse.Namespace) -> Iterator[list[against.Trial]]:
    with _bench(_traffic(chosen)) as bench:
        yield [
            against.Trial(name, partial(bench.fold, count), against.rates())
            for name, count in WORKERS.items()
        ]


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark and print one JSON object as the last line; return 0 if no ratio is void, else 1."""
    chosen = _parse(argv)
    if chosen.against is not None:
        return against.run("scale", chosen, _trials)
    traffic = _traffic(chosen)
    say(f"scale: {traffic.events} events of {traffic.users} users, by one worker and by two")
    with _bench(traffic) as bench:
        rounds = play(tuple(WORKERS), chosen.rounds, bench.run, say, "events")
    result = {
        **outcome(rounds, {"cpu_rate_kept_2_workers": ("2_workers", "1_worker")}),
        "traffic": traffic.describe(),
    }
    return finish("scale", result, is_json=chosen.json)


if __name__ == "__main__":
    sys.exit(main())
