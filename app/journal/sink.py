"""The port through which the collector makes accepted events durable.

It imports no implementation: kafka_sink.py and the spool import it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from events.model import EventBase


class NotTakenError(Exception):
    """Nothing was handed on, so nothing is recorded: the client may send the event again. ``reason`` is for people."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class FateUnknownError(Exception):
    """The event may be recorded or not: it was handed on, and no acknowledgement arrived in time."""


Outcome = None | NotTakenError | FateUnknownError
"""The result for one event; None: it is durable."""


@dataclass
class SpoolCounts:
    """Counts of the events that a sink keeps on the local disk, now and since the start. Ages are seconds."""

    bytes: int = 0
    events: int = 0
    oldest_seconds: float = 0.0
    quarantined: int = 0
    spooled: int = 0
    drained: int = 0
    damaged: int = 0
    torn_bytes: int = 0
    failures: int = 0


class EventSink(Protocol):
    """Makes events durable. One real implementation (kafka_sink.py), one double (tests/support/memory_sink.py).

    The sink computes key and value itself: it gives an event without ``eid`` one before it hands the event on a second time.
    A record's timestamp is the time of receipt, never that of an imported event. Kafka expires records by this timestamp, and by
    it forgets what an idempotent producer wrote. With records dated 1970, a batch that was retried while its broker was killed and
    restarted stood in the log twice.
    """

    async def send(self, topic: str, event: EventBase) -> None:
        """Return when the event is durable; raise NotTakenError or FateUnknownError. The event counts once."""
        ...

    async def send_many(self, events: Sequence[tuple[str, EventBase]]) -> list[Outcome]:
        """Return the outcome of each (topic, event), in order. Events of one user keep their order."""
        ...

    def problems(self) -> list[str]:
        """Return what keeps the sink from working now, a sentence each; empty if it is ready."""
        ...

    def warnings(self) -> list[str]:
        """Return what an operator should look at, a sentence each. The sink may still take events."""
        ...

    def spool_counts(self) -> SpoolCounts | None:
        """Return the counts of the local disk; None if the sink keeps nothing there."""
        ...

    async def start(self) -> None:
        """Start to connect. Returns within a few seconds; ``problems`` says when the sink is ready."""
        ...

    async def stop(self) -> None:
        """Wait, within bounds, for the events in flight, then close."""
        ...
