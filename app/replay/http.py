"""A small HTTP/1.1 client: a kept-alive connection that sends one request at a time.

A client library takes longer to send a request than the collector takes to answer it. This client takes about 25 us.
"""

import asyncio
import base64
import ssl
from collections.abc import Mapping
from typing import Final, NamedTuple, cast
from urllib.parse import urlsplit

import httptools

from app.base.errors import UptakeError

# A server closes silent connections, so one that was idle for longer is not used again.
_MAX_IDLE_S: Final = 5.0
_CONNECT_TIMEOUT_S: Final = 5.0


class NoConnectionError(Exception):
    """The connection could not be opened: nothing was sent, so the request may be sent again."""


class NoAnswerError(Exception):
    """The request was sent, but no complete answer came: the event may or may not be recorded."""


class Answer(NamedTuple):
    """The server's answer. ``retry_after_s`` is None if the server named no time in seconds."""

    status: int
    body: bytes
    retry_after_s: float | None


def basic_header(customer: str, license_key: str) -> str:
    """Return the value of the ``Authorization`` header that identifies the sender by HTTP Basic."""
    return "Basic " + base64.b64encode(f"{customer}:{license_key}".encode()).decode("ascii")


class Endpoint:
    """The address of a collector: ``http://host:port`` or ``https://host``."""

    def __init__(self, url: str, credentials: tuple[str, str] | None = None) -> None:
        """Every request carries ``credentials`` (customer, license key) by HTTP Basic. Raise UptakeError for an invalid URL."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise UptakeError(f"{url!r} is not an address: {error}") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
            raise UptakeError(f"{url!r} must be the address of a collector, as in http://127.0.0.1:8080")
        self.host = parts.hostname
        self.port = port or (443 if parts.scheme == "https" else 80)
        self.tls = ssl.create_default_context() if parts.scheme == "https" else None
        host = parts.netloc.rpartition("@")[2]
        common = f" HTTP/1.1\r\nHost: {host}\r\nAccept: application/problem+json\r\nUser-Agent: uptake\r\n"
        if credentials is not None:
            common += f"Authorization: {basic_header(*credentials)}\r\n"
        self._common = common.encode("ascii")

    def request(self, target: str) -> bytes:
        """Return the bytes of a GET. ``target`` is printable ASCII without blanks."""
        return b"GET " + target.encode("ascii") + self._common + b"\r\n"

    def post(self, target: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        """Return the bytes of a POST. ``headers`` are added to those of every request; they are printable ASCII."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = b"POST " + target.encode("ascii") + self._common
        return head + f"{lines}Content-Length: {len(body)}\r\n\r\n".encode("ascii") + body

    async def connect(self) -> "ClientConnection":
        """Open a connection; raise NoConnectionError if the collector cannot be reached."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                _, connection = await loop.create_connection(
                    ClientConnection, self.host, self.port, ssl=self.tls
                )
        except (OSError, TimeoutError) as error:
            raise NoConnectionError(
                f"no collector answers at {self.host}:{self.port} ({error or 'timeout'})"
            ) from None
        return connection


class ClientConnection(asyncio.Protocol):
    """One kept-alive connection."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[Answer] | None = None
        self._body = b""
        self._retry_after_s: float | None = None
        self._used_at = self._loop.time()

    @property
    def is_usable(self) -> bool:
        """Whether the next request can use this connection."""
        transport = self._transport
        is_fresh = self._loop.time() - self._used_at < _MAX_IDLE_S
        return transport is not None and not transport.is_closing() and is_fresh

    async def ask(self, raw_request: bytes, timeout_s: float) -> Answer:
        """Send a request and return its answer; raise NoAnswerError if none comes within ``timeout_s``."""
        assert self._transport is not None
        answer: asyncio.Future[Answer] = self._loop.create_future()
        self._answer = answer
        self._transport.write(raw_request)
        timer = self._loop.call_later(timeout_s, self._give_up, f"no answer within {timeout_s:g} s")
        try:
            return await answer
        finally:
            timer.cancel()
            self._answer = None
            self._used_at = self._loop.time()

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    # asyncio.Protocol
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transport is not typed as one

    def data_received(self, data: bytes) -> None:
        """Parse a part of an answer."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._give_up(f"the answer is not HTTP: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the pending request: its answer will not come."""
        self._give_up(f"the connection was closed before the answer came{f': {exc}' if exc else ''}")

    # httptools.HttpResponseParser
    def on_message_begin(self) -> None:
        """Forget the last answer."""
        self._body = b""
        self._retry_after_s = None

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep ``Retry-After``, the only header that is used."""
        if name.lower() == b"retry-after" and value.isdigit() and len(value) < 6:
            self._retry_after_s = float(value)

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body."""
        self._body += body

    def on_message_complete(self) -> None:
        """Deliver the answer; close the connection if the server does not keep it alive."""
        if self._parser.get_status_code() < 200:
            return
        if not self._parser.should_keep_alive():
            self.close()
        if self._answer is not None and not self._answer.done():
            status = self._parser.get_status_code()
            self._answer.set_result(Answer(status, self._body, self._retry_after_s))

    def _give_up(self, reason: str) -> None:
        self.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(NoAnswerError(reason))
