"""Measures the lookups per CPU-second of a worker with many users, compared with servers that have the same facts in Redis.

A worker folds a journal, and a Redis gets the state that follows from the same events. Before anything is measured, all answer about the
same users; a kind of lookup with different answers has no ratio. wrk then sends each kind without a pause, to one server at a time. CPU is
that of a server's whole process tree, that of Redis included. At the end, an open loop measures response times at steady rates, of an idle
worker and of one that folds half of the events per second that it can.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks import against
from benchmarks.checkouts import Checkout
from benchmarks.command import finish, options, say, scratch
from benchmarks.lookup_bench import FOLDING_RATE, MOST_BEHIND_SECONDS, Bench, p99_ratio
from benchmarks.lookup_servers import Filled, Server, filled_peers, filled_worker
from benchmarks.ours import OURS
from benchmarks.processes import Program
from benchmarks.profiles import KINDS_OF_TRAFFIC, SHOP, Profiles
from benchmarks.questions import KINDS, questions
from benchmarks.redis_peers import FASTAPI_REDIS, PEERS, MissingPeerError, program_of
from benchmarks.rounds import Run, outcome, play
from benchmarks.wrk import require_wrk

WARM_USERS: Final = 300
FOLDING: Final = "p99_folding_vs_idle_fastapi_redis"
HOUR_MS: Final = 3_600_000


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = options("lookup", __doc__)
    parser.add_argument(
        "--users", type=int, default=200_000, help="users with profiles (default: %(default)s)"
    )
    parser.add_argument(
        "--events-per-user",
        type=int,
        default=51,
        help="mean number of events of a user (default: %(default)s)",
    )
    parser.add_argument(
        "--traffic",
        choices=KINDS_OF_TRAFFIC,
        default=SHOP,
        help="all events of a shop, or lists of 4 items as in `ingest` (default: %(default)s)",
    )
    parser.add_argument(
        "--hours",
        type=float,
        default=3.0,
        help="hours that the events are spread over (default: %(default)s)",
    )
    parser.add_argument(
        "--seconds", type=int, default=5, help="length of a run of wrk (default: %(default)s)"
    )
    parser.add_argument(
        "--connections", type=int, default=16, help="connections of wrk (default: %(default)s)"
    )
    parser.add_argument(
        "--kinds", nargs="+", choices=KINDS, default=KINDS, help="kinds of lookups (default: all)"
    )
    parser.add_argument(
        "--rates",
        nargs="*",
        type=float,
        default=(100.0, 300.0, 1_200.0),
        help="exclusion lookups per second of the open loop (default: %(default)s)",
    )
    parser.add_argument(
        "--steady-seconds",
        type=float,
        default=10.0,
        help="length of a run at a steady rate (default: %(default)s); 0 skips these runs",
    )
    parser.add_argument("--cache-bytes", type=int, help="UPTAKE_CACHE_BYTES of our worker (default: its own)")
    parser.add_argument(
        "--only",
        nargs="*",
        choices=(OURS, *PEERS),
        default=(OURS, *PEERS),
        help="run only these contestants (default: all)",
    )
    small = {"users": 2_000, "seconds": 1, "steady_seconds": 1.0}
    return against.parse(parser, argv, KINDS, small=small)


def _profiles(chosen: argparse.Namespace) -> Profiles:
    end_ms = int(time.time() - 60) * 1000
    span_ms = int(chosen.hours * HOUR_MS)
    return Profiles(chosen.users, chosen.events_per_user, chosen.seed, end_ms, span_ms, chosen.traffic)


def _bench(chosen: argparse.Namespace, profiles: Profiles) -> Bench:
    warm_users = min(WARM_USERS, profiles.users)
    asked = questions(profiles.users, warm_users, profiles.end_ms, chosen.seed)
    return Bench(asked, chosen.seconds, chosen.connections, chosen.seed)


@contextmanager
def _trials(chosen: argparse.Namespace) -> Iterator[list[against.Trial]]:
    profiles = _profiles(chosen)
    bench = _bench(chosen, profiles)
    with scratch("lookup") as directory, ExitStack() as stack:
        workers: dict[str, Filled] = {}

        def run_one(kind: str, run: Run, checkout: Checkout) -> None:
            if run.contestant not in workers:
                worker = filled_worker(
                    directory, run.contestant, profiles, chosen.partitions, chosen.cache_bytes, checkout
                )
                workers[run.contestant] = stack.enter_context(worker)
                bench.compare(workers[run.contestant].server, chosen.trials)
            bench.answer(kind, run, workers[run.contestant].server)

        yield [
            against.Trial(kind, partial(run_one, kind), against.rates("lookups"), "lookups") for kind in KINDS
        ]


def _programs(chosen: argparse.Namespace, directory: Path) -> tuple[dict[str, Program], dict[str, str]]:
    """Return the programs of the peers that were chosen, and why the others of them are left out."""
    programs: dict[str, Program] = {}
    left_out: dict[str, str] = {}
    for peer in [name for name in PEERS if name in chosen.only]:
        try:
            programs[peer] = program_of(peer, directory)
        except MissingPeerError as error:
            left_out[peer] = str(error)
            say(f"lookup: {peer} is left out: {error}")
    return programs, left_out


def _measure(chosen: argparse.Namespace, profiles: Profiles) -> dict[str, Any]:
    bench = _bench(chosen, profiles)
    result: dict[str, Any] = {"ratios": {}, "void": {}, "kinds": {}}
    with scratch("lookup") as directory, ExitStack() as stack:
        programs, result["left_out"] = _programs(chosen, directory)
        servers: dict[str, Server] = {}
        filled = None
        if OURS in chosen.only:
            worker = filled_worker(directory, OURS, profiles, chosen.partitions, chosen.cache_bytes)
            filled = stack.enter_context(worker)
            servers[OURS] = filled.server
        peers = stack.enter_context(filled_peers(directory, profiles, programs))
        servers |= {server.name: server for server in peers}
        for kind in chosen.kinds:
            asked = {name: each for name, each in servers.items() if kind in PEERS.get(name, KINDS)}
            _add_kind(result, bench, kind, asked, chosen.rounds)
        if chosen.steady_seconds:
            result["steady"] = bench.rates(servers, chosen.rates, chosen.rounds, chosen.steady_seconds)
            if filled is not None:
                result["folding"] = bench.while_folding(filled, profiles, chosen.steady_seconds)
        if filled is not None:
            result["folded_per_cpu_second"] = round(filled.per_cpu_second)
    _add_latencies(result)
    return result


def _add_kind(
    result: dict[str, Any], bench: Bench, kind: str, servers: Mapping[str, Server], rounds: int
) -> None:
    """Compare the answers to one kind of lookup, and measure all servers in turn."""
    for server in servers.values():
        bench.compare(server, [kind])
    played = play(
        list(servers),
        rounds,
        lambda run: bench.answer(kind, run, servers[run.contestant]),
        lambda line: say(f"{kind}: {line}"),
        "lookups",
    )
    pairs = {f"vs_{peer}": (OURS, peer) for peer in servers if OURS in servers and peer != OURS}
    found = outcome(played, pairs)
    for key in ("ratios", "void"):
        result[key] |= {f"{kind}_{name}": value for name, value in found.pop(key).items()}
    result["kinds"][kind] = found


def _add_latencies(result: dict[str, Any]) -> None:
    """Add the ratios of p99: at each rate, and while folding to that of the idle peer at the same rate."""
    ratios, void, steady = result["ratios"], result["void"], result.get("steady", {})
    for rate, runs in steady.items():
        for peer in [name for name in runs if name != OURS and OURS in runs]:
            name = f"p99_at_{rate}_vs_{peer}"
            ratios[name] = p99_ratio(runs, peer)
            if ratios[name] is None:
                void[name] = "requests failed"
    folding, idle = result.get("folding"), steady.get(f"{FOLDING_RATE:g}", {}).get(FASTAPI_REDIS)
    if folding is None or idle is None:
        return
    ratios[FOLDING] = p99_ratio({OURS: [folding] * len(idle), FASTAPI_REDIS: idle}, FASTAPI_REDIS)
    if folding["behind_seconds"] > MOST_BEHIND_SECONDS:
        ratios[FOLDING] = None
    if ratios[FOLDING] is None:
        void[FOLDING] = "requests failed, or the worker did not keep up with the events"


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark and print one JSON object as the last line; return 0 if no ratio is void, else 1."""
    chosen = _parse(argv)
    require_wrk()
    if chosen.against is not None:
        return against.run("lookup", chosen, _trials)
    profiles = _profiles(chosen)
    say(f"lookup: {profiles.users:,} users, {profiles.events_per_user} events each")
    result = {
        **_measure(chosen, profiles),
        "profiles": profiles.describe(),
        "cache_bytes": chosen.cache_bytes,
        "connections": chosen.connections,
        "seconds": chosen.seconds,
    }
    return finish("lookup", result, is_json=chosen.json)


if __name__ == "__main__":
    sys.exit(main())
