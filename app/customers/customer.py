"""One customer: the rules for its events, its access, and the defaults of its lookups."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from app.customers.declared_experiments import DeclaredExperiment
from app.customers.exclusion_rules import ExclusionRules
from events.rules import Rules

MAX_RATING: Final = 100  # of the wire format

CtrDimension = Literal["position", "item", "image", "users"]
"""What CTR windows are split by, in addition to scenario and variant."""
CTR_DIMENSIONS: Final[tuple[CtrDimension, ...]] = get_args(CtrDimension)

BotFilter = Literal["robots", "all", "off"]
"""What counts as a bot: robots and pages that are fetched ahead, programs such as curl as well, or nothing."""


@dataclass(frozen=True, slots=True)
class RatingScale:
    """The meaning of an item type's raw ratings: ``least`` is the worst, ``greatest`` the best."""

    least: int = 0
    greatest: int = MAX_RATING

    def percent(self, rating: int) -> float:
        """Return a raw rating as a percentage with one decimal. A rating beyond the scale counts as the nearest end."""
        kept = min(max(rating, self.least), self.greatest)
        return round(100 * (kept - self.least) / (self.greatest - self.least), 1)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """The events that one collector process accepts from a customer: a token bucket."""

    events_per_second: float
    burst: int


@dataclass(frozen=True, slots=True)
class Customer:
    """One customer as collectors and workers see it; ``read_customer`` makes it from the customers file."""

    rules: Rules
    cors_origins: frozenset[str] = frozenset(("*",))
    exclusions: ExclusionRules = field(default_factory=ExclusionRules)
    api_key: str | None = field(default=None, repr=False)
    """The key that a lookup must send to a worker that does not listen on loopback. None: such a worker refuses the lookup."""
    require_credentials: bool = False
    """Whether the collector accepts events only with HTTP Basic ``customer:license key``."""
    rate_limit: RateLimit | None = None
    scenario_exclusions: Mapping[str, ExclusionRules] = field(default_factory=dict)
    """Scenario -> the rules that its lookups use instead of ``exclusions``."""
    rating_scale: RatingScale = field(default_factory=RatingScale)
    rating_scales: Mapping[int, RatingScale] = field(default_factory=dict)
    """Item type -> its own scale."""
    bot_filter: BotFilter = "robots"
    """Which events are counted apart and not recorded."""
    showings_by_scenario: bool = False
    """Whether the showings of an item are remembered by scenario too, for lookups with ``scope=scenario``."""
    experiments: Mapping[str, DeclaredExperiment] = field(default_factory=dict)
    """The declared experiments by name."""

    ctr_dimensions: frozenset[CtrDimension] = frozenset(CTR_DIMENSIONS)
    """What the CTR windows of its events are split by. What is left out costs nothing, and is not counted later."""

    @property
    def id(self) -> str:
        """The customer's id. It is text: ``00000`` is not ``0``."""
        return self.rules.customer

    @property
    def contests(self) -> dict[str, str]:
        """The experiments whose variants are scenarios: scenario -> experiment."""
        return {
            scenario: name
            for name, experiment in self.experiments.items()
            if experiment.are_scenarios
            for scenario in experiment.variants
        }

    def exclusions_of(self, scenario: str | None) -> ExclusionRules:
        """Return the rules of a scenario's lookups: its own if it has some, else the customer's."""
        return (
            self.exclusions if scenario is None else self.scenario_exclusions.get(scenario, self.exclusions)
        )

    def scale_of(self, itemtype: int) -> RatingScale:
        """Return the scale of an item type's ratings."""
        return self.rating_scales.get(itemtype, self.rating_scale)
