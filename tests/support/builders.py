"""Builders of events with defaults, so that a test varies one thing: ``a_click(item="2")``, ``a_rendered(items=("1", "2"))``.

Every builder takes any field of its event; ``received_ms`` equals ``time_ms`` unless given.
"""

from decimal import Decimal
from typing import Any, TypeVar

from events.model import (
    NO_PROFILE_USER,
    Basket,
    Blacklist,
    BotCount,
    BotEvents,
    Buy,
    Click,
    ClickRecommended,
    ClickTriggered,
    Consume,
    DeleteFromBasket,
    DeleteFromBlacklist,
    DeleteFromWishlist,
    EventBase,
    Login,
    Owns,
    Playback,
    Rate,
    Recommended,
    RecommendedList,
    Rendered,
    TriggerOpened,
    Viewed,
    Wishlist,
)

E = TypeVar("E", bound=EventBase)

CUSTOMER = "00000"
USER = "k1.aaaaaaaaaaaaaaaaaaaaaaaaaa"
OTHER_USER = "k1.bbbbbbbbbbbbbbbbbbbbbbbbbb"
NOW_MS = 1_700_000_000_000
SECOND_MS = 1_000
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000


def user_of(number: int) -> str:
    """Return one of many users, in the form of a pseudonym."""
    return f"k{number}.{'a' * 26}"


def _an(event: type[E], defaults: dict[str, Any], given: dict[str, Any]) -> E:
    fields = {"customer": CUSTOMER, "user": USER, "time_ms": NOW_MS, **defaults, **given}
    fields.setdefault("received_ms", fields["time_ms"])
    return event(**fields)


def a_click(**fields: Any) -> Click:
    return _an(Click, {"item": "1"}, fields)


def a_clickrecommended(**fields: Any) -> ClickRecommended:
    return _an(ClickRecommended, {"item": "1", "scenario": "home"}, fields)


def a_consume(**fields: Any) -> Consume:
    return _an(Consume, {"item": "1"}, fields)


def a_playback(**fields: Any) -> Playback:
    """Build a player's heartbeat at the start of an item of 100 s."""
    said = {"item": "1", "session": "s", "state": "playing", "position_ms": 0, "duration_ms": 100_000}
    return _an(Playback, said, fields)


def a_buy(**fields: Any) -> Buy:
    """Build a ``buy`` of one item for 19.99 EUR."""
    return _an(Buy, {"item": "1", "price": Decimal("19.99"), "currency": "EUR"}, fields)


def an_owns(**fields: Any) -> Owns:
    return _an(Owns, {"item": "1"}, fields)


def a_basket(**fields: Any) -> Basket:
    return _an(Basket, {"item": "1"}, fields)


def a_deletefrombasket(**fields: Any) -> DeleteFromBasket:
    return _an(DeleteFromBasket, {"item": "1"}, fields)


def a_wishlist(**fields: Any) -> Wishlist:
    return _an(Wishlist, {"item": "1"}, fields)


def a_deletefromwishlist(**fields: Any) -> DeleteFromWishlist:
    return _an(DeleteFromWishlist, {"item": "1"}, fields)


def a_rendered(**fields: Any) -> Rendered:
    return _an(Rendered, {"items": ("1", "2"), "scenario": "home"}, fields)


def a_viewed(**fields: Any) -> Viewed:
    return _an(Viewed, {"items": ("1", "2"), "scenario": "home"}, fields)


def a_rate(**fields: Any) -> Rate:
    return _an(Rate, {"item": "1", "rating": 80}, fields)


def a_triggeropened(**fields: Any) -> TriggerOpened:
    return _an(TriggerOpened, {"triggername": "mail"}, fields)


def a_clicktriggered(**fields: Any) -> ClickTriggered:
    return _an(ClickTriggered, {"item": "1", "triggername": "mail"}, fields)


def a_blacklist(**fields: Any) -> Blacklist:
    return _an(Blacklist, {"item": "1"}, fields)


def a_deletefromblacklist(**fields: Any) -> DeleteFromBlacklist:
    return _an(DeleteFromBlacklist, {"item": "1"}, fields)


def a_login(**fields: Any) -> Login:
    return _an(Login, {"target": OTHER_USER}, fields)


def a_served_list(**fields: Any) -> RecommendedList:
    return RecommendedList(**{"items": ("1", "2"), "scenario": "home", "row": 0, **fields})


def a_recommended(**fields: Any) -> Recommended:
    """Build one recommendation call that served one list."""
    return _an(Recommended, {"request_id": "r1", "lists": (a_served_list(),)}, fields)


def a_bots(*counts: BotCount, **fields: Any) -> BotEvents:
    """Build the record of three events that bots sent about one scenario, or of ``counts``."""
    own = {"user": NO_PROFILE_USER, "counts": counts or (BotCount(3, "home"),)}
    return _an(BotEvents, own, fields)
