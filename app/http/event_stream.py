"""Event streams: the clients of one topic share one computation, which runs while at least one of them listens."""

import asyncio
import contextlib
import logging
import traceback
from collections.abc import Awaitable, Callable, Hashable
from hashlib import blake2b
from typing import Final, NamedTuple

import msgspec
from aiohttp import web

from app.http.event_format import HEARTBEAT, RETRY, event_part
from app.http.refusals import SAFE_HEADERS
from app.http.resets import reset
from events.rejections import RefusedError

log = logging.getLogger(__name__)

_HEADERS: Final = {
    **SAFE_HEADERS,
    "Content-Type": "text/event-stream",
    "Server": "uptake",
    "X-Accel-Buffering": "no",  # nginx would hold events back
}
_INTERNAL: Final = "internal"
_AT_ONCE: Final = 32
"""Clients that get an event in one turn of the event loop: a millisecond of work."""
_REST: Final = 4
"""A long computation is followed by a rest of so many times its length, so that a stream takes a fifth of a core at most."""
_LONGEST_REST_S: Final = 5.0
_IF_SAME: Final = 0.5  # of an interval: what changes once an interval is then found soon after each change
_FRESH_INTERVALS: Final = 3
"""A newcomer gets the latest answer at once if it was confirmed within so many intervals."""
_END_SECONDS: Final = 0.4
"""How long ``close`` waits for the clients to take what was sent to them, before it resets their connections."""

Fetch = Callable[[], Awaitable[bytes]]
"""Returns the data of a topic as it is now."""


