"""How many `rendered` events a second of CPU does a worker fold and make durable, beside its peers?

Every contestant is a process of its own that consumes the same journal on the same broker into topics of its own; the clocks (wall,
and CPU of the whole process tree) run from its first event until everything is folded and committed. Then an independent reader folds
its changelog: a contestant whose counts are not those of the journal has no ratio.
"""

import argparse
import asyncio
import importlib.metadata
import json
import logging
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from confluent_kafka import Consumer, TopicPartition

from app.customers import create_customers_file
from app.kafka.broker import LocalBroker
from app.kafka.topics import ensure_topics
from app.ports import free_port
from app.settings import Settings
from benchmarks import journal, ledger
from benchmarks.peers.arguments import READY
from benchmarks.processes import Contestant, ContestantError
from benchmarks.traffic import CUSTOMER, Traffic
from benchmarks.transitions import transition_us
from events.topics import JOURNAL, META, POSITIONS, changelog

OURS: Final = "ours"
PEERS: Final = ("quix", "plain_faust", "bare_loop")
FEW: Final = "benchmark.events.few"
"""Fewer events of fewer users, as many for each, so that rows grow as large: for a peer that would take minutes over all."""
RUN_SECONDS: Final = 300.0
START_SECONDS: Final = 90.0


@dataclass
class Run:
    """What one contestant did in one round. ``void`` says why it counts for nothing, if it does not."""

    contestant: str
    events: int = 0
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    peak_mib: float = 0.0
    verdict: str = ""
    void: str | None = None

    @property
    def per_cpu_second(self) -> float:
        return self.events / self.cpu_seconds if self.cpu_seconds else 0.0

    @property
    def per_wall_second(self) -> float:
        return self.events / self.wall_seconds if self.wall_seconds else 0.0


