"""Events of a whole shop, in the proportions of docs/benchmarks.md: every kind except those of players.

The same seed gives the same events.
"""

import itertools
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from benchmarks.traffic import CUSTOMER, SCENARIOS, Record, draw_list, user_name
from events import model
from events.codec import encode
from events.model import user_key
from events.partitions import partition_of

MIX: Final[Mapping[str, int]] = {
    "click": 1_000,
    "recommended": 1_000,
    "rendered": 1_000,
    "viewed": 400,
    "clickrecommended": 19,
    "basket": 87,
    "deletefrombasket": 17,
    "buy": 26,
    "consume": 20,
    "login": 10,
    "wishlist": 10,
    "deletefromwishlist": 2,
    "rate": 2,
    "blacklist": 1,
    "owns": 1,
}
"""Events per thousand product pages. docs/benchmarks.md says which numbers are measured, and which are assumed."""

PRICE: Final = Decimal("19.90")


@dataclass
class _Visitor:
    """What the next events of a user refer to: the last list, and the last item that the user looked at."""

    user: str
    key: bytes
    partition: int
    items: tuple[str, ...] = ()
    scenario: str = SCENARIOS[0]
    request_id: str | None = None
    item: str = "1"


@dataclass(frozen=True)
class Shop:
    """``events`` events, one per millisecond. Users are drawn evenly, items by Zipf's law; lists have ``listed`` distinct items."""

    events: int
    users: int
    partitions: int
    seed: int
    start_ms: int
    items: int = 5_000
    zipf: float = 1.1
    listed: int = 4
    mix: Mapping[str, int] = field(default_factory=lambda: MIX)
    name: Callable[[int], str] = user_name
    """Returns the pseudonym of a user, given as a number."""

    def records(self) -> Iterator[Record]:
        """Yield the events in the order of their times, the same at each call."""
        draw = random.Random(self.seed)
        users = [self.name(number) for number in range(self.users)]
        keys = [user_key(CUSTOMER, user) for user in users]
        visitors = [
            _Visitor(user, key, partition_of(key, self.partitions))
            for user, key in zip(users, keys, strict=True)
        ]
        names = [str(item) for item in range(1, self.items + 1)]
        weights = list(itertools.accumulate(1 / (rank + 1) ** self.zipf for rank in range(self.items)))
        kinds, shares = list(self.mix), list(itertools.accumulate(self.mix.values()))

        for number in range(self.events):
            visitor = visitors[draw.randrange(self.users)]
            kind = draw.choices(kinds, cum_weights=shares)[0]
            if kind == "recommended" or not visitor.items:
                visitor.items, visitor.scenario = (
                    draw_list(draw, names, weights, self.listed),
                    draw.choice(SCENARIOS),
                )
                visitor.request_id = f"r{number}"
            elif kind == "click":
                visitor.item = draw_list(draw, names, weights, 1)[0]
            elif kind == "clickrecommended":
                visitor.item = draw.choice(visitor.items)
            time_ms = self.start_ms + number
            common = {
                "customer": CUSTOMER,
                "user": visitor.user,
                "time_ms": time_ms,
                "received_ms": time_ms,
            }
            event = _event(kind, visitor, users[draw.randrange(self.users)], common)
            yield Record(visitor.partition, visitor.key, encode(event), time_ms)

    def describe(self) -> dict[str, Any]:
        """Return what a reader must know to repeat the traffic."""
        return {
            "events": self.events,
            "users": self.users,
            "items": self.items,
            "zipf": self.zipf,
            "listed": self.listed,
            "seed": self.seed,
            "mix": dict(self.mix),
        }


def _event(kind: str, visitor: _Visitor, other: str, common: dict[str, Any]) -> model.EventBase:
    """Return the next event of a visitor; ``other`` is the target of a login."""
    if kind == "recommended":
        served = model.RecommendedList(items=visitor.items, scenario=visitor.scenario, row=0)
        return model.Recommended(**common, request_id=visitor.request_id, lists=(served,))
    if kind in ("rendered", "viewed"):
        shown = {
            "items": visitor.items,
            "scenario": visitor.scenario,
            "request_id": visitor.request_id,
            "row": 0,
            "rank": 0,
        }
        return model.EVENTS[kind](**common, **shown)
    if kind == "login":
        return model.Login(**common, target=other)
    more: dict[str, Any] = {}
    if kind == "clickrecommended":
        more = {"scenario": visitor.scenario, "request_id": visitor.request_id}
    elif kind in ("buy", "basket"):
        more = {"price": PRICE, "currency": "EUR"}
    elif kind == "consume":
        more = {"percentage": 80}
    elif kind == "rate":
        more = {"rating": 60}
    return model.EVENTS[kind](**common, item=visitor.item, **more)
