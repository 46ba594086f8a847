"""Measures the CPU that an event costs a worker at a steady rate, compared with the same events from a backlog.

A worker first folds a backlog that fills the profiles. Then a process of its own writes events into the journal at the rate. After a
warm-up, the worker's CPU is measured until all events are durable. Another worker folds the same events from a backlog. After each run,
the counts are compared with the journal.
"""

import argparse
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from app.local.broker import LocalBroker
from benchmarks import against, journal
from benchmarks.against import LOWER, Measure, figure
from benchmarks.checkouts import THIS, Checkout
from benchmarks.command import finish, options, own_kafka, say, scratch
from benchmarks.ours import READY, START_SECONDS, Loaded, Ours
from benchmarks.processes import Contestant, ContestantError, measure, running
from benchmarks.progress import Progress
from benchmarks.rounds import Run, outcome, play
from benchmarks.topic_bytes import KEEPS_ALL, topic_bytes
from benchmarks.traffic import Traffic, start_ms
from events.topics import JOURNAL, META

STEADY, BACKLOG = "steady", "backlog"
_MOST_WAITING_SECONDS: Final = 5
"""A worker that has more than the events of so many seconds to fold at the end did not keep up."""
_MICROSECONDS: Final = "cpu_us_per_event"
_OF_BOTH: Final = (figure(_MICROSECONDS, LOWER), Measure("peak_mib", lambda run: run.peak_mib, LOWER))
MEASURES: Final = {
    STEADY: (*_OF_BOTH, figure("kafka_bytes_per_event", LOWER), figure("disk_bytes_per_event", LOWER)),
    BACKLOG: _OF_BOTH,
}


class Bench:
    """Runs workers on a broker whose journal is written again for each of them."""

    def __init__(self, broker: LocalBroker, directory: Path, chosen: argparse.Namespace) -> None:
        self._broker, self._kafka, self._directory, self._chosen = broker, broker.bootstrap, directory, chosen
        self._ours = Ours(self._kafka, directory, chosen.partitions, chosen.commit_ms)
        events = chosen.users * chosen.events_per_user
        self.fill = Traffic(events, chosen.users, chosen.partitions, chosen.seed, start_ms(events))
        self._not_measured = events + chosen.rate * chosen.warm_up_seconds
        self.added = chosen.rate * (chosen.warm_up_seconds + chosen.seconds)

    def run(self, run: Run) -> None:
        """Run this checkout's worker at the steady rate, or from a backlog."""
        self.fold(run.contestant, run, THIS)

    def fold(self, how: str, run: Run, checkout: Checkout) -> None:
        """Let the worker of a checkout fold the events, with new topics and an empty directory."""
        ours = self._ours.of(checkout)
        ours.fresh_topics(keep=(META,))
        journal.load(self._kafka, JOURNAL, self.fill.records())
        if how == BACKLOG:
            journal.load(self._kafka, JOURNAL, self._added_records())
        app_id = f"bench-{how}-{uuid.uuid4().hex[:8]}"
        data_dir = self._directory / app_id
        try:
            with ours.positions() as positions:
                worker = ours.worker(run.contestant, app_id, data_dir)
                with running(worker):
                    worker.wait_for(READY, START_SECONDS)
                    work = self._steady if how == STEADY else self._backlog
                    work(run, worker, lambda: sum(positions().values()))
        finally:
            shutil.rmtree(data_dir, ignore_errors=True)
        del run.figures["start_cpu_seconds"]  # with the events before the measured ones
        run.figures[_MICROSECONDS] = round(1e6 * run.cpu_seconds / run.count, 1)
        ours.check(run, Loaded(ours.count(), journal.ends(self._kafka, JOURNAL)))

    def _added_records(self) -> Iterator[journal.Record]:
        chosen = self._chosen
        now_ms = time.time_ns() // 1_000_000 - 1_000 * (chosen.warm_up_seconds + chosen.seconds)
        return Traffic(
            self.added, chosen.users, chosen.partitions, chosen.seed + 1, now_ms, per_second=chosen.rate
        ).records()

    def _backlog(self, run: Run, worker: Contestant, durable: Callable[[], int]) -> None:
        """Measure the events that the steady run measures, after all before them."""
        everything = self.fill.events + self.added
        run.count = everything
        progress = Progress(durable)
        measure(run, [worker], lambda: durable() >= everything, self._max_seconds, progress)
        run.cpu_seconds -= progress.cpu_at(self._not_measured)
        run.count = everything - self._not_measured
        del run.figures["disk_bytes_per_event"]  # of all events

    def _steady(self, run: Run, worker: Contestant, durable: Callable[[], int]) -> None:
        """Fold the backlog, then measure the worker while a producer adds events at the rate, after the warm-up."""
        _wait(lambda: durable() >= self.fill.events, worker, self._max_seconds)
        producer = Contestant(f"{run.contestant}-producer", self._producer_arguments(), self._directory, {})
        with running(producer):
            _wait(lambda: durable() >= self._not_measured, worker, self._max_seconds)
            from_bytes, before = self._written(), durable()
            everything = self.fill.events + self.added
            run.count = everything - before
            waiting: list[int] = []

            def is_done() -> bool:
                reached = durable()
                if producer.has_ended and not waiting:
                    waiting.append(everything - reached)
                return bool(waiting) and reached >= everything

            measure(run, [worker], is_done, self._max_seconds)
            if not producer.has_succeeded:
                raise ContestantError(f"the producer did not hold the rate: {producer.last_words()}")
        run.figures["kafka_bytes_per_event"] = round((self._written() - from_bytes) / run.count)
        if waiting[0] > _MOST_WAITING_SECONDS * self._chosen.rate:
            raise ContestantError(f"the worker did not keep up: {waiting[0]} events waited at the end")

    @property
    def _max_seconds(self) -> float:
        return 300 + self.fill.events / 1_000 + self._chosen.warm_up_seconds + self._chosen.seconds

    def _producer_arguments(self) -> list[str]:
        chosen = self._chosen
        told = {
            "--kafka": self._kafka,
            "--topic": JOURNAL,
            "--rate": chosen.rate,
            "--events": self.added,
            "--users": chosen.users,
            "--partitions": chosen.partitions,
            "--seed": chosen.seed + 1,
        }
        return ["-m", "benchmarks.paced_producer", *[str(word) for item in told.items() for word in item]]

    def _written(self) -> int:
        return sum(
            topic_bytes(
                self._broker.data_dir, lambda topic: topic.startswith("uptake.") and topic != JOURNAL
            ).values()
        )


