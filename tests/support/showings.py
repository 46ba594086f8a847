"""Rows of ``rendered`` that take in events one by one."""

from events.model import Rendered, Viewed
from tables.user.impressions import impression_of
from tables.user.log_entries import pack_impression, pack_view
from tables.user.rendered import RenderedState, take_in


def entry_of(event: Rendered | Viewed, scenario: str | None = None) -> bytes:
    """Return the entry of an event in its user's log. ``scenario`` is its scenario, if another than the event says."""
    if isinstance(event, Viewed):
        return pack_view(event.itemtype, event.items, event.time_ms, event.received_ms)
    shown = impression_of(event)
    shown.scenario = shown.scenario if scenario is None else scenario
    return pack_impression(shown)


def show(state: RenderedState | None, event: Rendered | Viewed, scenario: str | None = None) -> RenderedState:
    """Return a row with one more event; with a ``scenario``, for a customer that keeps showings by scenario."""
    state = RenderedState() if state is None else state
    take_in(state, [entry_of(event, scenario)], by_scenario=scenario is not None)
    return state
