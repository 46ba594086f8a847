"""Measures how long each kind of lookup keeps other requests waiting: the delay of a tiny request next to it, less that without it.

Two workers restore 2,000 scenarios, 1,000 users and a few users with full profiles. A thread for each worker asks for `/health/live`
again and again. Its longest delay while one kind of lookup is answered is compared with the longest in a quiet time of the same length.
"""

import argparse
import socket
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

from app.local.tcp_ports import free_port
from benchmarks import against, journal
from benchmarks.checkouts import THIS, Checkout
from benchmarks.command import finish, options, own_kafka, say, scratch
from benchmarks.lag_state import State
from benchmarks.lookup_kinds import Lookup, kinds
from benchmarks.ours import READY, START_SECONDS, Ours
from benchmarks.processes import Contestant, ContestantError, running
from benchmarks.rounds import Run
from benchmarks.status import drained
from events.topics import POSITIONS, changelog

BAR_MS: Final = 20.0
TIMEOUT_S: Final = 120.0
_PROBE: Final = b"GET /health/live HTTP/1.1\r\nHost: probe\r\n\r\n"
_PAUSE_S: Final = 0.001
_OWN: Final = Path("/proc/thread-self/schedstat")
_CHUNK: Final = 1 << 20


class Probe(threading.Thread):
    """Asks one worker for `/health/live` again and again, and keeps the longest delay since the last ``take``.

    Time in which the worker or this thread could have run, but had no core, is not part of a delay.
    """

    def __init__(self, port: int, pid: int) -> None:
        super().__init__(daemon=True)
        self._worker = Path(f"/proc/{pid}/schedstat")
        self._socket = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
        self._lock = threading.Lock()
        self._is_over = False
        self._longest_ms = 0.0

    def run(self) -> None:
        while not self._is_over:
            sent_s, waited_s = time.perf_counter(), self._waited_s()
            self._socket.sendall(_PROBE)
            if not self._socket.recv(4_096):
                return
            delay_s = time.perf_counter() - sent_s - (self._waited_s() - waited_s)
            delay_ms = max(0.0, delay_s) * 1000
            with self._lock:
                self._longest_ms = max(self._longest_ms, delay_ms)
            time.sleep(_PAUSE_S)

    def _waited_s(self) -> float:
        """Return for how long the worker's main thread and this thread have waited for a core so far."""
        return sum(int(path.read_text().split()[1]) for path in (self._worker, _OWN)) / 1e9

    def take(self) -> float:
        """Return the longest delay since the last call, in milliseconds."""
        with self._lock:
            longest_ms, self._longest_ms = self._longest_ms, 0.0
        return longest_ms

    def finish(self) -> None:
        self._is_over = True
        self.join(TIMEOUT_S)
        self._socket.close()


def ask(port: int, lookup: Lookup) -> int:
    """Send a lookup, read the answer without looking into it, and return its status."""
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request(lookup.method, lookup.target, lookup.body or None, lookup.headers)
        response = connection.getresponse()
        while response.read(_CHUNK):
            pass
        return response.status
    finally:
        connection.close()


class Bench:
    """Two workers with probes. The first is asked, and asks the second for what that owns."""

    def __init__(self, workers: Mapping[int, Contestant], least_s: float) -> None:
        """``workers`` are those that listen on each port."""
        self._port, self._least_s = next(iter(workers)), least_s
        self._probes = [Probe(port, worker.pid) for port, worker in workers.items()]
        for probe in self._probes:
            probe.start()

    def measure(self, lookup: Lookup) -> dict[str, float]:
        """Return the longest delays with and without a lookup, and their difference, in milliseconds."""
        self._take()
        started, times = time.perf_counter(), 0
        while time.perf_counter() - started < self._least_s or not times:
            status = ask(self._port, lookup)
            if status != lookup.status:
                raise ContestantError(f"{lookup.name} was answered {status}, not {lookup.status}")
            times += 1
        seconds = time.perf_counter() - started
        time.sleep(_PAUSE_S * 50)  # what is freed after the answer counts too
        with_ms = self._take()
        time.sleep(seconds)
        without_ms = self._take()
        return {
            "with_ms": round(with_ms, 1),
            "without_ms": round(without_ms, 1),
            "more_ms": round(with_ms - without_ms, 1),
            "each_ms": round(seconds / times * 1000, 1),
        }

    def _take(self) -> float:
        return max(probe.take() for probe in self._probes)

    def finish(self) -> None:
        for probe in self._probes:
            probe.finish()


