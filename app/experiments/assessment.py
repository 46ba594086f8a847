"""Assesses an experiment: the rate of each variant, its difference from the baseline, the split of users, and a verdict."""

from collections.abc import Sequence
from typing import Final

import msgspec

from app.experiments.confidence_sequences import tightest_at
from app.experiments.differences import (
    LEAST_CONTRIBUTORS,
    LEAST_USERS,
    Estimate,
    difference,
    too_few,
    users_needed,
)
from app.experiments.sample_ratio import SplitCheck, check_split
from app.experiments.user_sums import UserSums
from app.experiments.verdicts import Finding, VerdictCode, of_all, of_difference, of_split, too_early

_NO_RATE: Final = "there is no rate yet"
_NO_VARIATION: Final = "all users have the same result"


class ExperimentPlan(msgspec.Struct, frozen=True):
    """What is decided before an experiment starts; a plan that follows the results voids the guarantee.

    ``alpha`` is the probability of any false claim, over all looks and variants. The confidence sequences are tightest at
    ``planned_users`` in all, and valid before and after. ``effect`` is the smallest relative lift that matters.
    """

    alpha: float = 0.05
    planned_users: int = 10_000
    effect: float = 0.05
    power: float = 0.8


class ObservedVariant(msgspec.Struct, frozen=True):
    """A variant with the sums of the users who saw no other. ``weight`` is its share of the assignment."""

    name: str
    sums: UserSums
    weight: float = 1.0


class VariantRate(msgspec.Struct, frozen=True):
    """The rate of a variant with its confidence sequence at this look; null has a reason."""

    name: str
    users: int
    rate: float | None
    low: float | None
    high: float | None
    reason: str | None = None


class VariantDifference(msgspec.Struct, frozen=True):
    """How a variant differs from the baseline. ``users_needed`` counts those of both, from the start, for the plan's effect."""

    baseline: str
    name: str
    absolute: Estimate | None
    lift: Estimate | None
    p_value: float | None
    users_needed: int | None
    users_missing: int | None
    finding: Finding


class Assessment(msgspec.Struct, frozen=True):
    """The answer on an experiment. Its verdict comes first: if the split is wrong, the numbers mean nothing."""

    verdict: VerdictCode
    sentence: str
    variants: tuple[VariantRate, ...]
    differences: tuple[VariantDifference, ...]
    split: SplitCheck


def assess(
    variants: Sequence[ObservedVariant], plan: ExperimentPlan | None = None, *, of_several: int = 0
) -> Assessment:
    """Compare each variant with the first one, the baseline. ``of_several`` users saw more than one variant and are in no sums.

    The plan's alpha is divided by the number of comparisons (Bonferroni), and each p-value multiplied by it.
    """
    plan = plan or ExperimentPlan()
    split = check_split(
        [each.sums.users for each in variants], [each.weight for each in variants], of_several
    )
    compared = tuple(_compare(variants[0], each, len(variants), plan) for each in variants[1:])
    finding = of_split([each.name for each in variants], split) or of_all([each.finding for each in compared])
    return Assessment(
        verdict=finding.verdict,
        sentence=finding.sentence,
        variants=tuple(_rate(each, len(variants), plan) for each in variants),
        differences=compared,
        split=split,
    )


def _rate(variant: ObservedVariant, of: int, plan: ExperimentPlan) -> VariantRate:
    sums = variant.sums
    rate, variance = sums.rate, sums.variance
    if rate is None or variance is None:
        return VariantRate(variant.name, sums.users, rate, None, None, _NO_RATE)
    if sums.users < LEAST_USERS or sums.contributors < LEAST_CONTRIBUTORS:
        reason = f"an interval needs {LEAST_USERS} users and results of {LEAST_CONTRIBUTORS}"
        return VariantRate(variant.name, sums.users, rate, None, None, reason)
    half = tightest_at(plan.planned_users / of, plan.alpha).standard_errors(sums.users) * variance**0.5
    return VariantRate(variant.name, sums.users, rate, max(0.0, rate - half), rate + half)


def _compare(
    base: ObservedVariant, other: ObservedVariant, of: int, plan: ExperimentPlan
) -> VariantDifference:
    both = base.sums + other.sums
    for each in (other, base):
        reason = too_few(each.sums, both)
        if reason is not None:
            return _undecided(base.name, other.name, f"{each.name} has {reason}")
    comparisons = of - 1
    boundary = tightest_at(plan.planned_users * 2 / of, plan.alpha / comparisons)
    found = difference(base.sums, other.sums, boundary)
    if found is None:
        return _undecided(base.name, other.name, _NO_VARIATION)
    gap = plan.effect * (base.sums.rate or 0.0)
    needed = users_needed(boundary, found.standard_error**2 * found.users, gap, plan.power)
    missing = None if needed is None else max(0, needed - found.users)
    return VariantDifference(
        baseline=base.name,
        name=other.name,
        absolute=found.absolute,
        lift=found.lift,
        p_value=min(1.0, found.p_value * comparisons),
        users_needed=needed,
        users_missing=missing,
        finding=of_difference(base.name, other.name, found.absolute, found.lift, plan.effect, missing),
    )


def _undecided(base: str, other: str, reason: str) -> VariantDifference:
    return VariantDifference(base, other, None, None, None, None, None, too_early(reason))
