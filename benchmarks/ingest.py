"""How many `rendered` events a second of CPU does a worker fold and make durable, beside its peers?

Every contestant is a process of its own that consumes the same journal on the same broker into topics of its own; the clocks (wall,
and CPU of the whole process tree) run from its first event until everything is folded and committed. Then an independent reader folds
its changelog: a contestant whose counts are not those of the journal has no ratio.
"""

import argparse
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from confluent_kafka import Consumer, TopicPartition

from benchmarks import against, journal, ledger
from benchmarks.checkouts import THIS, Checkout
from benchmarks.command import finish, options, own_kafka, say, scratch
from benchmarks.ours import OURS, START_SECONDS, Ours, judge
from benchmarks.peers.arguments import READY
from benchmarks.processes import Contestant, measure, running
from benchmarks.rounds import Run, outcome, play
from benchmarks.traffic import Traffic, start_ms
from benchmarks.transitions import transition_us
from events.topics import JOURNAL

PEERS: Final = ("quix", "plain_faust", "bare_loop")
FEW: Final = "benchmark.events.few"
"""Fewer events of fewer users, as many for each, so that rows grow as large: for a peer that would take minutes over all."""


class Bench:
    """A broker with the journal loaded, and what is needed to run contestants on it."""

    def __init__(self, kafka: str, directory: Path, traffic: Traffic, few: int, commit_ms: int):
        self._kafka, self._directory, self._traffic, self._commit_ms = kafka, directory, traffic, commit_ms
        self._ours = Ours(kafka, directory, traffic.partitions, commit_ms)
        self._loaded = {JOURNAL: self._ours.load(traffic.records())}
        if few < traffic.events:
            journal.create_topics(kafka, [FEW], traffic.partitions, is_compacted=False)
            users = max(1, traffic.users * few // traffic.events)
            self._loaded[FEW] = self._ours.load(replace(traffic, events=few, users=users).records(), FEW)

    def run(self, run: Run) -> None:
        """Run one contestant on fresh topics and an empty disk."""
        if run.contestant == OURS:
            self.fold(run, THIS)
        else:
            with self._own_place(run) as (name, state_dir):
                self._run_peer(run, name, state_dir)

    def fold(self, run: Run, checkout: Checkout) -> None:
        """Let the worker of a checkout fold the journal on fresh topics and an empty disk."""
        with self._own_place(run) as (name, state_dir):
            self._ours.of(checkout).fold(run, self._loaded[JOURNAL], name, state_dir)

    @contextmanager
    def _own_place(self, run: Run) -> Iterator[tuple[str, Path]]:
        """Yield the name and the empty directory of a run; remove the directory and the topics that begin with the name."""
        name = f"bench-{run.contestant}-{uuid.uuid4().hex[:8]}"
        state_dir = self._directory / name
        state_dir.mkdir()
        try:
            yield name, state_dir
        finally:
            journal.delete_topics(self._kafka, name)
            shutil.rmtree(state_dir, ignore_errors=True)

    def _run_peer(self, run: Run, name: str, state_dir: Path) -> None:
        """A program of benchmarks/peers; done when the group's offsets, which it commits after its changelog, are the end."""
        topic = FEW if run.contestant == "plain_faust" and FEW in self._loaded else JOURNAL
        loaded = self._loaded[topic]
        run.count = loaded.events
        if run.contestant == "bare_loop":
            tables = [f"{name}-{table}-changelog" for table in ("rendered", "impressions", "panes")]
            journal.create_topics(self._kafka, tables, self._traffic.partitions, is_compacted=True)
        arguments = ["-m", f"benchmarks.peers.{run.contestant}", "--kafka", self._kafka, "--topic", topic]
        arguments += ["--name", name, "--partitions", str(self._traffic.partitions)]
        arguments += ["--state-dir", str(state_dir), "--commit-seconds", str(self._commit_ms / 1000)]
        peer = Contestant(run.contestant, arguments, self._directory, {})
        with running(peer):
            peer.wait_for(READY, START_SECONDS)
            if run.contestant == "plain_faust":
                # Its commits fall behind by far more than an interval (FAUST: gaps are counted twice), so it is let off them: it is
                # done when the last changelog record of every event, one an event, is on the broker.
                last = f"{name}-panes-changelog"
                measure(run, [peer], lambda: sum(journal.ends(self._kafka, last).values()) >= run.count)
            else:
                with _committed_offsets(self._kafka, name, topic, loaded.ends) as offsets:
                    measure(run, [peer], lambda: offsets() == loaded.ends)
        rows, user_of = _changelog_of(run.contestant, name, topic)
        judge(run, loaded, ledger.count_changelog(self._kafka, rows, user_of))


@contextmanager
def _committed_offsets(
    bootstrap: str, group: str, topic: str, ends: dict[int, int]
) -> Iterator[Callable[[], dict[int, int]]]:
    """Yield what tells the offsets that a group has committed so far."""
    with closing(Consumer({"bootstrap.servers": bootstrap, "group.id": group})) as consumer:
        asked = [TopicPartition(topic, number) for number in ends]
        yield lambda: {found.partition: found.offset for found in consumer.committed(asked, timeout=10)}


def _changelog_of(peer: str, name: str, topic: str) -> tuple[str, ledger.UserOf]:
    """Return a peer's changelog of `rendered` rows, and whose row a key of it is."""
    if peer == "quix":
        return (
            f"changelog__{name}--{topic}--default",
            lambda key: key.removesuffix(b"|rendered") if key.endswith(b"|rendered") else None,
        )
    return f"{name}-rendered-changelog", lambda key: key


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = options("ingest", __doc__)
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--few-events", type=int, default=40_000, help="for plain Faust, rates are an event")
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--commit-ms", type=int, default=1_000, help="flush or commit interval of everyone")
    parser.add_argument("--only", nargs="*", choices=(OURS, *PEERS), default=(OURS, *PEERS))
    return against.parse(parser, argv)


def _traffic(chosen: argparse.Namespace) -> Traffic:
    return Traffic(chosen.events, chosen.users, chosen.partitions, chosen.seed, start_ms(chosen.events))


@contextmanager
def _bench(chosen: argparse.Namespace, traffic: Traffic, few: int) -> Iterator[Bench]:
    with scratch("ingest") as directory, own_kafka(directory) as broker:
        yield Bench(broker.bootstrap, directory, traffic, few, chosen.commit_ms)


@contextmanager
def _trials(chosen: argparse.Namespace) -> Iterator[list[against.Trial]]:
    with _bench(chosen, _traffic(chosen), few=chosen.events) as bench:
        yield [against.Trial("ingest", bench.fold, against.rates())]


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; the last line printed is one JSON object. Return 0 when no ratio is void."""
    chosen = _parse(argv)
    if chosen.against is not None:
        return against.run("ingest", chosen, _trials)
    traffic = _traffic(chosen)
    say(f"ingest: {chosen.events} events, {chosen.users} users, commit every {chosen.commit_ms} ms for all")
    micros = transition_us(traffic)
    say(f"the transitions alone: {micros:.2f} us an event")
    with _bench(chosen, traffic, min(chosen.few_events, chosen.events)) as bench:
        rounds = play(chosen.only, chosen.rounds, bench.run, say, "events")
    result = {
        **outcome(rounds, {f"vs_{peer}": (OURS, peer) for peer in PEERS}),
        "transition_us": round(micros, 2),
        "commit_ms": chosen.commit_ms,
        "traffic": traffic.describe(),
    }
    return finish("ingest", result, is_json=chosen.json)


if __name__ == "__main__":
    sys.exit(main())