class Bench:
    """A broker with the journal loaded, and what is needed to run contestants on it."""

    def __init__(self, broker: LocalBroker, directory: Path, traffic: Traffic, few: int, commit_ms: int):
        self._kafka, self._directory, self._traffic = broker.bootstrap, directory, traffic
        self._few, self._commit_ms = few, commit_ms
        self._settings = Settings(kafka=self._kafka, partitions=traffic.partitions)
        self._customers_file = directory / "uptake.toml"
        create_customers_file(self._customers_file, CUSTOMER)
        asyncio.run(ensure_topics(self._settings))
        journal.create_topics(self._kafka, [FEW], traffic.partitions, is_compacted=False)
        journal.load(self._kafka, JOURNAL, traffic.records())
        self._expected = {JOURNAL: ledger.count_journal(self._kafka, JOURNAL)}
        if few < traffic.events:
            users = max(1, traffic.users * few // traffic.events)
            journal.load(self._kafka, FEW, replace(traffic, events=few, users=users).records())
            self._expected[FEW] = ledger.count_journal(self._kafka, FEW)
        self._ends = {topic: journal.ends(self._kafka, topic) for topic in self._expected}

    def run(self, contestant: str) -> Run:
        """Run one contestant on fresh topics and an empty disk."""
        name = f"bench-{contestant}-{uuid.uuid4().hex[:8]}"
        state_dir = self._directory / name
        state_dir.mkdir()
        topic = FEW if contestant == "plain_faust" and FEW in self._expected else JOURNAL
        run = Run(contestant, sum(self._ends[topic].values()))
        try:
            if contestant == OURS:
                self._run_ours(run, name, state_dir)
                rows, user_of = changelog("rendered"), _key
            else:
                self._run_peer(run, name, topic, state_dir)
                rows, user_of = _changelog_of_peer(contestant, name, topic)
            found = ledger.count_changelog(self._kafka, rows, user_of)
            verdict = ledger.compare(self._expected[topic], found)
            run.verdict = str(verdict)
            if not verdict.is_exact:
                run.void = f"its changelog is not the count of the journal: {verdict}"
        except (ContestantError, TimeoutError, RuntimeError) as error:
            run.void = f"{type(error).__name__}: {error}"
        finally:
            journal.delete_topics(self._kafka, name)
            shutil.rmtree(state_dir, ignore_errors=True)
        return run

    def _run_ours(self, run: Run, name: str, state_dir: Path) -> None:
        """The real `uptake worker`. Its clocks start when its partitions are open, before its first fetch."""
        journal.delete_topics(self._kafka, "uptake.", keep=(JOURNAL, META))
        asyncio.run(ensure_topics(self._settings))
        arguments = ["-m", "app", "worker", "--port", str(free_port()), "--data-dir", str(state_dir)]
        env = {
            "UPTAKE_KAFKA": self._kafka,
            "UPTAKE_APP_ID": name,
            "UPTAKE_PARTITIONS": str(self._traffic.partitions),
            "UPTAKE_CUSTOMERS_FILE": str(self._customers_file),
            "UPTAKE_FLUSH_INTERVAL_MS": str(self._commit_ms),
        }
        with _committed_positions(self._kafka, self._traffic.partitions) as positions:
            worker = Contestant(run.contestant, arguments, self._directory, env)
            _measure(run, worker, "ready: partitions", lambda: positions() == self._ends[JOURNAL])

    def _run_peer(self, run: Run, name: str, topic: str, state_dir: Path) -> None:
        """A program of benchmarks/peers; done when the group's offsets, which it commits after its changelog, are the end."""
        if run.contestant == "bare_loop":
            tables = [f"{name}-{table}-changelog" for table in ("rendered", "impressions", "panes")]
            journal.create_topics(self._kafka, tables, self._traffic.partitions, is_compacted=True)
        arguments = ["-m", f"benchmarks.peers.{run.contestant}", "--kafka", self._kafka, "--topic", topic]
        arguments += ["--name", name, "--partitions", str(self._traffic.partitions)]
        arguments += ["--state-dir", str(state_dir), "--commit-seconds", str(self._commit_ms / 1000)]
        peer = Contestant(run.contestant, arguments, self._directory, {})
        if run.contestant == "plain_faust":
            # Its commits fall behind by far more than an interval (FAUST: gaps are counted twice), so it is let off them: it is
            # done when the last changelog record of every event, one an event, is on the broker.
            last = f"{name}-panes-changelog"
            _measure(run, peer, READY, lambda: sum(journal.ends(self._kafka, last).values()) >= run.events)
            return
        with _committed_offsets(self._kafka, name, topic, self._ends[topic]) as offsets:
            _measure(run, peer, READY, lambda: offsets() == self._ends[topic])


def _measure(run: Run, contestant: Contestant, begins: str, is_done: Callable[[], bool]) -> None:
    """Fill in what a contestant takes from the line that says it begins until everything is durable; then stop it."""
    try:
        contestant.wait_for(begins, START_SECONDS)
        started, cpu_before = time.monotonic(), contestant.cpu_seconds
        while not is_done():
            contestant.check()
            if time.monotonic() - started > RUN_SECONDS:
                raise ContestantError(f"not done after {RUN_SECONDS:.0f} s: {contestant.last_words()}")
            time.sleep(0.03)
        run.wall_seconds = time.monotonic() - started
        run.cpu_seconds = contestant.cpu_seconds - cpu_before
        run.peak_mib = contestant.peak_mib
    finally:
        contestant.stop()


@contextmanager
def _committed_positions(bootstrap: str, partitions: int) -> Iterator[Callable[[], dict[int, int]]]:
    """Yield what tells the journal's position in each partition that our flushes have committed so far."""
    reached: dict[int, int] = {}
    config = {"bootstrap.servers": bootstrap, "group.id": "benchmark-positions"}
    with closing(Consumer({**config, "isolation.level": "read_committed"})) as consumer:
        consumer.assign([TopicPartition(POSITIONS, number, 0) for number in range(partitions)])

        def positions() -> dict[int, int]:
            for message in consumer.consume(1_000, timeout=0):
                if message.error() is None:
                    reached[message.partition()] = json.loads(message.value()).get(JOURNAL, 0)
            return reached

        yield positions


@contextmanager
def _committed_offsets(
    bootstrap: str, group: str, topic: str, ends: dict[int, int]
) -> Iterator[Callable[[], dict[int, int]]]:
    """Yield what tells the offsets that a group has committed so far."""
    with closing(Consumer({"bootstrap.servers": bootstrap, "group.id": group})) as consumer:
        asked = [TopicPartition(topic, number) for number in ends]
        yield lambda: {found.partition: found.offset for found in consumer.committed(asked, timeout=10)}


def _key(key: bytes) -> bytes:
    return key


def _changelog_of_peer(contestant: str, name: str, topic: str) -> tuple[str, ledger.UserOf]:
    """Return a peer's changelog of `rendered` rows, and whose row a key of it is."""
    if contestant == "quix":
        return (
            f"changelog__{name}--{topic}--default",
            lambda key: key.removesuffix(b"|rendered") if key.endswith(b"|rendered") else None,
        )
    return f"{name}-rendered-changelog", _key


def ratios_of(
    rounds: Sequence[dict[str, Run]], rate: Callable[[Run], float]
) -> tuple[dict[str, float | None], dict[str, str]]:
    """Return ours / theirs for each peer, the median over the rounds, and why a ratio is null where it is.

    Runs of one round stand beside each other, so what else the machine does then meets both.
    """
    ratios: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    for peer in PEERS:
        pairs = [(runs[OURS], runs[peer]) for runs in rounds if OURS in runs and peer in runs]
        void = next((f"{run.contestant}: {run.void}" for pair in pairs for run in pair if run.void), None)
        if void is not None or not pairs:
            ratios[f"vs_{peer}"], reasons[f"vs_{peer}"] = None, void or "it did not run"
        else:
            ratios[f"vs_{peer}"] = round(
                statistics.median(rate(ours) / rate(their) for ours, their in pairs), 3
            )
    return ratios, reasons


def _order(contestants: Sequence[str], number: int) -> list[str]:
    """Return the order of a round: each is first, last and in between in turn, every other round backwards."""
    shift = number // 2 % len(contestants)
    order = [*contestants[shift:], *contestants[:shift]]
    return order if number % 2 == 0 else order[::-1]


def _summary(runs: list[Run]) -> dict[str, Any]:
    good = [run for run in runs if run.void is None]
    per_cpu = [run.per_cpu_second for run in good]
    return {
        "events": runs[0].events,
        "per_cpu_second": round(statistics.median(per_cpu)) if good else None,
        "per_wall_second": round(statistics.median(run.per_wall_second for run in good)) if good else None,
        "spread_percent": round(100 * (max(per_cpu) - min(per_cpu)) / statistics.median(per_cpu), 1)
        if good
        else None,
        "peak_mib": round(max(run.peak_mib for run in runs)),
        "rounds": [asdict(run) for run in runs],
    }


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest", description=__doc__)
    parser.add_argument("--json", action="store_true", help="only the JSON object on standard output")
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--few-events", type=int, default=40_000, help="for plain Faust, rates are an event")
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--partitions", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--commit-ms", type=int, default=1_000, help="flush or commit interval of everyone")
    parser.add_argument("--only", nargs="*", choices=(OURS, *PEERS), default=(OURS, *PEERS))
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; the last line printed is one JSON object. Return 0 when no ratio is void."""
    options = _parse(argv)
    start_ms = (int(time.time()) - options.events // 1_000 - 60) // 60 * 60_000
    traffic = Traffic(options.events, options.users, options.partitions, options.seed, start_ms)
    few = min(options.few_events, options.events)

    logging.getLogger("aiokafka").setLevel(
        logging.CRITICAL
    )  # new topics have no leader for a moment, and it says so

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    say(
        f"ingest: {options.events} events, {options.users} users, commit every {options.commit_ms} ms for all"
    )
    micros = transition_us(traffic)
    say(f"the transitions alone: {micros:.2f} us an event")
    rounds: list[dict[str, Run]] = []
    with tempfile.TemporaryDirectory(prefix="uptake-ingest-") as directory:
        broker = LocalBroker(Path(directory) / "kafka", report=say)
        try:
            broker.start()
            bench = Bench(broker, Path(directory), traffic, few, options.commit_ms)
            for number in range(options.rounds):
                runs: dict[str, Run] = {}
                rounds.append(runs)
                for contestant in _order(list(options.only), number):
                    run = runs[contestant] = bench.run(contestant)
                    say(
                        f"round {number + 1}/{options.rounds} {contestant}: {run.per_cpu_second:,.0f} events a CPU-second, "
                        f"{run.per_wall_second:,.0f} a second, {run.events:,} events, {(run.void or run.verdict).splitlines()[-1]}"
                    )
        finally:
            broker.destroy()
    ratios, reasons = ratios_of(rounds, lambda run: run.per_cpu_second)
    per_wall, _ = ratios_of(rounds, lambda run: run.per_wall_second)
    result = {
        "benchmark": "ingest",
        "ratios": ratios,
        "per_wall": per_wall,
        "void": reasons,
        "transition_us": round(micros, 2),
        "events": options.events,
        "users": options.users,
        "seed": options.seed,
        "rounds": options.rounds,
        "commit_ms": options.commit_ms,
        "traffic": traffic.describe(),
        "contestants": {name: _summary([runs[name] for runs in rounds]) for name in options.only},
        "cores": os.cpu_count(),
        "versions": {
            "python": platform.python_version(),
            **{
                name: importlib.metadata.version(name)
                for name in ("faust-streaming", "quixstreams", "aiokafka", "msgspec", "rocksdict", "uvloop")
            },
        },
    }
    if not options.json:
        print(json.dumps(result, indent=2))
    print(json.dumps(result))
    return 0 if not reasons else 1


if __name__ == "__main__":
    sys.exit(main())
