"""Answers of the dashboard: JSON, errors with a code and a sentence, and the headers that every answer has."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from aiohttp import web

from app.http.event_stream import StreamProblemError
from app.http.refusals import RETRY_AFTER_SECONDS, SAFE_HEADERS
from events.rejections import Rejection

_CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_EVERYWHERE: Final = {
    "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_HTTP_ERRORS: Final = {
    404: ("unknown_path", "there is nothing at this path; docs/dashboard.md lists them"),
    405: ("method_not_allowed", "this path takes another method; see the header Allow"),
    417: ("malformed_request", "Expect takes 100-continue only"),
}


class UpstreamError(StreamProblemError):
    """A worker or a collector refused a request, or none of them answered. ``more`` are further fields of the answer."""

    def __init__(self, status: int, code: str, detail: str, more: Mapping[str, Any] | None = None) -> None:
        super().__init__(code, detail)
        self.status = status
        self.more = dict(more or {})


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Give an answer the headers that all answers have; a signal of aiohttp, called before the head is sent."""
    for name, value in _EVERYWHERE.items():
        response.headers.setdefault(name, value)


def json_answer(
    answer: object, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return an answer as JSON that clients must not cache. Bytes are JSON already."""
    body = answer if isinstance(answer, bytes) else msgspec.json.encode(answer)
    return web.Response(
        status=status,
        body=body,
        headers={"Content-Type": "application/json", **SAFE_HEADERS, **(headers or {})},
    )


def refused_answer(rejection: Rejection) -> web.Response:
    """Return the answer to a refused request. Requests that no route took need the headers of all answers, too."""
    answer = {"error": rejection.code, "detail": rejection.sentence}
    if rejection.parameter is not None:
        answer["parameter"] = rejection.parameter
    headers = dict(_EVERYWHERE)
    if rejection.status == 503:
        headers["Retry-After"] = str(rejection.retry_after_s or RETRY_AFTER_SECONDS)
    return json_answer(answer, status=rejection.status, headers=headers)


def upstream_answer(error: UpstreamError) -> web.Response:
    """Return the answer to a request that no worker or collector answered as asked."""
    headers = {}
    if error.status == 503:
        headers["Retry-After"] = str(error.more.get("retry_after_s") or RETRY_AFTER_SECONDS)
    return json_answer(
        {"error": error.code, "detail": error.detail, **error.more}, status=error.status, headers=headers
    )


def http_error_answer(error: web.HTTPException) -> web.Response:
    """Return the answer to a request that aiohttp refused; its own text may repeat what was sent."""
    code, sentence = _HTTP_ERRORS.get(error.status, ("malformed_request", error.reason))
    headers = dict(_EVERYWHERE)
    if "Allow" in error.headers:
        headers["Allow"] = error.headers["Allow"]
    return json_answer({"error": code, "detail": sentence}, status=error.status, headers=headers)
