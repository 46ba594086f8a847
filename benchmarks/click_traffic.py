"""Traffic of `windows`: lists that are shown and clicks on them, spread over many scenarios of one or more customers."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any, Final

import msgspec

from benchmarks.traffic import CUSTOMER, Record, draw_list, user_name
from events.codec import encode
from events.model import NO_PROFILE_USER, ClickRecommended, Rendered, user_key
from events.partitions import partition_of

SCENARIOS_OF_A_CUSTOMER: Final = 10_000
"""So many names of a customer count by themselves in a partition (UPTAKE_MAX_SCENARIOS): with more keys there are more customers."""


@dataclass(frozen=True)
class ClickTraffic:
    """``events`` of ``keys`` scenarios, one event a millisecond. Scenarios and users are drawn evenly, items by Zipf's law.

    A share ``clicked`` of the events are clicks on the last list that their user was shown; the others show ``listed`` items.
    """

    events: int
    keys: int
    users: int
    partitions: int
    seed: int
    start_ms: int
    clicked: float = 0.05
    items: int = 5_000
    zipf: float = 1.1
    listed: int = 4

    @property
    def customers(self) -> list[str]:
        """The customers, each with an equal part of users and scenarios."""
        number = -(-self.keys // SCENARIOS_OF_A_CUSTOMER)
        return [str(int(CUSTOMER) + at).zfill(len(CUSTOMER)) for at in range(number)]

    def records(self, *, is_anonymous: bool = False) -> Iterator[Record]:
        """Yield the events in the order of their times, the same at each call.

        With ``is_anonymous`` their users are not known, so they count in windows and in no row of a user. They are in the same
        partitions.
        """
        draw = random.Random(self.seed)
        customers = self.customers
        names = [str(item) for item in range(1, self.items + 1)]
        weights = list(itertools.accumulate(1 / (rank + 1) ** self.zipf for rank in range(self.items)))
        users = [user_name(number) for number in range(self.users)]
        last: dict[int, Rendered] = {}
        places: dict[bytes, int] = {}

        @cache
        def anonymous_key(customer: str, partition: int) -> bytes:
            """Return a key of anonymous events that is in a partition."""
            keys = (user_key(customer, f"{NO_PROFILE_USER}{number}") for number in itertools.count())
            return next(key for key in keys if partition_of(key, self.partitions) == partition)

        for number in range(self.events):
            at = draw.randrange(self.users)
            shown, time_ms = last.get(at), self.start_ms + number
            if shown is not None and draw.random() < self.clicked:
                event: Rendered | ClickRecommended = ClickRecommended(
                    customer=shown.customer,
                    user=shown.user,
                    item=draw.choice(shown.items),
                    scenario=shown.scenario,
                    time_ms=time_ms,
                    received_ms=time_ms,
                )
            else:
                of_customer = at % len(customers)
                scenario = draw.randrange(of_customer, self.keys, len(customers))
                event = last[at] = Rendered(
                    customer=customers[of_customer],
                    user=users[at],
                    items=draw_list(draw, names, weights, self.listed),
                    scenario=f"scenario-{scenario}",
                    time_ms=time_ms,
                    received_ms=time_ms,
                )
            key = user_key(event.customer, event.user)
            if key not in places:
                places[key] = partition_of(key, self.partitions)
            partition = places[key]
            if is_anonymous:
                event = msgspec.structs.replace(event, user=NO_PROFILE_USER)
                key = anonymous_key(event.customer, partition)
            yield Record(partition, key, encode(event), time_ms)

    def of_keys(self, keys: int) -> "ClickTraffic":
        """Return the same traffic with another number of keys."""
        return replace(self, keys=keys)

    def describe(self) -> dict[str, Any]:
        """Return what a reader must know to repeat the traffic."""
        facts = asdict(self)
        del facts["start_ms"], facts["keys"]
        return {**facts, "event_times_per_second": 1_000}
