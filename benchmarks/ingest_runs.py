"""Runs of the contestants of `ingest`: our worker and its peers fold one journal into topics and directories of their own."""

import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from confluent_kafka import Consumer, TopicPartition

from app.local.broker import LocalBroker
from benchmarks import journal, ledger
from benchmarks.cache_budget import CacheBudget
from benchmarks.checkouts import THIS, Checkout
from benchmarks.ours import OURS, START_SECONDS, Ours, judge
from benchmarks.peers.arguments import READY
from benchmarks.processes import Contestant, Program, measure, running
from benchmarks.progress import Progress
from benchmarks.rounds import Run
from benchmarks.streams_ledger import count_streams_changelog
from benchmarks.topic_bytes import topic_bytes
from benchmarks.traffic import Traffic
from events.topics import JOURNAL, META

_PLAIN_FAUST: Final = "plain_faust"
_BARE_LOOP: Final = "bare_loop"
PYTHON_PEERS: Final = ("quix", _PLAIN_FAUST, _BARE_LOOP)
_CREATES_NOTHING: Final = (_BARE_LOOP, _PLAIN_FAUST)
"""Peers whose changelogs are created for them. Faust ends on a busy machine if its metadata lack a topic that it created just now."""


class _StreamsForm(NamedTuple):
    """How Kafka Streams runs."""

    guarantee: str
    threads: int


STREAMS: Final = {
    "kafka_streams": _StreamsForm("exactly_once_v2", 1),
    "kafka_streams_two_threads": _StreamsForm("exactly_once_v2", 2),
    "kafka_streams_at_least_once": _StreamsForm("at_least_once", 1),
    "kafka_streams_at_least_once_two_threads": _StreamsForm("at_least_once", 2),
}
SWITCHED_OFF: Final = {
    "ours_without_dimensions": ("item", "image", "users"),
    "ours_without_items": ("item", "image"),
    "ours_without_users": ("users",),
    "ours_without_positions": ("position",),
}
"""Our worker where the customer does not count these dimensions of CTR windows: what they cost."""
_FEW: Final = "benchmark.events.few"
"""Fewer events, for a peer that would need minutes for all. They are of fewer users in proportion, so rows grow as large."""
_NOT_WRITTEN: Final = (JOURNAL, META)
"""Topics of ours that a worker does not write while it folds."""


