"""Counts scenario panes for peers that have no tally, with our pane and counters, once per event."""

from functools import lru_cache

from events.model import Rendered
from tables.ctr.panes import Pane
from tables.ctr.window_keys import PANE_GRANULARITY, PANE_MS, SCENARIO, UNKNOWN_SCENARIO, WindowKey


def pane_key(event: Rendered) -> bytes:
    """Return the key of the scenario pane in which an event counts."""
    return _encoded(event.customer, event.scenario or UNKNOWN_SCENARIO, event.time_ms // PANE_MS)


@lru_cache(maxsize=4096)  # so peers do not pay for encoding the same few keys
def _encoded(customer: str, scenario: str, minute: int) -> bytes:
    return WindowKey(customer, scenario, SCENARIO, PANE_GRANULARITY, minute * PANE_MS).encode()


def count_shown(pane: Pane | None, event: Rendered) -> Pane:
    """Count the items of an event in its pane."""
    if pane is None:
        pane = Pane(epoch_ms=event.received_ms)
    pane.counts.rendered += len(event.items)
    pane.version += 1
    pane.received_ms = max(pane.received_ms, event.received_ms)
    return pane
