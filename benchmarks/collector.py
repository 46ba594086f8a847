"""Measures the events per CPU-second that the collector accepts, compared with FastAPI, and what batches save.

wrk sends the same requests to both servers, one server at a time, and the same broker acknowledges each event. CPU is that of the
server's whole process tree while wrk sends. An independent reader then counts the records in the topic. If their number differs from
the number of 2xx answers, the ratio is void. At the end, an open loop sends requests to both servers at the same steady rate and
measures response times. There are two rates: half of what each server accepts at most.
"""

import argparse
import statistics
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import uvloop

from app.base.settings import Settings
from app.local.tcp_ports import free_port
from benchmarks import against, journal, ledger
from benchmarks.checkouts import THIS, Checkout
from benchmarks.clients import percentiles
from benchmarks.command import finish, options, own_kafka, say, scratch
from benchmarks.open_loop import open_loop
from benchmarks.ours import OURS, START_SECONDS, TAKES, Ours
from benchmarks.processes import Contestant, Words, measure, running
from benchmarks.rounds import Run, order, outcome, play
from benchmarks.traffic import CUSTOMER
from benchmarks.wrk import Load, require_wrk
from events.topics import JOURNAL

FASTAPI: Final = "fastapi"
BATCH: Final = "batch"
CONTESTANTS: Final = (OURS, FASTAPI, BATCH)
PAIRS: Final = {"vs_fastapi": (OURS, FASTAPI), "batch_vs_single": (BATCH, OURS)}
TRIALS: Final = {"single": OURS, "batch": BATCH}
PEER_TOPIC: Final = "benchmark.fastapi"
WARM_SECONDS: Final = 2.0


class Bench:
    """Runs the contestants on a broker that has the topics of both servers."""

    def __init__(self, kafka: str, directory: Path, chosen: argparse.Namespace) -> None:
        self._kafka, self._directory, self._chosen = kafka, directory, chosen
        self._ours = Ours(kafka, directory, chosen.partitions)
        journal.create_topics(kafka, [PEER_TOPIC], chosen.partitions, is_compacted=False)
        self._number = 0

    @contextmanager
    def _started(self, contestant: str, checkout: Checkout = THIS) -> Iterator[tuple[Contestant, int]]:
        """Yield a warm server that accepts events, and its port."""
        port = free_port()
        if contestant == FASTAPI:
            linger = str(Settings().linger_ms)
            arguments = [
                "-m",
                "benchmarks.peers.fastapi_collector",
                "--kafka",
                self._kafka,
                "--topic",
                PEER_TOPIC,
            ]
            arguments += ["--port", str(port), "--linger-ms", linger]
            server = Contestant(FASTAPI, arguments, self._directory, {})
            ready: Words = "Uvicorn running on"
        else:
            # A directory of its own, so that no checkout reads the spool of another one.
            data_dir = self._directory / f"data-{port}"
            server = self._ours.of(checkout).start("collector", "collector", "bench", data_dir, port)
            ready = TAKES
        with running(server):
            server.wait_for(ready, START_SECONDS)
            server.wait_for_port(port, START_SECONDS)  # a collector may reach Kafka before it listens
            warm = self._load(contestant, WARM_SECONDS).start(port)
            try:
                warm.result()
            finally:
                warm.stop()
            yield server, port

    def _load(self, contestant: str, seconds: float) -> Load:
        chosen = self._chosen
        self._number += 1  # each run draws different users
        return Load(
            "batch" if contestant == BATCH else "single",
            chosen.batch_connections if contestant == BATCH else chosen.connections,
            seconds,
            chosen.users,
            chosen.seed + self._number,
            CUSTOMER,
            chosen.batch,
        )

    def run(self, run: Run) -> None:
        """Measure one contestant at full speed."""
        self.answer(run.contestant, run, THIS)

    def answer(self, contestant: str, run: Run, checkout: Checkout) -> None:
        """Measure a contestant at full speed, and count its records; ours is the collector of ``checkout``."""
        topic = PEER_TOPIC if contestant == FASTAPI else JOURNAL
        with self._started(contestant, checkout) as (server, port):
            before = journal.ends(self._kafka, topic)
            load = self._load(contestant, self._chosen.seconds)
            asked = load.start(port)
            try:
                measure(run, [server], asked.is_over)
                told = asked.result()
            finally:
                asked.stop()
        run.wall_seconds = load.seconds
        run.count = told.accepted if contestant == BATCH else told.taken
        found = ledger.count_rendered(self._kafka, topic, before)
        run.verdict = f"{found} records, {told.refused} refused, p99 {told.p99_ms:.1f} ms"
        if found != run.count or told.broken or not run.count:
            run.void = f"{run.count} accepted, {found} records, {told.broken} answers missing"

    def steady(self, contestant: str, rate: float) -> dict[str, Any]:
        """Send requests to one contestant at a steady rate; return the percentiles of its response times, and the failed requests."""
        chosen = self._chosen
        self._number += 1
        with self._started(contestant) as (_, port):
            answers = uvloop.run(
                open_loop(
                    port, CUSTOMER, rate, chosen.steady_seconds, chosen.users, chosen.seed + self._number
                )
            )
        return {**percentiles(answers.milliseconds), "failed": answers.failed}