@contextmanager
def _bench(chosen: argparse.Namespace, state: State, checkout: Checkout = THIS) -> Iterator[Bench]:
    with scratch("loop-lag") as directory, own_kafka(directory) as broker:
        ours = Ours(broker.bootstrap, directory, chosen.partitions).of(checkout)
        now_ms = int(time.time() * 1000)
        say("loop_lag: filling the changelogs")
        for table, records in state.changelogs(ours.customer.rules.user, chosen.partitions, now_ms):
            journal.load(ours.kafka, changelog(table), records)
        journal.load(ours.kafka, POSITIONS, journal.positions(chosen.partitions, now_ms))
        with _workers(ours, directory) as workers:
            bench = Bench(workers, chosen.least_seconds)
            try:
                yield bench
            finally:
                bench.finish()


@contextmanager
def _workers(ours: Ours, directory: Path) -> Iterator[dict[int, Contestant]]:
    workers = {
        port: ours.worker(f"worker-{port}", "bench", directory / f"worker-{port}", port)
        for port in (free_port(), free_port())
    }
    with running(*workers.values()):
        for worker in workers.values():
            worker.wait_for(READY, START_SECONDS)
        deadline = time.monotonic() + START_SECONDS
        while drained(list(workers)) is None:  # the second worker takes over partitions of the first
            if time.monotonic() > deadline:
                raise ContestantError("the two workers do not become ready")
            time.sleep(0.2)
        yield workers


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = options("loop_lag", __doc__)
    parser.add_argument(
        "--scenarios", type=int, default=2_000, help="scenarios with windows (default: %(default)s)"
    )
    parser.add_argument(
        "--users",
        type=int,
        default=1_000,
        help="users of the filter for many, at most 1000 (default: %(default)s)",
    )
    parser.add_argument(
        "--least-seconds",
        type=float,
        default=1.0,
        help="each kind is asked again for this long (default: %(default)s)",
    )
    parser.add_argument("--kinds", nargs="*", help="measure only these kinds (default: all)")
    return against.parse(parser, argv)


def _kinds(chosen: argparse.Namespace, state: State) -> list[Lookup]:
    return [kind for kind in kinds(state) if not chosen.kinds or kind.name in chosen.kinds]


@contextmanager
def _trials(chosen: argparse.Namespace) -> Iterator[list[against.Trial]]:
    state = State(chosen.scenarios, chosen.users, chosen.seed)
    asked = _kinds(chosen, state)

    def run_one(run: Run, checkout: Checkout) -> None:
        with _bench(chosen, state, checkout) as bench:
            run.figures = {f"{kind.name}_ms": bench.measure(kind)["with_ms"] for kind in asked}

    measures = tuple(against.figure(f"{kind.name}_ms", against.LOWER) for kind in asked)
    yield [against.Trial("loop_lag", run_one, measures, unit="lookups")]


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark and print one JSON object as the last line; return 0 if every kind was answered as expected, else 1."""
    chosen = _parse(argv)
    if chosen.against is not None:
        return against.run("loop_lag", chosen, _trials)
    state = State(chosen.scenarios, chosen.users, chosen.seed)
    asked = _kinds(chosen, state)
    found: dict[str, list[dict[str, float]]] = {kind.name: [] for kind in asked}
    void: dict[str, str] = {}
    with _bench(chosen, state) as bench:
        for number in range(chosen.rounds):
            for kind in asked:
                try:
                    one = bench.measure(kind)
                except (ContestantError, OSError) as error:
                    void[kind.name] = str(error)
                    say(f"loop_lag: round {number + 1}, {kind.name} is void: {error}")
                    continue
                found[kind.name].append(one)
                say(f"loop_lag: round {number + 1}, {kind.name}: {one}")
    more_ms = {
        name: round(statistics.median(one["more_ms"] for one in rounds), 1)
        for name, rounds in found.items()
        if rounds
    }
    result = {
        "more_ms": more_ms,
        "beyond_bar": {name: ms for name, ms in more_ms.items() if ms > BAR_MS},
        "bar_ms": BAR_MS,
        "void": void,
        "rounds": found,
        "scenarios": state.scenarios,
        "users": state.users,
    }
    return finish("loop_lag", result, is_json=chosen.json)


if __name__ == "__main__":
    sys.exit(main())
