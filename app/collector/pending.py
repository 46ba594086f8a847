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
        self._waiting: dict[asyncio.Future[Any], tuple[int, asyncio.Future[None]]] = {}
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        return len(self._waiting)

    def refusal(self, now_ms: int) -> str | None:
        """Return why no more may be handed on now; None when it may."""
        if not self._waiting:
            return None
        if len(self._waiting) >= self._limit:
            return f"{len(self._waiting)} events wait for Kafka already"
        sent_ms, _ = next(iter(self._waiting.values()))
        if now_ms - sent_ms > self._stall_ms:
            return f"Kafka has acknowledged nothing for {(now_ms - sent_ms) // 1000} s"
        return None

    def add(self, delivery: asyncio.Future[Any], now_ms: int) -> asyncio.Future[None]:
        """Take an event into the account; return a future that ends with its acknowledgement or FateUnknownError."""
        answer: asyncio.Future[None] = delivery.get_loop().create_future()
        self._waiting[delivery] = (now_ms, answer)
        self._idle.clear()
        delivery.add_done_callback(self._settle)
        return answer

    def give_up(self, now_ms: int) -> int:
        """Tell the clients that have waited too long; return to how many. Their events stay on their way."""
        told = 0
        for sent_ms, answer in self._waiting.values():
            if now_ms - sent_ms < self._ack_timeout_ms:
                break
            if not answer.done():
                answer.set_exception(FateUnknownError("Kafka did not acknowledge in time"))
                told += 1
        return told

    def abandon(self) -> None:
        """The producer is gone, and with it the knowledge of what it delivered: every fate is unknown."""
        waiting, self._waiting = self._waiting, {}
        self._idle.set()
        for _, answer in waiting.values():
            if not answer.done():
                answer.set_exception(FateUnknownError("the connection to Kafka was given up"))

    async def wait_idle(self) -> None:
        """Return when every fate is known."""
        await self._idle.wait()

    def _settle(self, delivery: asyncio.Future[Any]) -> None:
        error = None if delivery.cancelled() else delivery.exception()
        entry = self._waiting.pop(delivery, None)
        if entry is None:
            return
        if not self._waiting:
            self._idle.set()
        answer = entry[1]
        if answer.done():
            return
        if error is None and not delivery.cancelled():
            answer.set_result(None)
        else:
            answer.set_exception(FateUnknownError(type(error).__name__))
