"""Asks the servers of `lookup`, compares their answers, and measures CPU and response times."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import uvloop

from benchmarks import journal
from benchmarks.clients import SHARES, percentiles
from benchmarks.command import say
from benchmarks.feed import Feed
from benchmarks.lookup_servers import Filled, Server
from benchmarks.ours import OURS
from benchmarks.processes import ContestantError, measure
from benchmarks.profiles import Profiles
from benchmarks.questions import Question, comparable
from benchmarks.rounds import Run, order
from events.topics import JOURNAL

WARM_SECONDS: Final = 2
COMPARED: Final = 300
FOLDING_RATE: Final = 300.0
"""Lookups per second while the worker folds."""
MOST_BEHIND_SECONDS: Final = 5.0
"""A worker that takes longer for what is left when the feed ends did not keep up with it."""
LATENCIES: Final = {"p50": SHARES["p50"], "p99": SHARES["p99"], "p999": 0.999, "max": SHARES["max"]}
_CATCH_UP_SECONDS: Final = 120.0
_FEED_SPAN_MS: Final = 60_000


class Bench:
    """Asks servers that know the same users."""

    def __init__(self, asked: Mapping[str, Question], seconds: int, connections: int, seed: int) -> None:
        self._asked, self._seconds, self._connections, self._seed = asked, seconds, connections, seed
        self._answers: dict[str, list[Any]] = {}
        self._differences: dict[tuple[str, str], str] = {}
        """Kind of lookup and server -> how its answers differ from those of the server that was compared first."""

    def compare(self, server: Server, kinds: Sequence[str]) -> None:
        """Compare the answers of a server with those of the server that was compared first."""
        for kind in kinds:
            found = [
                comparable(answer) for answer in uvloop.run(self._asked[kind].sample(server.port, COMPARED))
            ]
            difference = difference_of(found, self._answers.setdefault(kind, found))
            if difference is not None:
                self._differences[kind, server.name] = difference
            say(f"lookup: {kind} of {server.name}: {difference or f'{len(found)} equal answers'}")

    def answer(self, kind: str, run: Run, server: Server) -> None:
        """Let wrk ask a server without a pause, and fill in the run."""
        for seconds in (WARM_SECONDS, self._seconds):
            self._seed += 1  # each run draws different users
            asking = self._asked[kind].start(
                server.port, server.directory, self._connections, seconds, self._seed
            )
            try:
                measure(run, server.processes, asking.is_over)
                told = asking.result()
            finally:
                asking.stop()
            run.wall_seconds, run.count = seconds, told.taken
        run.verdict = f"{told.refused} refused, p50 {told.p50_ms:.1f} ms, p99 {told.p99_ms:.1f} ms"
        if told.refused or told.broken or not told.taken:
            run.void = f"{told.taken} answers, {told.refused} lookups were refused, {told.broken} answers are missing"
        run.void = self._differences.get((kind, server.name), run.void)

    def steadily(self, server: Server, rate: float, seconds: float) -> dict[str, Any]:
        """Ask for exclusions at a steady rate; return the percentiles of the response times, and the number of failed requests."""
        self._seed += 1
        asking = self._asked["exclusions"].ask_steadily(server.port, rate, seconds, self._seed)
        answers = uvloop.run(asking)
        return {**percentiles(answers.milliseconds, LATENCIES), "failed": answers.failed}

    def rates(
        self, servers: Mapping[str, Server], rates: Sequence[float], rounds: int, seconds: float
    ) -> dict[str, Any]:
        """Measure all servers at each rate, in turn; return, for each rate, the percentiles of each run."""
        found: dict[str, Any] = {}
        for rate in rates:
            runs: dict[str, list[dict[str, Any]]] = {name: [] for name in servers}
            for number in range(rounds):
                for name in order(list(servers), number):
                    one = self.steadily(servers[name], rate, seconds)
                    runs[name].append(one)
                    say(f"steady {number + 1}/{rounds} {name} at {rate:,.0f} a second: {one} ms")
            found[f"{rate:g}"] = runs
        return found

    def while_folding(self, filled: Filled, profiles: Profiles, seconds: float) -> dict[str, Any]:
        """Measure response times while the worker folds half of what it can. Afterwards it knows more than the peers."""
        ours, rate = filled.ours, filled.per_wall_second / 2
        count = int(rate * (WARM_SECONDS + seconds + MOST_BEHIND_SECONDS))
        now_ms, events_per_user = int(time.time() * 1000), count // profiles.users + 1
        more = Profiles(
            profiles.users, events_per_user, profiles.seed + 1, now_ms, _FEED_SPAN_MS, profiles.traffic
        )
        records = list(islice(more.records(ours.partitions, ours.customer.rules.user), count))
        feed = Feed(ours.kafka, JOURNAL, records, rate)
        with ours.positions() as positions:
            feed.start()
            try:
                self.steadily(filled.server, FOLDING_RATE, WARM_SECONDS)
                found = self.steadily(filled.server, FOLDING_RATE, seconds)
            finally:
                feed.finish()
            behind = _seconds_until(lambda: positions() == journal.ends(ours.kafka, JOURNAL), filled.server)
        say(f"steady {OURS} at {FOLDING_RATE:g} a second, folding {rate:,.0f} events a second: {found} ms")
        return {
            "events_per_second": round(rate),
            "events": feed.count,
            "behind_seconds": round(behind, 1),
            **found,
        }


def difference_of(found: Sequence[Any], expected: Sequence[Any]) -> str | None:
    """Return how answers differ from those of another server, or that some were refused; None if all are equal."""
    refused = sum(isinstance(answer, int) for answer in found)
    if refused:
        return f"{refused} of {len(found)} lookups were refused"
    different = [
        number for number, (one, other) in enumerate(zip(found, expected, strict=True)) if one != other
    ]
    if not different:
        return None
    first = different[0]
    return f"{len(different)} of {len(found)} answers differ, as {found[first]!r:.300} and {expected[first]!r:.300}"


def p99_ratio(runs: Mapping[str, Sequence[Mapping[str, Any]]], peer: str) -> float | None:
    """Return the median of p99, ours / theirs, over the rounds; None if a request of ours or theirs failed."""
    pairs = list(zip(runs[OURS], runs[peer], strict=True))
    if any(each["failed"] or not each["p99"] for pair in pairs for each in pair):
        return None
    return round(statistics.median(ours["p99"] / theirs["p99"] for ours, theirs in pairs), 3)


def _seconds_until(is_so: Callable[[], bool], server: Server) -> float:
    started = time.monotonic()
    while not is_so():
        for process in server.processes:
            process.check()
        if time.monotonic() - started > _CATCH_UP_SECONDS:
            raise ContestantError(f"{server.name} does not catch up")
        time.sleep(0.02)
    return time.monotonic() - started