def _wait(is_so: Callable[[], bool], worker: Contestant, max_seconds: float) -> None:
    deadline = time.monotonic() + max_seconds
    while not is_so():
        worker.check()
        if time.monotonic() > deadline:
            raise ContestantError(f"not there after {max_seconds:.0f} s: {worker.last_words()}")
        time.sleep(0.03)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = options("steady", __doc__)
    parser.add_argument("--rate", type=int, default=3_000, help="events a second (default: %(default)s)")
    parser.add_argument(
        "--seconds", type=int, default=60, help="seconds that are measured (default: %(default)s)"
    )
    parser.add_argument(
        "--warm-up-seconds", type=int, default=10, help="seconds at the rate before (default: %(default)s)"
    )
    parser.add_argument("--users", type=int, default=20_000, help="users (default: %(default)s)")
    parser.add_argument(
        "--events-per-user",
        type=int,
        default=25,
        help="events that each user has before, on average (default: %(default)s)",
    )
    parser.add_argument(
        "--commit-ms", type=int, default=1_000, help="flush interval in milliseconds (default: %(default)s)"
    )
    return against.parse(parser, argv, (STEADY, BACKLOG))


@contextmanager
def _bench(chosen: argparse.Namespace) -> Iterator[Bench]:
    with scratch("steady") as directory, own_kafka(directory, **KEEPS_ALL) as broker:
        yield Bench(broker, directory, chosen)


@contextmanager
def _trials(chosen: argparse.Namespace) -> Iterator[list[against.Trial]]:
    with _bench(chosen) as bench:
        yield [against.Trial(how, partial(bench.fold, how), MEASURES[how]) for how in (STEADY, BACKLOG)]


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark and print one JSON object as the last line; return 0 if no ratio is void, else 1."""
    chosen = _parse(argv)
    if chosen.against is not None:
        return against.run("steady", chosen, _trials)
    with _bench(chosen) as bench:
        say(
            f"steady: {bench.added} events, {chosen.rate} a second, after {bench.fill.events} of {chosen.users} users"
        )
        rounds = play((STEADY, BACKLOG), chosen.rounds, bench.run, say, "events")
        traffic = bench.fill.describe()
    found = outcome(rounds, {f"{STEADY}_vs_{BACKLOG}": (STEADY, BACKLOG)})
    del found["per_wall"]  # the wall time at the rate is given
    for name, summary in found["contestants"].items():
        say(f"steady: {name} took {summary['figures'].get(_MICROSECONDS)} us of CPU an event")
    facts = {"rate": chosen.rate, "seconds": chosen.seconds, "commit_ms": chosen.commit_ms, "fill": traffic}
    return finish("steady", {**found, **facts}, is_json=chosen.json)


if __name__ == "__main__":
    sys.exit(main())
