"""Counts the events that collectors left out, because no person sent them (docs/events.md, "Robots")."""

from events import model
from tables.fold.fold_ports import Tables


def fold_bots(tables: Tables, _key: bytes, event: model.BotEvents) -> None:
    """Count the events in their scenarios and variants. Nothing else is known of them."""
    for each in event.counts:
        tables.tally.count(
            "bots", event.customer, each.scenario, each.variant, event.time_ms, items=0, times=each.events
        )
