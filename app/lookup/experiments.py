"""Answers of lookups of experiments: collects the totals from the workers that merge them, and assesses them."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from app.customers.customer import Customer
from app.customers.declared_experiments import DeclaredExperiment, Metric
from app.lookup.ctr_rows import MAX_ROWS, rows_of_owners
from app.lookup.experiment_query import ExperimentQuery, kept_end
from app.lookup.experiment_totals import (
    AssessedExperiment,
    FoundExperiment,
    add_to,
    assessed,
    metric_of,
)
from app.lookup.routing import Router
from app.lookup.service import LookupService
from app.lookup.staleness import marked, oldest, refuse_stale
from app.lookup.turns import Turns
from events.rejections import RefusedError
from events.topics import DAY_MS
from tables.base.long_lists import used_up
from tables.ctr.window_keys import EXPERIMENT, HOUR_MS, experiment_name
from tables.ctr.window_sums import StoredSpan, WindowRow, segments, step_end, step_start
from tables.ctr.windows import WINDOW_KEEP_MS, end_ms

_MOST_STEPS: Final = 200


class ExperimentAnswers:
    """Answers one lookup of a customer's experiments."""

    def __init__(
        self,
        service: LookupService,
        router: Router,
        customer: Customer,
        headers: Mapping[str, str],
        max_stale_ms: int | None,
    ) -> None:
        self._service, self._router, self._customer = service, router, customer
        self._headers, self._max_stale_ms = headers, max_stale_ms
        self._turns = Turns()
        self._stale_ms: int | None = None

    async def all_of(self, now_ms: int) -> dict[str, Any]:
        """Return the list of experiments, those with the newest windows first, then declared ones without any."""
        spans = segments(0, kept_end(now_ms, now_ms))
        found = await self._totals(None, spans)
        declared = self._customer.experiments
        names = sorted(found, key=lambda name: (-(found[name].last_ms or 0), name))
        names += [name for name in declared if name not in found]
        entries = [
            self._listed(name, found.get(name, FoundExperiment()), declared.get(name))
            async for name in self._turns.each(names)
        ]
        return marked({"customer": self._customer.id, "experiments": entries}, self._stale_ms)

    def _listed(
        self, name: str, found: FoundExperiment, declared: DeclaredExperiment | None
    ) -> dict[str, Any]:
        metric = metric_of(declared)
        result = assessed(found, declared, metric, self._customer.rules.currency).assessment
        return {
            "name": name,
            "declared": declared is not None,
            "metric": metric,
            "variants": [each.name for each in result.variants],
            "users": found.users,
            "first_ms": found.first_ms,
            "last_ms": found.last_ms,
            "verdict": result.verdict,
            "sentence": result.sentence,
        }

    async def one(self, name: str, query: ExperimentQuery, now_ms: int) -> dict[str, Any]:
        """Return the assessment of one experiment up to a time, with ``steps`` also at each hour or day."""
        declared = self._customer.experiments.get(name)
        spans = segments(0, query.to_ms)
        found = (await self._totals(name, spans)).get(name, FoundExperiment())
        if declared is None and not found.totals:
            raise RefusedError(
                "unknown_path",
                f"customer {self._customer.id} has no experiment {name[:40]!r}; no event names it, nor does the customers file",
                "name",
            )
        metric = query.metric or metric_of(declared)
        result = assessed(found, declared, metric, query.currency)
        answer = {
            "customer": self._customer.id,
            "name": name,
            "metric": metric,
            "currency": query.currency if metric == "revenue_per_call" else None,
            "declared": declared is not None,
            "from_ms": found.first_ms,
            "to_ms": query.to_ms,
            **_as_json(result),
        }
        if query.has_steps:
            answer["sequence"] = await self._sequence(name, query, found, declared, metric, now_ms)
        return marked(answer, self._stale_ms)

    async def _sequence(
        self,
        name: str,
        query: ExperimentQuery,
        found: FoundExperiment,
        declared: DeclaredExperiment | None,
        metric: Metric,
        now_ms: int,
    ) -> list[dict[str, Any]]:
        """Return the lifts as they were at the end of each step, with all that had happened since the beginning."""
        if found.first_ms is None or found.last_ms is None:
            return []
        begin_ms = max(found.first_ms, query.from_ms or 0)
        last_ms = min(found.last_ms, query.to_ms)
        unit, step_ms = _step(begin_ms, last_ms, now_ms)
        begin_ms, last_ms = step_start(begin_ms, step_ms), step_end(last_ms, step_ms)
        before = await self._totals(name, segments(0, begin_ms))
        so_far = before.get(name, FoundExperiment())
        spans = [StoredSpan(unit, begin_ms, last_ms)]
        by_end: dict[int, list[WindowRow]] = {}
        for row in await self._rows(name, spans):
            by_end.setdefault(step_end(end_ms(row.key), step_ms), []).append(row)
        sequence: list[dict[str, Any]] = []
        async for stop_ms in self._turns.each(range(begin_ms + step_ms, last_ms + 1, step_ms)):
            for row in by_end.get(stop_ms, ()):
                so_far.add(row)
            result = assessed(so_far, declared, metric, query.currency).assessment
            lifts = [{"name": each.name, "lift": each.lift} for each in result.differences]
            sequence.append({"end_ms": stop_ms, "differences": lifts})
        return sequence

    async def _totals(self, name: str | None, spans: list[StoredSpan]) -> dict[str, FoundExperiment]:
        """Return the totals of one experiment, or of all, by name."""
        found: dict[str, FoundExperiment] = {}
        async for row in self._turns.each(await self._rows(name, spans)):
            add_to(found, row)
        return found

    async def _rows(self, name: str | None, spans: list[StoredSpan]) -> Iterator[WindowRow]:
        """Return the stored windows of one experiment, or of all, from the workers that own them."""
        scenario = None if name is None else experiment_name(name)
        parts = await rows_of_owners(
            self._service,
            self._router,
            self._customer.id,
            scenario,
            EXPERIMENT,
            spans,
            self._headers,
        )
        self._stale_ms = oldest((self._stale_ms, *(part.stale_ms for part in parts)))
        refuse_stale(self._stale_ms, self._max_stale_ms)
        if sum(len(part.reply) for part in parts) > MAX_ROWS:
            raise RefusedError(
                "bad_parameter",
                f"the experiments have more than {MAX_ROWS} stored windows; ask for one of them by its name",
            )
        return (row for part in parts for row in used_up(part.reply))


