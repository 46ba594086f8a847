"""HTTP routes of lookups. A worker forwards a request to the owner of the partition if that is another worker."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import aiohttp
import msgspec
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Histogram, generate_latest

from app.base.clock import Clock, SystemClock
from app.customers.customer import Customer
from app.lookup.ctr import answer_ctr, local_rows, read_rows_request
from app.lookup.errors import guard, json_response
from app.lookup.exclusions import exclusions
from app.lookup.filter_many import filter_many, filtered, has_former, user_of
from app.lookup.requests import Params, read_as_of, read_ctr, read_exclusions, read_filter, read_max_stale
from app.lookup.routing import (
    FORMER_HEADER,
    HOP_HEADER,
    STALE_AFTER_S,
    UNAVAILABLE,
    PeerRefusedError,
    Reply,
    Router,
    asking_for_former,
)
from app.lookup.service import LookupService, UnavailableError
from app.lookup.staleness import marked, oldest, owned_view, stale_headers
from app.lookup.user_page import user_page
from app.lookup.user_view import UserView
from events import tracker_fields
from events.model import user_key
from events.rejections import RefusedError
from events.target import decode

_MAX_BODY_BYTES: Final = 1_048_576
_TIMEOUT_S: Final = 5.0
_CONNECT_TIMEOUT_S: Final = 1.0


def create_lookup_app(
    service: LookupService,
    *,
    clock: Clock | None = None,
    registry: CollectorRegistry | None = None,
    api_key_of: Callable[[str], str | None] | None = None,
    timeout_s: float = _TIMEOUT_S,
) -> web.Application:
    """Return the application that answers lookups at this worker.

    ``registry`` holds the metrics of /metrics. With ``api_key_of`` (customer id -> key) every lookup needs ``Authorization:
    Bearer``; leave it out only if the server listens on loopback. ``timeout_s`` is how long another worker may take to answer.
    """
    registry = CollectorRegistry() if registry is None else registry
    seconds = Histogram(
        "uptake_lookup_seconds",
        "Seconds from the head of a lookup to its answer",
        ["route", "status"],
        registry=registry,
    )
    app = web.Application(
        client_max_size=_MAX_BODY_BYTES, middlewares=[guard(service.customers, api_key_of, seconds)]
    )
    routes = _Routes(service, clock or SystemClock(), registry)

    async def connected(_: web.Application) -> AsyncIterator[None]:
        timeout = aiohttp.ClientTimeout(total=timeout_s, connect=min(_CONNECT_TIMEOUT_S, timeout_s))
        async with aiohttp.ClientSession(timeout=timeout) as session:
            routes.router = Router(service, session)
            yield

    app.cleanup_ctx.append(connected)
    user = "/v1/{customer:[^/]+}/users/{user:[^/]+}"
    app.add_routes(
        [
            web.get(user, routes.user),
            web.get(f"{user}/exclusions", routes.exclusions),
            web.post(f"{user}/filter", routes.filter),
            web.post("/v1/{customer:[^/]+}/filter", routes.filter_many),
            web.get("/v1/{customer:[^/]+}/ctr", routes.ctr),
            web.post("/v1/{customer:[^/]+}/ctr/rows", routes.ctr_rows),
            web.get("/v1/status", routes.status),
            web.get("/health/live", routes.live),
            web.get("/health/ready", routes.ready),
            web.get("/metrics", routes.metrics),
        ]
    )
    return app


class _Routes:
    """One method for each route. ``router`` exists while the application runs."""

    router: Router

    def __init__(self, service: LookupService, clock: Clock, registry: CollectorRegistry) -> None:
        self._service = service
        self._clock = clock
        self._registry = registry

    async def exclusions(self, request: web.Request) -> web.Response:
        customer, params = self._customer(request), Params(request.query)
        query = read_exclusions(params, customer, self._clock.now_ms())
        max_stale_ms = read_max_stale(params)
        is_pretty = _pretty(params)
        view = await self._view(request, customer, max_stale_ms)
        if isinstance(view, Reply):
            return _given_back(view)
        answer = exclusions(view, query.rules, query.as_of_ms, query.itemtype)
        return _answered(marked(answer, view.stale_ms), is_pretty=is_pretty)

    async def user(self, request: web.Request) -> web.Response:
        customer, params = self._customer(request), Params(request.query)
        as_of_ms = read_as_of(params, self._clock.now_ms())
        max_stale_ms = read_max_stale(params)
        is_pretty = _pretty(params)
        view = await self._view(request, customer, max_stale_ms)
        if isinstance(view, Reply):
            return _given_back(view)
        page = {"customer": customer.id, "user": customer.rules.user(_raw_user(request))}
        page |= user_page(view, as_of_ms, customer.scale_of)
        return _answered(marked(page, view.stale_ms), is_pretty=is_pretty)

    async def filter(self, request: web.Request) -> web.Response:
        customer = self._customer(request)
        Params(request.query).done()
        asked = read_filter(await request.read(), customer, self._clock.now_ms(), is_for_many=False)
        view = await self._view(request, customer, asked.max_stale_ms)
        if isinstance(view, Reply):
            return _given_back(view)
        return _answered(filtered(view, asked))

    async def filter_many(self, request: web.Request) -> web.Response:
        customer = self._customer(request)
        Params(request.query).done()
        raw = await request.read()
        asked = read_filter(raw, customer, self._clock.now_ms(), is_for_many=True)
        answer = await filter_many(
            self._service,
            self.router,
            customer,
            asked,
            raw,
            request.headers,
            is_hop=_is_hop(request),
            is_former=FORMER_HEADER in request.headers,
        )
        return _answered(answer)

    async def ctr(self, request: web.Request) -> web.Response:
        customer, params = self._customer(request), Params(request.query)
        query = read_ctr(params, self._clock.now_ms())
        max_stale_ms = read_max_stale(params)
        is_pretty = _pretty(params)
        answer = await answer_ctr(
            self._service, self.router, customer.id, query, request.headers, max_stale_ms
        )
        return _answered(answer, is_pretty=is_pretty)

    async def ctr_rows(self, request: web.Request) -> web.Response:
        """Answer another worker that collects windows."""
        customer = self._customer(request)
        asked = read_rows_request(await request.read())
        rows, stale_ms = local_rows(self._service, customer.id, asked)
        return json_response(rows, headers=stale_headers({"stale_ms": stale_ms}))

    async def status(self, request: web.Request) -> web.Response:
        params = Params(request.query)
        return json_response(dict(self._service.status()), is_pretty=_pretty(params))

    async def live(self, _: web.Request) -> web.Response:
        return json_response({"live": True})

    async def ready(self, _: web.Request) -> web.Response:
        status = dict(self._service.status())
        return json_response(status, status=200 if status.get("ready") else 503)

    async def metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    def _customer(self, request: web.Request) -> Customer:
        return self._service.customers[request.match_info["customer"]]  # the guard has checked it

    async def _view(
        self, request: web.Request, customer: Customer, max_stale_ms: int | None
    ) -> UserView | Reply:
        """Return the states of the user, or the reply of the worker that owns them.

        With ``max_stale_ms`` a copy may answer if the owner does not, or not as fresh: ours, or that of another worker.
        """
        raw_user, is_former = _raw_user(request), FORMER_HEADER in request.headers
        key = user_key(customer.id, user_of(customer, raw_user, is_former=is_former))
        partition = self._service.partition_of(key)
        asking = (request.method, request.raw_path, await request.read(), request.headers)
        try:
            owner = self.router.place(partition, is_hop=_is_hop(request))
            if owner is None:
                own = owned_view(self._service, partition, key, max_stale_ms)
                if own.is_known or is_former or not has_former(customer):
                    return own
                former = await self._former_view(customer, raw_user, asking, max_stale_ms)
                return _not_fresher(former, own.stale_ms)
            if max_stale_ms is None:
                return await self.router.ask(owner, *asking)
            reply = await self.router.ask(owner, *asking, timeout_s=STALE_AFTER_S)
            if reply.status != UNAVAILABLE:
                return reply
            failure: Exception = PeerRefusedError(reply)
        except UnavailableError as unavailable:
            if max_stale_ms is None:
                raise
            failure = unavailable
        view = self._service.stale_view(partition, key, max_stale_ms)
        if view is not None:
            return view
        if not _is_hop(request):
            answer = await self.router.ask_first(self._service.standbys_of(partition), *asking)
            if answer is not None:
                return answer
        raise failure

    async def _former_view(
        self,
        customer: Customer,
        raw_user: str,
        asking: tuple[str, str, bytes, Mapping[str, str]],
        max_stale_ms: int | None,
    ) -> UserView | Reply:
        """Return the states under the former pseudonym of a user without an event since the key rotation began."""
        key = user_key(customer.id, user_of(customer, raw_user, is_former=True))
        partition = self._service.partition_of(key)
        # This is a new request: it may be forwarded even if another worker forwarded the first one.
        owner = self.router.place(partition, is_hop=False)
        if owner is None:
            return owned_view(self._service, partition, key, max_stale_ms)
        method, path, body, headers = asking
        return await self.router.ask(owner, method, path, body, asking_for_former(headers))


def _raw_user(request: web.Request) -> str:
    """Return the raw user id of the path, percent-decoded strictly: ids may contain slashes and blanks."""
    segments = request.rel_url.raw_path.split("/")  # "", v1, customer, users, user, ...
    return tracker_fields.raw_user(decode(segments[4], "user"))


def _is_hop(request: web.Request) -> bool:
    return HOP_HEADER in request.headers


def _pretty(params: Params) -> bool:
    """Take the last parameter of a route: whether to indent the JSON for people."""
    text = params.take("pretty")
    params.done()
    if text not in (None, "0", "1"):
        raise RefusedError("bad_parameter", "pretty takes 1 or 0", "pretty", text)
    return text == "1"


def _given_back(reply: Reply) -> web.Response:
    return web.Response(status=reply.status, body=reply.body, headers=reply.headers)


def _answered(answer: Mapping[str, Any], *, is_pretty: bool = False) -> web.Response:
    """Return the answer of a lookup. If it is marked, so is its head."""
    return json_response(answer, is_pretty=is_pretty, headers=stale_headers(answer))


def _not_fresher(former: UserView | Reply, stale_ms: int | None) -> UserView | Reply:
    """Return a former pseudonym's answer with the mark of the partition that did not know the user, if that is older."""
    if stale_ms is None:
        return former
    if isinstance(former, UserView):
        return replace(former, stale_ms=oldest((former.stale_ms, stale_ms)))
    if former.status != 200:
        return former
    answer = marked(msgspec.json.decode(former.body), stale_ms)
    return Reply(200, msgspec.json.encode(answer), {**former.headers, **stale_headers(answer)})
