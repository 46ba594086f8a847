"""Items that a user clicked, how often and when: a reason for exclusion on request.

Key: user. Value: item -> clicks, the last and the first, and clicks on recommendations. Expires: beyond 2,000 items, the items that
the log touched longest ago. A repeated event counts again; if it carries an eid, the table ``seen`` stops it before.
"""

from typing import Final

import msgspec

from events.model import Click, ClickRecommended, ClickTriggered
from tables.base.table_spec import TableSpec
from tables.user.items import drop_oldest, item_key


class Clicked(msgspec.Struct, array_like=True, gc=False):
    """How one item was clicked.

    For a click on a recommendation, a page sends ``click`` and ``clickrecommended``. ``count`` counts the first and ``recommended``
    the second; the two are never added up. A ``clicktriggered`` counts as a ``clickrecommended``. ``first_ms`` and ``last_ms`` are
    event times over all kinds.
    """

    count: int
    last_ms: int
    recommended: int = 0
    first_ms: int = 0


class ClickedState(msgspec.Struct, array_like=True, gc=False):
    """A user's clicks: item key -> Clicked, in touch order, the latest last."""

    items: dict[str, Clicked] = msgspec.field(default_factory=dict)


def click(state: ClickedState | None, event: Click | ClickRecommended | ClickTriggered) -> ClickedState:
    """Count a ``click`` in ``count``, and a ``clickrecommended`` or ``clicktriggered`` only in ``recommended``."""
    if state is None:
        state = ClickedState()
    items = state.items
    key = item_key(event.itemtype, event.item)
    time_ms = event.time_ms
    clicked = items.pop(key, None)
    if clicked is None:
        clicked = Clicked(0, time_ms, 0, time_ms)
    items[key] = clicked
    if type(event) is Click:
        clicked.count += 1
    else:
        clicked.recommended += 1
    if time_ms > clicked.last_ms:
        clicked.last_ms = time_ms
    elif time_ms < clicked.first_ms:
        clicked.first_ms = time_ms
    drop_oldest(items)
    return state


def merge(into: ClickedState | None, other: ClickedState) -> ClickedState:
    """Merge a row that a login moved: sum the counts. ``other`` is used up; its items count as just touched."""
    if into is None:
        return other
    items = into.items
    for key, moved in other.items.items():
        own = items.pop(key, None)
        if own is not None:
            moved.count += own.count
            moved.recommended += own.recommended
            moved.last_ms = max(moved.last_ms, own.last_ms)
            moved.first_ms = min(moved.first_ms, own.first_ms)
        items[key] = moved
    drop_oldest(items)
    return into


TABLE: Final = TableSpec(
    "clicked",
    ClickedState,
    key="user",
    value="item -> clicks, clicks on recommendations, first and last",
    expiry="beyond 2,000 items",
    merge=merge,
    memory_per_row=270,
    memory_per_byte=6,
)