def _step(begin_ms: int, to_ms: int, now_ms: int) -> tuple[str, int]:
    """Return the stored granularity and the length of the steps of a sequence: an hour, a day, or several days."""
    are_hours_kept = begin_ms - HOUR_MS > now_ms - WINDOW_KEEP_MS["hour"]
    if are_hours_kept and to_ms - begin_ms < (_MOST_STEPS - 1) * HOUR_MS:
        return "hour", HOUR_MS
    return "day", DAY_MS * max(1, -(-(to_ms - begin_ms + DAY_MS) // (_MOST_STEPS * DAY_MS)))


def _as_json(result: AssessedExperiment) -> dict[str, Any]:
    """Return the fields of an assessment."""
    assessment = result.assessment
    return {
        "verdict": assessment.verdict,
        "sentence": assessment.sentence,
        "baseline": assessment.variants[0].name if assessment.variants else None,
        "variants": [
            {
                "name": each.name,
                "users": each.users,
                "values": sums.values,
                "weights": sums.weights,
                "rate": each.rate,
                "low": each.low,
                "high": each.high,
                "reason": each.reason,
            }
            for each, sums in zip(assessment.variants, result.sums, strict=True)
        ],
        "differences": [
            {
                "baseline": each.baseline,
                "name": each.name,
                "absolute": each.absolute,
                "lift": each.lift,
                "p_value": each.p_value,
                "users_needed": each.users_needed,
                "users_missing": each.users_missing,
                "verdict": each.finding.verdict,
                "sentence": each.finding.sentence,
            }
            for each in assessment.differences
        ],
        "split": assessment.split,
        "of_several": assessment.split.of_several,
        "undeclared_variants": result.undeclared,
    }
