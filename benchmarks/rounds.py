"""Turns runs into ratios: ours / theirs within each round, and the median over the rounds.

A ratio is null if one of its runs is void.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Run:
    """What one contestant did in one round. ``void`` says why the run does not count, or is None."""

    contestant: str
    count: int = 0
    """Events folded, or records restored."""
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    peak_mib: float = 0.0
    verdict: str = ""
    void: str | None = None
    figures: dict[str, float] = field(default_factory=dict)
    """Other figures that a benchmark measures, by name."""
    tenths: list[float] = field(default_factory=list)
    """Events per CPU-second in each tenth of the events, if the benchmark sampled them."""

    @property
    def per_cpu_second(self) -> float:
        return self.count / self.cpu_seconds if self.cpu_seconds else 0.0

    @property
    def per_wall_second(self) -> float:
        return self.count / self.wall_seconds if self.wall_seconds else 0.0


Rounds = Sequence[Mapping[str, Run]]
"""For each round, the run of each contestant."""

Pairs = Mapping[str, tuple[str, str]]
"""Name of a ratio -> the contestants of its numerator and its denominator."""


def play(
    contestants: Sequence[str],
    rounds: int,
    run_one: Callable[[Run], None],
    say: Callable[[str], None],
    unit: str,
) -> list[dict[str, Run]]:
    """Let every contestant run in every round; ``run_one`` fills in the run. A run that fails is void."""
    played: list[dict[str, Run]] = []
    for number in range(rounds):
        runs: dict[str, Run] = {}
        played.append(runs)
        for contestant in order(contestants, number):
            run = runs[contestant] = Run(contestant)
            try:
                run_one(run)
            except (RuntimeError, TimeoutError) as error:
                run.void = f"{type(error).__name__}: {error}"
            say(
                f"round {number + 1}/{rounds} {contestant}: {run.per_cpu_second:,.0f} {unit} a CPU-second, "
                f"{run.per_wall_second:,.0f} a second, {run.count:,} {unit}, {_last_line(run.void or run.verdict)}"
            )
    return played


def _last_line(text: str) -> str:
    return (text.splitlines() or [""])[-1]


def order(contestants: Sequence[str], number: int) -> list[str]:
    """Return the order of a round: contestants take turns at each place, and every other round runs backwards. Two alternate."""
    shift = number // 2 % len(contestants) if len(contestants) > 2 else 0
    turned = [*contestants[shift:], *contestants[:shift]]
    return turned if number % 2 == 0 else turned[::-1]


def ratios_of(
    rounds: Rounds, pairs: Pairs, rate: Callable[[Run], float]
) -> tuple[dict[str, float | None], dict[str, str]]:
    """Return the median of each ratio over the rounds, and the reason of each ratio that is null.

    Runs of one round follow each other, so other work of the machine affects all of them.
    """
    ratios: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    for name, (above, below) in pairs.items():
        found, reason = quotients(rounds, above, below, rate)
        if reason is not None:
            reasons[name] = reason
        good = [quotient for quotient in found if quotient is not None]
        ratios[name] = round(statistics.median(good), 3) if reason is None else None
    return ratios, reasons


def quotients(
    rounds: Rounds, above: str, below: str, rate: Callable[[Run], float]
) -> tuple[list[float | None], str | None]:
    """Return above / below for each round in which both ran, None if it is void, and the reason of the first void one."""
    found: list[float | None] = []
    reasons: list[str] = []
    for runs in rounds:
        if above not in runs or below not in runs:
            continue
        pair = runs[above], runs[below]
        void = [f"{run.contestant}: {run.void}" for run in pair if run.void]
        void = void or [f"{run.contestant}: it measured nothing" for run in pair if not rate(run)]
        found.append(None if void else rate(pair[0]) / rate(pair[1]))
        reasons += void
    return found, next(iter(reasons), None if found else "it did not run")


def outcome(rounds: Rounds, pairs: Pairs) -> dict[str, Any]:
    """Return the ratios per CPU-second and per wall second, the reasons of void ones, and a summary of each contestant."""
    ratios, reasons = ratios_of(rounds, pairs, lambda run: run.per_cpu_second)
    per_wall, _ = ratios_of(rounds, pairs, lambda run: run.per_wall_second)
    return {
        "ratios": ratios,
        "per_wall": per_wall,
        "void": reasons,
        "rounds": len(rounds),
        "contestants": summaries(rounds),
    }


def summaries(rounds: Rounds) -> dict[str, Any]:
    """Return what each contestant did, over all rounds and in each round."""
    names = list(rounds[0]) if rounds else []
    return {name: _summary([runs[name] for runs in rounds]) for name in sorted(names)}


def _summary(runs: list[Run]) -> dict[str, Any]:
    good = [run for run in runs if run.void is None]
    per_cpu = [run.per_cpu_second for run in good]
    return {
        "count": runs[0].count,
        "per_cpu_second": round(statistics.median(per_cpu)) if good else None,
        "per_wall_second": round(statistics.median(run.per_wall_second for run in good)) if good else None,
        "spread_percent": round(100 * (max(per_cpu) - min(per_cpu)) / statistics.median(per_cpu), 1)
        if good
        else None,
        "peak_mib": round(max(run.peak_mib for run in runs)),
        "figures": {
            name: statistics.median(run.figures[name] for run in good if name in run.figures)
            for name in dict.fromkeys(name for run in good for name in run.figures)
        },
        "tenths": [
            round(statistics.median(part)) for part in zip(*(run.tenths for run in good), strict=False)
        ],
        "rounds": [asdict(run) for run in runs],
    }
