"""Lists that the back end served to a user. An impression or click without a scenario takes the one of its list.

Key: user. Value: the last 50 lists (5,000 items in all), each with request id, scenario, variant, row and time, in log order. Expires:
lists beyond these bounds, the oldest in the log first; all lists after 24 h 30 min by ``received_ms``. A repeated event is kept
again, which changes no answer. A login never moves the row.
"""

from typing import Final

import msgspec

from events.model import Recommended
from tables.base.table_spec import TableSpec
from tables.user.items import split_item_key

MAX_LISTS: Final = 50
MAX_LISTED_ITEMS: Final = 5_000
"""Items in all kept lists together. So a value stays far below 1 MB."""
FIND_MS: Final = 24 * 3_600_000
"""A list explains impressions and clicks for at most this long after it was served."""
LIST_KEEP_MS: Final = FIND_MS + 30 * 60_000


class ServedList(msgspec.Struct, array_like=True, gc=False):
    """One served list. ``items`` are in rank order from 0."""

    time_ms: int
    received_ms: int
    request_id: str
    itemtype: int
    items: list[str]
    scenario: str | None = None
    variant: str | None = None
    row: int | None = None
    experiment: str | None = None


class RecommendedState(msgspec.Struct, array_like=True, gc=False):
    """The lists that were recently served to a user, in log order."""

    lists: list[ServedList] = msgspec.field(default_factory=list)


class Served(msgspec.Struct, frozen=True, gc=False):
    """How one item was served; the result of ``find``, never stored. ``rank`` is its place in the list, from 0."""

    scenario: str | None
    variant: str | None
    experiment: str | None
    request_id: str
    row: int | None
    rank: int
    time_ms: int


def serve(state: RecommendedState | None, event: Recommended) -> RecommendedState:
    """Keep the lists of one recommendation call, and drop the oldest that are too many or too old."""
    if state is None:
        state = RecommendedState()
    lists = state.lists
    for served in event.lists:
        lists.append(
            ServedList(
                event.time_ms,
                event.received_ms,
                event.request_id,
                served.itemtype,
                list(served.items),
                served.scenario,
                event.variant if served.variant is None else served.variant,
                event.row if served.row is None else served.row,
                event.experiment,
            )
        )
    _drop_old(lists, event.received_ms - LIST_KEEP_MS)
    return state


def _drop_old(lists: list[ServedList], before_received_ms: int) -> None:
    """Drop lists that are too many or too old, the oldest in the log first. The latest list always stays."""
    drop, listed = 0, sum([len(served.items) for served in lists])
    while drop < len(lists) - 1 and (
        len(lists) - drop > MAX_LISTS
        or listed > MAX_LISTED_ITEMS
        or lists[drop].received_ms < before_received_ms
    ):
        listed -= len(lists[drop].items)
        drop += 1
    del lists[:drop]


def find(state: RecommendedState, item_key: str, request_id: str | None, time_ms: int) -> Served | None:
    """Return how the item was served before an event at ``time_ms``, or None if no kept list explains it.

    The list holds the item, and was served at most 24 h before and not after. If a request id is given, it has the same one. Of several,
    it is the latest by event time, and at equal times the later in the log.
    """
    itemtype, item = split_item_key(item_key)
    best: ServedList | None = None
    best_ms = time_ms - FIND_MS - 1
    for served in reversed(state.lists):
        if (
            best_ms < served.time_ms <= time_ms
            and (request_id is None or served.request_id == request_id)
            and served.itemtype == itemtype
            and item in served.items
        ):
            best, best_ms = served, served.time_ms
    if best is None:
        return None
    return Served(
        best.scenario,
        best.variant,
        best.experiment,
        best.request_id,
        best.row,
        best.items.index(item),
        best.time_ms,
    )


TABLE: Final = TableSpec(
    "recommended",
    RecommendedState,
    key="user",
    value="the last 50 lists that the back end served (5,000 items in all)",
    expiry="after 24 h 30 min",
    memory_per_row=250,
    memory_per_byte=10.8,
)
