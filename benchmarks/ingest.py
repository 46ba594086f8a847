"""Measures the `rendered` events per CPU-second that a worker folds and makes durable, compared with its peers, by fill of the profiles.

Every contestant is a process that consumes the same journal on the same broker, and writes into topics of its own. Wall time, and CPU
of the whole process tree, are measured from its first event until everything is folded and committed, and in each tenth of the events.
An independent reader then folds its changelog. A contestant whose counts differ from those of the journal has no ratio.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from benchmarks import against
from benchmarks.against import HIGHER, LOWER, figure
from benchmarks.cache_budget import budget_of
from benchmarks.command import finish, options, own_kafka, say, scratch
from benchmarks.fills import Fill, fills_of, numbers
from benchmarks.ingest_runs import PYTHON_PEERS, STREAMS, SWITCHED_OFF, Bench
from benchmarks.ours import OURS
from benchmarks.progress import FIRST_HALF, SECOND_HALF, SECOND_VS_FIRST
from benchmarks.rounds import Rounds, Run, outcome, play, ratios_of
from benchmarks.streams_program import NoStreamsError, StreamsProgram, build_streams
from benchmarks.topic_bytes import KEEPS_ALL
from benchmarks.traffic import Traffic
from benchmarks.transitions import transition_us

DEFAULT: Final = (OURS, *PYTHON_PEERS, "kafka_streams", "kafka_streams_at_least_once")
PEERS: Final = (*PYTHON_PEERS, *STREAMS)
MEASURES: Final = (
    *against.rates(),
    figure(SECOND_HALF, HIGHER),
    figure(SECOND_VS_FIRST, HIGHER),
    figure("kafka_bytes_per_event", LOWER),
    figure("disk_bytes_per_event", LOWER),
)
_TRANSITION_USERS: Final = 1_000


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = options("ingest", __doc__)
    parser.add_argument(
        "--events-per-user",
        type=numbers,
        default=(25, 100),
        metavar="N,N",
        help="fills: events that each user has at the end, on average (default: 25,100)",
    )
    parser.add_argument(
        "--users", type=int, default=20_000, help="users in each journal (default: %(default)s)"
    )
    parser.add_argument(
        "--events",
        type=int,
        default=2_000_000,
        help="most events in a journal (default: %(default)s); a fill that needs more has fewer users",
    )
    parser.add_argument(
        "--few-events",
        type=int,
        default=40_000,
        help="events for plain Faust, which is slow (default: %(default)s); rates are per event",
    )
    parser.add_argument(
        "--commit-ms",
        type=int,
        default=1_000,
        help="flush or commit interval of every contestant, in milliseconds (default: %(default)s)",
    )
    parser.add_argument(
        "--cache-bytes",
        type=int,
        help="memory for rows of ours, and of Kafka Streams in proportion (default: what our worker uses by default)",
    )
    parser.add_argument(
        "--only",
        nargs="*",
        choices=(OURS, *PEERS, *SWITCHED_OFF),
        default=DEFAULT,
        help="run only these contestants (default: ours, and its peers with one thread each)",
    )
    return against.parse(parser, argv)


def _fills(chosen: argparse.Namespace) -> list[Fill]:
    return fills_of(chosen.events_per_user, chosen.users, chosen.events, chosen.partitions, chosen.seed)


@contextmanager
def _bench(
    chosen: argparse.Namespace, directory: Path, fill: Fill, few: int, streams: StreamsProgram | None = None
) -> Iterator[Bench]:
    with own_kafka(directory, f"kafka-{fill.name}", **KEEPS_ALL) as broker:
        budget = budget_of(chosen.cache_bytes)
        yield Bench(broker, directory, fill.traffic, few, chosen.commit_ms, budget, streams)


@contextmanager
def _trials(chosen: argparse.Namespace) -> Iterator[list[against.Trial]]:
    with scratch("ingest") as directory, ExitStack() as brokers:
        yield [
            against.Trial(
                fill.name,
                brokers.enter_context(_bench(chosen, directory, fill, fill.traffic.events)).fold,
                MEASURES,
            )
            for fill in _fills(chosen)
        ]


def _streams(contestants: Sequence[str]) -> tuple[StreamsProgram | None, dict[str, str]]:
    """Return the program of Kafka Streams if a contestant needs it, and the contestants that must be left out, with the reason."""
    needing = [each for each in contestants if each in STREAMS]
    if not needing:
        return None, {}
    try:
        return build_streams(say), {}
    except NoStreamsError as error:
        say(f"ingest: without Kafka Streams: {error}")
        return None, dict.fromkeys(needing, str(error))


def ratios_of_fill(rounds: Rounds, contestants: Sequence[str]) -> dict[str, Any]:
    """Return the outcome of the rounds of one fill: ours / each peer, with Kafka Streams also in the second halves of the runs."""
    pairs = {f"vs_{peer}": (OURS, peer) for peer in contestants if peer != OURS}
    found = outcome(rounds, pairs if OURS in contestants else {})
    if OURS not in contestants:
        return found
    warm = {f"vs_{peer}_warm": (OURS, peer) for peer in contestants if peer in STREAMS}
    ratios, reasons = ratios_of(rounds, warm, _second_half)
    found["ratios"] |= ratios
    found["void"] |= reasons
    found["ratios"][SECOND_VS_FIRST] = found["contestants"][OURS]["figures"].get(SECOND_VS_FIRST)
    void = [run.void for run in (runs[OURS] for runs in rounds) if run.void]
    if void or found["ratios"][SECOND_VS_FIRST] is None:
        found["ratios"][SECOND_VS_FIRST] = None
        found["void"][SECOND_VS_FIRST] = f"{OURS}: {next(iter(void), 'it measured nothing')}"
    return found


def _second_half(run: Run) -> float:
    return run.figures.get(SECOND_HALF, 0.0)


def _few_users(traffic: Traffic) -> Traffic:
    """Return the traffic of fewer users, for what is measured in memory."""
    users = min(traffic.users, _TRANSITION_USERS)
    return replace(traffic, users=users, events=traffic.events // traffic.users * users)


def _say_parts(name: str, rounds: Rounds) -> None:
    for runs in rounds:
        for run in runs.values():
            tenths = " ".join(f"{rate:,.0f}" for rate in run.tenths)
            figures = run.figures
            say(
                f"{name} {run.contestant}: halves {figures.get(FIRST_HALF, 0):,.0f} and {_second_half(run):,.0f}, tenths {tenths}; "
                f"bytes an event: {figures.get('kafka_bytes_per_event', 0):,.0f} to Kafka, "
                f"{figures.get('disk_bytes_per_event', 0):,.0f} to disk"
            )


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark and print one JSON object as the last line; return 0 if no ratio is void, else 1."""
    chosen = _parse(argv)
    if chosen.against is not None:
        return against.run("ingest", chosen, _trials)
    budget = budget_of(chosen.cache_bytes)
    say(f"ingest: a commit interval of {chosen.commit_ms} ms, caches {budget.describe()}")
    streams, left_out = _streams(chosen.only)
    contestants = [each for each in chosen.only if each not in left_out]
    result: dict[str, Any] = {"ratios": {}, "per_wall": {}, "void": {}, "fills": {}}
    fills = _fills(chosen)
    with scratch("ingest") as directory:
        for fill in fills:
            traffic = fill.traffic
            micros = transition_us(_few_users(traffic))
            say(
                f"{fill.name}: {traffic.events} events, {traffic.users} users; {micros:.2f} us of transitions an event"
            )
            with _bench(chosen, directory, fill, min(chosen.few_events, traffic.events), streams) as bench:
                rounds = play(contestants, chosen.rounds, bench.run, say, "events")
            _say_parts(fill.name, rounds)
            found = ratios_of_fill(rounds, contestants)
            prefix = f"{fill.name}." if len(fills) > 1 else ""
            for key in ("ratios", "per_wall", "void"):
                result[key] |= {f"{prefix}{name}": value for name, value in found.pop(key).items()}
            facts = {"transition_us": round(micros, 2), "traffic": traffic.describe()}
            result["fills"][fill.name] = {**found, **facts}
    result |= {"commit_ms": chosen.commit_ms, "caches": budget.describe(), "left_out": left_out}
    if streams is not None:
        result["kafka_streams"] = streams.describe()
    return finish("ingest", result, is_json=chosen.json)


if __name__ == "__main__":
    sys.exit(main())
