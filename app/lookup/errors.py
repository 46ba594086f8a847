"""Errors of lookups: each becomes JSON with a code and a sentence."""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
from aiohttp import web
from prometheus_client import Histogram

from app.customers.customer import Customer
from app.http.operators import BEARER, has_key
from app.http.refusals import RETRY_AFTER_SECONDS, SAFE_HEADERS
from app.lookup.large_json import JsonPieces
from app.lookup.routing import PeerRefusedError
from app.lookup.service import UnavailableError
from events.rejections import RefusedError, Rejection

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_HTTP_ERRORS: Final = {
    404: ("unknown_path", "there is nothing at this path; docs/lookups.md lists them"),
    405: ("method_not_allowed", "this path takes another method; see the header Allow"),
    417: ("malformed_request", "Expect takes 100-continue only"),
}


def json_response(
    answer: object, *, status: int = 200, is_pretty: bool = False, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return an answer as JSON that clients must not cache; amounts of money are JSON strings. An answer in pieces is encoded already."""
    body = answer if isinstance(answer, JsonPieces) else msgspec.json.encode(answer)
    if is_pretty and isinstance(body, bytes):
        body = msgspec.json.format(body, indent=2) + b"\n"
    return web.Response(
        status=status,
        body=body,
        headers={"Content-Type": "application/json", **SAFE_HEADERS, **(headers or {})},
    )


Check = Callable[[web.Request, str], None]
"""Raises RefusedError unless the sender of a request may ask about a customer."""


def guard(check: Check, seconds: Histogram) -> Any:
    """Return the middleware that checks customer and key, times each lookup, and turns errors into JSON."""

    @web.middleware
    async def guarded(request: web.Request, handler: _Handler) -> web.StreamResponse:
        start_s = time.perf_counter()
        try:
            customer_id = request.match_info.get("customer")
            if customer_id is not None:
                check(request, customer_id)
            response = await handler(request)
        except RefusedError as refused:
            response = refused_response(refused.rejection)
        except UnavailableError as unavailable:
            response = _unavailable(unavailable)
        except PeerRefusedError as refused:
            response = web.Response(
                status=refused.reply.status, body=refused.reply.body, headers=refused.reply.headers
            )
        except web.HTTPException as error:
            response = http_error(error)
        resource = request.match_info.route.resource
        route = "none" if resource is None else resource.canonical
        if isinstance(response, web.Response):  # the others are streams: they last until their clients go
            seconds.labels(route, str(response.status)).observe(time.perf_counter() - start_s)
        return response

    return guarded


def access_check(customers: Mapping[str, Customer], api_key_of: Callable[[str], str | None] | None) -> Check:
    """Return the check of customer and key. Without ``api_key_of`` a request needs no key."""

    def check(request: web.Request, customer_id: str) -> None:
        if api_key_of is not None:
            # An unknown customer gets the same answer as a wrong key, so that strangers cannot find out who the customers are.
            key = api_key_of(customer_id) if customer_id in customers else None
            if not has_key(request, key):
                raise RefusedError("unauthorized", "send the customer's key: Authorization: Bearer <key>")
        if customer_id not in customers:
            raise RefusedError(
                "unknown_customer", f"customer {customer_id[:40]!r} is not known here", "customer"
            )

    return check


def refused_response(rejection: Rejection) -> web.Response:
    """Return the answer to a refused lookup."""
    answer = {"code": rejection.code, "sentence": rejection.sentence}
    if rejection.parameter is not None:
        answer["parameter"] = rejection.parameter
    headers = {"WWW-Authenticate": BEARER} if rejection.status == 401 else {}
    if rejection.status == 503:
        headers["Retry-After"] = str(rejection.retry_after_s or RETRY_AFTER_SECONDS)
    return json_response(answer, status=rejection.status, headers=headers)


def _unavailable(unavailable: UnavailableError) -> web.Response:
    answer = {
        "code": "unavailable",
        "sentence": unavailable.sentence,
        "partition": unavailable.partition,
        "retry_after_s": unavailable.retry_after_s,
        "progress": unavailable.progress,
    }
    return json_response(answer, status=503, headers={"Retry-After": str(unavailable.retry_after_s)})


def http_error(error: web.HTTPException) -> web.Response:
    """Return the answer to a lookup that aiohttp refused; its own text may repeat what was sent."""
    code, sentence = _HTTP_ERRORS.get(error.status, ("bad_request", error.reason))
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    return json_response({"code": code, "sentence": sentence}, status=error.status, headers=headers)
