"""Runs our own processes as contestants: the commands that users run, on the broker and topics of a benchmark."""

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from confluent_kafka import Consumer, TopicPartition

from app.base.settings import Settings
from app.customers.customer import CTR_DIMENSIONS
from app.customers.customer_registry import create_customers_file
from app.kafka.topics import ensure_topics
from app.local.tcp_ports import free_port
from benchmarks import journal, ledger
from benchmarks.cache_budget import WORKER_BYTES
from benchmarks.checkouts import THIS, Checkout
from benchmarks.processes import RUN_SECONDS, Contestant, Words, measure, running
from benchmarks.progress import Progress
from benchmarks.rounds import Run
from benchmarks.traffic import CUSTOMER, Record
from events.topics import JOURNAL, META, POSITIONS, changelog

OURS: Final = "ours"
# Wordings of older checkouts, or parts of them, stay behind the present one: `--against` waits for them as well.
TAKING_UP: Final[Words] = ("opening partitions", "up partitions")
"""What a worker logs when it knows its partitions, before it opens them."""
READY: Final[Words] = ("ready: partitions",)
"""What a worker logs when its partitions are open, before its first fetch."""
TAKES: Final[Words] = ("answers, all topics are there",)
"""What a collector logs when it can accept events."""
START_SECONDS: Final = 90.0
_FEWEST_A_SECOND: Final = 1_000
"""A run may take as long as a contestant needs that folds so few events a second."""


@dataclass
class Loaded:
    """A topic of events: its counts by plain counting, and the end offset of each partition."""

    expected: ledger.Shown
    ends: dict[int, int]

    @property
    def events(self) -> int:
        return sum(self.ends.values())

    @property
    def seconds(self) -> float:
        """How long a run over these events may take."""
        return max(RUN_SECONDS, self.events / _FEWEST_A_SECOND)


class Ours:
    """Our system on one broker. ``flush_ms`` is the flush interval of its workers."""

    def __init__(self, kafka: str, directory: Path, partitions: int, flush_ms: int = 1_000) -> None:
        self.kafka, self._directory, self.partitions, self._flush_ms = kafka, directory, partitions, flush_ms
        self._checkout = THIS
        self._settings = Settings(kafka=kafka, partitions=partitions)
        self.customers_file = directory / f"{kafka.rpartition(':')[2]}.toml"
        self.customer = create_customers_file(self.customers_file, CUSTOMER)
        asyncio.run(ensure_topics(self._settings))

    def customers_without(self, dimensions: Iterable[str]) -> Path:
        """Return a customers file in which the customer does not count these dimensions of CTR windows."""
        counted = [name for name in CTR_DIMENSIONS if name not in dimensions]
        file = self.customers_file.with_suffix(f".{'-'.join(counted)}.toml")
        file.write_text(f"{self.customers_file.read_text()}ctr_dimensions = {json.dumps(counted)}\n")
        file.chmod(0o600)
        return file

    def of(self, checkout: Checkout) -> "Ours":
        """Return the same broker, topics and customers with the processes of another checkout."""
        other = copy(self)
        other._checkout = checkout
        return other

    def load(self, records: Iterable[Record], topic: str = JOURNAL) -> Loaded:
        """Write events into a topic; return their counts and end offsets."""
        journal.load(self.kafka, topic, records)
        return Loaded(self.count(topic), journal.ends(self.kafka, topic))

    def count(self, topic: str = JOURNAL) -> ledger.Shown:
        """Return the counts of a topic of events, by plain counting."""
        return ledger.count_journal(self.kafka, topic)

    def fresh_topics(self, keep: Iterable[str] = (JOURNAL, META)) -> None:
        """Delete all of our topics except those to keep, and create them again."""
        journal.delete_topics(self.kafka, "uptake.", keep)
        asyncio.run(ensure_topics(self._settings))

    def start(
        self, name: str, command: str, app_id: str, data_dir: Path, port: int, **env: str
    ) -> Contestant:
        """Start `uptake worker` or `uptake collector`. ``name`` is also the name of its log file."""
        arguments = ["-m", "app", command, "--port", str(port)]
        if command == "worker":
            arguments += ["--data-dir", str(data_dir)]
        settings = {
            "UPTAKE_KAFKA": self.kafka,
            "UPTAKE_APP_ID": app_id,
            "UPTAKE_PARTITIONS": str(self.partitions),
            "UPTAKE_CUSTOMERS_FILE": str(self.customers_file),
            "UPTAKE_DATA_DIR": str(data_dir),
            "UPTAKE_FLUSH_INTERVAL_MS": str(self._flush_ms),
            "UPTAKE_CACHE_BYTES": str(WORKER_BYTES),
        }
        return Contestant(name, arguments, self._directory, {**settings, **env}, self._checkout)

    def worker(
        self, name: str, app_id: str, data_dir: Path, port: int | None = None, **env: str
    ) -> Contestant:
        """Start a worker on ``port``, or on any free port."""
        return self.start(name, "worker", app_id, data_dir, port or free_port(), **env)

    def fold(self, run: Run, loaded: Loaded, app_id: str, data_dir: Path, **env: str) -> None:
        """Let a worker fold a journal from its first event until all are durable, check its counts, and fill in the run."""
        self.fresh_topics()
        run.count = loaded.events
        with self.positions() as positions:
            worker = self.worker(run.contestant, app_id, data_dir, **env)
            with running(worker):
                worker.wait_for(READY, START_SECONDS)
                progress = Progress(lambda: sum(positions().values()))
                measure(run, [worker], lambda: positions() == loaded.ends, loaded.seconds, progress)
        progress.fill_in(run)
        self.check(run, loaded)

    def check(self, run: Run, loaded: Loaded) -> None:
        """Compare the changelog of `rendered` with the journal; void the run if they differ."""
        judge(run, loaded, ledger.count_tables(self.kafka, changelog))

    @contextmanager
    def positions(self) -> Iterator[Callable[[], dict[int, int]]]:
        """Yield a function that returns, for each partition, the journal position that flushes have committed so far."""
        reached: dict[int, int] = {}
        config = {"bootstrap.servers": self.kafka, "group.id": "benchmark-positions"}
        with closing(Consumer({**config, "isolation.level": "read_committed"})) as consumer:
            consumer.assign([TopicPartition(POSITIONS, number, 0) for number in range(self.partitions)])

            def positions() -> dict[int, int]:
                for message in consumer.consume(1_000, timeout=0):
                    if message.error() is None and message.key().isdigit():
                        reached[message.partition()] = json.loads(message.value()).get(JOURNAL, 0)
                return reached

            yield positions


def judge(run: Run, loaded: Loaded, found: ledger.Shown) -> None:
    """Compare the counts of a contestant with those of the events, and write the verdict into its run; void it if they differ."""
    verdict = ledger.compare(loaded.expected, found)
    run.verdict = str(verdict)
    if not verdict.is_exact:
        run.void = f"its changelog differs from the journal: {verdict}"
