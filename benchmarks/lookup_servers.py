"""Servers that `lookup` asks: our worker after it folded a journal, and peers with the same facts in Redis."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.local.tcp_ports import free_port
from benchmarks import journal
from benchmarks.checkouts import THIS, Checkout
from benchmarks.command import own_kafka, say
from benchmarks.ours import READY, START_SECONDS, Ours
from benchmarks.processes import Contestant, Program, measure, running
from benchmarks.profiles import Profiles
from benchmarks.redis_server import REDIS_READY, load_profiles, start_redis
from benchmarks.rounds import Run
from events.topics import JOURNAL

_LEAST_RATE: Final = 1_000
"""Events per second; a worker that folds fewer is given up."""
_STALE_MS: Final = 86_400_000
"""A worker without new events must not refuse lookups in the meantime."""


@dataclass(frozen=True)
class Server:
    """What answers on ``port``: one process or several, whose CPU counts together. Its files are in ``directory``."""

    name: str
    port: int
    processes: tuple[Contestant, ...]
    directory: Path


@dataclass(frozen=True)
class Filled:
    """Our worker with its broker, and the events per second that it folded to fill its state."""

    server: Server
    ours: Ours
    per_wall_second: float
    per_cpu_second: float


@contextmanager
def filled_worker(
    directory: Path,
    name: str,
    profiles: Profiles,
    partitions: int,
    cache_bytes: int | None,
    checkout: Checkout = THIS,
) -> Iterator[Filled]:
    """Yield the worker of a checkout that has folded all events of the profiles, on a broker of its own."""
    place = directory / name
    place.mkdir()
    with own_kafka(place) as broker:
        ours = Ours(broker.bootstrap, place, partitions).of(checkout)
        records = profiles.records(partitions, ours.customer.rules.user)
        run = Run(name, journal.load(ours.kafka, JOURNAL, records))
        ends, port = journal.ends(ours.kafka, JOURNAL), free_port()
        env = {"UPTAKE_MAX_STALE_MS": str(_STALE_MS)}
        if cache_bytes is not None:
            env["UPTAKE_CACHE_BYTES"] = str(cache_bytes)
        worker = ours.worker("worker", "bench", place / "state", port, **env)
        with running(worker):
            worker.wait_for(READY, START_SECONDS)
            with ours.positions() as positions:
                limit_seconds = START_SECONDS + run.count / _LEAST_RATE
                measure(run, [worker], lambda: positions() == ends, limit_seconds)
            say(f"lookup: {name} folded {run.count:,} events, {run.per_cpu_second:,.0f} a CPU-second")
            server = Server(name, port, (worker,), place)
            yield Filled(server, ours, run.per_wall_second, run.per_cpu_second)


@contextmanager
def filled_peers(
    directory: Path, profiles: Profiles, programs: Mapping[str, Program]
) -> Iterator[list[Server]]:
    """Yield the peers in front of one Redis that holds the same facts. Its CPU counts for the peer that is asked."""
    if not programs:
        yield []
        return
    redis, socket = start_redis(directory)
    with running(redis), ExitStack() as stack:
        redis.wait_for(REDIS_READY, START_SECONDS)
        seconds = load_profiles(socket, profiles.histories())
        say(f"lookup: Redis loaded {profiles.users:,} profiles in {seconds:.0f} s")
        servers = []
        for name, program in programs.items():
            place, port = directory / name, free_port()
            place.mkdir()
            told = ["--socket", str(socket), "--port", str(port)]
            api = Contestant(name, told, place, {}, program)
            stack.enter_context(running(api))
            api.wait_for_port(port, START_SECONDS)
            servers.append(Server(name, port, (api, redis), place))
        yield servers
