"""The scenarios that events name by themselves, without what is known of their users."""

from collections.abc import Callable, Iterable
from typing import Any, Final

from events import model

Label = tuple[str | None, str | None]
"""Scenario and variant. None: the event names none."""

_TRIGGER_PREFIX: Final = "trigger:"
_UNNAMED: Final = "unknown"


def trigger_scenario(event: model.TriggerOpened | model.ClickTriggered) -> str:
    """Return the scenario of a triggered message: each trigger has one of its own."""
    return f"{_TRIGGER_PREFIX}{event.triggername or _UNNAMED}"


def served_labels(event: model.Recommended) -> Iterable[Label]:
    """Return the labels of the lists that a back end served, each once."""
    return dict.fromkeys((served.scenario, served.variant or event.variant) for served in event.lists)


def labels_of(event: model.EventBase) -> Iterable[Label]:
    """Return the labels under which an event itself counts in CTR windows; none if only what it follows from makes it count."""
    read = _LABELS.get(type(event))
    return () if read is None else read(event)


def _shown(event: model.ItemsEvent) -> Iterable[Label]:
    scenario = event.fallback_scenario if event.scenario is None else event.scenario
    return ((scenario, event.variant),)


def _clicked(event: model.ClickRecommended) -> Iterable[Label]:
    return ((event.scenario, event.variant),)


def _triggered(event: model.TriggerOpened | model.ClickTriggered) -> Iterable[Label]:
    return ((trigger_scenario(event), event.variant),)


_LABELS: Final[dict[type, Callable[[Any], Iterable[Label]]]] = {
    model.Rendered: _shown,
    model.Viewed: _shown,
    model.ClickRecommended: _clicked,
    model.Recommended: served_labels,
    model.TriggerOpened: _triggered,
    model.ClickTriggered: _triggered,
}
