"""Histories of many users for `lookup`: the events of a few visitors, repeated for every user and spread over some hours.

One journal for our worker and the state of a peer come from the same histories, so both know the same facts.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Final

from msgspec.structs import replace

from benchmarks.shop import MIX, Shop
from benchmarks.traffic import CUSTOMER, Record, Traffic, user_name
from events.codec import decode, encode
from events.model import EventBase, Rendered, user_key
from events.partitions import partition_of

SHOP: Final = "shop"
RENDERED: Final = "rendered"
KINDS_OF_TRAFFIC: Final = (SHOP, RENDERED)
_VISITORS: Final = 2_000
"""How many histories are drawn; the other users get the histories of these, in turn, at other times."""
_WITHOUT_LOGINS: Final[Mapping[str, int]] = {kind: share for kind, share in MIX.items() if kind != "login"}


@dataclass(frozen=True)
class Profiles:
    """``users`` users named ``u0`` and so on, with ``events_per_user`` events on average in the ``span_ms`` before ``end_ms``.

    The traffic is that of a shop without logins, which would empty profiles, or the `rendered` events of `ingest`.
    """

    users: int
    events_per_user: int
    seed: int
    end_ms: int
    span_ms: int
    traffic: str = SHOP

    @property
    def visitors(self) -> int:
        return min(self.users, _VISITORS)

    @property
    def copies(self) -> int:
        """How many users have the history of one visitor, rounded up."""
        return -(-self.users // self.visitors)

    @property
    def events(self) -> int:
        """The number of events, those of users beyond ``users`` included, which are left out of the journal."""
        return self.visitors * self.events_per_user * self.copies

    @cached_property
    def _drawn(self) -> list[tuple[int, EventBase]]:
        """The events of the visitors in the order of their times, each with the number of its visitor."""
        count = self.visitors * self.events_per_user
        source: Shop | Traffic
        if self.traffic == SHOP:
            source = Shop(count, self.visitors, 1, self.seed, 0, mix=_WITHOUT_LOGINS)
        else:
            source = Traffic(count, self.visitors, 1, self.seed, 0)
        numbers = {user_name(number): number for number in range(self.visitors)}
        events = (decode(record.value) for record in source.records())
        return [(numbers[event.user], event) for event in events]

    def _time_ms(self, place: int, copy: int) -> int:
        """Return the time of a visitor's event for one of the users that share it. No two events of a user have the same time."""
        number = place * self.copies + copy + 1
        return self.end_ms - self.span_ms + number * self.span_ms // self.events

    def records(self, partitions: int, pseudonym: Callable[[str], str]) -> Iterator[Record]:
        """Yield the journal in the order of times. ``pseudonym`` turns a raw user into a pseudonym."""
        users = [pseudonym(f"u{number}") for number in range(self.users)]
        keys = [user_key(CUSTOMER, user) for user in users]
        of_users = [partition_of(key, partitions) for key in keys]
        for place, (visitor, event) in enumerate(self._drawn):
            for copy in range(self.copies):
                number = copy * self.visitors + visitor
                if number < self.users:
                    time_ms = self._time_ms(place, copy)
                    one = replace(event, user=users[number], time_ms=time_ms, received_ms=time_ms)
                    yield Record(of_users[number], keys[number], encode(one), time_ms)

    def histories(self) -> Iterator[tuple[str, list[EventBase]]]:
        """Yield each raw user with its events in the order of their times."""
        of_visitors: list[list[tuple[int, EventBase]]] = [[] for _ in range(self.visitors)]
        for place, (visitor, event) in enumerate(self._drawn):
            of_visitors[visitor].append((place, event))
        for number in range(self.users):
            copy, visitor = divmod(number, self.visitors)
            user, history = f"u{number}", []
            for place, event in of_visitors[visitor]:
                time_ms = self._time_ms(place, copy)
                history.append(replace(event, user=user, time_ms=time_ms, received_ms=time_ms))
            yield user, history

    def describe(self) -> dict[str, Any]:
        """Return what a reader must know to repeat the state, and how much a user was shown on average."""
        shown: dict[int, list[str]] = {number: [] for number in range(self.visitors)}
        for visitor, event in self._drawn:
            if isinstance(event, Rendered):
                shown[visitor] += event.items
        facts = asdict(self)
        del facts["end_ms"]  # differs each day
        return {
            **facts,
            "showings_per_user": round(sum(map(len, shown.values())) / self.visitors, 1),
            "shown_items_per_user": round(
                sum(len(set(items)) for items in shown.values()) / self.visitors, 1
            ),
        }
