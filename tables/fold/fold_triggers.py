"""Counts messages that triggers sent, and clicks in them (docs/events.md, "Triggered messages").

Each trigger counts as a scenario of its own, so the answers about click-through rates have it.
"""

from events import model
from events.model import NO_PROFILE_USER
from events.scenarios import trigger_scenario
from tables.fold.fold_ports import Tables
from tables.user import clicked
from tables.user.items import item_key


def fold_triggeropened(tables: Tables, _key: bytes, event: model.TriggerOpened) -> None:
    """Count the message as a recommendation call of its trigger."""
    tables.tally.count(
        "calls", event.customer, trigger_scenario(event), event.variant, event.time_ms, items=0
    )


def fold_clicktriggered(tables: Tables, key: bytes, event: model.ClickTriggered) -> None:
    """Count a click of the trigger, and remember it as a click. It joins no impression, because a message sends none."""
    tables.tally.count(
        "clicks", event.customer, trigger_scenario(event), event.variant, event.time_ms, event.row, event.rank
    )
    item = item_key(event.itemtype, event.item)
    tables.items.count("clicks", event.customer, trigger_scenario(event), event.time_ms, item)
    if event.user != NO_PROFILE_USER:
        rows = tables.rows[clicked.TABLE]
        rows.put(key, clicked.click(rows.get(key), event))
