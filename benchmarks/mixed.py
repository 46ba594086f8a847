"""Measures the events per CPU-second of a worker that folds all kinds of a shop's events, with and without lookups.

The events have the proportions of benchmarks/shop.py. A run lasts from the first event until all are durable. In a run with lookups, a
recommender also looks up exclusions at a steady rate; response times count from when a lookup was due. After each run, an independent
reader compares how often every item was shown, clicked and bought with the journal. It sums over all users, because logins move rows.
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
from typing import Any, Final

from app.local.tcp_ports import free_port
from benchmarks import against, journal, ledger
from benchmarks.checkouts import THIS, Checkout
from benchmarks.clients import Lookups, percentiles
from benchmarks.command import finish, options, own_kafka, say, scratch
from benchmarks.ours import READY, START_SECONDS, Ours
from benchmarks.processes import ContestantError, measure, running
from benchmarks.rounds import Run, outcome, play
from benchmarks.shop import Shop
from benchmarks.status import drained
from benchmarks.traffic import CUSTOMER, start_ms
from events.topics import JOURNAL, changelog

WITHOUT, WITH = "without_lookups", "with_lookups"
P99: Final = "lookup_p99_ms"
STALE_MS: Final = 86_400_000
"""A worker that catches up answers from state as old as its backlog. With the default it would refuse such lookups."""
CHECKED: Final = ("rendered", "clicked", "purchases")


class Bench:
    """Runs workers on a broker that holds a shop's journal."""

    def __init__(self, kafka: str, directory: Path, chosen: argparse.Namespace) -> None:
        self._directory, self._rate = directory, chosen.lookups
        self._ours = Ours(kafka, directory, chosen.partitions)
        user = self._ours.customer.rules.user
        self.shop = Shop(
            chosen.events,
            chosen.users,
            chosen.partitions,
            chosen.seed,
            start_ms(chosen.events),
            name=lambda number: user(f"u{number}"),
        )
        journal.load(kafka, JOURNAL, self.shop.records())
        self._ends = journal.ends(kafka, JOURNAL)
        self._expected = ledger.count_items(kafka, JOURNAL)
        self.lookups: list[dict[str, Any]] = []

    def run(self, run: Run) -> None:
        """Fold the journal into new topics and an empty directory, with or without lookups."""
        self.fold(run.contestant == WITH, run, THIS)

    def fold(self, has_lookups: bool, run: Run, checkout: Checkout) -> None:
        """Let the worker of a checkout fold the journal, with or without lookups."""
        ours, app_id, port = self._ours.of(checkout), f"bench-{uuid.uuid4().hex[:8]}", free_port()
        data_dir = self._directory / app_id
        ours.fresh_topics()
        run.count = sum(self._ends.values())
        try:
            with ours.positions() as positions:
                worker = ours.worker(
                    run.contestant, app_id, data_dir, port, UPTAKE_MAX_STALE_MS=str(STALE_MS)
                )
                with running(worker):
                    worker.wait_for(READY, START_SECONDS)
                    lookups = Lookups(port, CUSTOMER, self.shop.users, self._rate)
                    if has_lookups:
                        lookups.start()
                    try:
                        measure(run, [worker], lambda: positions() == self._ends)
                    finally:
                        if lookups.is_alive():
                            lookups.finish()
                    _wait_for_transfers(port)
            self._judge(run, lookups if has_lookups else None)
        finally:
            shutil.rmtree(data_dir, ignore_errors=True)

    def _judge(self, run: Run, lookups: Lookups | None) -> None:
        verdict = ledger.compare(
            self._expected, ledger.count_kept_items(self._ours.kafka, CHECKED, changelog)
        )
        run.verdict = str(verdict)
        if not verdict.is_exact:
            run.void = f"its changelogs differ from the journal: {verdict}"
        if lookups is not None:
            answered = {**percentiles(lookups.milliseconds), "refused": lookups.refused}
            self.lookups.append(answered)
            run.figures[P99] = answered["p99"] or 0.0
            run.verdict = f"lookups {answered} ms, {verdict}"
            if lookups.refused or not lookups.milliseconds:
                run.void = (
                    f"{lookups.refused} lookups were refused, {len(lookups.milliseconds)} were answered"
                )


def _wait_for_transfers(port: int) -> None:
    """Return when the rows that logins moved have arrived: the worker has no lag, and its positions no longer change."""
    deadline = time.monotonic() + START_SECONDS
    before: Any = None
    while (now := drained([port])) is None or now != before:
        if time.monotonic() > deadline:
            raise ContestantError("the worker does not fold the transfers")
        before = now
        time.sleep(1.5)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = options("mixed", __doc__)
    parser.add_argument(
        "--events", type=int, default=400_000, help="events in the journal (default: %(default)s)"
    )
    parser.add_argument(
        "--users", type=int, default=20_000, help="users in the journal (default: %(default)s)"
    )
    parser.add_argument(
        "--lookups", type=float, default=200.0, help="lookups per second (default: %(default)s)"
    )
    return against.parse(parser, argv, (WITHOUT, WITH))


@contextmanager
def _bench(chosen: argparse.Namespace) -> Iterator[Bench]:
    with scratch("mixed") as directory, own_kafka(directory) as broker:
        yield Bench(broker.bootstrap, directory, chosen)


@contextmanager
def _trials(chosen: argparse.Namespace) -> Iterator[list[against.Trial]]:
    with _bench(chosen) as bench:
        yield [
            against.Trial(WITHOUT, partial(bench.fold, False), against.rates()),
            against.Trial(
                WITH, partial(bench.fold, True), (*against.rates(), against.figure(P99, against.LOWER))
            ),
        ]


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark and print one JSON object as the last line; return 0 if no ratio is void, else 1."""
    chosen = _parse(argv)
    if chosen.against is not None:
        return against.run("mixed", chosen, _trials)
    say(f"mixed: {chosen.events} events of {chosen.users} users, lookups at {chosen.lookups:g} a second")
    with _bench(chosen) as bench:
        rounds = play((WITHOUT, WITH), chosen.rounds, bench.run, say, "events")
    p99 = sorted(each["p99"] or 0.0 for each in bench.lookups)
    result = {
        **outcome(rounds, {"with_lookups_vs_without": (WITH, WITHOUT)}),
        "lookups_per_second": chosen.lookups,
        P99: p99[len(p99) // 2] if p99 else None,
        "lookup_ms": bench.lookups,
        "traffic": bench.shop.describe(),
    }
    return finish("mixed", result, is_json=chosen.json)


if __name__ == "__main__":
    sys.exit(main())
