"""Measures how many shown and clicked events a CPU-second counts in windows of a minute, compared with Quix Streams.

Every contestant consumes the same events on the same broker: ours is a worker, which does everything else that it does. Wall time, and
CPU of the whole process tree, are measured from its first event until an independent reader finds all counts in what it wrote. The
reader then compares each window with plain counting of the events. A contestant with a window that differs has no ratio.
"""

import argparse
import shutil
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from app.customers.customer_edit import add_customer
from app.customers.customer_registry import Customers
from benchmarks import against, journal, ledger
from benchmarks.checkouts import THIS, Checkout
from benchmarks.click_traffic import SCENARIOS_OF_A_CUSTOMER, ClickTraffic
from benchmarks.command import finish, options, own_kafka, say, scratch
from benchmarks.ours import OURS, READY, START_SECONDS, Ours
from benchmarks.peers.arguments import READY as PEER_READY
from benchmarks.processes import Contestant, measure, running
from benchmarks.rounds import Rounds, Run, outcome, play, quotients
from benchmarks.traffic import start_ms
from benchmarks.window_ledger import WindowReader, count_minutes, total, window_of_ours, window_of_quix
from events.topics import JOURNAL, META, WINDOWS

WITH_USERS: Final = "ours_with_users"
"""Ours with the same events of users, whose rows it keeps, too. Alone, ``ours`` gets events of unknown users: they only count."""
PLAIN: Final = "ours_plain"
"""Ours without the further dimensions of `ctr_dimensions`: windows of scenarios and variants only, as a peer has of scenarios only."""
QUIX: Final = "quix"
COPY: Final = "benchmark.events"
"""The same records. In the journal a record has the time of the broker, and Quix Streams would take that as the time of the event."""
SMALL: Final = {"events": 2_000, "users": 200, "keys": [10], "rounds": 1}
BAR: Final = 1.5
BAR_KEYS: Final = 1_000


class QuixForm(NamedTuple):
    """A way in which Quix Streams runs: its guarantee, and whether it publishes windows while they are open, as ours does."""

    guarantee: str
    is_live: bool


PEERS: Final = {
    QUIX: QuixForm("exactly-once", is_live=True),
    "quix_at_least_once": QuixForm("at-least-once", is_live=True),
    "quix_final": QuixForm("exactly-once", is_live=False),
}
CONTESTANTS: Final = (OURS, PLAIN, WITH_USERS, *PEERS)
PAIRS: Final = {
    **{f"vs_{peer}": (OURS, peer) for peer in PEERS},
    **{f"plain_vs_{peer}": (PLAIN, peer) for peer in PEERS},
    **{f"with_users_vs_{peer}": (WITH_USERS, peer) for peer in PEERS},
}


class Bench:
    """Runs contestants on a broker that holds the events of one number of keys at a time."""

    def __init__(self, kafka: str, directory: Path, traffic: ClickTraffic, commit_ms: int) -> None:
        self._kafka, self._directory, self._commit_ms = kafka, directory, commit_ms
        self.traffic = traffic
        self._ours = Ours(kafka, directory, traffic.partitions, commit_ms)
        self._copied: int | None = None
        self._journal: tuple[int, bool] | None = None
        self._expected: ledger.Shown = {}

    def run(self, keys: int, run: Run) -> None:
        """Let one contestant count the events of a number of keys."""
        if run.contestant in PEERS:
            self._run_peer(keys, run)
        else:
            self.fold(keys, run, THIS)

    def fold(self, keys: int, run: Run, checkout: Checkout) -> None:
        """Let the worker of a checkout fold the events into new topics and an empty directory."""
        self._fill_journal(keys, is_anonymous=run.contestant != WITH_USERS)
        customers = self.traffic.of_keys(keys).customers
        write_customers(self._ours.customers_file, customers, is_plain=run.contestant == PLAIN)
        ours = self._ours.of(checkout)
        ours.fresh_topics(keep=(JOURNAL, META))
        run.count = self.traffic.events
        with self._own_place(run) as (name, state_dir):
            worker = ours.worker(name, name, state_dir)
            with running(worker):
                worker.wait_for(READY, START_SECONDS)
                with closing(WindowReader(self._kafka, WINDOWS, window_of_ours)) as reader:
                    measure(run, [worker], lambda: reader.read_to(total(self._expected)))
                    worker.stop()
                    self._judge(run, reader)

    def _fill_journal(self, keys: int, *, is_anonymous: bool) -> None:
        """Replace the journal by the events of a number of keys, unless it has them."""
        if self._journal == (keys, is_anonymous):
            return
        traffic = self.traffic.of_keys(keys)
        self._ours.fresh_topics(keep=())
        journal.load(self._kafka, JOURNAL, traffic.records(is_anonymous=is_anonymous))
        self._journal, self._expected = (keys, is_anonymous), count_minutes(self._kafka, JOURNAL)

    def _fill_copy(self, keys: int) -> None:
        """Replace the events of the peers by those of a number of keys, unless they are these."""
        if self._copied == keys:
            return
        journal.delete_topics(self._kafka, COPY)
        journal.create_topics(self._kafka, [COPY], self.traffic.partitions, is_compacted=False)
        journal.load(self._kafka, COPY, self.traffic.of_keys(keys).records())
        self._copied, self._expected = keys, count_minutes(self._kafka, COPY)

    def _run_peer(self, keys: int, run: Run) -> None:
        """Run Quix Streams until its changelog has all counts."""
        self._fill_copy(keys)
        form = PEERS[run.contestant]
        run.count = self.traffic.events
        with self._own_place(run) as (name, state_dir):
            arguments = ["-m", "benchmarks.peers.quix_windows", "--kafka", self._kafka, "--name", name]
            arguments += ["--topic", COPY, "--state-dir", str(state_dir)]
            arguments += ["--partitions", str(self.traffic.partitions), "--guarantee", form.guarantee]
            arguments += ["--commit-seconds", str(self._commit_ms / 1000)]
            peer = Contestant(name, arguments + ["--live"] * form.is_live, self._directory, {})
            with running(peer):
                peer.wait_for(PEER_READY, START_SECONDS)
                changelogs = [each for each in journal.topics_with(self._kafka, name) if "changelog_" in each]
                if len(changelogs) != 1:
                    raise RuntimeError(f"Quix Streams has the changelogs {changelogs}, not one")
                with closing(WindowReader(self._kafka, changelogs[0], window_of_quix)) as reader:
                    measure(run, [peer], lambda: reader.read_to(total(self._expected)))
                    peer.stop()
                    self._judge(run, reader)

    def _judge(self, run: Run, reader: WindowReader) -> None:
        """Compare each window with the events, and write the verdict into the run; void it if one differs."""
        verdict = ledger.compare(self._expected, reader.read_all())
        run.verdict = f"{verdict}, {reader.records} records of windows"
        run.figures["records"] = reader.records
        if not verdict.is_exact:
            run.void = f"its windows differ from the events: {verdict}"

    @contextmanager
    def _own_place(self, run: Run) -> Iterator[tuple[str, Path]]:
        """Yield the name and the empty directory of a run; delete the directory and the run's topics afterwards."""
        name = f"bench-{run.contestant.replace('_', '-')}-{uuid.uuid4().hex[:8]}"
        state_dir = self._directory / name
        state_dir.mkdir()
        try:
            yield name, state_dir
        finally:
            for topic in journal.topics_with(self._kafka, name):
                journal.delete_topics(self._kafka, topic)
            shutil.rmtree(state_dir, ignore_errors=True)


