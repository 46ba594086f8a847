"""Where do accepted events go: what the collector needs of whatever makes them durable."""

from collections.abc import Sequence
from typing import Protocol

from app.journal.spool import SpoolCounts
from events.model import EventBase


class NotTakenError(Exception):
    """Nothing was handed on, so nothing is recorded: the client may send the event again. ``reason`` is for people."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class FateUnknownError(Exception):
    """The event was handed on and not acknowledged in time, or the acknowledgement was lost: it may be recorded or not."""


Outcome = None | NotTakenError | FateUnknownError
"""What became of one event; None: it is durable."""


class EventSink(Protocol):
    """Makes events durable. One real implementation (kafka_sink.py), one double (tests/support/memory_sink.py).

    It computes key and value itself, because an event that it has to hand on twice is given an ``eid`` when it has none. A record's
    timestamp is the time of receipt, never that of an imported event: Kafka expires records by it, and it also forgets by it what an
    idempotent producer wrote. With records dated 1970, a batch that was retried over a broker's kill and restart stood in the log twice.
    """

    async def send(self, topic: str, event: EventBase) -> None:
        """Return when the event is durable; raise NotTakenError or FateUnknownError. What is counted of it counts once."""
        ...

    async def send_many(self, events: Sequence[tuple[str, EventBase]]) -> list[Outcome]:
        """Return what became of each (topic, event), in order. Events of one user keep their order."""
        ...

    def problems(self) -> list[str]:
        """Return what keeps the sink from working now, a sentence each; empty when it is ready."""
        ...

    def warnings(self) -> list[str]:
        """Return what somebody should look at, a sentence each, though events may well be taken."""
        ...

    def spool_counts(self) -> SpoolCounts | None:
        """Return what is kept on the local disk; None where nothing is."""
        ...

    async def start(self) -> None:
        """Begin to connect; returns within a few seconds, ``problems`` tells when it is ready."""
        ...

    async def stop(self) -> None:
        """Wait, within bounds, for what is on its way, then close."""
        ...
