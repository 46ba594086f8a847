"""Compares this checkout (now) with another one (before): the median ratio of paired runs, with its interval.

Harness, traffic and the reader of results are always those of this checkout; only the measured processes come from the other one.
The two runs of a pair follow each other, and the next pair has the opposite order. So other work of the machine affects both sides.
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
"""The smallest number of pairs that counts as a measurement."""
HIGHER: Final = "higher"
LOWER: Final = "lower"
EVALUATED: Final = ("ratios", "intervals", "coverage", "better", "pairs", "void")
"""Keys of a result that have an entry for each measure."""
OF_ROUNDS: Final = ("rounds", "only")
"""Options for runs with peers; they have no meaning with ``--against``."""


@dataclass(frozen=True)
class Measure:
    """A number that each run yields and whose ratio now / before is reported, and whether a higher or a lower one is better."""

    name: str
    of: Callable[[Run], float]
    better: str = HIGHER


@dataclass(frozen=True)
class Trial:
    """Work that both checkouts do in turn, and its measures. ``name`` is unique within a benchmark."""

    name: str
    run: Callable[[Run, Checkout], None]
    measures: tuple[Measure, ...]
    unit: str = "events"


Trials = Callable[[argparse.Namespace], AbstractContextManager[Sequence[Trial]]]
"""Prepares the trials of a benchmark: a broker, topics, traffic."""


def rates(unit: str = "events") -> tuple[Measure, ...]:
    """Return the measures of a known amount of work: its rates per CPU-second and per wall second, and peak memory."""
    return (
        Measure(f"{unit}_per_cpu_second", lambda run: run.per_cpu_second),
        Measure(f"{unit}_per_wall_second", lambda run: run.per_wall_second),
        Measure("peak_mib", lambda run: run.peak_mib, LOWER),
    )


def figure(name: str, better: str) -> Measure:
    """Return the measure of a figure that a benchmark writes into ``Run.figures``; it is 0 in a run without it."""
    return Measure(name, lambda run: run.figures.get(name, 0.0), better)


def parse(
    parser: argparse.ArgumentParser,
    argv: Sequence[str] | None,
    trials: Sequence[str] = (),
    *,
    small: Mapping[str, Any] | None = None,
) -> argparse.Namespace:
    """Add the options of now / before to those of a benchmark, and parse the command line. ``--trials`` chooses from ``trials``.

    ``small`` are the sizes that ``--smoke`` sets where no other is given. With them, ``--smoke`` needs no other checkout.
    """
    group = parser.add_argument_group(
        "now / before",
        "Compare this checkout (now) with another one (before), without peers. docs/benchmarks.md describes the method.",
    )
    group.add_argument(
        "--against",
        type=Path,
        metavar="CHECKOUT",
        help="root of the other git worktree or clone, which is 'before'",
    )
    group.add_argument("--pairs", type=int, help=f"pairs of runs, {PAIRS} or more (default: {PAIRS})")
    group.add_argument(
        "--smoke",
        action="store_true",
        help="a trial run with one pair, or any number of --pairs: not a measurement",
    )
    if trials:
        group.add_argument(
            "--trials", nargs="+", choices=trials, default=trials, help="run only these parts (default: all)"
        )
    chosen = parser.parse_args(argv)
    if chosen.smoke and small is not None:
        for name, size in small.items():
            if getattr(chosen, name) == parser.get_default(name):
                setattr(chosen, name, size)
    complaint = _complaint(parser, chosen, may_be_small=small is not None)
    if complaint is not None:
        parser.error(complaint)
    if chosen.against is not None and chosen.pairs is None:
        chosen.pairs = 1 if chosen.smoke else PAIRS
    return chosen


def _complaint(
    parser: argparse.ArgumentParser, chosen: argparse.Namespace, *, may_be_small: bool
) -> str | None:
    """Return what is wrong with the options, or None if they are valid."""
    if chosen.against is None:
        is_alone = chosen.pairs or (chosen.smoke and not may_be_small)
        return "--pairs and --smoke belong to --against CHECKOUT" if is_alone else None
    for name in OF_ROUNDS:
        if getattr(chosen, name, None) != parser.get_default(name):
            return f"--{name} is about peers, and --against has no peers"
    if chosen.pairs is not None and chosen.pairs < (1 if chosen.smoke else PAIRS):
        return f"--pairs is {PAIRS} or more (with --smoke, 1 or more), for a 95 % interval of the median"
    return None


def run(name: str, chosen: argparse.Namespace, trials: Trials) -> int:
    """Measure now / before and print one JSON object as the last line; return 0 if no ratio is void, else 1."""
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
    """Void all ratios if the code of a side changed: it is unknown which runs used which code."""
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
            raise RuntimeError(f"this checkout cannot read the results of the run: {error!r}") from error

    return play((NOW, BEFORE), pairs, run_one, lambda line: say(f"{trial.name}: {line}"), trial.unit)


def evaluate(trial: Trial, rounds: Rounds, prefix: str = "") -> dict[str, dict[str, Any]]:
    """Return, for each measure, the median of now / before, its interval and coverage, what is better, and the ratio of each pair."""
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
        changed = " with uncommitted changes" if checkout.is_dirty else ""
        say(
            f"{name}: {side} is {checkout.given} at {(checkout.commit or '')[:12]}{changed}, run by {checkout.environment}"
        )
    now, before = sides[NOW].imported, sides[BEFORE].imported
    if now is not None and before is not None:
        for what, (one, other) in different_versions(now, before).items():
            say(f"{name}: {what} is {one} now and {other} before; the ratios include this difference")


def _say_result(name: str, result: Mapping[str, Any], *, is_smoke: bool) -> None:
    for measure, ratio in result["ratios"].items():
        if ratio is None:
            say(f"{name}: {measure} is void: {result['void'][measure]}")
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