def write_customers(path: Path, customers: list[str], *, is_plain: bool) -> None:
    """Add customers to a file that lack there, and write for all of them that they have further dimensions of windows, or none."""
    for customer in customers:
        if customer not in Customers.load(path):
            add_customer(path, customer)
    lines = [line for line in path.read_text().splitlines() if not line.startswith("ctr_dimensions")]
    if is_plain:
        lines = [line + "\nctr_dimensions = []" * line.startswith("[customers.") for line in lines]
    path.write_text("\n".join(lines) + "\n")


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = options("windows", __doc__)
    parser.add_argument("--events", type=int, default=200_000, help="events (default: %(default)s)")
    parser.add_argument(
        "--keys", type=int, nargs="+", default=[10, 1_000, 100_000], help="scenarios (default: %(default)s)"
    )
    parser.add_argument(
        "--users", type=int, default=20_000, help="users in the events (default: %(default)s)"
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
        choices=CONTESTANTS,
        default=CONTESTANTS,
        help="run only these contestants (default: all)",
    )
    return against.parse(parser, argv, small=SMALL)


@contextmanager
def _bench(chosen: argparse.Namespace) -> Iterator[Bench]:
    traffic = ClickTraffic(
        chosen.events,
        chosen.keys[0],
        chosen.users,
        chosen.partitions,
        chosen.seed,
        start_ms(chosen.events),
    )
    with scratch("windows") as directory, own_kafka(directory) as broker:
        yield Bench(broker.bootstrap, directory, traffic, chosen.commit_ms)


@contextmanager
def _trials(chosen: argparse.Namespace) -> Iterator[list[against.Trial]]:
    with _bench(chosen) as bench:
        yield [
            against.Trial(f"{keys}_keys", partial(bench.fold, keys), against.rates()) for keys in chosen.keys
        ]


def _spans(rounds: Rounds) -> dict[str, list[float] | None]:
    """Return the smallest and the largest of each ratio over the rounds, None if one of them is void."""
    spans: dict[str, list[float] | None] = {}
    for name, (above, below) in PAIRS.items():
        found, reason = quotients(rounds, above, below, lambda run: run.per_cpu_second)
        good = [ratio for ratio in found if ratio is not None]
        spans[name] = [round(min(good), 3), round(max(good), 3)] if reason is None else None
    return spans


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark and print one JSON object as the last line; return 0 if no ratio is void, else 1."""
    chosen = _parse(argv)
    if chosen.against is not None:
        return against.run("windows", chosen, _trials)
    asked = [name for name in CONTESTANTS if name in chosen.only]
    found: dict[str, dict[str, Any]] = {}
    with _bench(chosen) as bench:
        for keys in chosen.keys:
            rounds = play(asked, chosen.rounds, partial(bench.run, keys), say, "events")
            found[str(keys)] = {**outcome(rounds, PAIRS), "spans": _spans(rounds)}
    result = {
        "is_smoke": chosen.smoke,
        "ratios": {
            f"{name}.{keys}": ratio for keys, each in found.items() for name, ratio in each["ratios"].items()
        },
        "spans": {
            f"{name}.{keys}": span for keys, each in found.items() for name, span in each["spans"].items()
        },
        "void": {f"{name}.{keys}": why for keys, each in found.items() for name, why in each["void"].items()},
        "bar": {f"vs_{QUIX}.{BAR_KEYS}": BAR},
        "guarantees": {
            OURS: "exactly-once",
            WITH_USERS: "exactly-once",
            **{name: form.guarantee for name, form in PEERS.items()},
        },
        "customers": {keys: -(-int(keys) // SCENARIOS_OF_A_CUSTOMER) for keys in found},
        "keys": found,
        "commit_ms": chosen.commit_ms,
        "traffic": bench.traffic.describe(),
    }
    return finish("windows", result, is_json=chosen.json)


if __name__ == "__main__":
    sys.exit(main())
