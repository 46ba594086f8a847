"""Elements of attribution: what a user was shown, what it clicked on, and what it bought or consumed.

They are kept in rows of the table ``impressions`` and travel in transfers. Fields are positional, so new ones are only appended.
"""

from decimal import Decimal
from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from events.model import Currency, ItemType, LongWord, Millis, PlaceNumber, Word

# Any producer may write to the topic of transfers. These bounds keep what it writes from failing a flush.
ItemKey = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,10}/", max_length=267)]
ConversionCounter = Literal["consumed", "basket", "purchases"]
CallTime = Annotated[int, msgspec.Meta(ge=-(2**48), le=9_999_999_999_999)]
"""A time in ms. Below 0 only in stored rows (tables/user/impressions.py)."""
Number = Annotated[int, msgspec.Meta(ge=-(2**48), le=2**48)]

PURCHASES: Final = "purchases"
"""The counter in which each conversion counts. In the others, a click counts once."""


class Impression(msgspec.Struct, array_like=True, gc=False):
    """One list of items as it was shown. ``rank`` is the rank of the first item; the next items follow it."""

    time_ms: Millis
    received_ms: Millis
    itemtype: ItemType
    items: list[Word]
    scenario: Word | None = None
    variant: Word | None = None
    experiment: Word | None = None
    row: PlaceNumber | None = None
    rank: PlaceNumber | None = None
    request_id: Word | None = None
    origin: Word | None = None
    """The user it was sent under. None: the user of the row."""
    number: Number = 0
    """Counts the elements of the origin in log order."""
    entry_ms: Millis | None = None
    """Time of the login that brought it. None: it is the user's own."""
    call_ms: CallTime | None = None
    """Time of the pane in which ``calls`` counted its recommendation call. None: it has no call, or the pane is not known."""
    call_variant: Word | None = None
    image: LongWord | None = None
    """The picture that was shown, if one is under test."""


class JoiningClick(msgspec.Struct, array_like=True, gc=False):
    """A recommended click, as it was sent. Scenario and variant may be those of the list that the back end served."""

    time_ms: Millis
    received_ms: Millis
    item_key: ItemKey
    request_id: Word | None = None
    scenario: Word | None = None
    variant: Word | None = None
    row: PlaceNumber | None = None
    rank: PlaceNumber | None = None
    origin: Word | None = None
    number: Number = 0
    entry_ms: Millis | None = None


class Conversion(msgspec.Struct, array_like=True, gc=False):
    """A consume, basket or buy. ``counter`` is the one it may count in; ``amount`` is the revenue of a purchase."""

    time_ms: Millis
    received_ms: Millis
    item_key: ItemKey
    counter: ConversionCounter
    currency: Currency | None = None
    amount: Decimal | None = None
    origin: Word | None = None
    number: Number = 0
    entry_ms: Millis | None = None


class Place(NamedTuple):
    """Where something counts: the pane of a time, and the dimensions."""

    time_ms: int
    scenario: str | None = None
    variant: str | None = None
    row: int | None = None
    rank: int | None = None
    item: str | None = None
    """None: what counts is about a whole list."""
    image: str | None = None
    experiment: str | None = None
    """The experiment of its impression, whose users' totals it counts in, too."""


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


def place_of_item(impression: Impression, item: str, key: str) -> Place:
    """Return where an item of an impression counts: at its first place in the list. ``key`` is ``{itemtype}/{item}``."""
    rank = impression.rank
    return Place(
        impression.time_ms,
        impression.scenario,
        impression.variant,
        impression.row,
        None if rank is None else rank + impression.items.index(item),
        key,
        impression.image,
        impression.experiment,
    )
