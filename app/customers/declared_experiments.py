"""Experiments that the customers file declares: variants with their shares, and the plan, which must not follow the results."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal, get_args

import msgspec

from events.wire_values import MAX_WORD_CHARS

Metric = Literal["ctr_rendered", "ctr_calls", "conversion_per_click", "revenue_per_call"]
METRICS: Final[tuple[Metric, ...]] = get_args(Metric)
"""The rates by which variants are compared, the default first."""

_MOST_VARIANTS: Final = 20
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_WORD_CHARS)]
_Weight = Annotated[float, msgspec.Meta(gt=0, le=1_000_000)]
_Share = Annotated[float, msgspec.Meta(gt=0, lt=1)]


@dataclass(frozen=True, slots=True)
class DeclaredExperiment:
    """An experiment of the customers file. ``variants`` has the weight of each; the first is the baseline."""

    variants: Mapping[str, float] = field(default_factory=dict)
    metric: Metric = METRICS[0]
    planned_users: int = 10_000
    effect: float = 0.05
    alpha: float = 0.05
    are_scenarios: bool = False
    """Whether the variants are scenarios. Then a user's variant is the scenario in which the user was shown something."""


class ExperimentEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One ``[customers."...".experiments."..."]`` table, as written in the file."""

    variants: Annotated[dict[_Name, _Weight], msgspec.Meta(max_length=_MOST_VARIANTS)] = msgspec.field(
        default_factory=dict
    )
    scenarios: Annotated[tuple[_Name, ...], msgspec.Meta(max_length=_MOST_VARIANTS)] = ()
    metric: Metric = METRICS[0]
    planned_users: Annotated[int, msgspec.Meta(ge=100, le=1_000_000_000)] = 10_000
    effect: _Share = 0.05
    alpha: _Share = 0.05


def read_experiments(entries: Mapping[str, ExperimentEntry]) -> dict[str, DeclaredExperiment]:
    """Return the declared experiments by name. Raise ValueError, with a sentence, if two of them contradict each other."""
    found: dict[str, DeclaredExperiment] = {}
    experiment_of: dict[str, str] = {}
    for name, entry in entries.items():
        if not 0 < len(name) <= MAX_WORD_CHARS:
            raise ValueError(f"an experiment's name has 1 to {MAX_WORD_CHARS} characters")
        for scenario in entry.scenarios:
            other = experiment_of.setdefault(scenario, name)
            if other != name:
                raise ValueError(
                    f"the scenario {scenario!r} is in {other!r} and {name!r}; it can be in one experiment"
                )
        unknown = entry.variants.keys() - set(entry.scenarios) if entry.scenarios else set[str]()
        if unknown:
            raise ValueError(
                f"{name}: the variants of an experiment between scenarios are these, not {min(unknown)!r}"
            )
        variants = entry.variants
        if entry.scenarios:
            variants = {scenario: entry.variants.get(scenario, 1.0) for scenario in entry.scenarios}
        if len(variants) < 2:
            raise ValueError(f"{name}: name two variants or more, or two scenarios or more")
        found[name] = DeclaredExperiment(
            variants, entry.metric, entry.planned_users, entry.effect, entry.alpha, bool(entry.scenarios)
        )
    return found
