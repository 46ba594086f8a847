"""Writes records into a topic at a steady rate while something else is measured."""

import threading
import time
from collections.abc import Sequence
from typing import Final

from confluent_kafka import Producer

from benchmarks.traffic import Record

_STEP_SECONDS: Final = 0.01


class Feed(threading.Thread):
    """Writes ``rate`` records per second, in order, until ``finish`` or the last record."""

    def __init__(self, kafka: str, topic: str, records: Sequence[Record], rate: float) -> None:
        super().__init__(daemon=True)
        self._topic, self._records, self._rate = topic, records, rate
        self._producer = Producer({"bootstrap.servers": kafka, "linger.ms": 5, "acks": "all"})
        self._is_over = threading.Event()
        self.count = 0
        """Records that were written so far."""

    def run(self) -> None:
        started, produce = time.monotonic(), self._producer.produce
        while self.count < len(self._records) and not self._is_over.wait(_STEP_SECONDS):
            due = min(len(self._records), int((time.monotonic() - started) * self._rate))
            for record in self._records[self.count : due]:
                produce(
                    self._topic,
                    key=record.key,
                    value=record.value,
                    partition=record.partition,
                    timestamp=record.time_ms,
                )
            self.count = max(self.count, due)
            self._producer.poll(0)

    def finish(self) -> None:
        """Stop, and return when the broker has all records that were written; RuntimeError if it does not take them."""
        self._is_over.set()
        self.join()
        if self._producer.flush(30):
            raise RuntimeError("the broker did not take all records of the feed")
