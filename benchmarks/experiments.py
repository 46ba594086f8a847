"""Simulates experiments: false claims of A/A tests that are looked at after each user, and power against one test at the end.

Users have 1 to 100 impressions and a click rate of their own. Nothing is measured in seconds, so other work does not matter.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any, Final

import numpy as np

from app.experiments.assessment import ExperimentPlan, ObservedVariant, assess
from app.experiments.confidence_sequences import tightest_at
from app.experiments.differences import LEAST_CONTRIBUTORS
from app.experiments.sample_ratio import SPLIT_ALPHA
from benchmarks.all_looks import Looks, SplitLooks, reaches, scores
from benchmarks.command import finish, options, say
from benchmarks.simulated_users import METRICS, Returning, Users, arrive, come_back

ALPHA: Final = 0.05
SHARES: Final = ("users_who_clicked", "users_who_bought")
OTHER_LEAST: Final = (0, 5, 10, 50)
"""Other numbers of contributors, to see what the minimum of the application is for."""
ONCE: Final = NormalDist().inv_cdf(1 - ALPHA / 2)
LIFTS: Final = (0.05, 0.1, 0.2, 0.4)
SPLITS: Final = (0.5, 0.1)
"""Shares of B in the A/A tests."""
RETURNING_LOOKS: Final = 100
SMOKE: Final = {"tests": 200, "users": 2_000, "returning": 20, "power_tests": 50}


@dataclass
class Counted:
    """How many tests claimed a difference at any look, and when."""

    tests: int = 0
    claimed: int = 0
    fixed: int = 0
    peeked: int = 0
    with_least: dict[int, int] = field(default_factory=lambda: dict.fromkeys(OTHER_LEAST, 0))
    stopped_at: list[int] = field(default_factory=list)

    def add(self, score: np.ndarray, expected: np.ndarray, reach: np.ndarray) -> int | None:
        """Count one test; return the look of its first claim.

        ``fixed`` tests once at the end, ``peeked`` does so at each look. ``with_least`` claims with fewer or more contributors.
        """
        is_beyond, enough = np.abs(score) > reach, expected >= LEAST_CONTRIBUTORS
        beyond = np.flatnonzero(is_beyond & enough)
        self.tests += 1
        self.fixed += bool(enough[-1] and abs(score[-1]) > ONCE)
        self.peeked += bool((enough & (np.abs(score) > ONCE)).any())
        for least in OTHER_LEAST if is_beyond.any() else ():
            self.with_least[least] += bool((is_beyond & (expected >= least)).any())
        if not len(beyond):
            return None
        self.claimed += 1
        self.stopped_at.append(int(beyond[0]) + 1)
        return int(beyond[0])

    def share(self, of: int) -> float:
        return round(of / max(1, self.tests), 4)


@dataclass
class Agreement:
    """Whether the arrays and the application say the same of single looks."""

    plan: ExperimentPlan
    looks: int = 0
    different: int = 0

    def check(self, looks: tuple[Looks, Looks], at: int, claims: bool) -> None:
        found = assess(
            [ObservedVariant(name, each.at(at), each.sums["users"][at]) for name, each in zip("AB", looks, strict=True)],
            self.plan,
        )  # fmt: skip
        says = found.verdict.value in ("better", "worse")
        self.looks += 1
        self.different += says != claims


def arrivals(random: np.random.Generator, chosen: argparse.Namespace, tests: int, lift: float, share_of_b: float,
             what: str) -> Iterator[Users]:  # fmt: skip
    """Yield the users of each test, and say how far it is."""
    for number in range(tests):
        if number % max(1, tests // 10) == 0:
            say(f"experiments: {what}: {number:,} of {tests:,} tests")
        yield arrive(random, chosen.users, lift=lift, share_of_b=share_of_b)


def run(tests: Iterable[Users], agreement: Agreement, reach: np.ndarray,
        split: SplitLooks) -> tuple[dict[str, Counted], Counted]:  # fmt: skip
    """Look at each test after each user; return what was claimed of each metric, and of the split."""
    counted, splits = {name: Counted() for name in METRICS}, Counted()
    for users in tests:
        for name in METRICS:
            values, weights = users.metrics[name]
            looks = (
                Looks.of_arrivals(values, weights, ~users.in_b),
                Looks.of_arrivals(values, weights, users.in_b),
            )
            score, expected = scores(*looks, name in SHARES)
            first = counted[name].add(score, expected, reach[1:])
            last = len(score) - 1
            for at in {last, last // 2} if first is None else {last, max(0, first - 1), first}:
                claims = expected[at] >= LEAST_CONTRIBUTORS and abs(score[at]) > reach[at + 1]
                agreement.check(looks, at, bool(claims))
        evidence = split.log_evidence(users.in_b)
        splits.tests += 1
        splits.claimed += bool(evidence.max() >= -np.log(SPLIT_ALPHA))
    return counted, splits


def run_returning(tests: Iterable[Returning], reach: np.ndarray) -> dict[str, Counted]:
    """Look at tests of returning users at certain times. Values of a user grow from look to look."""
    counted = {name: Counted() for name in METRICS[:2]}
    for test in tests:
        for name, of_name in counted.items():
            values = (test.clicks > 0) * 1.0 if name in SHARES else test.clicks.astype(float)
            weights = (test.shown > 0) * 1.0 if name in SHARES else test.shown.astype(float)
            looks = (
                Looks.of_tables(values[~test.in_b], weights[~test.in_b]),
                Looks.of_tables(values[test.in_b], weights[test.in_b]),
            )
            users = (looks[0].sums["users"] + looks[1].sums["users"]).astype(int)
            of_name.add(*scores(*looks, name in SHARES), reach[users])
    return counted


def _false_claims(counted: Counted) -> dict[str, Any]:
    return {
        "tests": counted.tests,
        "false_claims": counted.share(counted.claimed),
        "fixed_test_once": counted.share(counted.fixed),
        "fixed_test_at_each_look": counted.share(counted.peeked),
        "with_least_contributors": {
            str(least): counted.share(claimed) for least, claimed in counted.with_least.items()
        },
    }


def _power(counted: Counted) -> dict[str, Any]:
    return {
        "tests": counted.tests,
        "power": counted.share(counted.claimed),
        "fixed_test_power": counted.share(counted.fixed),
        "median_users_at_claim": int(np.median(counted.stopped_at)) if counted.stopped_at else None,
    }


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = options("experiments", __doc__, rounds=None)
    add = parser.add_argument
    add("--tests", type=int, default=10_000, help="A/A tests of each split (default: %(default)s)")
    add("--users", type=int, default=10_000, help="users of each test (default: %(default)s)")
    add("--returning", type=int, default=2_000, help="A/A tests of returning users (default: %(default)s)")
    add("--power-tests", type=int, default=1_000, help="tests of each true lift (default: %(default)s)")
    add("--planned-users", type=int, default=ExperimentPlan().planned_users,
        help="where the confidence sequences are tightest (default: %(default)s)")  # fmt: skip
    add("--smoke", action="store_true", help="a trial run of seconds: not a measurement")
    chosen = parser.parse_args(argv)
    if chosen.smoke:
        vars(chosen).update(SMOKE)
    return chosen


def main(argv: list[str] | None = None) -> int:
    """Run the simulation and print one JSON object as the last line; return 0 if arrays and application agree, else 1."""
    chosen = _parse(argv)
    plan = ExperimentPlan(alpha=ALPHA, planned_users=chosen.planned_users)
    reach = reaches(tightest_at(plan.planned_users, ALPHA), chosen.users)
    agreement = Agreement(plan)
    random = np.random.default_rng(chosen.seed)
    result: dict[str, Any] = {"false_claims": {}, "split_false_alarms": {}, "returning": {}, "power": {}}
    for share in SPLITS:
        split = SplitLooks((1 - share, share), chosen.users)
        tests = arrivals(random, chosen, chosen.tests, 0.0, share, f"A/A with {share:.0%} in B")
        counted, splits = run(tests, agreement, reach, split)
        result["false_claims"] |= {f"{name}.{share:g}": _false_claims(counted[name]) for name in METRICS}
        result["split_false_alarms"][f"{share:g}"] = splits.share(splits.claimed)
    say(f"experiments: {chosen.returning:,} A/A tests of returning users, {RETURNING_LOOKS} looks each")
    returning = run_returning(
        (come_back(random, chosen.users, RETURNING_LOOKS) for _ in range(chosen.returning)), reach
    )
    result["returning"] = {name: _false_claims(each) for name, each in returning.items()}
    split = SplitLooks((0.5, 0.5), chosen.users)
    for lift in LIFTS:
        tests = arrivals(random, chosen, chosen.power_tests, lift, 0.5, f"a true lift of {lift:.0%}")
        counted, _ = run(tests, agreement, reach, split)
        result["power"] |= {f"{name}.{lift:g}": _power(counted[name]) for name in METRICS}
    return _finish(result, agreement, chosen)


def _finish(result: dict[str, Any], agreement: Agreement, chosen: argparse.Namespace) -> int:
    shares = {name: each["false_claims"] for part in ("false_claims", "returning") for name, each in result[part].items()}  # fmt: skip
    beyond = {name: share for name, share in shares.items() if share > ALPHA}
    beyond |= {f"split.{name}": share for name, share in result["split_false_alarms"].items() if share > SPLIT_ALPHA}  # fmt: skip
    void = {}
    if agreement.different:
        void["agreement"] = f"the application differs at {agreement.different:,} of {agreement.looks:,} looks"
    for name, each in result["false_claims"].items():
        say(f"experiments: A/A {name}: {each}")
    for name, each in result["returning"].items():
        say(f"experiments: A/A of returning users, {name}: {each}")
    for name, each in result["power"].items():
        say(f"experiments: power {name}: {each}")
    whole = {
        "is_smoke": chosen.smoke,
        **result,
        "bar": ALPHA,
        "beyond_bar": beyond,
        "compared_looks": agreement.looks,
        "void": void,
        "users": chosen.users,
        "planned_users": chosen.planned_users,
        "seed": chosen.seed,
        "numpy": np.__version__,
    }
    return finish("experiments", whole, is_json=chosen.json)


if __name__ == "__main__":
    sys.exit(main())
