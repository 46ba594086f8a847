"""A steady load straight into the journal, from a thread, by librdkafka with the partitioner of the Java client."""

import json
import random
import threading
import time
from typing import Any

from confluent_kafka import Producer

USERS, ITEMS = (
    600,
    60,
)  # few enough events a user to stay below the caps of the tables, which are not what is tested here


class Load(threading.Thread):
    """Produces ``events`` events at ``rate`` a second. ``delivered`` counts what the broker acknowledged, ``failed`` the rest."""

    def __init__(
        self, bootstrap: str, customer: str, users: list[str], rate: int, events: int, seed: int = 1
    ) -> None:
        super().__init__(daemon=True)
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": 5,
            }
        )
        self._customer, self._users, self._rate, self._events = customer, users, rate, events
        self._random = random.Random(seed)
        self.delivered = self.failed = 0

    def run(self) -> None:
        started = time.monotonic()
        for number in range(self._events):
            event = self._event()
            self._producer.produce(
                "uptake.events",
                key=f"{self._customer}|{event['user']}".encode(),
                value=json.dumps(event).encode(),
                on_delivery=self._on_delivery,
            )
            if number % 50 == 0:
                self._producer.poll(0)
                time.sleep(max(0.0, started + number / self._rate - time.monotonic()))
        self._producer.flush(60)

    def _on_delivery(self, error: Any, _message: Any) -> None:
        if error is None:
            self.delivered += 1
        else:
            self.failed += 1

    def _event(self) -> dict[str, Any]:
        draw = self._random
        now_ms = int(time.time() * 1000)
        event: dict[str, Any] = {
            "customer": self._customer,
            "user": draw.choice(self._users),
            "time_ms": now_ms,
            "received_ms": now_ms,
        }
        kind = draw.random()
        item = str(draw.randrange(1, ITEMS))
        if kind < 0.7:
            items = [str(draw.randrange(1, ITEMS)) for _ in range(4)]
            event |= {"type": "rendered", "items": items, "scenario": draw.choice(["home", "also_bought"])}
        elif kind < 0.8:
            event |= {"type": "click", "item": item}
        elif kind < 0.93:
            event |= {"type": "clickrecommended", "item": item, "scenario": "home"}
        else:
            event |= {
                "type": "buy",
                "item": item,
                "quantity": draw.randrange(1, 4),
                "price": "2.50",
                "currency": "EUR",
            }
        if draw.random() < 0.05:
            event["eid"] = f"e{draw.randrange(40)}"  # drawn from few: some come twice
        return event
