"""HTTP routes of lookups. A worker forwards a request to the owner of the partition if that is another worker."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import aiohttp
import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry, Histogram

from app.base.clock import Clock, SystemClock
from app.customers.customer import Customer
from app.http.event_stream import EventHub
from app.http.operators import Operators
from app.lookup.ctr_routes import CtrRoutes
from app.lookup.ctr_stream import CtrStreams, StreamMetrics
from app.lookup.errors import access_check, guard, json_response
from app.lookup.exclusions import exclusion_steps
from app.lookup.experiment_routes import ExperimentRoutes
from app.lookup.filter_many import filter_many, filtered, has_former, user_of
from app.lookup.large_json import object_in_pieces
from app.lookup.operator_pages import OperatorPages
from app.lookup.query_params import Params
from app.lookup.request_parts import body_of, expect, path_of, pretty, raw_user_of
from app.lookup.requests import read_as_of, read_exclusions, read_filter, read_max_stale
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
from app.lookup.statistic_summary import StatisticSummary
from app.lookup.turns import Turns
from app.lookup.user_page import page_steps
from app.lookup.user_view import UserView
from events.model import user_key

_TIMEOUT_S: Final = 5.0
_CONNECT_TIMEOUT_S: Final = 1.0
_REQUEST_TIMEOUT_S: Final = 15.0
_IDLE_SHARE: Final = 1 / 3
"""Of the time that a server keeps an idle connection, our hops use it again for this share, so none meets its end."""


def create_lookup_app(
    service: LookupService,
    *,
    clock: Clock | None = None,
    registry: CollectorRegistry | None = None,
    api_key_of: Callable[[str], str | None] | None = None,
    operators: Operators | None = None,
    hub: EventHub | None = None,
    timeout_s: float = _TIMEOUT_S,
    request_timeout_s: float = _REQUEST_TIMEOUT_S,
) -> web.Application:
    """Return the application that answers lookups at this worker.

    ``registry`` holds the metrics of /metrics. With ``api_key_of`` (customer id -> key) every lookup needs ``Authorization:
    Bearer``; leave it and ``operators`` out only if the server listens on loopback. ``hub`` holds the event streams, and is closed
    with the application. ``timeout_s`` is how long another worker may take to answer, ``request_timeout_s`` how long a body may take
    to arrive. Serve the application with LookupRunner.
    """
    registry = CollectorRegistry() if registry is None else registry
    seconds = Histogram(
        "uptake_lookup_seconds",
        "Seconds from the head of a lookup to its answer",
        ["route", "status"],
        registry=registry,
    )
    clock, hub = clock or SystemClock(), hub or EventHub()
    registry.register(StreamMetrics(hub))
    check = access_check(service.customers, api_key_of)
    app = web.Application(middlewares=[guard(check, seconds)])
    routes = _Routes(service, clock, request_timeout_s)
    ctr = CtrRoutes(service, clock, request_timeout_s, CtrStreams(service, clock, hub, check))
    experiments = ExperimentRoutes(service, clock)
    statistic = StatisticSummary(service, clock)

    async def connected(_: web.Application) -> AsyncIterator[None]:
        timeout = aiohttp.ClientTimeout(total=timeout_s, connect=min(_CONNECT_TIMEOUT_S, timeout_s))
        pool = aiohttp.TCPConnector(keepalive_timeout=request_timeout_s * _IDLE_SHARE)
        async with aiohttp.ClientSession(timeout=timeout, connector=pool) as session:
            routes.router = ctr.router = experiments.router = statistic.router = Router(service, session)
            yield

    async def ended(_: web.Application) -> None:
        await hub.close()

    app.on_shutdown.append(ended)
    app.cleanup_ctx.append(connected)
    user = "/v1/{customer:[^/]+}/users/{user:[^/]+}"
    app.add_routes(
        [
            web.get(user, routes.user),
            web.get(f"{user}/exclusions", routes.exclusions),
            web.post(f"{user}/filter", routes.filter, expect_handler=expect),
            web.post("/v1/{customer:[^/]+}/filter", routes.filter_many, expect_handler=expect),
            *ctr.routes(),
            *experiments.routes(),
            *statistic.routes(),
            *OperatorPages(service, registry, operators or Operators(is_private=True)).routes(),
        ]
    )
    return app


class _Routes:
    """One method for each route. ``router`` exists while the application runs."""

    router: Router

    def __init__(self, service: LookupService, clock: Clock, body_timeout_s: float) -> None:
        self._service = service
        self._clock = clock
        self._body_timeout_s = body_timeout_s

    async def exclusions(self, request: web.Request) -> web.Response:
        customer, params = self._customer(request), Params(request.query)
        query = read_exclusions(params, customer, self._clock.now_ms())
        max_stale_ms = read_max_stale(params)
        is_pretty = pretty(params)
        view = await self._view(request, customer, max_stale_ms)
        if isinstance(view, Reply):
            return _given_back(view)
        answer = await Turns().run(
            exclusion_steps(view, query.rules, query.as_of_ms, query.itemtype, query.in_scenario)
        )
        return _answered(marked(answer, view.stale_ms), is_pretty=is_pretty)

    async def user(self, request: web.Request) -> web.Response:
        customer, params = self._customer(request), Params(request.query)
        as_of_ms = read_as_of(params, self._clock.now_ms())
        max_stale_ms = read_max_stale(params)
        is_pretty = pretty(params)
        view = await self._view(request, customer, max_stale_ms)
        if isinstance(view, Reply):
            return _given_back(view)
        page = {"customer": customer.id, "user": customer.rules.user(raw_user_of(request))}
        page |= await Turns().run(page_steps(view, as_of_ms, customer.scale_of))
        return _answered(marked(page, view.stale_ms), is_pretty=is_pretty)

    async def filter(self, request: web.Request) -> web.Response:
        customer = self._customer(request)
        Params(request.query).done()
        raw = await body_of(request, self._body_timeout_s)
        asked = read_filter(raw, customer, self._clock.now_ms(), is_for_many=False)
        view = await self._view(request, customer, asked.max_stale_ms, raw)
        if isinstance(view, Reply):
            return _given_back(view)
        return _answered(await Turns().run(filtered(view, asked)))

    async def filter_many(self, request: web.Request) -> web.Response:
        customer = self._customer(request)
        Params(request.query).done()
        raw = await body_of(request, self._body_timeout_s)
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
        body = await object_in_pieces(answer, "results", is_cut=_is_hop(request))
        return json_response(body, headers=stale_headers(answer))

    def _customer(self, request: web.Request) -> Customer:
        return self._service.customers[request.match_info["customer"]]  # the guard has checked it

    async def _view(
        self, request: web.Request, customer: Customer, max_stale_ms: int | None, body: bytes = b""
    ) -> UserView | Reply:
        """Return the states of the user, or the reply of the worker that owns them.

        With ``max_stale_ms`` a copy may answer if the owner does not, or not as fresh: ours, or that of another worker.
        """
        raw_user, is_former = raw_user_of(request), FORMER_HEADER in request.headers
        key = user_key(customer.id, user_of(customer, raw_user, is_former=is_former))
        partition = self._service.partition_of(key)
        asking = (request.method, path_of(request), body, request.headers)
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


def _is_hop(request: web.Request) -> bool:
    return HOP_HEADER in request.headers


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
