"""One lane of an import: its queue of rows, and the connection by which their batches are sent, one at a time."""

import asyncio
from typing import Final

from app.importer.send_window import RowQueue
from app.replay.http import Answer, ClientConnection, Endpoint

_TIMEOUT_S: Final = 60.0


class SendLane:
    """Waits for rows and carries requests. ``pause_s`` and ``is_given_up`` belong to the sender."""

    def __init__(self, number: int, queue: RowQueue) -> None:
        self.number, self.queue = number, queue
        self._arrived = asyncio.Event()
        self._is_ended = False
        self._connection: ClientConnection | None = None
        self.pause_s = 0.0
        self.is_given_up = False

    def wake(self) -> None:
        """Look at the queue again: it has a new row."""
        self._arrived.set()

    def end(self) -> None:
        """Expect no more rows."""
        self._is_ended = True
        self._arrived.set()

    async def has_more(self) -> bool:
        """Return True as soon as there is something to send, False if nothing will come."""
        while self.queue.is_empty and not self._is_ended:
            self._arrived.clear()
            await self._arrived.wait()
        return not self.queue.is_empty

    async def ask(self, endpoint: Endpoint, request: bytes) -> Answer:
        """Send a request and return the answer; raise NoConnectionError or NoAnswerError."""
        if self._connection is None or not self._connection.is_usable:
            self.close()
            self._connection = await endpoint.connect()
        return await self._connection.ask(request, _TIMEOUT_S)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
