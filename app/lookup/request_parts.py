"""Parts of HTTP requests that several lookups read: the body, the path, the user, and ``pretty``."""

from typing import Final

from aiohttp import web

from app.http.bodies import read_body, unpacked
from app.lookup.query_params import Params, read_flag
from events import tracker_fields
from events.rejections import RefusedError, Rejection
from events.target import decode

_MAX_BODY_BYTES: Final = 1_048_576  # as sent, and unpacked


async def body_of(request: web.Request, timeout_s: float) -> bytes:
    """Return the body, unpacked; raise RefusedError if it is too large, too slow or damaged."""
    body: bytes | bytearray | Rejection = await read_body(
        request, limit_bytes=_MAX_BODY_BYTES, timeout_seconds=timeout_s
    )
    if not isinstance(body, Rejection):
        body = unpacked(body, request.headers.get("Content-Encoding", ""), limit_bytes=_MAX_BODY_BYTES)
    if isinstance(body, Rejection):
        raise RefusedError(body.code, body.sentence, body.parameter)
    return bytes(body)


async def expect(request: web.Request) -> None:
    """Handle ``Expect`` of a route with a body: leave ``100 Continue`` to read_body, which first checks the announced size."""
    if request.headers["Expect"].lower() != "100-continue":
        raise web.HTTPExpectationFailed


def path_of(request: web.Request) -> str:
    """Return raw path and query. A target in absolute form also names a host, but a hop goes to the owner only."""
    target = request.raw_path
    return target if target.startswith("/") else request.rel_url.raw_path_qs


def raw_user_of(request: web.Request) -> str:
    """Return the raw user id of the path, percent-decoded strictly: ids may contain slashes and blanks."""
    segments = request.rel_url.raw_path.split("/")  # "", v1, customer, users, user, ...
    return tracker_fields.raw_user(decode(segments[4], "user"))


def pretty(params: Params) -> bool:
    """Take the last parameter of a route: whether to indent the JSON for people."""
    is_pretty = read_flag(params, "pretty")
    params.done()
    return is_pretty
