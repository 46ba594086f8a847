"""How long do events wait for Kafka: the account of what was handed on and not yet acknowledged.

It bounds how long a client waits (then its event's fate is unknown) and how much is on its way at once, and it notices a
broker that stands still, so that new events are refused before anything is handed on. Time is handed in, in milliseconds.
"""

import asyncio
from typing import Any

from app.collector.sink import FateUnknownError


class Pending:
    """Events on their way, oldest first. An event stays here until its fate is known, even if its client gave up."""

    def __init__(self, *, ack_timeout_ms: int, stall_ms: int, limit: int) -> None:
        self._ack_timeout_ms, self._stall_ms, self._limit = ack_timeout_ms, stall_ms, limit
        self._since_ms: dict[asyncio.Future[None], int] = {}
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        return len(self._since_ms)

    def refusal(self, now_ms: int) -> str | None:
        """Return why no more may be handed on now; None when it may."""
        if not self._since_ms:
            return None
        if len(self._since_ms) >= self._limit:
            return f"{len(self._since_ms)} events wait for Kafka already"
        waited_ms = now_ms - next(iter(self._since_ms.values()))
        if waited_ms > self._stall_ms:
            return f"Kafka has acknowledged nothing for {waited_ms / 1000:.0f} s"
        return None

    def open(self, now_ms: int) -> asyncio.Future[None]:
        """Take an event into the account before it is handed on.

        The future ends with its acknowledgement, or with FateUnknownError; ``settle`` or ``withdraw`` must follow.
        """
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._since_ms[answer] = now_ms
        self._idle.clear()
        return answer

    def withdraw(self, answer: asyncio.Future[None]) -> None:
        """The event was not handed on after all: nothing is to be known of it."""
        self._forget(answer)
        if not answer.cancel():
            answer.exception()  # somebody gave it up meanwhile; nobody will read that, and asyncio would complain

    def settle(self, answer: asyncio.Future[None], delivery: asyncio.Future[Any]) -> None:
        """The producer knows what became of the event."""
        error = asyncio.CancelledError() if delivery.cancelled() else delivery.exception()
        self._forget(answer)
        if answer.done():
            return
        if error is None:
            answer.set_result(None)
        else:
            answer.set_exception(FateUnknownError(type(error).__name__))

    def give_up(self, now_ms: int) -> int:
        """Tell the clients that have waited too long; return to how many. Their events stay on their way."""
        told = 0
        for answer, since_ms in self._since_ms.items():
            if now_ms - since_ms < self._ack_timeout_ms:
                break
            if not answer.done():
                answer.set_exception(FateUnknownError("Kafka did not acknowledge in time"))
                told += 1
        return told

    def abandon(self) -> None:
        """The producer is gone, and with it the knowledge of what it delivered: every fate is unknown."""
        waiting, self._since_ms = self._since_ms, {}
        self._idle.set()
        for answer in waiting:
            if not answer.done():
                answer.set_exception(FateUnknownError("the connection to Kafka was given up"))

    async def wait_idle(self) -> None:
        """Return when every fate is known."""
        await self._idle.wait()

    def _forget(self, answer: asyncio.Future[None]) -> None:
        self._since_ms.pop(answer, None)
        if not self._since_ms:
            self._idle.set()
