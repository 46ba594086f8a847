"""Connections to brokers for all Kafka clients of the process: a lost link is an error that the client retries.

aiokafka 0.14 calls ``create_conn`` of aiokafka.client and has no setting for the class of a connection.
So this module replaces that function when it is imported. Clients come from app/kafka/clients.py, which imports it.
docs/decisions/0016-connections-of-our-own.md has the reason and a minimal reproduction.
"""

import asyncio
import time
import traceback
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import aiokafka.client
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError

_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 2.0


class BrokerConnection(AIOKafkaConnection):  # type: ignore[misc]  # aiokafka has no types
    """A connection that reports every failed write as a lost connection, and holds no data after its end.

    A write on a closed transport of uvloop raises RuntimeError. aiokafka expects OSError; another error ends its background tasks.
    """

    def close(self, reason: CloseReason | None = None, exc: BaseException | None = None) -> Any:
        """Close the connection; return a future that is done when the socket is closed.

        A reader that failed is in a cycle: the reader, its error, the traceback, the frame that waited. The cycle holds the last response
        and what had arrived of the next, up to 100 MB together, until a full garbage collection. Workers rarely have one.
        """
        reader = self._reader
        closed = super().close(reason, exc)
        self._read_task = None
        if reader is not None:
            reader._buffer.clear()
        if isinstance(exc, asyncio.IncompleteReadError):
            exc.partial = b""
        if exc is not None:
            traceback.clear_frames(exc.__traceback__)
        return closed

    def send(self, request: Any, expect_response: bool = True) -> Any:
        """Send a request; return an awaitable of the response. Raise KafkaConnectionError if the link is lost."""
        return self._write(super().send, request, expect_response)

    def _send_sasl_token(self, payload: bytes, expect_response: bool = True) -> Any:
        return self._write(super()._send_sasl_token, payload, expect_response)

    def _write(self, send: Callable[[Any, bool], Any], request: Any, expect_response: bool) -> Any:
        try:
            return send(request, expect_response)
        except RuntimeError as error:
            if type(error) is not RuntimeError:
                raise  # NotImplementedError and all errors of aiokafka are RuntimeErrors too
            self.close(reason=CloseReason.CONNECTION_BROKEN, exc=error)
            raise KafkaConnectionError(f"Connection at {self.host}:{self.port} broken: {error}") from error

    @classmethod
    def _on_read_task_error(
        cls, self_ref: "weakref.ref[BrokerConnection]", read_task: "asyncio.Task[None]"
    ) -> None:
        """Close the connection when its reader ends. aiokafka leaves it open if the reader was cancelled."""
        connection = self_ref()
        if not read_task.cancelled():
            super()._on_read_task_error(self_ref, read_task)
        elif connection is not None and connection._reader is not None:
            connection.close(reason=CloseReason.CONNECTION_BROKEN)


@dataclass(slots=True)
class Backoff:
    """Spaces the attempts to connect to one broker. Times are monotonic, in seconds."""

    _pause: float = 0.0
    _not_before: float = 0.0

    def pause(self, now: float) -> float:
        """Return how long to wait before the next attempt."""
        return max(0.0, self._not_before - now)

    def failed(self, now: float) -> None:
        """Double the pause after a failed attempt, up to the longest one."""
        self._pause = min(max(_FIRST_PAUSE_SECONDS, 2 * self._pause), _LONGEST_PAUSE_SECONDS)
        self._not_before = now + self._pause

    def succeeded(self) -> None:
        """Forget the failed attempts."""
        self._pause = self._not_before = 0.0


_Address = tuple[str, int]
_backoffs: "weakref.WeakKeyDictionary[Any, dict[_Address, Backoff]]" = weakref.WeakKeyDictionary()


async def connect(
    host: str, port: int, *, on_close: Callable[..., None] | None = None, **options: Any
) -> BrokerConnection:
    """Return a connection, as ``create_conn`` of aiokafka does. After failed attempts it first waits.

    The pause is per client and broker. The first connection of a client has no ``on_close`` and does not wait:
    whoever starts clients again and again pauses by itself.
    """
    connection = BrokerConnection(host, port, on_close=on_close, **options)
    client = getattr(on_close, "__self__", None)
    if client is None:
        await connection.connect()
        return connection
    backoff = _backoffs.setdefault(client, {}).setdefault((host, port), Backoff())
    await asyncio.sleep(backoff.pause(time.monotonic()))
    try:
        await connection.connect()
    except BaseException:
        backoff.failed(time.monotonic())
        raise
    backoff.succeeded()
    return connection


aiokafka.client.create_conn = connect
