"""The events: one frozen struct per event, and the tagged union that the journal carries.

Names and meanings follow the tracker API (docs/http-api.md). A journal record is the JSON of one of these structs. Its ``type``
is the canonical event name, its ``v`` the version of the format. All times are integer milliseconds since 1970 UTC.
"""

from decimal import Decimal
from typing import Annotated, Final, Literal

import msgspec

EVENT_VERSION: Final = 1
NO_PROFILE_USER: Final = "~"  # the user of anonymous events, which count in totals and build no profile

# Any producer may write to the journal. These bounds keep sums and encodings from overflowing; a record beyond them is malformed.
Millis = Annotated[int, msgspec.Meta(ge=0, le=9_999_999_999_999)]
"""A time in ms, 1970 to 2286."""
PlaceNumber = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
"""A row or rank, from 0."""
ItemType = Annotated[int, msgspec.Meta(ge=0, le=2_147_483_647)]
Percent = Annotated[int, msgspec.Meta(ge=0, le=100)]
Word = Annotated[str, msgspec.Meta(max_length=256)]
"""An id or a name, at most as long as the collector accepts. A user's row has room for thousands of them."""
LongWord = Annotated[str, msgspec.Meta(max_length=2_048)]
CountedScenario = Annotated[str, msgspec.Meta(max_length=256 + len("trigger:"))]
"""The name of a scenario, or that of a trigger's own (events/scenarios.py)."""
Currency = Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}\Z")]
Items = Annotated[tuple[Word, ...], msgspec.Meta(max_length=5_000)]
Length = Annotated[int, msgspec.Meta(ge=0, le=2_592_000_000)]
"""A length or a position of a played item in ms, up to 30 days."""
Quantity = Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)] | Decimal
"""Units, whole or not; events/quantity.py has the bounds of a Decimal."""


