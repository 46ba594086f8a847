"""What does the client get to hear: each outcome as an HTTP answer, in the form that the client asked for."""

import re
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from app.customers import Customer
from events.rejections import Rejection

GIF: Final = bytes.fromhex(
    "47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b"
)
"""A transparent image of 1x1."""

RETRY_AFTER_SECONDS: Final = 1
METHODS: Final = "GET, POST, HEAD, OPTIONS"

_CALLBACK: Final = re.compile(r"[A-Za-z_$][\w$.]{0,63}", re.ASCII)
_BASE: Final = CIMultiDict(
    {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Server": "uptake"}
)
_GIF_TYPE: Final = "image/gif"
_SCRIPT: Final = "application/javascript; charset=utf-8"
_PROBLEM: Final = "application/problem+json"


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


def accepted(headers: CIMultiDict[str], *, accepts_image: bool, callback: str | None) -> web.Response:
    """Return the answer to an event that is durable (or to one with nothing to record): 204, or 200 with an image or script."""
    if callback is not None:
        return _script(200, headers, callback, {"status": 204})
    if accepts_image:
        headers["Content-Type"] = _GIF_TYPE
        return web.Response(body=GIF, headers=headers)
    return web.Response(status=204, headers=headers)


def rejected(
    rejection: Rejection, headers: CIMultiDict[str], *, accept: str = "", callback: str | None = None
) -> web.Response:
    """Return the answer to a refused event: its status, and words for people or a problem document (RFC 9457)."""
    status = rejection.status
    if status in (429, 503):
        headers["Retry-After"] = str(rejection.retry_after_s or RETRY_AFTER_SECONDS)
    if status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="uptake"'
    if status == 405:
        headers["Allow"] = METHODS
    if callback is not None:
        return _script(status, headers, callback, problem(rejection))
    if _PROBLEM in accept:
        headers["Content-Type"] = _PROBLEM
        return web.Response(status=status, headers=headers, body=msgspec.json.encode(problem(rejection)))
    return web.Response(status=status, headers=headers, text=f"{rejection.sentence}\n")


def problem(rejection: Rejection) -> dict[str, object]:
    """Return the problem document of a rejection."""
    document: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(rejection.status).phrase,
        "status": rejection.status,
        "detail": rejection.sentence,
        "code": rejection.code,
    }
    if rejection.parameter is not None:
        document["parameter"] = rejection.parameter
    if rejection.value is not None:
        document["value"] = rejection.value
    return document


def preflight(headers: CIMultiDict[str], asked_headers: str | None) -> web.Response:
    """Return the answer to OPTIONS: what a browser may send."""
    headers["Access-Control-Allow-Methods"] = METHODS
    headers["Access-Control-Allow-Headers"] = (
        "Authorization, Content-Type" if asked_headers else "Content-Type"
    )
    headers["Access-Control-Max-Age"] = "86400"
    headers["Allow"] = METHODS
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
