"""Visitors for a load who see and click anonymously, log in, and buy: along chains and circles of logins, out of order, some twice."""

import random
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.faults.load import ITEMS, Event

AT_ONCE = 40
"""Visits that go on at the same time, so that a fault hits each of them at another place."""
MINUTE_MS = 60_000
VISIT_MINUTES = 45
DISORDER_MINUTES = 4
STORM_SHARE = 1 / 3
SCENARIOS = ("home", "home", "also_bought", None)
PRICES = ("2.50", "19.99", "0.10")
LOGINS = {
    "checkout": ((0, 1),),
    "twice": ((0, 1), (0, 1)),
    "two sources": ((0, 2), (1, 2)),
    "chain": ((0, 1), (1, 2)),
    "circle": ((0, 1), (1, 0)),
}
"""The logins of each kind of visit, in order of time: source and target, as numbers of users.

A user logs in as one other. Each hop is later than the one before. Then the order of arrival does not decide where tables rest.
"""


class Storm:
    """Endless visits with the current time. Each has users and items of its own, and far fewer events than a row keeps.

    ``user_of`` makes pseudonyms from raw ids.
    """

    def __init__(self, customer: str, user_of: Callable[[str], str], seed: int = 7) -> None:
        self._customer, self._user_of = customer, user_of
        self._draw = random.Random(seed)
        self.accounts: list[str] = []
        """Raw ids of users who were logged into and never log in themselves."""
        self._visits = 0

    def mixed_into(self, events: Iterator[Event]) -> Iterator[Event]:
        """Yield the events in turn, mixed with those of the visits."""
        visits = self._events()
        for event in events:
            yield event
            while self._draw.random() < STORM_SHARE:
                yield next(visits)

    def _events(self) -> Iterator[Event]:
        going = [self._visit() for _ in range(AT_ONCE)]
        while True:
            number = self._draw.randrange(AT_ONCE)
            event = next(going[number], None)
            if event is None:
                going[number] = self._visit()
            else:
                yield event | {"received_ms": int(time.time() * 1000)}

    def _visit(self) -> Iterator[Event]:
        """Yield a visit's events: a flow that buys after its logins, and as many events that are drawn. Nearly in order of time."""
        draw = self._draw
        logins = LOGINS[draw.choice(list(LOGINS))]
        self._visits += 1
        raws = [f"storm-{self._visits}-{number}" for number in range(1 + max(max(each) for each in logins))]
        if not any(len(raws) - 1 == source for source, _ in logins):
            self.accounts.append(raws[-1])
        users = [self._user_of(raw) for raw in raws]
        start_ms = int(time.time() * 1000) - (VISIT_MINUTES + 5) * MINUTE_MS
        times = sorted(draw.randrange(8, 20) + number / 10 for number in range(len(logins)))
        script: list[tuple[float, Event]] = []

        def at(minute: float, user: int, kind: str, **fields: Any) -> None:
            time_ms = start_ms + int(minute * MINUTE_MS)
            event: Event = {"type": kind, "customer": self._customer, "user": users[user], "time_ms": time_ms}
            event |= fields
            late = draw.uniform(0, DISORDER_MINUTES) if draw.random() < 0.3 else 0.0
            script.append((minute + late, event))
            if draw.random() < 0.03:  # sent again
                event["eid"] = f"s{self._visits}-{len(script)}"
                script.append((minute + late + draw.uniform(0, DISORDER_MINUTES), event))

        items = [str(draw.randrange(1, ITEMS)) for _ in range(2)]
        request_id = draw.choice((None, None, f"r{self._visits}"))

        def draw_event(minute: float, user: int, kind: str, item: str) -> None:
            fields: dict[str, Any] = {"item": item}
            if kind == "rendered":
                fields = {"items": [item, *(str(draw.randrange(1, ITEMS)) for _ in range(2))]}
            if kind in ("rendered", "clickrecommended"):
                fields |= {"scenario": draw.choice(SCENARIOS)}
                if request_id is not None:
                    fields["request_id"] = request_id
            if kind == "buy":
                fields |= {
                    "quantity": draw.choice((1, 2, 3, 0.25)),
                    "price": draw.choice(PRICES),
                    "currency": "EUR",
                }
            at(minute, user, kind, **fields)

        for minute, (source, target) in zip(times, logins, strict=True):
            draw_event(minute - draw.uniform(4, 8), source, "rendered", items[0])
            draw_event(minute - draw.uniform(1, 4), source, "clickrecommended", items[0])
            draw_event(minute - draw.uniform(0, 1), source, "basket", items[0])
            at(minute, source, "login", target=users[target])
        draw_event(draw.uniform(20, 40), logins[-1][1], "buy", items[0])
        kinds = ("rendered", "clickrecommended", "click", "basket", "buy")
        for _ in range(2 + 4 * len(logins)):
            kind = draw.choices(kinds, (30, 30, 5, 10, 25))[0]
            draw_event(draw.uniform(0, VISIT_MINUTES), draw.randrange(len(users)), kind, draw.choice(items))
        script.sort(key=lambda each: each[0])
        return iter([event for _, event in script])
