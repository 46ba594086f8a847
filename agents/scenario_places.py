"""Gives scenario names their places in a partition, and tells which customers have more names than places.

docs/decisions/0017 has the rules. The page docs/operations.md#too_many_scenarios describes the alarm.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from agents.row_cache import RowCache
from tables.ctr.scenario_names import OTHER_SCENARIO, RESERVED, NamesState, admit, customer_key
from tables.ctr.window_keys import UNKNOWN_SCENARIO, scenario_key

log = logging.getLogger(__name__)

_ALARM_MS: Final = 3_600_000
"""An alarm ends when no name was refused for this long, by time of receipt."""
_MOST_ALARMS: Final = 100


@dataclass(slots=True)
class Crowd:
    """A customer with more scenario names in a partition than count by themselves."""

    customer: str
    partition: int
    limit: int
    since_ms: int
    """When the newest event of the first such flush was received."""
    last_ms: int

    def __str__(self) -> str:
        return (
            f"customer {self.customer} has more than {self.limit} scenario names in partition {self.partition}: more names count as "
            f"'{OTHER_SCENARIO}'. Nothing is lost. Find the page or program that makes names up, or raise UPTAKE_MAX_SCENARIOS "
            "of all workers (docs/operations.md)"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the alarm for JSON."""
        return {
            "alarm": "too_many_scenarios",
            "customer": self.customer,
            "partition": self.partition,
            "limit": self.limit,
            "since_ms": self.since_ms,
            "message": str(self),
        }


class ScenarioPlaces:
    """The places for scenario names in one partition."""

    def __init__(self, rows: RowCache[NamesState], partition: int, limit: int) -> None:
        self._rows, self._partition, self._limit = rows, partition, limit
        self._crowds: dict[str, Crowd] = {}

    def namer(self, received_ms: int) -> Callable[[str, str | None], str]:
        """Return a function of customer and scenario, for one drain: it returns the name that an event of this scenario counts under.

        It changes rows, which must be flushed with the counts. ``received_ms`` is when the newest folded event was received.
        """
        named: dict[tuple[str, str | None], str] = {}

        def name_of(customer: str, scenario: str | None) -> str:
            name = named.get((customer, scenario))
            if name is None:
                name = named[customer, scenario] = self._name(customer, scenario, received_ms)
            return name

        return name_of

    def _name(self, customer: str, scenario: str | None, received_ms: int) -> str:
        if not scenario:
            return UNKNOWN_SCENARIO
        if scenario in RESERVED:
            return scenario
        rows, all_key, key = self._rows, customer_key(customer), scenario_key(customer, scenario)
        names, known = rows.read(all_key), rows.read(key)
        state, is_admitted = admit(names, known, received_ms, self._limit)
        if state != names:
            rows.put(all_key, state)
        if not is_admitted:
            self._refuse(customer, received_ms)
            return OTHER_SCENARIO
        if known is None or known.week != state.week:
            rows.put(key, NamesState(state.week))
        return scenario

    def _refuse(self, customer: str, received_ms: int) -> None:
        crowd = self._crowds.get(customer)
        if crowd is not None and received_ms - crowd.last_ms < _ALARM_MS:
            crowd.last_ms = max(crowd.last_ms, received_ms)
            return
        if crowd is None and len(self._crowds) >= _MOST_ALARMS:
            del self._crowds[min(self._crowds.values(), key=lambda each: each.last_ms).customer]
        crowd = self._crowds[customer] = Crowd(
            customer, self._partition, self._limit, received_ms, received_ms
        )
        log.error("%s", crowd)

    def alarms(self, received_ms: int) -> list[Crowd]:
        """Return the active alarms when the newest folded event was received at ``received_ms``."""
        return [crowd for crowd in self._crowds.values() if received_ms - crowd.last_ms < _ALARM_MS]
