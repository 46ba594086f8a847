"""Which lists did the back end serve to a user: what gives a ``rendered`` or a click without scenario its own.

Key: user. Value: the last 50 lists, each with request id, scenario, variant, row and when, in log order. Expires: beyond 50 lists the
oldest in the log, and after 24 h 30 min by ``received_ms``. A repeated event is kept again, which changes no answer. Never moved by
a login.
"""

from typing import Final

import msgspec

from events.model import Recommended
from tables.items import split_item_key

MAX_LISTS: Final = 50
FIND_MS: Final = 24 * 3_600_000
"""A list explains what was shown or clicked at most this long after it was served."""
KEEP_MS: Final = FIND_MS + 30 * 60_000


class ServedList(msgspec.Struct, array_like=True, gc=False):
    """One served list: its items in rank order from 0."""

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
    """What a user was served lately, in log order."""

    lists: list[ServedList] = msgspec.field(default_factory=list)


class Served(msgspec.Struct, frozen=True, gc=False):
    """How one item was served: an answer, never stored. ``rank`` is its place in the list, from 0."""

    scenario: str | None
    variant: str | None
    experiment: str | None
    request_id: str
    row: int | None
    rank: int
    time_ms: int


def serve(state: RecommendedState | None, event: Recommended) -> RecommendedState:
    """Keep the lists of one recommendation call; drop those that are too many or too old."""
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
    drop = max(0, len(lists) - MAX_LISTS)
    while drop < len(lists) and lists[drop].received_ms < event.received_ms - KEEP_MS:
        drop += 1
    del lists[:drop]
    return state


def find(state: RecommendedState, item_key: str, request_id: str | None, time_ms: int) -> Served | None:
    """Return how the item was served for what happened at ``time_ms``: None when the back end did not say.

    It is the latest list by event time (at a tie the later in the log) that holds the item, at most 24 h before and not after, and
    of the same request id when one is given.
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
