"""A steady load straight into the journal, from a thread, with librdkafka and the partitioner of the Java client."""

import json
import random
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

from confluent_kafka import Producer

# Few events per user, to stay below the caps of the tables, which these tests do not test.
USERS, ITEMS = 600, 60


Event = dict[str, Any]


class Load(threading.Thread):
    """Produces ``events`` events at ``rate`` a second; ``delivered`` counts acknowledged ones, ``failed`` the others.

    ``source`` replaces the usual mix. ``finish`` ends a load early; the producer still delivers what it holds.
    """

    def __init__(
        self,
        bootstrap: str,
        customer: str,
        users: list[str],
        rate: int,
        events: int,
        seed: int = 1,
        source: Iterable[Event] | None = None,
        topic: str = "uptake.events",
    ) -> None:
        super().__init__(daemon=True)
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                "log_level": 0,  # the broker is away on purpose: no warnings
            }
        )
        self._rate, self._topic = rate, topic
        self._source = mixed(customer, users, events, seed) if source is None else source
        self._finished = threading.Event()
        self.sent = self.delivered = self.failed = 0

    def run(self) -> None:
        started = time.monotonic()
        step = max(1, self._rate // 20)
        for event in self._source:
            if self._finished.is_set():
                break
            self._produce(event)
            self.sent += 1
            if self.sent % step == 0:
                self._producer.poll(0)
                time.sleep(max(0.0, started + self.sent / self._rate - time.monotonic()))
        self._producer.flush(120)

    def finish(self) -> None:
        """Send no more; return when the broker has acknowledged or refused everything."""
        self._finished.set()
        self.join()

    def _produce(self, event: Event) -> None:
        while True:
            try:
                self._producer.produce(
                    self._topic,
                    key=f"{event['customer']}|{event['user']}".encode(),
                    value=json.dumps(event).encode(),
                    on_delivery=self._on_delivery,
                )
            except BufferError:  # the queue is full: the broker is slow, or away
                self._producer.poll(0.1)
                if self._finished.is_set():
                    return
            else:
                return

    def _on_delivery(self, error: Any, _message: Any) -> None:
        if error is None:
            self.delivered += 1
        else:
            self.failed += 1


def mixed(customer: str, users: list[str], events: int, seed: int = 1) -> Iterator[Event]:
    """Yield events with the current time, of all kinds that the oracle knows."""
    draw = random.Random(seed)
    for _ in range(events):
        now_ms = int(time.time() * 1000)
        event: Event = {
            "customer": customer,
            "user": draw.choice(users),
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
                "quantity": draw.choice([1, 2, 3, 0.1, 0.25, 1.5]),
                "price": "2.50",
                "currency": "EUR",
            }
        if draw.random() < 0.05:
            event["eid"] = f"e{draw.randrange(40)}"  # drawn from few, so that some come twice
        yield event
