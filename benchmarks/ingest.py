"""Measures the `rendered` events per CPU-second that a worker folds and makes durable, compared with its peers.

Every contestant is a process that consumes the same journal on the same broker, and writes into topics of its own. Wall time, and CPU
of the whole process tree, are measured from its first event until everything is folded and committed. An independent reader then folds
its changelog. A contestant whose counts differ from those of the journal has no ratio.
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
SWITCHED_OFF: Final = {
    "ours_without_dimensions": ("item", "image", "users"),
    "ours_without_items": ("item", "image"),
    "ours_without_users": ("users",),
    "ours_without_positions": ("position",),
}
"""Our worker where the customer does not count these dimensions of CTR windows: what they cost."""
FEW: Final = "benchmark.events.few"
"""Fewer events, for a peer that would need minutes for all. They are of fewer users in proportion, so rows grow as large."""


class Bench:
    """Runs contestants on a broker that holds the journal."""

    def __init__(self, kafka: str, directory: Path, traffic: Traffic, few: int, commit_ms: int):
        self._kafka, self._directory, self._traffic, self._commit_ms = kafka, directory, traffic, commit_ms
        self._ours = Ours(kafka, directory, traffic.partitions, commit_ms)
        self._loaded = {JOURNAL: self._ours.load(traffic.records())}
        if few < traffic.events:
            journal.create_topics(kafka, [FEW], traffic.partitions, is_compacted=False)
            users = max(1, traffic.users * few // traffic.events)
            self._loaded[FEW] = self._ours.load(replace(traffic, events=few, users=users).records(), FEW)

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

    def fold(self, run: Run, checkout: Checkout, **env: str) -> None:
        """Let the worker of a checkout fold the journal into new topics and an empty directory."""
        with self._own_place(run) as (name, state_dir):
            self._ours.of(checkout).fold(run, self._loaded[JOURNAL], name, state_dir, **env)

    @contextmanager
    def _own_place(self, run: Run) -> Iterator[tuple[str, Path]]:
        """Yield the name and the empty directory of a run; delete the directory and the topics with this prefix afterwards."""
        name = f"bench-{run.contestant}-{uuid.uuid4().hex[:8]}"
        state_dir = self._directory / name
        state_dir.mkdir()
        try:
            yield name, state_dir
        finally:
            journal.delete_topics(self._kafka, name)
            shutil.rmtree(state_dir, ignore_errors=True)

    def _run_peer(self, run: Run, name: str, state_dir: Path) -> None:
        """Run a program of benchmarks/peers until its group has committed the end of the journal, which follows its changelog."""
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
                # Faust's commits fall behind for good after a start with a backlog, because it counts gaps in offsets twice. So this
                # peer need not commit: it is done when the broker has its last changelog record of every event, one per event.
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
    """Yield a function that returns the offsets that a group has committed so far."""
    with closing(Consumer({"bootstrap.servers": bootstrap, "group.id": group})) as consumer:
        asked = [TopicPartition(topic, number) for number in ends]
        yield lambda: {found.partition: found.offset for found in consumer.committed(asked, timeout=10)}


def _changelog_of(peer: str, name: str, topic: str) -> tuple[str, ledger.UserOf]:
    """Return a peer's changelog of `rendered` rows, and the function that returns the user of a key in it."""
    if peer == "quix":
        return (
            f"changelog__{name}--{topic}--default",
            lambda key: key.removesuffix(b"|rendered") if key.endswith(b"|rendered") else None,
        )
    return f"{name}-rendered-changelog", lambda key: key


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = options("ingest", __doc__)
    parser.add_argument(
        "--events", type=int, default=500_000, help="events in the journal (default: %(default)s)"
    )
    parser.add_argument(
        "--few-events",
        type=int,
        default=40_000,
        help="events for plain Faust, which is slow (default: %(default)s); rates are per event",
    )
    parser.add_argument(
        "--users", type=int, default=20_000, help="users in the journal (default: %(default)s)"
    )
    parser.add_argument(
        "--commit-ms",
        type=int,
        default=1_000,
        help="flush or commit interval of every contestant, in milliseconds (default: %(default)s)",
    )
    parser.add_argument(
        "--only",
        nargs="*",
        choices=(OURS, *PEERS, *SWITCHED_OFF),
        default=(OURS, *PEERS),
        help="run only these contestants (default: ours and its peers)",
    )
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
    """Run the benchmark and print one JSON object as the last line; return 0 if no ratio is void, else 1."""
    chosen = _parse(argv)
    if chosen.against is not None:
        return against.run("ingest", chosen, _trials)
    traffic = _traffic(chosen)
    say(f"ingest: {chosen.events} events, {chosen.users} users, a commit interval of {chosen.commit_ms} ms")
    micros = transition_us(traffic)
    say(f"ingest: the transitions alone take {micros:.2f} us an event")
    with _bench(chosen, traffic, min(chosen.few_events, chosen.events)) as bench:
        rounds = play(chosen.only, chosen.rounds, bench.run, say, "events")
    result = {
        **outcome(rounds, {f"vs_{peer}": (OURS, peer) for peer in (*PEERS, *SWITCHED_OFF)}),
        "transition_us": round(micros, 2),
        "commit_ms": chosen.commit_ms,
        "traffic": traffic.describe(),
    }
    return finish("ingest", result, is_json=chosen.json)


if __name__ == "__main__":
    sys.exit(main())