class StreamProblemError(Exception):
    """A fetch failed for a reason that clients may read."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code)
        self.code, self.detail = code, detail


class EventHub:
    """The event streams of one process.

    Every ``interval_s`` a topic's data is fetched, and sent if its bytes changed; if not, it is fetched again after half of that. A
    client gets a comment line as a heartbeat after ``heartbeat_s`` without an event. A client that does not read is dropped when
    ``max_waiting`` events wait for it.
    """

    def __init__(
        self,
        *,
        interval_s: float = 1.0,
        heartbeat_s: float = 15.0,
        max_waiting: int = 8,
        max_clients: int = 5_000,
    ) -> None:
        self._interval_s, self._heartbeat_s = interval_s, heartbeat_s
        self._max_waiting, self._max_clients = max_waiting, max_clients
        self._streams: dict[Hashable, _SharedStream] = {}
        self._clients: set[_StreamClient] = set()
        self._left = asyncio.Event()
        self._is_closed = False
        self.dropped_count = 0
        """Clients that were dropped because they did not read."""

    @property
    def client_count(self) -> int:
        """The number of open streams."""
        return len(self._clients)

    async def serve(
        self, request: web.Request, topic: Hashable, fetch: Fetch, *, event: str = "message"
    ) -> web.StreamResponse:
        """Send a topic's events until the client goes, is dropped, or ``close`` is called.

        All clients of a topic must be allowed to read the same. ``fetch`` of the latest client counts: it raises RefusedError or
        StreamProblemError for a failure that clients may read. Raise RefusedError (503) if no more clients are taken.
        """
        if self._is_closed:
            raise RefusedError("unavailable", "the server stops; connect again in 2 s")
        if len(self._clients) >= self._max_clients:
            raise RefusedError("unavailable", f"{self._max_clients} streams are open, and no more are taken")
        if request.method == "HEAD":
            return web.Response(headers=_HEADERS)
        response = web.StreamResponse(headers=_HEADERS)
        response.force_close()
        client = _StreamClient(request.transport, self._max_waiting, request.headers.get("Last-Event-ID"))
        self._clients.add(client)
        stream = self._stream((topic, event), fetch, event)
        stream.welcome(client)
        try:
            await response.prepare(request)
            await response.write(RETRY)
            while (part := await client.next(self._heartbeat_s)) is not None:
                async with asyncio.timeout(self._heartbeat_s):
                    await response.write(part)
        except TimeoutError:
            client.drop()
        except ConnectionError:
            pass  # the client has gone
        finally:
            self._leave((topic, event), stream, client)
        return response

    async def close(self) -> None:
        """End all streams, within a second. No new ones are taken."""
        self._is_closed = True
        tasks = [stream.task for stream in self._streams.values()]
        for task in tasks:
            task.cancel()
        for client in self._clients:
            client.end()
        await self._until_empty()
        for client in tuple(self._clients):
            client.abort()
        await self._until_empty()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _until_empty(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                while self._clients:
                    self._left.clear()
                    await self._left.wait()

    def _stream(self, key: Hashable, fetch: Fetch, event: str) -> "_SharedStream":
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = _SharedStream(fetch, event, self._interval_s)
        stream.fetch = fetch
        return stream

    def _leave(self, key: Hashable, stream: "_SharedStream", client: "_StreamClient") -> None:
        self._clients.discard(client)
        self.dropped_count += client.is_dropped
        self._left.set()
        stream.clients.discard(client)
        if not stream.clients and self._streams.get(key) is stream:
            del self._streams[key]
            stream.task.cancel()


class _StreamClient:
    """One connection: the events that wait for it, and the id of the data that it has."""

    def __init__(
        self, transport: asyncio.BaseTransport | None, max_waiting: int, last_id: str | None
    ) -> None:
        self._transport = transport
        self._waiting: asyncio.Queue[bytes | None] = asyncio.Queue(max_waiting)
        self.known_id = last_id
        self.is_dropped = False

    @property
    def has_gone(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    def offer(self, part: bytes) -> None:
        """Send a part when the client has taken those before it. Drop a client for whom too many wait."""
        try:
            self._waiting.put_nowait(part)
        except asyncio.QueueFull:
            self.drop()

    async def next(self, heartbeat_s: float) -> bytes | None:
        """Return what to send next, None at the end of the stream."""
        try:
            async with asyncio.timeout(heartbeat_s):
                return await self._waiting.get()
        except TimeoutError:
            return HEARTBEAT

    def end(self) -> None:
        """End the stream. What waits is not sent."""
        while not self._waiting.empty():
            self._waiting.get_nowait()
        self._waiting.put_nowait(None)

    def drop(self) -> None:
        """End the stream of a client that does not read. A polite end would wait for it."""
        self.is_dropped = True
        self.abort()

    def abort(self) -> None:
        """Reset the connection, and end the stream."""
        if self._transport is not None:
            reset(self._transport)
        self.end()


class _Sent(NamedTuple):
    """What all clients were sent last: data with its id, or a problem with its code."""

    id: str
    data: bytes
    part: bytes


class _SharedStream:
    """The data of one topic, fetched again and again for all its clients."""

    def __init__(self, fetch: Fetch, event: str, interval_s: float) -> None:
        self.clients: set[_StreamClient] = set()
        self.fetch = fetch
        self._event, self._interval_s = event, interval_s
        self._latest: _Sent | None = None
        self._confirmed_s = 0.0
        self._problem: _Sent | None = None
        self._loop = asyncio.get_running_loop()
        self.task = asyncio.create_task(self._run(), name=f"event stream {event}")

    def welcome(self, client: _StreamClient) -> None:
        """Take a client, and send it the latest data if it does not have it. Data that may be old waits for the next fetch."""
        self.clients.add(client)
        if self._loop.time() - self._confirmed_s <= _FRESH_INTERVALS * self._interval_s:
            self._update(client)
        if self._problem is not None:
            client.known_id = None
            client.offer(self._problem.part)

    async def _run(self) -> None:
        while True:
            start_s, before = self._loop.time(), self._latest
            fetch_s = await self._look()
            took_s = self._loop.time() - start_s
            is_same = self._latest is before and self._problem is None
            interval_s = self._interval_s * (_IF_SAME if is_same else 1)
            await asyncio.sleep(_rest_s(interval_s, took_s, fetch_s))

    async def _look(self) -> float:
        """Fetch the data, and tell the clients what changed. Return the seconds that the fetch took."""
        start_s = self._loop.time()
        try:
            data = await self.fetch()
        except Exception as error:  # noqa: BLE001 - the clients get a problem event, and the next fetch may succeed
            await self._fail(error)
            return self._loop.time() - start_s
        self._problem = None
        self._confirmed_s = self._loop.time()
        if self._latest is None or self._latest.data != data:
            id_ = blake2b(data, digest_size=8).hexdigest()
            self._latest = _Sent(id_, data, event_part(self._event, data, id_))
        await self._each(self._update)
        return self._confirmed_s - start_s

    async def _fail(self, error: Exception) -> None:
        code, detail = _told(error)
        if self._problem is not None and self._problem.id == code:
            return
        if code == _INTERNAL:
            # The message of an exception may hold what a client sent, so log only its type and place.
            frames = "".join(traceback.format_tb(error.__traceback__))
            log.error("the data of a stream failed with %s at\n%s", type(error).__name__, frames)
        data = msgspec.json.encode({"error": code, "detail": detail})
        self._problem = _Sent(code, data, event_part("problem", data))
        await self._each(self._tell_problem)

    def _update(self, client: _StreamClient) -> None:
        if self._latest is not None and client.known_id != self._latest.id:
            client.known_id = self._latest.id
            client.offer(self._latest.part)

    def _tell_problem(self, client: _StreamClient) -> None:
        if self._problem is not None:
            client.known_id = None  # so that it gets the data when the problem is over
            client.offer(self._problem.part)

    async def _each(self, tell: Callable[[_StreamClient], None]) -> None:
        """Tell each client in turn, and let others run in between. End the streams of those who have gone."""
        for number, client in enumerate(tuple(self.clients), 1):
            if client.has_gone:
                client.end()
            else:
                tell(client)
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)


def _rest_s(interval_s: float, took_s: float, fetch_s: float) -> float:
    """Return how long to rest until the next fetch. Only the fetch makes it longer, not the time that sending takes."""
    return max(interval_s - took_s, min(_REST * fetch_s, _LONGEST_REST_S), 0.0)


def _told(error: Exception) -> tuple[str, str]:
    """Return the code and the sentence that clients may read of an error."""
    if isinstance(error, StreamProblemError):
        return error.code, error.detail
    if isinstance(error, RefusedError):
        return error.rejection.code, error.rejection.sentence
    return _INTERNAL, "something went wrong here; it was logged"
