"""Refusals as HTTP answers: plain text, or a problem document (RFC 9457)."""

from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from events.rejections import Rejection

SAFE_HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""Headers of every answer: no caching, and no guessing of the content's type."""

RETRY_AFTER_SECONDS: Final = 1
"""``Retry-After`` of a 429 or 503 whose rejection names no time."""

_PROBLEM: Final = "application/problem+json"


def refusal(rejection: Rejection, headers: CIMultiDict[str], *, accept: str = "") -> web.Response:
    """Return the answer to a refused request, with a problem document if ``accept`` asks for one."""
    if rejection.status in (429, 503):
        headers["Retry-After"] = str(rejection.retry_after_s or RETRY_AFTER_SECONDS)
    if _PROBLEM in accept:
        headers["Content-Type"] = _PROBLEM
        body = msgspec.json.encode(problem(rejection))
        return web.Response(status=rejection.status, headers=headers, body=body)
    return web.Response(status=rejection.status, headers=headers, text=f"{rejection.sentence}\n")


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
