"""HTTP answers to events, in the form that the client asked for: empty, image, script, text or problem document."""

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
from events.wire_values import CALLBACK

GIF: Final = bytes.fromhex(
    "47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b"
)
"""A transparent 1x1 image."""

TRACKER_METHODS: Final = "GET, POST, HEAD, OPTIONS"
POST_METHODS: Final = "POST, OPTIONS"

_CALLBACK: Final = re.compile(CALLBACK.pattern)
_BASE: Final = CIMultiDict({**SAFE_HEADERS, "Server": "uptake"})
_GIF_TYPE: Final = "image/gif"
_SCRIPT: Final = "application/javascript; charset=utf-8"
_END: Final = b"\r\n\r\n"
_LAST: Final = b"\r\nConnection: close\r\n\r\n"


def is_callback(name: str) -> bool:
    """Return whether a JSONP callback is a plain name, so that it cannot carry script."""
    return _CALLBACK.fullmatch(name) is not None


def base_headers(customer: Customer | None, origin: str | None) -> CIMultiDict[str]:
    """Return the headers of every answer: no caching, no sniffing, and readable by the origins that the customer names."""
    headers = _BASE.copy()
    if customer is None or "*" in customer.cors_origins:
        headers["Access-Control-Allow-Origin"] = "*"
    else:
        headers["Vary"] = "Origin"
        if origin is not None and origin in customer.cors_origins:
            headers.update(_readable_by(origin))
    return headers


def _readable_by(origin: str) -> dict[str, str]:
    """Return the headers that let pages of an origin read an answer, also one to a request with cookies or HTTP Basic.

    Every page can make itself a frame of the origin ``null``, so that one is never given credentials.
    """
    allowed = {"Access-Control-Allow-Origin": origin}
    return allowed if origin in ("*", "null") else allowed | {"Access-Control-Allow-Credentials": "true"}


def accepted(
    request: web.BaseRequest, customer: Customer, *, callback: str | None = None
) -> web.StreamResponse:
    """Return the answer to an event that is durable, or that leaves nothing to record: 204, or 200 with an image or script."""
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
    """An answer made of cached bytes: aiohttp takes as long to build a head as we take to read an event.

    ``prepare`` sends it whole, with the date. The request must be HTTP/1.1 and no HEAD.
    """

    def __init__(self, prepared: "tuple[int, bytes, bytes]") -> None:
        # super().__init__ is not called: it would build headers, and this answer has none to build.
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
        """Close the connection after this answer."""
        self._is_last = True

    async def prepare(self, request: web.BaseRequest) -> None:
        """Send the answer; raise ConnectionResetError if the client has gone."""
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError
        self._is_last |= not request.keep_alive
        _, head, body = self._prepared
        ends = _LAST if self._is_last else _END
        transport.write(b"".join((head, _date(int(time.time())), ends, body)))
        # Backpressure: a client that does not read its answers delays only itself.
        await request.writer.drain()

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: ``prepare`` has sent everything."""


@lru_cache(maxsize=1_024)
def _prepared(allowed_origin: str | None, *, is_image: bool) -> tuple[int, bytes, bytes]:
    """Return status, head up to the date, and body. Origins come from customers' lists or are ``*``: few enough to cache."""
    headers = dict(_BASE)
    if allowed_origin != "*":
        headers["Vary"] = "Origin"
    if allowed_origin is not None:
        headers |= _readable_by(allowed_origin)
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
    """Return the answer to a refused event; a script if the request named a JSONP callback."""
    if rejection.status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="uptake"'
    if rejection.status == 405:
        headers["Allow"] = TRACKER_METHODS
    answer = refusal(rejection, headers, accept=accept)
    return answer if callback is None else _script(rejection.status, headers, callback, problem(rejection))


def told(
    value: object, headers: CIMultiDict[str], *, status: int = 200, callback: str | None = None
) -> web.Response:
    """Return an answer that is JSON, or a script with it."""
    if callback is not None:
        return _script(status, headers, callback, value)
    headers["Content-Type"] = "application/json"
    return web.Response(status=status, headers=headers, body=msgspec.json.encode(value))


def preflight(
    headers: CIMultiDict[str], asked_headers: str | None, *, methods: str = TRACKER_METHODS
) -> web.Response:
    """Return the answer to OPTIONS: the methods and headers that a browser may send."""
    headers["Access-Control-Allow-Methods"] = methods
    headers["Access-Control-Allow-Headers"] = (
        "Authorization, Content-Encoding, Content-Type" if asked_headers else "Content-Type"
    )
    headers["Access-Control-Max-Age"] = "86400"
    headers["Allow"] = methods
    return web.Response(status=204, headers=headers)


def _script(status: int, headers: CIMultiDict[str], callback: str, value: object) -> web.Response:
    # `/**/` keeps old plug-ins from reading the callback's name as the start of a file of theirs. `<` could end the script, and
    # the two line separators end a line in old versions of JavaScript.
    headers["Content-Type"] = _SCRIPT
    json = (
        msgspec.json.encode(value)
        .decode("utf-8")
        .replace("<", "\\u003c")
        .replace("\u2028", "")
        .replace("\u2029", "")
    )
    return web.Response(status=status, headers=headers, body=f"/**/{callback}({json});".encode())
