"""Elements of attribution: what a user was shown, what it clicked on, and what it bought or consumed.

They are kept in rows of the table ``impressions`` and travel in transfers. Fields are positional, so new ones are only appended.
"""

from decimal import Decimal
from typing import Final, NamedTuple

import msgspec

PURCHASES: Final = "purchases"
"""The counter in which each conversion counts. In the others, a click counts once."""


class Impression(msgspec.Struct, array_like=True, gc=False):
    """One list of items as it was shown. ``rank`` is the rank of the first item; the next items follow it."""

    time_ms: int
    received_ms: int
    itemtype: int
    items: list[str]
    scenario: str | None = None
    variant: str | None = None
    experiment: str | None = None
    row: int | None = None
    rank: int | None = None
    request_id: str | None = None
    origin: str | None = None
    """The user it was sent under. None: the user of the row."""
    number: int = 0
    """Counts the elements of the origin in log order."""
    entry_ms: int | None = None
    """Time of the login that brought it. None: it is the user's own."""
    call_ms: int | None = None
    """Time of the pane in which ``calls`` counted its recommendation call. None: it has no call, or the pane is not known."""
    call_variant: str | None = None


class JoiningClick(msgspec.Struct, array_like=True, gc=False):
    """A recommended click, as it was sent. Scenario and variant may be those of the list that the back end served."""

    time_ms: int
    received_ms: int
    item_key: str
    request_id: str | None = None
    scenario: str | None = None
    variant: str | None = None
    row: int | None = None
    rank: int | None = None
    origin: str | None = None
    number: int = 0
    entry_ms: int | None = None


class Conversion(msgspec.Struct, array_like=True, gc=False):
    """A consume, basket or buy. ``counter`` is the one it may count in; ``amount`` is the revenue of a purchase."""

    time_ms: int
    received_ms: int
    item_key: str
    counter: str
    currency: str | None = None
    amount: Decimal | None = None
    origin: str | None = None
    number: int = 0
    entry_ms: int | None = None


class Place(NamedTuple):
    """Where something counts: the pane of a time, and the dimensions."""

    time_ms: int
    scenario: str | None = None
    variant: str | None = None
    row: int | None = None
    rank: int | None = None


class Call(NamedTuple):
    """A recommendation call of the user ``origin``, with the pane and variant in which ``calls`` counted it."""

    origin: str
    request_id: str
    scenario: str | None
    time_ms: int
    variant: str | None

    @property
    def name(self) -> str:
        """The name under which a row remembers that the call counted as clicked."""
        return f"{self.origin}\x1f{call_name(self.request_id, self.scenario)}"


def call_name(request_id: str, scenario: str | None) -> str:
    """Return the name of a recommendation call. Each scenario that answered a request is a call of its own."""
    return f"{request_id}\x1f{scenario or ''}"


def call_of(impression: Impression, user: str) -> Call | None:
    """Return the recommendation call of an impression in the row of ``user``, or None if it is not known where it counted."""
    if impression.request_id is None or impression.call_ms is None:
        return None
    return Call(
        impression.origin or user,
        impression.request_id,
        impression.scenario,
        impression.call_ms,
        impression.call_variant,
    )


def place_of_item(impression: Impression, item: str) -> Place:
    """Return where an item of an impression counts: at its first place in the list."""
    rank = impression.rank
    return Place(
        impression.time_ms,
        impression.scenario,
        impression.variant,
        impression.row,
        None if rank is None else rank + impression.items.index(item),
    )
