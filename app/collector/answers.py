"""Outcomes as HTTP answers, in the form that the client asked for."""

import re
import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import HttpVersion11, web
from multidict import CIMultiDict

from app.customers.customer import Customer
from app.http.refusals import SAFE_HEADERS, problem, refusal
from events.rejections import Rejection

GIF: Final = bytes.fromhex(
    "47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b"
)
"""A transparent image of 1x1."""

TRACKER_METHODS: Final = "GET, POST, HEAD, OPTIONS"
POST_METHODS: Final = "POST, OPTIONS"

_CALLBACK: Final = re.compile(r"[A-Za-z_$][\w$.]{0,63}", re.ASCII)
_BASE: Final = CIMultiDict({**SAFE_HEADERS, "Server": "uptake"})
_GIF_TYPE: Final = "image/gif"
_SCRIPT: Final = "application/javascript; charset=utf-8"
_END: Final = b"\r\n\r\n"
_LAST: Final = b"\r\nConnection: close\r\n\r\n"


def is_callback(name: str) -> bool:
    """Return whether a JSONP callback is a plain name, so that it cannot carry script."""
    return _CALLBACK.fullmatch(name) is not None


def base_headers(customer: Customer | None, origin: str | None) -> CIMultiDict[str]:
    """Return the headers of every answer: never cached, never sniffed, and readable for the origins the customer names."""
    headers = _BASE.copy()
    if customer is None or "*" in customer.cors_origins:
        headers["Access-Control-Allow-Origin"] = "*"
    else:
        headers["Vary"] = "Origin"
        if origin is not None and origin in customer.cors_origins:
            headers["Access-Control-Allow-Origin"] = origin
    return headers


def accepted(
    request: web.BaseRequest, customer: Customer, *, callback: str | None = None
) -> web.StreamResponse:
    """Return the answer to an event that is durable (or to one with nothing to record): 204, or 200 with an image or script."""
    origin = request.headers.get("Origin")
    if callback is not None:
        return _script(200, base_headers(customer, origin), callback, {"status": 204})
    accepts_image = request.method != "POST" and "image/" in request.headers.get("Accept", "")
    if request.method == "HEAD" or request.version != HttpVersion11:
        headers = base_headers(customer, origin)
        if not accepts_image:
            return web.Response(status=204, headers=headers)
        headers["Content-Type"] = _GIF_TYPE
        return web.Response(body=GIF, headers=headers)
    allowed = "*" if "*" in customer.cors_origins else origin if origin in customer.cors_origins else None
    return _Prepared(_prepared(allowed, is_image=accepts_image))


class _Prepared(web.StreamResponse):
    """An answer whose bytes are there already: aiohttp's own takes as long to build its head as we take to read an event.

    It is sent whole by ``prepare``, with the date, to a request of HTTP/1.1 that is no HEAD.
    """

    def __init__(
        self, prepared: "tuple[int, bytes, bytes]"
    ) -> None:  # not super's: there are no headers to hold
        self._prepared, self._is_last = prepared, False

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._prepared[0]

    @property
    def keep_alive(self) -> bool:
        """Whether the connection stays open."""
        return not self._is_last

    def force_close(self) -> None:
        """Let the connection end with this answer."""
        self._is_last = True

    async def prepare(self, request: web.BaseRequest) -> None:
        """Send it; raise ConnectionResetError when the client has gone."""
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError
        self._is_last |= not request.keep_alive
        _, head, body = self._prepared
        ends = _LAST if self._is_last else _END
        transport.write(b"".join((head, _date(int(time.time())), ends, body)))
        await request.writer.drain()  # a client that does not read its answers waits for itself

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to be sent."""


@lru_cache(maxsize=1_024)
def _prepared(allowed_origin: str | None, *, is_image: bool) -> tuple[int, bytes, bytes]:
    """Return status, head up to the date, and body. An origin is of the customer's list, or ``*``: so they are few."""
    headers = dict(_BASE)
    if allowed_origin != "*":
        headers["Vary"] = "Origin"
    if allowed_origin is not None:
        headers["Access-Control-Allow-Origin"] = allowed_origin
    status = HTTPStatus.OK if is_image else HTTPStatus.NO_CONTENT
    if is_image:
        headers |= {"Content-Type": _GIF_TYPE, "Content-Length": str(len(GIF))}
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        *[f"{name}: {value}" for name, value in headers.items()],
    ]
    return status.value, "\r\n".join([*lines, "Date: "]).encode(), GIF if is_image else b""


@lru_cache(maxsize=1)
def _date(now_s: int) -> bytes:
    return formatdate(now_s, usegmt=True).encode("ascii")


def rejected(
    rejection: Rejection, headers: CIMultiDict[str], *, accept: str = "", callback: str | None = None
) -> web.Response:
    """Return the answer to a refused event, as a script where it was asked for with a JSONP callback."""
    if rejection.status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="uptake"'
    if rejection.status == 405:
        headers["Allow"] = TRACKER_METHODS
    answer = refusal(rejection, headers, accept=accept)
    return answer if callback is None else _script(rejection.status, headers, callback, problem(rejection))


def preflight(
    headers: CIMultiDict[str], asked_headers: str | None, *, methods: str = TRACKER_METHODS
) -> web.Response:
    """Return the answer to OPTIONS: what a browser may send."""
    headers["Access-Control-Allow-Methods"] = methods
    headers["Access-Control-Allow-Headers"] = (
        "Authorization, Content-Encoding, Content-Type" if asked_headers else "Content-Type"
    )
    headers["Access-Control-Max-Age"] = "86400"
    headers["Allow"] = methods
    return web.Response(status=204, headers=headers)


def _script(status: int, headers: CIMultiDict[str], callback: str, value: object) -> web.Response:
    # The comment keeps old plug-ins from reading the callback's name as a file of theirs; JSON escapes what ends a script.
    headers["Content-Type"] = _SCRIPT
    json = (
        msgspec.json.encode(value)
        .decode("utf-8")
        .replace("<", "\\u003c")
        .replace("\u2028", "")
        .replace("\u2029", "")
    )
    return web.Response(status=status, headers=headers, body=f"/**/{callback}({json});".encode())
