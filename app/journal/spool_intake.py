"""Puts the events of one partition into the spool, and settles them when they are durable there or refused."""

from app.journal.broker_link import BrokerLink
from app.journal.pending import PendingEvent
from app.journal.sink import FateUnknownError, NotTakenError
from app.journal.spool import Spool
from app.journal.spool_format import SpoolTarget


class SpoolIntake:
    """The way into the spool. Without a spool, or if Kafka's topics do not fit, every event is refused."""

    def __init__(self, place: SpoolTarget, connection: BrokerLink, spool: Spool | None) -> None:
        self._place, self._connection, self._spool = place, connection, spool

    @property
    def is_taking(self) -> bool:
        """Whether there is a spool that takes records now."""
        return self._spool is not None and self._spool.refusal() is None

    def keep(self, entry: PendingEvent, reason: str) -> None:
        """Take an event that was not handed on to Kafka. ``reason`` says why it was not."""
        spool = self._spool
        if spool is None or self._connection.is_misfit:
            entry.settle(NotTakenError(reason))
            return
        refusal = spool.refusal()
        if refusal is not None:
            entry.settle(NotTakenError(refusal))
            return

        def done(error: OSError | None) -> None:
            entry.settle(
                None if error is None else NotTakenError(f"the spool cannot be written ({error.strerror})")
            )

        entry.identify()
        spool.add(self._place, entry.event.received_ms, entry.key, entry.value, done)

    def copy(self, entry: PendingEvent) -> None:
        """Take a copy of an event in flight, which is durable as soon as either of the two is. Ask ``is_taking`` first."""

        def done(error: OSError | None) -> None:
            if error is None:
                entry.settle(None)
            elif entry.is_lost:
                entry.settle(FateUnknownError(f"the spool cannot be written ({error.strerror})"))
            else:
                entry.is_copied = False

        assert self._spool is not None
        entry.is_copied = True
        self._spool.add(self._place, entry.event.received_ms, entry.key, entry.value, done)
