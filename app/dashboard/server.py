"""Routes of the dashboard: the page, its data, and the login. Data are asked of workers and collectors over HTTP."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import msgspec
from aiohttp import web

from app.base.clock import Clock, SystemClock
from app.base.process import pid_header
from app.customers.customer import Customer
from app.customers.customer_registry import Customers
from app.dashboard.access import Access
from app.dashboard.answers import (
    UpstreamError,
    add_headers,
    http_error_answer,
    json_answer,
    refused_answer,
    upstream_answer,
)
from app.dashboard.ctr_stream import Ask, CtrPolls, CtrQuestion, ctr_path
from app.dashboard.health import DeploymentHealth
from app.dashboard.page_files import INDEX, PageFiles
from app.dashboard.refused_sums import refused_requests
from app.dashboard.upstream import CONNECT_SECONDS, Workers
from app.http.event_stream import EventHub
from app.http.operators import BEARER, Operators
from events.rejections import RefusedError

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_ANSWER_SECONDS: Final = 30.0
_QUIET_SECONDS: Final = 5.0  # a worker that hangs sends nothing for this long
_LOOK_SECONDS: Final = 10.0
"""How often the session of an open stream is checked."""
_LOOKUP_SEGMENT: Final = 3  # of /dashboard/{customer}/users/{user}


@dataclass(frozen=True, slots=True)
class Upstreams:
    """The addresses of the servers that have the data, as ``http://host:port``."""

    workers: Sequence[str]
    collectors: Sequence[str]


def create_dashboard_app(
    customers: Customers,
    upstreams: Upstreams,
    operators: Operators,
    *,
    clock: Clock | None = None,
    hub: EventHub | None = None,
    request_timeout_s: float = 15.0,
) -> web.Application:
    """Return the application of the dashboard. Serve it with ApplicationRunner."""
    clock = clock or SystemClock()
    app = web.Application(middlewares=[_errors_as_json])
    access = Access(customers, operators, clock, body_timeout_s=request_timeout_s)
    routes = _PageRoutes(access, upstreams, operators.key, hub or EventHub(), clock)
    app.on_response_prepare.append(add_headers)
    app.on_shutdown.append(routes.end_streams)
    app.cleanup_ctx.append(routes.connected)
    of_customer = "/dashboard/{customer:[^/]+}"
    app.add_routes(
        [
            web.get("/", routes.index),
            web.get("/favicon.ico", routes.icon),
            web.get("/static/{name:.+}", routes.file),
            web.get("/dashboard/session", routes.session),
            web.post("/dashboard/login", access.login),
            web.post("/dashboard/logout", access.logout),
            web.get("/dashboard/health", routes.health),
            web.get("/dashboard/health/stream", routes.health_stream),
            web.get(f"{of_customer}/ctr", routes.ctr),
            web.get(f"{of_customer}/ctr/stream", routes.ctr_stream),
            web.get(f"{of_customer}/experiments", routes.lookup),
            web.get(f"{of_customer}/experiments/{{experiment:[^/]+}}", routes.lookup),
            web.get(f"{of_customer}/users/{{user:[^/]+}}", routes.lookup),
            web.get(f"{of_customer}/users/{{user:[^/]+}}/exclusions", routes.lookup),
            web.get(f"{of_customer}/refused", routes.refused),
            web.get("/health/live", routes.live),
            web.get("/health/ready", routes.ready),
        ]
    )
    return app


