"""Totals of experiments from stored windows, and their assessment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from app.customers.declared_experiments import METRICS, DeclaredExperiment, Metric
from app.experiments.assessment import Assessment, ExperimentPlan, ObservedVariant, assess
from app.experiments.user_sums import UserSums
from tables.ctr.user_totals import RevenueTotals, UserTotals, sum_of
from tables.ctr.window_keys import experiment_of
from tables.ctr.window_sums import WindowRow
from tables.ctr.windows import end_ms

_MOST_VARIANTS: Final = 20


@dataclass(slots=True)
class FoundExperiment:
    """The totals of an experiment by variant (None: users of several), and the span of the windows that they are from."""

    totals: dict[str | None, UserTotals] = field(default_factory=dict)
    first_ms: int | None = None
    last_ms: int | None = None

    def add(self, row: WindowRow) -> None:
        """Add a stored window."""
        start_ms, stop_ms = row.key.start_ms, end_ms(row.key)
        self.first_ms = start_ms if self.first_ms is None else min(self.first_ms, start_ms)
        self.last_ms = stop_ms if self.last_ms is None else max(self.last_ms, stop_ms)
        total = sum_of(self.totals.get(row.key.variant), row.counts.user_totals)
        self.totals[row.key.variant] = total or UserTotals()

    @property
    def of_several(self) -> int:
        """How many users saw several variants."""
        return max(0, self.totals.get(None, UserTotals()).users)

    @property
    def users(self) -> int:
        """How many users there are in all."""
        return sum(max(0, each.users) for each in self.totals.values())


def add_to(found: dict[str, FoundExperiment], row: WindowRow) -> None:
    """Add a stored window to the totals of its experiment. ``found`` has them by name."""
    name = experiment_of(row.key.scenario)
    if name is not None:
        found.setdefault(name, FoundExperiment()).add(row)


@dataclass(frozen=True, slots=True)
class AssessedExperiment:
    """An assessment with the sums of each variant, in its order.

    ``undeclared`` has the users of variants that the customers file does not name, or beyond the most that are compared.
    """

    assessment: Assessment
    sums: tuple[UserSums, ...]
    undeclared: dict[str, int]


def assessed(
    found: FoundExperiment, declared: DeclaredExperiment | None, metric: Metric, currency: str
) -> AssessedExperiment:
    """Compare the variants: the declared ones in their order, else those found, by name."""
    users = {name: max(0, total.users) for name, total in found.totals.items() if name is not None}
    weights: Mapping[str, float]
    if declared is None:
        most = sorted(users, key=lambda name: (-users[name], name))[:_MOST_VARIANTS]
        weights = {name: 1.0 for name in sorted(most) if users[name]}
    else:
        weights = declared.variants
    plan = ExperimentPlan()
    if declared is not None:
        plan = ExperimentPlan(
            alpha=declared.alpha, planned_users=declared.planned_users, effect=declared.effect
        )
    variants = [
        ObservedVariant(name, _sums_of(found.totals.get(name, UserTotals()), metric, currency), weight)
        for name, weight in weights.items()
    ]
    undeclared = {name: number for name, number in users.items() if number and name not in weights}
    if not variants:
        variants = [ObservedVariant("", UserSums())]
        assessment = assess(variants, plan, of_several=found.of_several)
        return AssessedExperiment(_without_variants(assessment), (), undeclared)
    assessment = assess(variants, plan, of_several=found.of_several)
    return AssessedExperiment(assessment, tuple(each.sums for each in variants), undeclared)


def metric_of(declared: DeclaredExperiment | None) -> Metric:
    """Return the metric of an experiment if the caller names none."""
    return METRICS[0] if declared is None else declared.metric


def _sums_of(totals: UserTotals, metric: Metric, currency: str) -> UserSums:
    """Return the sums over users that a rate is made of. Statistics are floats; the totals that they come from are exact."""
    users = max(0, totals.users)
    if metric == "ctr_rendered":
        value, weight = (
            (totals.clicks, totals.clicks_squared),
            (totals.shown, totals.shown_squared),
        )
        return UserSums(users, *value, *weight, totals.clicks_by_shown)
    if metric == "ctr_calls":
        value = totals.clicked_calls, totals.clicked_calls_squared
        return UserSums(users, *value, totals.calls, totals.calls_squared, totals.clicked_calls_by_calls)
    if metric == "conversion_per_click":
        value = totals.purchases, totals.purchases_squared
        return UserSums(users, *value, totals.clicks, totals.clicks_squared, totals.purchases_by_clicks)
    money = totals.revenue.get(currency, RevenueTotals())
    earned = float(money.revenue), float(money.squared)
    return UserSums(users, *earned, totals.calls, totals.calls_squared, float(money.by_calls))


def _without_variants(assessment: Assessment) -> Assessment:
    """Return the assessment of an experiment all of whose users saw several variants."""
    fields: dict[str, Any] = {name: getattr(assessment, name) for name in Assessment.__struct_fields__}
    return Assessment(**{**fields, "variants": ()})
