"""How much of its throughput does a worker keep when the same events come from ten times as many users?

The traffic of `ingest`, drawn from few and from many users, each loaded into a broker of its own; a worker folds them in turn. With more
users fewer of an event's rows are in memory, and each row is smaller. Counts are compared with the journal's after each run.
"""

import argparse
import shutil
import sys
import uuid
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks.command import finish, options, own_kafka, say, scratch
from benchmarks.ours import Ours
from benchmarks.rounds import Run, outcome, play
from benchmarks.traffic import Traffic, start_ms

FEW, MANY = "few_users", "many_users"
TIMES: Final = 10


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = options("users", __doc__)
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--users", type=int, default=20_000, help=f"few; many are {TIMES} times as many")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; the last line printed is one JSON object. Return 0 when no ratio is void."""
    chosen = _parse(argv)
    few = Traffic(chosen.events, chosen.users, chosen.partitions, chosen.seed, start_ms(chosen.events))
    traffics = {FEW: few, MANY: replace(few, users=few.users * TIMES)}
    say(f"users: {few.events} events, of {few.users} users and of {traffics[MANY].users}")
    with scratch("users") as directory, ExitStack() as brokers:
        systems: dict[str, Ours] = {}
        for name, traffic in traffics.items():
            broker = brokers.enter_context(own_kafka(directory, f"kafka-{name}"))
            systems[name] = Ours(broker.bootstrap, directory, traffic.partitions)
        loaded = {name: systems[name].load(traffic.records()) for name, traffic in traffics.items()}

        def run_one(run: Run) -> None:
            app_id = f"bench-{uuid.uuid4().hex[:8]}"
            data_dir: Path = directory / app_id
            try:
                systems[run.contestant].fold(run, loaded[run.contestant], app_id, data_dir)
            finally:
                shutil.rmtree(data_dir, ignore_errors=True)

        rounds = play((FEW, MANY), chosen.rounds, run_one, say, "events")
    result = {
        **outcome(rounds, {f"throughput_{TIMES}x_users": (MANY, FEW)}),
        "traffic": {name: traffic.describe() for name, traffic in traffics.items()},
    }
    return finish("users", result, is_json=chosen.json)


if __name__ == "__main__":
    sys.exit(main())
