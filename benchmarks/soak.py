"""Measures whether the memory of a worker comes to rest: a shop's events at a steady rate, with logins, event ids and lookups.

Each event has an ``eid``, and a share of the events are logins. Lookups of all kinds follow one another, also of unknown users. The
resident memory of the worker is read every ten seconds. The ratio compares its median over the last two minutes with that over the two
minutes before two thirds of the run.
"""

import argparse
import asyncio
import itertools
import random
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import msgspec
from confluent_kafka import Producer

from app.demo.memory import resident_mb
from app.local.tcp_ports import free_port
from benchmarks import against
from benchmarks.checkouts import THIS, Checkout
from benchmarks.clients import Pool, exclusions, paced
from benchmarks.command import finish, options, own_kafka, say, scratch
from benchmarks.ours import READY, START_SECONDS, Ours
from benchmarks.processes import Contestant, running
from benchmarks.rounds import Run
from benchmarks.shop import MIX, Shop
from benchmarks.status import drained
from benchmarks.traffic import CUSTOMER, SCENARIOS, Record
from events.codec import decode, encode
from events.topics import JOURNAL

BAR: Final = 1.03
ANSWERED: Final = 0.999
"""The least share of lookups that are answered with 200. On a busy machine, a worker may lose contact with Kafka for a moment."""
SAMPLE_SECONDS: Final = 10.0
SPAN_SECONDS: Final = 120.0
LOGINS: Final = 100
"""Logins per thousand product pages, ten times those of a shop, so that a soak has as many as a long day."""
_FOREVER: Final = 10**9


class Feed:
    """Writes a shop's events as they happen now, each with an id of its own."""

    def __init__(self, kafka: str, records: Iterator[Record]) -> None:
        self._records = records
        self._producer = Producer({"bootstrap.servers": kafka, "linger.ms": 20, "log_level": 0})
        self.sent = 0
        self.lost = 0

    async def send(self, _due: float) -> None:
        """Write the next event."""
        record = next(self._records)
        now_ms = time.time_ns() // 1_000_000
        event = msgspec.structs.replace(
            decode(record.value), time_ms=now_ms, received_ms=now_ms, eid=f"e{self.sent}"
        )
        self._producer.produce(JOURNAL, encode(event), record.key, record.partition, on_delivery=self._done)
        self._producer.poll(0)
        self.sent += 1

    def _done(self, error: Any, _message: Any) -> None:
        self.lost += error is not None

    def finish(self) -> None:
        """Wait until Kafka has all events."""
        self.lost += self._producer.flush(60)


class Asker:
    """Asks the lookups of a recommender, an operator and people who watch the rates."""

    def __init__(self, port: int, users: int, seed: int) -> None:
        self._pool = Pool(port)
        self._users, self._draw = users, random.Random(seed)
        self._kinds = itertools.cycle(self._targets())
        self.answers: dict[int, int] = {}

    def _targets(self) -> list[str]:
        kinds = ["exclusions"] * 10 + ["user"] * 3 + ["filter"] * 3 + ["unknown"] * 2 + ["ctr", "status"]
        self._draw.shuffle(kinds)
        return kinds

    def _target(self, kind: str) -> str:
        user = f"u{self._draw.randrange(self._users)}"
        if kind == "user":
            return f"/v1/{CUSTOMER}/users/{user}"
        if kind == "unknown":
            return exclusions(CUSTOMER, f"absent{self._draw.randrange(10**9)}")
        if kind == "ctr":
            return f"/v1/{CUSTOMER}/ctr?scenario={self._draw.choice(SCENARIOS)}&by=variant"
        return "/v1/status" if kind == "status" else exclusions(CUSTOMER, user)

    async def ask(self, _due: float) -> None:
        """Ask the next lookup."""
        kind = next(self._kinds)
        if kind == "filter":
            candidates = [str(self._draw.randrange(5_000)) for _ in range(50)]
            target = f"/v1/{CUSTOMER}/users/u{self._draw.randrange(self._users)}/filter"
            answer = await self._pool.post(target, msgspec.json.encode({"candidates": candidates}))
        else:
            answer = await self._pool.get(self._target(kind))
        self.answers[answer.status] = self.answers.get(answer.status, 0) + 1

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()