def _steady_rounds(bench: Bench, rates: dict[str, float], rounds: int) -> dict[str, Any]:
    """Measure both at each rate, in turn; return, for each rate, the percentiles and the ratio of p99, ours / theirs."""
    found: dict[str, Any] = {}
    for name, rate in rates.items():
        runs: dict[str, list[dict[str, Any]]] = {OURS: [], FASTAPI: []}
        for number in range(rounds):
            for contestant in order((OURS, FASTAPI), number):
                one = bench.steady(contestant, rate)
                runs[contestant].append(one)
                say(f"steady {number + 1}/{rounds} {contestant} at {rate:,.0f} a second ({name}): {one} ms")
        ratios = [ours["p99"] / theirs["p99"] for ours, theirs in zip(runs[OURS], runs[FASTAPI], strict=True)]
        failed = sum(each["failed"] for each in runs[OURS])
        found[name] = {
            "rate": round(rate),
            "ratio": None if failed else round(statistics.median(ratios), 3),
            "p99_ms": {who: statistics.median(each["p99"] for each in of) for who, of in runs.items()},
            "runs": runs,
        }
    return found


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = options("collector", __doc__)
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="length of a run at full speed (default: %(default)s)"
    )
    parser.add_argument(
        "--connections", type=int, default=64, help="connections of wrk (default: %(default)s)"
    )
    parser.add_argument("--batch", type=int, default=500, help="events per batch (default: %(default)s)")
    parser.add_argument(
        "--batch-connections",
        type=int,
        default=8,
        help="connections that send batches (default: %(default)s); 64 would hold 32,000 events at once",
    )
    parser.add_argument(
        "--users", type=int, default=20_000, help="users in the requests (default: %(default)s)"
    )
    parser.add_argument(
        "--steady-seconds",
        type=float,
        default=8.0,
        help="length of a run at half load (default: %(default)s); 0 skips these runs",
    )
    parser.add_argument(
        "--only",
        nargs="*",
        choices=CONTESTANTS,
        default=CONTESTANTS,
        help="run only these contestants (default: all)",
    )
    return against.parse(parser, argv, tuple(TRIALS))


@contextmanager
def _bench(chosen: argparse.Namespace) -> Iterator[Bench]:
    with scratch("collector") as directory, own_kafka(directory) as broker:
        yield Bench(broker.bootstrap, directory, chosen)


@contextmanager
def _trials(chosen: argparse.Namespace) -> Iterator[list[against.Trial]]:
    with _bench(chosen) as bench:
        yield [
            against.Trial(name, partial(bench.answer, mode), against.rates()) for name, mode in TRIALS.items()
        ]


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark and print one JSON object as the last line; return 0 if no ratio is void, else 1."""
    chosen = _parse(argv)
    require_wrk()
    if chosen.against is not None:
        return against.run("collector", chosen, _trials)
    pairs = {name: pair for name, pair in PAIRS.items() if set(pair) <= set(chosen.only)}
    say(f"collector: {chosen.connections} connections, {chosen.seconds:g} s a run, batches of {chosen.batch}")
    with _bench(chosen) as bench:
        rounds = play(chosen.only, chosen.rounds, bench.run, say, "events")
        result = outcome(rounds, pairs)
        if chosen.steady_seconds and {OURS, FASTAPI} <= set(chosen.only):
            result |= _add_steady(result, bench, chosen.rounds)
    facts = {
        name: getattr(chosen, name)
        for name in ("connections", "batch", "batch_connections", "users", "seconds")
    }
    return finish("collector", {**result, **facts}, is_json=chosen.json)


def _add_steady(result: dict[str, Any], bench: Bench, rounds: int) -> dict[str, Any]:
    """Return the result with the ratio of p99 at the worse of the two rates, so that 1 or less holds at both."""
    greatest = {who: result["contestants"][who]["per_wall_second"] for who in (OURS, FASTAPI)}
    name = "p99_vs_fastapi"
    if None in greatest.values():
        return {
            "ratios": {**result["ratios"], name: None},
            "void": {**result["void"], name: "the rate at full speed is unknown"},
        }
    found = _steady_rounds(bench, {f"half of {who}": rate / 2 for who, rate in greatest.items()}, rounds)
    each = [one["ratio"] for one in found.values()]
    void = {} if None not in each else {name: "requests failed"}
    return {
        "ratios": {**result["ratios"], name: None if void else max(each)},
        "void": {**result["void"], **void},
        "steady": found,
    }


if __name__ == "__main__":
    sys.exit(main())
