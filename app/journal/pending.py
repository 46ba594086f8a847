"""Events that wait for their outcome: one entry an event, one future a request, and the number of all that wait."""

import asyncio
import uuid

import msgspec

from app.journal.sink import Outcome
from events.codec import encode
from events.model import EventBase


class PendingRequest:
    """The events of one request. ``future`` ends when the last of them has an outcome."""

    __slots__ = ("future", "left", "outcomes")

    def __init__(self, count: int) -> None:
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.outcomes: list[Outcome] = [None] * count
        self.left = count


class Account:
    """The number of events that wait, over all partitions."""

    def __init__(self) -> None:
        self.waiting = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def open(self) -> None:
        """Count one more event."""
        if not self.waiting:
            self._idle.clear()
        self.waiting += 1

    def close(self) -> None:
        """Count one event less."""
        self.waiting -= 1
        if not self.waiting:
            self._idle.set()

    async def wait_idle(self) -> None:
        """Return when nothing waits."""
        await self._idle.wait()


class PendingEvent:
    """One event before its outcome. The first outcome counts, later ones change nothing.

    ``is_copied``: a copy is on its way into the spool. ``is_lost``: Kafka did not acknowledge the batch, so the copy decides.
    """

    __slots__ = (
        "_account",
        "_group",
        "_index",
        "event",
        "is_copied",
        "is_lost",
        "is_settled",
        "key",
        "since_ms",
        "value",
    )

    def __init__(
        self, event: EventBase, key: bytes, since_ms: int, group: PendingRequest, index: int, account: Account
    ) -> None:
        self.event, self.key, self.value, self.since_ms = event, key, encode(event), since_ms
        self._group, self._index, self._account = group, index, account
        self.is_settled = self.is_copied = self.is_lost = False
        account.open()

    @property
    def has_eid(self) -> bool:
        """Whether the event counts once, however often it is sent."""
        return self.event.eid is not None

    def settle(self, outcome: Outcome) -> None:
        """Set the outcome of the event."""
        if self.is_settled:
            return
        self.is_settled = True
        self._account.close()
        group = self._group
        group.outcomes[self._index] = outcome
        group.left -= 1
        if not group.left and not group.future.done():
            group.future.set_result(None)

    def identify(self) -> None:
        """Give the event an ``eid`` unless it has one, so that it counts once however often it is sent.

        The key stays the same: only this process knows the new ``eid``, so all copies have this key.
        """
        if self.event.eid is None:
            self.event = msgspec.structs.replace(self.event, eid=f"spool-{uuid.uuid4().hex}")
            self.value = encode(self.event)
