"""Measures how soon a lookup shows an accepted event, while the system carries half of the load that it sustains.

Collector, Kafka, one worker and the client share the machine. First, the client sends events as fast as the collector accepts them, and
waits until all are durable. Their number per second is the sustained load. Then the client sends half of that at a steady rate, together
with probes. A probe is an event of a new user; after its 2xx, exclusion lookups follow one another until one shows its item. At the end,
the accepted events, the journal and the counts of the changelog are compared.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import uvloop

from app.local.tcp_ports import free_port
from benchmarks import against, journal
from benchmarks.checkouts import Checkout
from benchmarks.clients import Pool, exclusions, paced, percentiles
from benchmarks.command import finish, options, own_kafka, say, scratch
from benchmarks.ours import OURS, READY, START_SECONDS, TAKES, Loaded, Ours
from benchmarks.processes import running
from benchmarks.rounds import Run
from benchmarks.traffic import CUSTOMER, SCENARIOS
from events.topics import JOURNAL

BAR_MS: Final = 500
CONNECTIONS: Final = 32
POLL_SECONDS: Final = 0.002
POLL_SHARE: Final = 0.1
"""Pause before the next lookup of a probe, as a share of the time it has waited. Slow probes must not keep the worker busy."""
DRAIN_SECONDS: Final = 120.0


class Client:
    """The client of the collector and the worker; it keeps the times that they took, in milliseconds."""

    def __init__(self, collector_port: int, worker_port: int, users: int, seed: int) -> None:
        self._collector, self._worker = Pool(collector_port), Pool(worker_port)
        self._users, self._draw = users, random.Random(seed)
        self.accepted = self.refused = 0
        self.probes = 0
        self.visible_ms: list[float] = []
        self.lookup_ms: list[float] = []

    async def send(self, user: str, items: str) -> bool:
        """Send an impression; return whether it was accepted."""
        scenario = self._draw.choice(SCENARIOS)
        answer = await self._collector.get(f"/api/{CUSTOMER}/rendered/{user}/1/{items}?scenario={scenario}")
        is_accepted = 200 <= answer.status < 300
        self.accepted += is_accepted
        self.refused += not is_accepted
        return is_accepted

    async def send_any(self, _due: float = 0.0) -> None:
        """Send an impression of four items for a random user."""
        draw = self._draw.randrange
        await self.send(f"u{draw(self._users)}", ",".join(str(draw(1, 5_001)) for _ in range(4)))

    async def look_up(self, due: float) -> None:
        """Look up the exclusions of a random user."""
        user = f"u{self._draw.randrange(self._users)}"
        answer = await self._worker.get(exclusions(CUSTOMER, user))
        if answer.status == 200:
            self.lookup_ms.append((time.monotonic() - due) * 1000)

    async def probe(self, _due: float) -> None:
        """Send an event of a new user, and repeat a lookup until it shows the event."""
        self.probes += 1
        user = f"probe{self.probes}"
        if not await self.send(user, "777"):
            return
        accepted = time.monotonic()
        target = f"/v1/{CUSTOMER}/users/{user}/exclusions?threshold=1&within=PT30M&reasons=rendered"
        while True:
            answer = await self._worker.get(target)
            if answer.status == 200 and b'"777"' in answer.body:
                self.visible_ms.append((time.monotonic() - accepted) * 1000)
                return
            await asyncio.sleep(max(POLL_SECONDS, POLL_SHARE * (time.monotonic() - accepted)))

    async def status(self) -> dict[str, Any]:
        """Return /v1/status of the worker."""
        status: dict[str, Any] = json.loads((await self._worker.get("/v1/status")).body)
        return status

    async def drained(self, ends: Callable[[], dict[int, int]]) -> None:
        """Return when everything in the journal is durable; TimeoutError after ``DRAIN_SECONDS``."""
        deadline, wanted = time.monotonic() + DRAIN_SECONDS, ends()
        while time.monotonic() < deadline:
            partitions = (await self.status())["partitions"]
            durable = {int(number): each["durable"].get(JOURNAL, 0) for number, each in partitions.items()}
            if durable == wanted:
                return
            await asyncio.sleep(0.05)
        raise TimeoutError("the worker does not catch up")

    def close(self) -> None:
        self._collector.close()
        self._worker.close()


async def measure(
    client: Client, chosen: argparse.Namespace, ends: Callable[[], dict[int, int]], load: float | None
) -> tuple[float, float]:
    """Find the sustained load, then measure at ``load``, or at half of the sustained one; return both in events per second."""
    await _flood(client, 2.0)  # warms caches, connections and code
    await client.drained(ends)
    before, started = client.accepted, time.monotonic()
    await _flood(client, chosen.flood_seconds)
    await client.drained(ends)
    sustained = (client.accepted - before) / (time.monotonic() - started)
    load = load or sustained / 2
    say(f"freshness: the system sustains {sustained:,.0f} events a second; the load is {load:,.0f} a second")
    over = time.monotonic() + chosen.seconds

    def is_over() -> bool:
        return time.monotonic() > over

    await asyncio.gather(
        paced(load, is_over, client.send_any),
        paced(chosen.probes, is_over, client.probe),
        paced(chosen.lookups, is_over, client.look_up),
    )
    await client.drained(ends)
    return sustained, load


async def _flood(client: Client, seconds: float) -> None:
    over = time.monotonic() + seconds

    async def sender() -> None:
        while time.monotonic() < over:
            await client.send_any()

    await asyncio.gather(*(sender() for _ in range(CONNECTIONS)))


def _play(
    run: Run, ours: Ours, directory: Path, chosen: argparse.Namespace, load: float | None = None
) -> dict[str, Any]:
    """Measure once, fill in the run, and return the figures."""
    ports = free_port(), free_port()
    collector = ours.start("collector", "collector", "bench", directory, ports[0])
    worker = ours.worker("worker", "bench", directory / "worker", ports[1])
    with running(collector, worker):
        worker.wait_for(READY, START_SECONDS)
        collector.wait_for(TAKES, START_SECONDS)
        collector.wait_for_port(ports[0], START_SECONDS)
        ends = lambda: journal.ends(ours.kafka, JOURNAL)  # noqa: E731 - called repeatedly

        async def play() -> tuple[Client, float, float]:
            client = Client(*ports, chosen.users, chosen.seed)
            try:
                return client, *await measure(client, chosen, ends, load)
            finally:
                client.close()

        started = time.monotonic()
        client, sustained, load = uvloop.run(play())
        run.count, run.wall_seconds = client.accepted, time.monotonic() - started
        run.cpu_seconds = collector.cpu_seconds + worker.cpu_seconds
        run.peak_mib = collector.peak_mib + worker.peak_mib
        loaded = Loaded(ours.count(), ends())
    ours.check(run, loaded)
    if loaded.events != client.accepted:
        run.void = f"{client.accepted} events were accepted, the journal has {loaded.events}"
    elif not client.visible_ms:
        run.void = run.void or "no probe became visible"
    return {
        "sustained_per_second": round(sustained),
        "load_per_second": round(load),
        "visible_ms": percentiles(client.visible_ms),
        "lookup_ms": percentiles(client.lookup_ms),
        "accepted": client.accepted,
        "refused": client.refused,
        "verdict": run.verdict,
    }


class _Trial:
    """Applies the same load in every run: half of what the first run sustains."""

    def __init__(self, chosen: argparse.Namespace) -> None:
        self._chosen = chosen
        self._load: float | None = None

    def run(self, run: Run, checkout: Checkout) -> None:
        """Measure collector and worker of a checkout, on a broker of their own."""
        with scratch("freshness") as directory, own_kafka(directory) as broker:
            ours = Ours(broker.bootstrap, directory, self._chosen.partitions).of(checkout)
            measured = _play(run, ours, directory, self._chosen, self._load)
        self._load = measured["load_per_second"]
        run.figures = {
            "visible_p50_ms": measured["visible_ms"]["p50"] or 0.0,
            "visible_p99_ms": measured["visible_ms"]["p99"] or 0.0,
            "sustained_per_second": measured["sustained_per_second"],
        }
        run.verdict = f"visible after {run.figures['visible_p99_ms']} ms (p99), {run.verdict}"


@contextmanager
def _trials(chosen: argparse.Namespace) -> Iterator[list[against.Trial]]:
    measures = (
        against.figure("visible_p50_ms", against.LOWER),
        against.figure("visible_p99_ms", against.LOWER),
        against.figure("sustained_per_second", against.HIGHER),
    )
    yield [against.Trial("freshness", _Trial(chosen).run, measures)]


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = options("freshness", __doc__, rounds=None)
    parser.add_argument(
        "--seconds", type=float, default=30.0, help="length of the run at half load (default: %(default)s)"
    )
    parser.add_argument(
        "--flood-seconds",
        type=float,
        default=10.0,
        help="length of the run that finds the sustained load (default: %(default)s)",
    )
    parser.add_argument(
        "--users", type=int, default=20_000, help="users in the events (default: %(default)s)"
    )
    parser.add_argument("--probes", type=float, default=25.0, help="probes per second (default: %(default)s)")
    parser.add_argument(
        "--lookups",
        type=float,
        default=50.0,
        help="lookups per second, in addition to those of the probes (default: %(default)s)",
    )
    return against.parse(parser, argv)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark and print one JSON object as the last line; return 0 if no ratio is void, else 1."""
    chosen = _parse(argv)
    if chosen.against is not None:
        return against.run("freshness", chosen, _trials)
    run = Run(OURS)
    with scratch("freshness") as directory, own_kafka(directory) as broker:
        measured = _play(run, Ours(broker.bootstrap, directory, chosen.partitions), directory, chosen)
    say(
        f"visible after {measured['visible_ms']} ms, lookups {measured['lookup_ms']} ms, {measured['verdict']}"
    )
    name = f"visible_p99_vs_{BAR_MS}_ms"
    p99 = measured["visible_ms"]["p99"]
    result = {
        "ratios": {name: None if run.void else round(p99 / BAR_MS, 3)},
        "void": {name: run.void} if run.void else {},
        **measured,
        "seconds": chosen.seconds,
        "users": chosen.users,
    }
    return finish("freshness", result, is_json=chosen.json)


if __name__ == "__main__":
    sys.exit(main())