class EventBase(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", gc=False):
    """The fields that every event has.

    ``user`` is ``{key id}.{pseudonym}``, never a raw id, or ``~`` for an anonymous user. ``time_ms`` is the event time by the rules
    of docs/events.md. ``received_ms`` is when the collector received the event, or the broker, if a producer wrote it to Kafka.
    """

    customer: str
    user: str
    time_ms: Millis = 0  # 0: not set by the producer; the worker uses the record's timestamp
    received_ms: Millis = 0
    v: int = EVENT_VERSION
    eid: Word | None = None  # the client's own id of this event, the same on a retry
    created_ms: int | None = None  # by the client's clock, when it happened ...
    sent_ms: int | None = None  # ... and when it was sent
    is_clamped: bool = False  # the client's time was outside [received - 24 h, received]
    previous_user: str | None = None  # the pseudonym under the old key, while a key rotates
    experiment: Word | None = None
    variant: Word | None = None
    row: PlaceNumber | None = None
    rank: PlaceNumber | None = None
    lang: str | None = None
    store_view_id: str | None = None
    segments: str | None = None
    properties: dict[str, str] | None = None  # unknown parameters, bounded


class ItemEvent(EventBase, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """An event about one item."""

    item: Word
    itemtype: ItemType = 1
    categorypath: LongWord | None = None


class ItemsEvent(EventBase, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """An event about a list of items shown together."""

    items: Items
    itemtype: ItemType = 1
    scenario: Word | None = None
    modelid: Word | None = None
    request_id: Word | None = None
    categorypath: LongWord | None = None
    fallback_scenario: Word | None = None  # the customer's, unless a ``recommended`` names one


class Click(ItemEvent, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="click"):
    """The user opened a page about the item."""


class ClickRecommended(
    ItemEvent, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="clickrecommended"
):
    """The user clicked the item in a recommendation (alias ``follow``)."""

    scenario: Word | None = None
    modelid: Word | None = None
    request_id: Word | None = None


class Consume(ItemEvent, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="consume"):
    """The user consumed ``percentage`` (0-100) of the item."""

    percentage: Percent = 100


class Playback(ItemEvent, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="playback"):
    """A heartbeat of a player: what it does, and where in the item. ``credits_ms`` is the position where the credits begin."""

    session: Word
    state: Literal["playing", "paused", "buffering", "seeking", "ended"]
    position_ms: Length
    duration_ms: Annotated[int, msgspec.Meta(ge=1, le=2_592_000_000)]
    rate: Annotated[float, msgspec.Meta(ge=-100, le=100)] = 1.0
    credits_ms: Length | None = None


class PurchaseEvent(ItemEvent, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The fields that ``buy`` and ``owns`` share. ``price`` is for one item and comes with a ``currency``."""

    quantity: Quantity = 1
    price: Decimal | None = None
    currency: Currency | None = None


class Buy(PurchaseEvent, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="buy"):
    """The user bought the item. Without a price, it is a sale without revenue."""


class Owns(PurchaseEvent, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="owns"):
    """The user already owns the item; never revenue."""


class Basket(ItemEvent, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="basket"):
    """The user put the item into the basket."""

    price: Decimal | None = None
    currency: Currency | None = None


class DeleteFromBasket(
    ItemEvent, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="deletefrombasket"
):
    """The user took the item out of the basket."""


class Wishlist(ItemEvent, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="wishlist"):
    """The user put the item on the wishlist."""

    price: Decimal | None = None
    currency: Currency | None = None


class DeleteFromWishlist(
    ItemEvent, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="deletefromwishlist"
):
    """The user took the item off the wishlist."""


class Rendered(ItemsEvent, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="rendered"):
    """The items were shown to the user. With a ``rank``, it is that of the first item; the next items follow it."""

    image: str | None = None


class Viewed(ItemsEvent, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="viewed"):
    """Half of each item was visible for one second."""


class Rate(ItemEvent, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="rate"):
    """The user rated the item, 0-100, kept raw."""

    rating: Percent


class Blacklist(ItemEvent, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="blacklist"):
    """The user never wants to see the item again."""


class DeleteFromBlacklist(
    ItemEvent, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="deletefromblacklist"
):
    """The user may see the item again (alias ``unblacklist``)."""


class TriggerOpened(EventBase, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="triggeropened"):
    """The user opened a message that a trigger sent, such as a mail about a basket that was left."""

    triggername: Word | None = None


class ClickTriggered(
    ItemEvent, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="clicktriggered"
):
    """The user clicked the item in a message that a trigger sent."""

    triggername: Word | None = None


class Login(EventBase, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="login"):
    """``user`` (the source) turned out to be ``target`` (alias ``transfer``).

    ``is_junk_target`` marks a target that means no user, such as ``0`` or ``null``: the login is recorded, and nothing moves.
    """

    target: str
    is_junk_target: bool = False


class RecommendedList(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One list of a recommendation answer. ``items`` are in rank order from 0."""

    items: Items
    scenario: Word | None = None
    row: PlaceNumber | None = None
    itemtype: ItemType = 1
    variant: Word | None = None


class Recommended(EventBase, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="recommended"):
    """The back end served these lists: one recommendation call."""

    request_id: Word
    session: Word | None = None
    lists: tuple[RecommendedList, ...] = ()


class BotCount(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """How many events of bots would have counted in one scenario and variant. Without a scenario, they name none."""

    events: Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)]
    scenario: CountedScenario | None = None
    variant: Word | None = None


class BotEvents(EventBase, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="bots"):
    """A collector left out these events: robots sent them, or browsers that fetched a page ahead. The user is ``~``."""

    counts: Annotated[tuple[BotCount, ...], msgspec.Meta(max_length=1_000)]


Event = (
    Click
    | ClickRecommended
    | Consume
    | Playback
    | Buy
    | Owns
    | Basket
    | DeleteFromBasket
    | Wishlist
    | DeleteFromWishlist
    | Rendered
    | Viewed
    | Rate
    | Blacklist
    | DeleteFromBlacklist
    | TriggerOpened
    | ClickTriggered
    | Login
    | Recommended
    | BotEvents
)

RECORDS: Final[dict[str, type[EventBase]]] = {
    str(event.__struct_config__.tag): event for event in Event.__args__
}
"""Name -> struct of everything that the journal holds."""

EVENTS: Final = {name: event for name, event in RECORDS.items() if event is not BotEvents}
"""Canonical event name -> its struct. This is the one list of events; no client sends BotEvents."""

ALIASES: Final[dict[str, str]] = {
    "follow": "clickrecommended",
    "transfer": "login",
    "unblacklist": "deletefromblacklist",
}
"""Other event names of the tracker paths -> canonical name."""


def user_key(customer: str, user: str) -> bytes:
    """Return the Kafka key of a user: ASCII ``{customer}|{key id}.{pseudonym}``."""
    return f"{customer}|{user}".encode("ascii")
