"""Now / before: this checkout and another one in turn, and the median of the ratios with its interval.

Both are measured by this checkout's harness, traffic and reader of results; only the measured processes are those of the other checkout.
The runs of a pair follow each other, and the one that is first in a pair is second in the next, so what else the machine does meets both.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks.checkouts import ROOT, Checkout, CheckoutError, different_versions
from benchmarks.command import finish, say
from benchmarks.median_interval import CONFIDENCE, median_interval
from benchmarks.rounds import Rounds, Run, play, quotients, summaries

NOW: Final = "now"
BEFORE: Final = "before"
PAIRS: Final = 7
"""The fewest pairs that are a measurement."""
HIGHER: Final = "higher"
LOWER: Final = "lower"
EVALUATED: Final = ("ratios", "intervals", "coverage", "better", "pairs", "void")
"""What a result says of each measure."""
OF_ROUNDS: Final = ("rounds", "only")
"""Options of a benchmark that compare this checkout with its peers."""


@dataclass(frozen=True)
class Measure:
    """A number of each run whose ratio now / before is wanted, and whether more or less of it is better."""

    name: str
    of: Callable[[Run], float]
    better: str = HIGHER


@dataclass(frozen=True)
class Trial:
    """Work that both checkouts do in turn, and what is measured of it. ``name`` tells it from the others of the same benchmark."""

    name: str
    run: Callable[[Run, Checkout], None]
    measures: tuple[Measure, ...]
    unit: str = "events"


Trials = Callable[[argparse.Namespace], AbstractContextManager[Sequence[Trial]]]
"""What prepares the trials of a benchmark: a broker, topics, traffic."""


def rates(unit: str = "events") -> tuple[Measure, ...]:
    """Return what is measured wherever a known amount of work is done: its rate by CPU and by wall time, and memory."""
    return (
        Measure(f"{unit}_per_cpu_second", lambda run: run.per_cpu_second),
        Measure(f"{unit}_per_wall_second", lambda run: run.per_wall_second),
        Measure("peak_mib", lambda run: run.peak_mib, LOWER),
    )


def figure(name: str, better: str) -> Measure:
    """Return the measure of a figure that a benchmark writes into its runs."""
    return Measure(name, lambda run: run.figures.get(name, 0.0), better)


def parse(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None, trials: Sequence[str] = ()
) -> argparse.Namespace:
    """Add the options of now / before to those of a benchmark, and read the command line. ``trials`` may be chosen by name."""
    group = parser.add_argument_group(
        "now / before",
        "Compare this checkout with another one, without peers. The ratio is now / before; docs/benchmarks.md says how it is measured.",
    )
    group.add_argument(
        "--against",
        type=Path,
        metavar="CHECKOUT",
        help="another git worktree or clone, whose processes are 'before'",
    )
    group.add_argument("--pairs", type=int, help=f"pairs of runs, {PAIRS} or more (default: {PAIRS})")
    group.add_argument(
        "--smoke",
        action="store_true",
        help="try it out with one pair, or --pairs of any number: not a measurement",
    )
    if trials:
        group.add_argument(
            "--trials", nargs="+", choices=trials, default=trials, help="only these (default: all)"
        )
    chosen = parser.parse_args(argv)
    complaint = _complaint(parser, chosen)
    if complaint is not None:
        parser.error(complaint)
    if chosen.against is not None and chosen.pairs is None:
        chosen.pairs = 1 if chosen.smoke else PAIRS
    return chosen


def _complaint(parser: argparse.ArgumentParser, chosen: argparse.Namespace) -> str | None:
    """Return what is wrong with the options, None if nothing is."""
    if chosen.against is None:
        return "--pairs and --smoke belong to --against CHECKOUT" if chosen.pairs or chosen.smoke else None
    for name in OF_ROUNDS:
        if getattr(chosen, name, None) != parser.get_default(name):
            return f"--{name} is about peers, and --against has no peers"
    if chosen.pairs is not None and chosen.pairs < (1 if chosen.smoke else PAIRS):
        return f"--pairs is {PAIRS} or more (with --smoke 1 or more), so that the interval of the median is a 95 % one"
    return None


def run(name: str, chosen: argparse.Namespace, trials: Trials) -> int:
    """Measure now / before; the last line printed is one JSON object. Return 0 if no ratio is void."""
    try:
        sides = {NOW: Checkout.open(ROOT), BEFORE: Checkout.open(chosen.against)}
    except CheckoutError as error:
        sys.exit(f"--against: {error}")
    _say_sides(name, sides)
    result: dict[str, dict[str, Any]] = {key: {} for key in (*EVALUATED, "runs")}
    with trials(chosen) as prepared:
        for trial in prepared:
            if trial.name in getattr(chosen, "trials", (trial.name,)):
                rounds = _play(trial, sides, chosen.pairs)
                prefix = f"{trial.name}." if len(prepared) > 1 else ""
                for key, found in evaluate(trial, rounds, prefix).items():
                    result[key] |= found
                result["runs"][trial.name] = summaries(rounds)
    _void_if_changed(result, sides)
    _say_result(name, result, is_smoke=chosen.smoke)
    facts = {side: checkout.describe() for side, checkout in sides.items()}
    whole = {"is_smoke": chosen.smoke, **result, **facts, "options": _options(chosen)}
    return finish(name, whole, is_json=chosen.json)


def _options(chosen: argparse.Namespace) -> dict[str, Any]:
    """Return the options that a reader must give to repeat the measurement."""
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in vars(chosen).items()
        if name not in OF_ROUNDS
    }


def _void_if_changed(result: dict[str, dict[str, Any]], sides: Mapping[str, Checkout]) -> None:
    """Take the ratios out of a result if the code of a side changed: it is unknown which runs had which."""
    try:
        for checkout in sides.values():
            checkout.require_unchanged()
    except CheckoutError as error:
        result["void"] = dict.fromkeys(result["ratios"], str(error))
        result["ratios"] = dict.fromkeys(result["ratios"])


def _play(trial: Trial, sides: Mapping[str, Checkout], pairs: int) -> list[dict[str, Run]]:
    def run_one(run: Run) -> None:
        try:
            trial.run(run, sides[run.contestant])
        except (LookupError, TypeError, ValueError, msgspec.MsgspecError) as error:
            raise RuntimeError(f"what it left cannot be read by this checkout: {error!r}") from error

    return play((NOW, BEFORE), pairs, run_one, lambda line: say(f"{trial.name}: {line}"), trial.unit)


def evaluate(trial: Trial, rounds: Rounds, prefix: str = "") -> dict[str, dict[str, Any]]:
    """Return, by measure: the median of now / before, its interval and coverage, what is better, and the ratio of each pair."""
    found: dict[str, dict[str, Any]] = {key: {} for key in EVALUATED}
    for measure in trial.measures:
        name = f"{prefix}{measure.name}"
        pairs, reason = quotients(rounds, NOW, BEFORE, measure.of)
        good = [ratio for ratio in pairs if ratio is not None]
        interval = median_interval(good) if reason is None else None
        found["ratios"][name] = round(statistics.median(good), 4) if reason is None else None
        found["intervals"][name] = [round(interval.low, 4), round(interval.high, 4)] if interval else None
        found["coverage"][name] = round(interval.coverage, 4) if interval else None
        found["better"][name] = measure.better
        found["pairs"][name] = [None if ratio is None else round(ratio, 4) for ratio in pairs]
        if reason is not None:
            found["void"][name] = reason
    return found


def _say_sides(name: str, sides: Mapping[str, Checkout]) -> None:
    for side, checkout in sides.items():
        changed = " with changes that are not committed" if checkout.is_dirty else ""
        say(
            f"{name}: {side} is {checkout.given} at {(checkout.commit or '')[:12]}{changed}, run by {checkout.environment}"
        )
    now, before = sides[NOW].imported, sides[BEFORE].imported
    if now is not None and before is not None:
        for what, (one, other) in different_versions(now, before).items():
            say(f"{name}: {what} is {one} now and {other} before, which is measured too")


def _say_result(name: str, result: Mapping[str, Any], *, is_smoke: bool) -> None:
    for measure, ratio in result["ratios"].items():
        if ratio is None:
            say(f"{name}: {measure} void, {result['void'][measure]}")
            continue
        interval, coverage = result["intervals"][measure], result["coverage"][measure]
        bounds = (
            f"{interval[0]:.3f} to {interval[1]:.3f} at {100 * coverage:.1f} %"
            if interval
            else f"too few pairs for an interval of {100 * CONFIDENCE:.0f} %"
        )
        each = " ".join(f"{pair:.3f}" for pair in result["pairs"][measure])
        say(
            f"{name}: {measure} now / before {ratio:.3f} ({bounds}), {result['better'][measure]} is better; pairs {each}"
        )
    if is_smoke:
        say(f"{name}: a trial run (--smoke), not a measurement")
