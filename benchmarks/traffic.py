"""Traffic of the benchmarks: `rendered` events as records of the journal, the same events for the same seed."""

import itertools
import random
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

from events.codec import encode
from events.model import Rendered, user_key
from events.partitions import partition_of

CUSTOMER: Final = "00000"
SCENARIOS: Final = ("home", "also_bought", "category", "search")


_LETTERS: Final = str.maketrans("0189", "abyz")  # a pseudonym has the digits 2 to 7 only


def user_name(number: int) -> str:
    """Return a user of a number, in the form of a pseudonym."""
    return f"k1.{number:026d}".translate(_LETTERS)


def start_ms(events: int) -> int:
    """Return the start of a minute, early enough that ``events`` events, one per millisecond, lie in the past."""
    return (int(time.time()) - events // 1_000 - 60) // 60 * 60_000


def draw_list(draw: random.Random, names: list[str], weights: list[float], count: int) -> tuple[str, ...]:
    """Return ``count`` distinct names, drawn by cumulative weights."""
    drawn = dict.fromkeys(draw.choices(names, cum_weights=weights, k=count))
    while len(drawn) < count:
        drawn |= dict.fromkeys(draw.choices(names, cum_weights=weights, k=count - len(drawn)))
    return tuple(drawn)


class Record(NamedTuple):
    """A record of the journal, as a producer receives it."""

    partition: int
    key: bytes
    value: bytes
    time_ms: int


@dataclass(frozen=True)
class Traffic:
    """``events`` lists of ``listed`` distinct items. Users and scenarios are drawn evenly, items by Zipf's law.

    ``per_second`` is the rate of the event times; it does not change what is drawn.
    """

    events: int
    users: int
    partitions: int
    seed: int
    start_ms: int
    items: int = 5_000
    zipf: float = 1.1
    listed: int = 4
    per_second: int = 1_000

    def records(self) -> Iterator[Record]:
        """Yield the events in the order of their times, the same at each call."""
        draw = random.Random(self.seed)
        users = [user_name(number) for number in range(self.users)]
        keys = [user_key(CUSTOMER, user) for user in users]
        partitions = [partition_of(key, self.partitions) for key in keys]
        names = [str(item) for item in range(1, self.items + 1)]
        weights = list(itertools.accumulate(1 / (rank + 1) ** self.zipf for rank in range(self.items)))
        for number in range(self.events):
            at = draw.randrange(self.users)
            time_ms = self.start_ms + number * 1_000 // self.per_second
            event = Rendered(
                customer=CUSTOMER,
                user=users[at],
                items=draw_list(draw, names, weights, self.listed),
                time_ms=time_ms,
                received_ms=time_ms,
                scenario=draw.choice(SCENARIOS),
            )
            yield Record(partitions[at], keys[at], encode(event), time_ms)

    def describe(self) -> dict[str, Any]:
        """Return what a reader must know to repeat the traffic."""
        facts = asdict(self)
        del facts["start_ms"]  # differs each day, because the broker deletes records of last week
        facts["event_times_per_second"] = facts.pop("per_second")
        return {**facts, "scenarios": len(SCENARIOS)}