class _PageRoutes:
    """One method for each route. What asks upstreams exists while the application runs."""

    _http: aiohttp.ClientSession
    _workers: Workers
    _health: DeploymentHealth

    def __init__(
        self, access: Access, upstreams: Upstreams, admin_key: str | None, hub: EventHub, clock: Clock
    ) -> None:
        self._access, self._upstreams, self._admin_key = access, upstreams, admin_key
        self._hub, self._clock = hub, clock
        self._files, self._polls = PageFiles(), CtrPolls(clock)

    async def connected(self, _: web.Application) -> AsyncIterator[None]:
        timeout = aiohttp.ClientTimeout(
            total=_ANSWER_SECONDS, connect=CONNECT_SECONDS, sock_read=_QUIET_SECONDS
        )
        # A worker ends a connection that is idle for 15 s; one that is used again must not meet this end.
        pool = aiohttp.TCPConnector(limit=0, keepalive_timeout=5.0)
        async with aiohttp.ClientSession(timeout=timeout, connector=pool) as http:
            self._http = http
            self._workers = Workers(self._upstreams.workers, http, self._clock)
            self._health = DeploymentHealth(
                self._upstreams.workers, self._upstreams.collectors, self._admin_key, http, self._clock
            )
            yield

    async def end_streams(self, _: web.Application) -> None:
        await self._hub.close()

    async def index(self, request: web.Request) -> web.Response:
        return self._files.answer(request, INDEX)

    async def icon(self, request: web.Request) -> web.Response:
        name = "favicon.ico"
        return self._files.answer(request, name) if name in self._files else web.Response(status=204)

    async def file(self, request: web.Request) -> web.Response:
        return self._files.answer(request, request.match_info["name"])

    async def session(self, request: web.Request) -> web.Response:
        return json_answer({**self._access.page(request), "collector": self._upstreams.collectors[0]})

    async def ctr(self, request: web.Request) -> web.Response:
        customer = self._customer(request)
        path = ctr_path(customer.id, request.rel_url.raw_query_string)
        accept = request.headers.get("Accept", "")  # the worker chooses between JSON and CSV
        answer = await self._workers.ask(path, customer.api_key, accept if accept.isascii() else "")
        return json_answer(answer.body, headers=answer.headers)

    async def ctr_stream(self, request: web.Request) -> web.StreamResponse:
        customer = self._customer(request)
        question = CtrQuestion(customer.id, request.query)
        poll = self._polls.of(question, self._asks_for(customer))
        try:
            if poll.is_unanswered:
                await poll.prepare()
            return await self._stream(
                request,
                lambda: self._hub.serve(request, question.topic, poll.fetch),
                lambda: self._access.customer(request, customer.id),
            )
        finally:
            self._polls.leave(question, poll)

    async def lookup(self, request: web.Request) -> web.Response:
        """Answer with a lookup that a worker has at the same path below /v1: one user, or experiments."""
        customer = self._customer(request)
        rest = request.rel_url.raw_path.split("/")[_LOOKUP_SEGMENT:]
        path = "/".join((f"/v1/{quote(customer.id, safe='')}", *rest))
        query = request.rel_url.raw_query_string
        answer = await self._workers.ask(f"{path}?{query}" if query else path, customer.api_key)
        return json_answer(answer.body)

    async def refused(self, request: web.Request) -> web.Response:
        customer = self._customer(request)
        return json_answer(await refused_requests(self._http, self._upstreams.collectors, customer))

    async def health(self, request: web.Request) -> web.Response:
        self._access.check_operator(request)
        return json_answer(await self._health.page())

    async def health_stream(self, request: web.Request) -> web.StreamResponse:
        self._access.check_operator(request)

        async def fetch() -> bytes:
            return msgspec.json.encode(await self._health.page())

        return await self._stream(
            request,
            lambda: self._hub.serve(request, "health", fetch),
            lambda: self._access.check_operator(request),
        )

    async def live(self, _: web.Request) -> web.Response:
        return json_answer({"live": True})

    async def ready(self, _: web.Request) -> web.Response:
        """Answer that the page is served. It is also served while no worker answers, and says so itself."""
        return json_answer({"ready": True}, headers=pid_header())

    def _customer(self, request: web.Request) -> Customer:
        return self._access.customer(request, request.match_info["customer"])

    def _asks_for(self, customer: Customer) -> Ask:
        async def ask(path: str) -> bytes:
            return (await self._workers.ask(path, customer.api_key)).body

        return ask

    async def _stream(
        self,
        request: web.Request,
        serve: Callable[[], Awaitable[web.StreamResponse]],
        check: Callable[[], Any],
    ) -> web.StreamResponse:
        """Serve a stream, and end it when its reader may not read it any more."""
        watching = asyncio.create_task(_end_when_refused(request, check))
        try:
            return await serve()
        finally:
            watching.cancel()


async def _end_when_refused(request: web.Request, check: Callable[[], Any]) -> None:
    """Close the connection of a stream when its session is over, or its key was changed."""
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        try:
            check()
        except RefusedError:
            if request.transport is not None:
                request.transport.close()
            return


@web.middleware
async def _errors_as_json(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Turn every error into JSON with a code and a sentence."""
    try:
        return await handler(request)
    except RefusedError as refused:
        response = refused_answer(refused.rejection)
        if refused.rejection.status == 401:
            response.headers["WWW-Authenticate"] = BEARER
        return response
    except UpstreamError as error:
        return upstream_answer(error)
    except web.HTTPException as error:
        return http_error_answer(error)