class Bench:
    """Runs contestants on a broker that holds the journal. ``streams`` is the program of Kafka Streams, if there is one."""

    def __init__(
        self,
        broker: LocalBroker,
        directory: Path,
        traffic: Traffic,
        few: int,
        commit_ms: int,
        budget: CacheBudget,
        streams: Program | None = None,
    ):
        self._broker, self._kafka = broker, broker.bootstrap
        self._directory, self._traffic, self._commit_ms = directory, traffic, commit_ms
        self._budget, self._streams = budget, streams
        self._ours = Ours(self._kafka, directory, traffic.partitions, commit_ms)
        self._loaded = {JOURNAL: self._ours.load(traffic.records())}
        if few < traffic.events:
            journal.create_topics(self._kafka, [_FEW], traffic.partitions, is_compacted=False)
            users = max(1, traffic.users * few // traffic.events)
            self._loaded[_FEW] = self._ours.load(replace(traffic, events=few, users=users).records(), _FEW)

    def run(self, run: Run) -> None:
        """Run one contestant with new topics and an empty directory."""
        if run.contestant == OURS:
            self.fold(run, THIS)
        elif run.contestant in SWITCHED_OFF:
            file = self._ours.customers_without(SWITCHED_OFF[run.contestant])
            self.fold(run, THIS, UPTAKE_CUSTOMERS_FILE=str(file))
        else:
            with self._own_place(run) as (name, state_dir):
                self._run_peer(run, name, state_dir)
                self._count_bytes(run, lambda topic: topic.removeprefix("changelog__").startswith(name))

    def fold(self, run: Run, checkout: Checkout, **env: str) -> None:
        """Let the worker of a checkout fold the journal into new topics and an empty directory."""
        with self._own_place(run) as (name, state_dir):
            env = {**self._budget.env, **env}
            self._ours.of(checkout).fold(run, self._loaded[JOURNAL], name, state_dir, **env)
            self._count_bytes(run, lambda topic: topic.startswith("uptake.") and topic not in _NOT_WRITTEN)

    def _count_bytes(self, run: Run, is_written: Callable[[str], bool]) -> None:
        written = sum(topic_bytes(self._broker.data_dir, is_written).values())
        run.figures["kafka_bytes_per_event"] = round(written / run.count)

    @contextmanager
    def _own_place(self, run: Run) -> Iterator[tuple[str, Path]]:
        """Yield the name and the empty directory of a run; delete the directory and the topics with this name afterwards."""
        name = f"bench-{run.contestant}-{uuid.uuid4().hex[:8]}"
        state_dir = self._directory / name
        state_dir.mkdir()
        try:
            yield name, state_dir
        finally:
            journal.delete_topics(self._kafka, name)
            journal.delete_topics(self._kafka, f"changelog__{name}")
            shutil.rmtree(state_dir, ignore_errors=True)

    def _run_peer(self, run: Run, name: str, state_dir: Path) -> None:
        """Run a peer until its group has committed the end of the journal, which follows its changelog."""
        topic = _FEW if run.contestant == _PLAIN_FAUST and _FEW in self._loaded else JOURNAL
        loaded = self._loaded[topic]
        run.count = loaded.events
        with self._start(run.contestant, name, topic, state_dir) as peer:
            peer.wait_for(READY, START_SECONDS)
            if run.contestant == _PLAIN_FAUST:
                # Faust's commits fall behind for good after a start with a backlog, because it counts gaps in offsets twice. So this
                # peer need not commit: it is done when the broker has its last changelog record of every event, one per event.
                last = f"{name}-panes-changelog"

                def durable() -> int:
                    return sum(journal.ends(self._kafka, last).values())

                progress = Progress(durable)
                measure(run, [peer], lambda: durable() >= run.count, loaded.seconds, progress)
            else:
                with _committed_offsets(self._kafka, name, topic, loaded.ends) as offsets:
                    progress = Progress(lambda: sum(max(0, each) for each in offsets().values()))
                    measure(run, [peer], lambda: offsets() == loaded.ends, loaded.seconds, progress)
        progress.fill_in(run)
        judge(run, loaded, self._counts_of(run.contestant, name, topic))

    @contextmanager
    def _start(self, contestant: str, name: str, topic: str, state_dir: Path) -> Iterator[Contestant]:
        arguments: Mapping[str, object] = {
            "--kafka": self._kafka,
            "--topic": topic,
            "--name": name,
            "--state-dir": state_dir,
        }
        program: Program = THIS
        module: list[str] = []
        if contestant in STREAMS:
            assert self._streams is not None
            program, form, budget = self._streams, STREAMS[contestant], self._budget
            arguments = {
                **arguments,
                "--guarantee": form.guarantee,
                "--threads": form.threads,
                "--commit-ms": self._commit_ms,
                "--cache-bytes": budget.written_and_waiting,
                "--block-cache-bytes": budget.blocks,
                "--memtable-bytes": budget.memtables,
            }
        else:
            if contestant in _CREATES_NOTHING:
                tables = [f"{name}-{table}-changelog" for table in ("rendered", "impressions", "panes")]
                journal.create_topics(self._kafka, tables, self._traffic.partitions, is_compacted=True)
            module = ["-m", f"benchmarks.peers.{contestant}"]
            arguments = {
                **arguments,
                "--partitions": self._traffic.partitions,
                "--commit-seconds": self._commit_ms / 1000,
            }
        words = [str(word) for argument in arguments.items() for word in argument]
        peer = Contestant(contestant, [*module, *words], self._directory, {}, program)
        with running(peer):
            yield peer

    def _counts_of(self, peer: str, name: str, topic: str) -> ledger.Shown:
        """Count the showings in a peer's changelog of `rendered` rows."""
        if peer in STREAMS:
            return count_streams_changelog(self._kafka, f"{name}-rendered-changelog")
        if peer == "quix":
            changelog = f"changelog__{name}--{topic}--default"
            return ledger.count_changelog(self._kafka, changelog, _user_of_quix)
        return ledger.count_changelog(self._kafka, f"{name}-rendered-changelog", lambda key: key)


def _user_of_quix(key: bytes) -> bytes | None:
    return key.removesuffix(b"|rendered") if key.endswith(b"|rendered") else None


@contextmanager
def _committed_offsets(
    bootstrap: str, group: str, topic: str, ends: dict[int, int]
) -> Iterator[Callable[[], dict[int, int]]]:
    """Yield a function that returns the offsets that a group has committed so far."""
    with closing(Consumer({"bootstrap.servers": bootstrap, "group.id": group})) as consumer:
        asked = [TopicPartition(topic, number) for number in ends]
        yield lambda: {found.partition: found.offset for found in consumer.committed(asked, timeout=10)}
