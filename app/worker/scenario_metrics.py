"""Prometheus gauges of scenarios: the CTR numbers of the last 15 minutes, for the busiest scenarios of the partitions that a worker owns.

A scenario's windows are merged in one partition. So one worker has its gauges, and sums over workers count nothing twice.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import nlargest
from typing import Any, Final, NamedTuple, Protocol

from mode import Service
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from agents.registry import Partitions
from app.base.clock import Clock, SystemClock
from app.base.settings import Settings
from app.customers.customer import Customer
from app.lookup.service import UnavailableError
from app.lookup.turns import Turns
from app.worker.contact import ContactRule
from tables.ctr.panes import Counts, add
from tables.ctr.rates import rates
from tables.ctr.window_keys import PANE_GRANULARITY, SCENARIO
from tables.ctr.window_sums import StoredSpan, WindowRow
from tables.ctr.windows import MINUTE_MS

_SPAN_MS: Final = 15 * MINUTE_MS
_EVERY_SECONDS: Final = 15.0
_REST: Final = 20
"""To read all windows takes at most one part in so many of the time."""


class _WorkerWindows(Protocol):
    """The part of a worker's lookups that reads windows."""

    def contact_age_ms(self) -> int:
        """Return the age of the contact with Kafka that the open partitions depend on."""

    def windows(
        self,
        partition: int,
        customer: str,
        scenario: str | None,
        dimension: str,
        segments: Sequence[StoredSpan],
    ) -> Iterable[Sequence[WindowRow]]:
        """Return the windows of a partition in short lists; raise UnavailableError if it is not open."""


class _ScenarioCounts(NamedTuple):
    partition: int
    customer: str
    name: str
    counts: Counts


class ScenarioMetrics(Collector):
    """Gauges of what was read last, so that a scrape costs little. A partition that was closed since has none."""

    def __init__(self, partitions: Partitions, most: int, is_current: Callable[[], bool]) -> None:
        """``most`` scenarios have gauges. Unless the worker ``is_current``, another one may own its partitions: it shows none."""
        self._partitions, self._most, self._is_current = partitions, most, is_current
        self._shown: list[_ScenarioCounts] = []
        self._left_out = 0
        self._end_ms = 0

    def show(self, found: Sequence[_ScenarioCounts], end_ms: int) -> None:
        """Show the busiest of the scenarios that were found, those with the most items shown. They are of the time up to ``end_ms``."""
        self._shown = nlargest(self._most, found, key=lambda each: (each.counts.rendered, each.counts.calls))
        self._left_out = len(found) - len(self._shown)
        self._end_ms = end_ms

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges."""
        labels = ("customer", "scenario")
        calls = GaugeMetricFamily(
            "uptake_scenario_calls", "Recommendation calls of the last 15 minutes", labels=labels
        )
        rendered = GaugeMetricFamily(
            "uptake_scenario_rendered", "Items shown in the last 15 minutes", labels=labels
        )
        clicked = GaugeMetricFamily(
            "uptake_scenario_attributed_clicks",
            "Items shown in the last 15 minutes that were clicked",
            labels=labels,
        )
        ctr = GaugeMetricFamily(
            "uptake_scenario_ctr_rendered", "Share of the items shown that were clicked", labels=labels
        )
        for each in self._shown if self._is_current() else ():
            if self._partitions.get(each.partition) is None:
                continue
            place, counts = (each.customer, each.name), each.counts
            calls.add_metric(place, counts.calls)
            rendered.add_metric(place, counts.rendered)
            clicked.add_metric(place, counts.attributed_clicks)
            share = rates(counts)["ctr_rendered"].value
            if share is not None:
                ctr.add_metric(place, share)
        yield from (calls, rendered, clicked, ctr)
        yield GaugeMetricFamily(
            "uptake_scenarios_left_out", "Scenarios with events that have no gauges", value=self._left_out
        )
        yield GaugeMetricFamily(
            "uptake_scenario_end_seconds", "End of the 15 minutes of the gauges", value=self._end_ms / 1000
        )


class ScenarioReader(Service):
    """Reads the windows of the last 15 minutes again and again, in slices between which the worker does other things."""

    def __init__(
        self,
        metrics: ScenarioMetrics,
        partitions: Partitions,
        customers: Mapping[str, Customer],
        lookups: _WorkerWindows,
        clock: Clock,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._metrics, self._partitions, self._customers = metrics, partitions, customers
        self._lookups, self._clock = lookups, clock

    @Service.task
    async def _read_regularly(self) -> None:
        while not self.should_stop:
            start_s = time.perf_counter()
            await self.read()
            await self.sleep(max(_EVERY_SECONDS, _REST * (time.perf_counter() - start_s)))

    async def read(self) -> None:
        """Read all windows once, and show them."""
        now_ms = self._clock.now_ms()
        end_ms = now_ms - now_ms % MINUTE_MS
        span, found, turns = (
            StoredSpan(PANE_GRANULARITY, end_ms - _SPAN_MS, end_ms),
            list[_ScenarioCounts](),
            Turns(),
        )
        for partition in [each.number for each in self._partitions]:
            for customer in list(self._customers):
                sums: dict[str, Counts] = {}
                try:
                    windows = self._lookups.windows(partition, customer, None, SCENARIO, [span])
                    async for rows in turns.each(windows):
                        for row in rows:
                            add(sums.setdefault(row.key.scenario, Counts()), row.counts)
                except UnavailableError:
                    break  # the partition was closed meanwhile
                found += [
                    _ScenarioCounts(partition, customer, name, counts)
                    for name, counts in sums.items()
                    if _is_shown(name, counts)
                ]
        self._metrics.show(found, end_ms)


def _is_shown(name: str, counts: Counts) -> bool:
    """Return whether a scenario had events, and a name that is valid in UTF-8."""
    if not (counts.rendered or counts.calls or counts.attributed_clicks):
        return False
    return name.encode("utf-8", "ignore").decode() == name


def scenario_gauges(
    settings: Settings,
    registry: CollectorRegistry,
    partitions: Partitions,
    customers: Mapping[str, Customer],
    lookups: _WorkerWindows,
    rule: ContactRule,
) -> list[ScenarioReader]:
    """Register the gauges of a worker, and return the services that keep them up to date: none if they are switched off."""
    if not settings.scenario_metrics:
        return []

    def is_current() -> bool:
        return rule.stale_ms(lookups.contact_age_ms()) is None

    metrics = ScenarioMetrics(partitions, settings.scenario_metrics, is_current)
    registry.register(metrics)
    return [ScenarioReader(metrics, partitions, customers, lookups, SystemClock())]
