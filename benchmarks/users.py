"""Measures how much of its throughput a worker keeps when the same number of events comes from ten times as many users.

The traffic is that of `ingest`, drawn from few and from many users, each on a broker of its own. A worker folds them in turn. With more
users, fewer of an event's rows are in memory, and each row is smaller. After each run, the counts are compared with the journal.
"""

import argparse
import shutil
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks import against
from benchmarks.checkouts import THIS, Checkout
from benchmarks.command import finish, options, own_kafka, say, scratch
from benchmarks.ours import Loaded, Ours
from benchmarks.rounds import Run, outcome, play
from benchmarks.traffic import Traffic, start_ms

FEW, MANY = "few_users", "many_users"
TIMES: Final = 10


class Bench:
    """Runs workers on one broker for each number of users, which holds their journal."""

    def __init__(self, directory: Path, systems: Mapping[str, Ours], loaded: Mapping[str, Loaded]) -> None:
        self._directory, self._systems, self._loaded = directory, systems, loaded

    def run(self, run: Run) -> None:
        """Fold the journal of few or of many users."""
        self.fold(run.contestant, run, THIS)

    def fold(self, users: str, run: Run, checkout: Checkout) -> None:
        """Let the worker of a checkout fold one of the journals into new topics and an empty directory."""
        app_id = f"bench-{uuid.uuid4().hex[:8]}"
        data_dir = self._directory / app_id
        try:
            self._systems[users].of(checkout).fold(run, self._loaded[users], app_id, data_dir)
        finally:
            shutil.rmtree(data_dir, ignore_errors=True)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = options("users", __doc__)
    parser.add_argument(
        "--events", type=int, default=500_000, help="events in each journal (default: %(default)s)"
    )
    parser.add_argument(
        "--users",
        type=int,
        default=20_000,
        help=f"the smaller number of users (default: %(default)s); the larger is {TIMES} times as many",
    )
    return against.parse(parser, argv, (FEW, MANY))


def _traffics(chosen: argparse.Namespace) -> dict[str, Traffic]:
    few = Traffic(chosen.events, chosen.users, chosen.partitions, chosen.seed, start_ms(chosen.events))
    return {FEW: few, MANY: replace(few, users=few.users * TIMES)}


@contextmanager
def _bench(traffics: Mapping[str, Traffic]) -> Iterator[Bench]:
    with scratch("users") as directory, ExitStack() as brokers:
        systems: dict[str, Ours] = {}
        for name, traffic in traffics.items():
            broker = brokers.enter_context(own_kafka(directory, f"kafka-{name}"))
            systems[name] = Ours(broker.bootstrap, directory, traffic.partitions)
        loaded = {name: systems[name].load(traffic.records()) for name, traffic in traffics.items()}
        yield Bench(directory, systems, loaded)


@contextmanager
def _trials(chosen: argparse.Namespace) -> Iterator[list[against.Trial]]:
    with _bench({name: each for name, each in _traffics(chosen).items() if name in chosen.trials}) as bench:
        yield [against.Trial(name, partial(bench.fold, name), against.rates()) for name in (FEW, MANY)]


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark and print one JSON object as the last line; return 0 if no ratio is void, else 1."""
    chosen = _parse(argv)
    if chosen.against is not None:
        return against.run("users", chosen, _trials)
    traffics = _traffics(chosen)
    few = traffics[FEW]
    say(f"users: {few.events} events, of {few.users} users and of {traffics[MANY].users}")
    with _bench(traffics) as bench:
        rounds = play((FEW, MANY), chosen.rounds, bench.run, say, "events")
    result = {
        **outcome(rounds, {f"throughput_{TIMES}x_users": (MANY, FEW)}),
        "traffic": {name: traffic.describe() for name, traffic in traffics.items()},
    }
    return finish("users", result, is_json=chosen.json)


if __name__ == "__main__":
    sys.exit(main())
