"""HTTP/1.1 connections with limits, on aiohttp's low-level server.

aiohttp answers 400 to every request that its parser refuses, and logs the request. Here a refused request gets the right status
(414, 431), and no log line holds what was sent, because it may hold user ids.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from aiohttp import hdrs, web
from aiohttp.http_exceptions import LineTooLong

from events.rejections import Rejection

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_MAX_HEADERS: Final = 64
_MAX_HEADER_BYTES: Final = 8_000
# How long we read the rest of a refused request, so that its sender receives the answer.
_LINGER_SECONDS: Final = 1.0
_QUIET_SECONDS: Final = 0.05


class Server(web.Server):
    """Makes a Connection for each socket, up to ``max_connections``.

    ``refuse`` counts a request that the parser refuses, and returns its answer. Its second argument is the start of an address that
    was too long, else empty. ``on_connections`` is called with the number of open connections when it changes.
    ``request_factory`` makes the requests of a ``web.Application``.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        refuse: Callable[[Rejection, str], web.StreamResponse],
        on_connections: Callable[[int], None],
        max_uri_bytes: int,
        max_connections: int,
        request_timeout_ms: int,
        request_factory: Any = None,
    ) -> None:
        super().__init__(handler, request_factory=request_factory)
        self.refuse, self.on_connections, self.max_connections = refuse, on_connections, max_connections
        self._max_uri_bytes, self._timeout_seconds = max_uri_bytes, request_timeout_ms / 1000

    def __call__(self) -> "Connection":
        """Return the protocol of a new socket."""
        return Connection(
            self,
            loop=self._loop,
            # aiohttp's timer runs from the last answer (or the start) to the next complete head. So it ends both silent
            # connections and heads that are sent byte by byte.
            keepalive_timeout=self._timeout_seconds,
            access_log=None,
            max_line_size=self._max_uri_bytes,
            # The parser's error names only the limit that was exceeded, so those of lines and of headers must differ.
            max_field_size=_MAX_HEADER_BYTES + (self._max_uri_bytes == _MAX_HEADER_BYTES),
            max_headers=_MAX_HEADERS,
            lingering_time=_LINGER_SECONDS,
            auto_decompress=False,
        )


class Connection(web.RequestHandler):
    """One client connection."""

    def __init__(self, server: Server, **limits: Any) -> None:
        super().__init__(server, **limits)
        self._server = server
        self._is_refused = False
        self._discarded_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept the connection, unless too many are open."""
        super().connection_made(transport)
        open_now = len(self._server.connections)
        self._server.on_connections(open_now)
        if open_now > self._server.max_connections:
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Report the new number of open connections."""
        super().connection_lost(exc)
        self._server.on_connections(len(self._server.connections))

    def data_received(self, data: bytes) -> None:
        """Feed the parser until it refuses a request; discard everything that follows."""
        if self._is_refused:
            self._discarded_at = self._loop.time()
            return
        super().data_received(data)

    def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> Coroutine[Any, Any, tuple[web.StreamResponse, bool]]:
        """Send an answer. aiohttp would name the versions of Python and of itself in ``Server``."""
        if isinstance(resp, web.Response):  # other answers bring their own head
            resp.headers.setdefault(hdrs.SERVER, "uptake")
        return super().finish_response(request, resp, start_time)

    def _make_error_handler(self, err_info: Any) -> Handler:
        """Return the handler of a request that the parser refused; overrides aiohttp's method."""
        self._is_refused = True
        refused = self._rejection(err_info.exc)
        address = _start_of_line(err_info.exc) if refused.code == "uri_too_long" else ""

        async def handler(_request: web.BaseRequest) -> web.StreamResponse:
            await self._linger()
            response = self._server.refuse(refused, address)
            response.force_close()
            return response

        return handler

    async def _linger(self) -> None:
        """Wait until the client stops sending, for ``_LINGER_SECONDS`` at most.

        Closing a socket with unread bytes resets the connection, and the client would lose our answer.
        """
        end = self._loop.time() + _LINGER_SECONDS
        while self._loop.time() < end:
            await asyncio.sleep(_QUIET_SECONDS)
            if self._loop.time() - self._discarded_at >= _QUIET_SECONDS:
                return

    def _rejection(self, error: BaseException | None) -> Rejection:
        if isinstance(error, LineTooLong):
            limit = error.args[1]
            if limit == self.max_line_size:
                return Rejection("uri_too_long", f"the request line takes at most {limit} bytes")
            return Rejection("headers_too_large", f"a header takes at most {limit} bytes")
        if "Too many headers" in str(error):
            return Rejection("headers_too_large", f"a request takes at most {self.max_headers} headers")
        return Rejection("malformed_request", "this is not a well-formed HTTP/1.1 request")

    def log_exception(self, *_args: Any, **_kw: Any) -> None:
        """Log nothing: the handler logs its own failures, without what the client sent."""


def _start_of_line(error: BaseException | None) -> str:
    """Return the start of the line that was too long: about 100 characters."""
    line = error.args[0] if isinstance(error, LineTooLong) else b""
    return line.decode("latin-1") if isinstance(line, bytes | bytearray) else str(line)