async def soak(feed: Feed, asker: Asker, worker: Contestant, chosen: argparse.Namespace) -> list[float]:
    """Load a worker; return its resident memory in MB, once every ``SAMPLE_SECONDS``."""
    over = time.monotonic() + chosen.minutes * 60
    samples: list[float] = []

    def is_over() -> bool:
        return time.monotonic() > over

    async def sample(_due: float) -> None:
        worker.check()
        samples.append(resident_mb(worker.pid) or 0.0)
        if len(samples) % 6 == 1:
            say(f"soak: {len(samples) // 6} min, {samples[-1]:.1f} MB, {feed.sent} events, {asker.answers}")

    try:
        await asyncio.gather(
            paced(chosen.events, is_over, feed.send),
            paced(chosen.lookups, is_over, asker.ask),
            paced(1 / SAMPLE_SECONDS, is_over, sample),
        )
    finally:
        asker.close()
    return samples


def at_rest(samples: list[float], share: float) -> float:
    """Return the median over the ``SPAN_SECONDS`` that end at a share of the samples."""
    end = max(1, round(len(samples) * share))
    return statistics.median(samples[max(0, end - round(SPAN_SECONDS / SAMPLE_SECONDS)) : end])


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = options("soak", __doc__, rounds=None)
    parser.add_argument(
        "--minutes", type=float, default=30.0, help="length of the run (default: %(default)s)"
    )
    parser.add_argument(
        "--events", type=float, default=1_000.0, help="events per second (default: %(default)s)"
    )
    parser.add_argument(
        "--lookups", type=float, default=100.0, help="lookups per second (default: %(default)s)"
    )
    parser.add_argument(
        "--users", type=int, default=20_000, help="users in the events (default: %(default)s)"
    )
    return against.parse(parser, argv)


class _Soak(NamedTuple):
    """What one run found: memory samples in MB, events, answers by status, and why the run is void, if it is."""

    samples: list[float]
    events: int
    answers: dict[int, int]
    void: str | None


def _run(chosen: argparse.Namespace, checkout: Checkout = THIS) -> _Soak:
    """Load the worker of a checkout, on a broker of its own."""
    with scratch("soak") as directory, own_kafka(directory) as broker:
        ours = Ours(broker.bootstrap, directory, chosen.partitions).of(checkout)
        user = ours.customer.rules.user
        shop = Shop(
            _FOREVER,
            chosen.users,
            chosen.partitions,
            chosen.seed,
            0,
            mix={**MIX, "login": LOGINS},
            name=lambda number: user(f"u{number}"),
        )
        port = free_port()
        worker = ours.worker("worker", "soak", directory / "worker", port)
        with running(worker):
            worker.wait_for(READY, START_SECONDS)
            feed, asker = Feed(broker.bootstrap, shop.records()), Asker(port, chosen.users, chosen.seed)
            samples = asyncio.run(soak(feed, asker, worker, chosen))
            feed.finish()
            is_drained = _drains(port)
    reasons = {
        "events were lost": feed.lost > 0,
        "the worker did not keep up": not is_drained,
        f"too few answers were 200: {asker.answers}": asker.answers.get(200, 0)
        < ANSWERED * sum(asker.answers.values()),
    }
    void = next((reason for reason, is_so in reasons.items() if is_so), None)
    return _Soak(samples, feed.sent, asker.answers, void)


@contextmanager
def _trials(chosen: argparse.Namespace) -> Iterator[list[against.Trial]]:
    def measure(run: Run, checkout: Checkout) -> None:
        found = _run(chosen, checkout)
        run.count, run.void = found.events, found.void
        run.figures = {"memory_mb": at_rest(found.samples, 1.0)}
        run.verdict = f"{run.figures['memory_mb']:.1f} MB at the end"

    yield [against.Trial("soak", measure, (against.figure("memory_mb", against.LOWER),))]


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark and print one JSON object as the last line; return 0 if no ratio is void, else 1."""
    chosen = _parse(argv)
    if chosen.against is not None:
        return against.run("soak", chosen, _trials)
    found = _run(chosen)
    earlier, last = at_rest(found.samples, 2 / 3), at_rest(found.samples, 1.0)
    name = f"memory_at_the_end_vs_two_thirds_bar_{BAR}"
    say(f"soak: {earlier:.1f} MB after two thirds, {last:.1f} MB at the end")
    result = {
        "ratios": {name: None if found.void else round(last / earlier, 3)},
        "void": {name: found.void} if found.void else {},
        "mb": {
            f"{share:.0%}": round(at_rest(found.samples, share), 1) for share in (1 / 6, 1 / 3, 2 / 3, 1.0)
        },
        "samples_mb": [round(each, 1) for each in found.samples[::6]],
        "events": found.events,
        "lookups": found.answers,
        "minutes": chosen.minutes,
    }
    return finish("soak", result, is_json=chosen.json)


def _drains(port: int) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while drained([port]) is None:
        if time.monotonic() > deadline:
            return False
        time.sleep(1)
    return True


if __name__ == "__main__":
    sys.exit(main())
