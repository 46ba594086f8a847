"""Where do accepted events go: what the collector needs of whatever makes them durable."""

from typing import Protocol


class NotTakenError(Exception):
    """Nothing was handed on, so nothing is recorded: the client may send the event again. ``reason`` is for people."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class FateUnknownError(Exception):
    """The event was handed on and not acknowledged in time, or the acknowledgement was lost: it may be recorded or not."""


class EventSink(Protocol):
    """Makes events durable. One real implementation (kafka_sink.py), one double (tests/support/memory_sink.py)."""

    async def send(self, topic: str, key: bytes, value: bytes, timestamp_ms: int) -> None:
        """Return when the record is durable; raise NotTakenError or FateUnknownError. Never sends a record twice.

        ``timestamp_ms`` must be the time of receipt, never that of an imported event: Kafka expires records by it, and it
        also forgets by it what an idempotent producer wrote. With records dated 1970, a batch that was retried over a broker's
        kill and restart stood in the log twice.
        """
        ...

    def problems(self) -> list[str]:
        """Return what keeps the sink from working now, a sentence each; empty when it is ready."""
        ...

    async def start(self) -> None:
        """Begin to connect; returns at once, ``problems`` tells when it is ready."""
        ...

    async def stop(self) -> None:
        """Wait, within bounds, for what is on its way, then close."""
        ...
