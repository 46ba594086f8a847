"""Dispatches requests to endpoints, answers those that fail, and serves the pages for operators."""

import functools
import logging
import traceback
from pathlib import Path
from typing import Final

import msgspec
from aiohttp import web

from app.base.clock import Clock
from app.base.process import pid_header
from app.collector import answers, json_requests, presentation, refused_page, tracker
from app.collector.bot_tally import BotTally
from app.collector.bots import Bots
from app.collector.endpoints import PRESENTATIONS, SHORT_PRESENTATIONS
from app.collector.gate import Gate
from app.collector.metrics import CONTENT_TYPE, Metrics
from app.collector.recorder import Recorder
from app.collector.refused_requests import RefusedRequests
from app.collector.static_files import METHODS, StaticFiles
from app.customers.customer import Customer
from app.customers.customer_registry import Customers
from app.http.operators import BEARER, Operators
from app.journal.sink import EventSink
from app.journal.spool_metrics import page_of
from events.rejections import Rejection
from events.target import PREFIXES, split_path, without_extra_slashes

log = logging.getLogger(__name__)

_INTERNAL: Final = Rejection(
    "internal", "something went wrong here; it was logged, and the event may be sent again"
)
_OTHER_VERSION: Final = Rejection("malformed_request", "this is not a well-formed HTTP/1.1 request")
_NO_CUSTOMER: Final = Rejection(
    "unknown_customer",
    "whose page is it? say ?customer=, HTTP Basic, or set UPTAKE_DEFAULT_CUSTOMER",
    "customer",
)


class Collector:
    """Handles every request of one collector."""

    def __init__(
        self,
        customers: Customers,
        sink: EventSink,
        clock: Clock,
        metrics: Metrics,
        *,
        max_body_bytes: int,
        request_timeout_ms: int,
        batch: json_requests.Limits,
        user_cookie: str,
        default_customer: str | None,
        static_dir: Path | None,
        operators: Operators,
    ) -> None:
        self._customers, self._sink, self._clock, self._metrics = customers, sink, clock, metrics
        self._operators = operators
        self._gate = Gate(customers)
        bots = Bots(self._gate)
        self.refused = RefusedRequests(customers, metrics, clock)
        self.bot_tally = BotTally(sink, metrics.lost_bots)
        self._recorder = Recorder(sink, metrics, self.refused, self.bot_tally)
        self._tracker = tracker.TrackerEndpoint(
            self._recorder, bots, max_body_bytes=max_body_bytes, timeout_seconds=request_timeout_ms / 1000
        )
        self._json = json_requests.JsonEndpoint(self._recorder, self._gate, bots, batch)
        self._presentation = presentation.PresentationEndpoint(
            self._recorder,
            self._gate,
            bots,
            batch,
            user_cookie=user_cookie,
            default_customer=default_customer,
        )
        self._static = StaticFiles(static_dir, customers)
        self._refused_page = refused_page.RefusedPage(self.refused, customers, operators)
        self.is_draining = False

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request. The status says what became of the event, even after an unforeseen error."""
        try:
            response = await self._answer(request)
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - the last resort: logged, and answered 500
            # The message of an exception may hold what the client sent, so log only its type and place.
            frames = "".join(traceback.format_tb(error.__traceback__))
            log.error("a request failed with %s at\n%s", type(error).__name__, frames)
            response = self._recorder.reject(_INTERNAL, request, self._named(request.raw_path))
            response.force_close()
        if self.is_draining:
            response.force_close()
        return response

    def refuse(self, rejection: Rejection, address: str) -> web.StreamResponse:
        """Count a request that the HTTP parser refused, and return its answer."""
        return self._recorder.reject_unread(rejection, self._named(address))

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.version.major != 1:  # the parser also accepts HTTP/0.9 and a single line of HTTP/2
            return self._recorder.reject(_OTHER_VERSION, request, self._named(request.raw_path))
        raw_path, _, raw_query = request.raw_path.partition("?")
        if not raw_path.startswith("/"):
            raw_path = _origin_form(raw_path)
        path = split_path(raw_path)
        if isinstance(path, Rejection):
            return await self._answer_other(request, raw_path, raw_query, path)
        customer = self._admit(request, path.customer, tracker.METHODS, answers.TRACKER_METHODS)
        if isinstance(customer, web.Response):
            return customer
        return await self._tracker.answer(request, path, raw_query, customer, self._clock.now_ms())

    async def _answer_other(
        self, request: web.BaseRequest, raw_path: str, raw_query: str, refused: Rejection
    ) -> web.StreamResponse:
        """Answer a request outside the tracker's paths: a page for operators, or an endpoint for other bodies."""
        raw_path = without_extra_slashes(raw_path)
        if raw_path in self._pages:
            return self._pages[raw_path](self, request)
        path = raw_path.removesuffix("/")
        path = SHORT_PRESENTATIONS.get(path, path)
        if path in PRESENTATIONS:
            return await self._answer_presentation(request, path, raw_query)
        if self._static.has(raw_path):
            return self._answer_static(request, raw_path)
        of_customer = refused_page.customer_of(raw_path)
        if of_customer is not None:
            return self._answer_refused(request, of_customer)
        place = json_requests.split(raw_path) if refused.code == "unknown_path" else None
        if place is None:
            return self._recorder.reject(refused, request, self._named(raw_path))
        customer_id, name = place
        customer = self._admit(request, customer_id, json_requests.METHODS, answers.POST_METHODS)
        if isinstance(customer, web.Response):
            return customer
        return await self._json.answer(request, name, raw_query, customer, self._clock.now_ms())

    def _answer_static(self, request: web.BaseRequest, path: str) -> web.Response:
        found = self._static.answer(request, path)
        if not isinstance(found, Rejection):
            return found
        response = self._recorder.reject(found, request, self._named(path))
        if found.code == "method_not_allowed":
            response.headers["Allow"] = METHODS
        return response

    def _answer_refused(self, request: web.BaseRequest, customer_id: str) -> web.Response:
        page = self._refused_page.answer(request, customer_id)
        if not isinstance(page, Rejection):
            return page
        response = self._recorder.reject(page, request, None)
        if page.code == "method_not_allowed":
            response.headers["Allow"] = refused_page.METHODS
        if page.code == "unauthorized":
            response.headers["WWW-Authenticate"] = BEARER
        return response

    async def _answer_presentation(
        self, request: web.BaseRequest, path: str, raw_query: str
    ) -> web.StreamResponse:
        customer_id = self._presentation.customer_id(request, raw_query)
        if customer_id is None:
            headers = answers.base_headers(None, None)
            # A browser's preflight request carries no credentials, which could name the customer.
            if request.method == "OPTIONS":
                asked = request.headers.get("Access-Control-Request-Headers")
                return answers.preflight(headers, asked, methods=answers.POST_METHODS)
            return self._recorder.reject(_NO_CUSTOMER, request, None)
        if isinstance(customer_id, Rejection):
            return self._recorder.reject(customer_id, request, None)
        customer = self._admit(request, customer_id, presentation.METHODS, answers.POST_METHODS)
        if isinstance(customer, web.Response):
            return customer
        return await self._presentation.answer(request, path, raw_query, customer, self._clock.now_ms())

    def _admit(
        self, request: web.BaseRequest, customer_id: str, methods: frozenset[str], allow: str
    ) -> Customer | web.Response:
        """Return the customer of a request, or the final answer: a refusal, or the reply to a preflight request."""
        customer = self._customers.get(customer_id)
        if customer is None:
            unknown = Rejection("unknown_customer", f"there is no customer {customer_id[:64]!r}", "customer")
            return self._recorder.reject(unknown, request, None)
        if request.method == "OPTIONS":
            headers = answers.base_headers(customer, request.headers.get("Origin"))
            asked = request.headers.get("Access-Control-Request-Headers")
            return answers.preflight(headers, asked, methods=allow)
        if request.method not in methods:
            wrong = Rejection("method_not_allowed", f"{allow} are taken here, not {request.method[:16]}")
            response = self._recorder.reject(wrong, request, customer)
            response.headers["Allow"] = allow
            return response
        refusal = self._gate.admit(customer, request.headers.get("Authorization"))
        if refusal is not None:
            return self._recorder.reject(refusal, request, customer)
        return customer

    def _named(self, raw_path: str) -> Customer | None:
        """Return the customer that a path names, for a request that is refused before its path is understood."""
        parts = raw_path.partition("?")[0].lstrip("/").split("/", 3)
        place = 2 if parts[:2] == ["cdn", "v1"] else 1
        is_customers = parts[0] in PREFIXES or parts[0] in ("v1", "cdn")
        return self._customers.get(parts[place]) if is_customers and len(parts) > place else None

    def _live(self, _request: web.BaseRequest) -> web.Response:
        return web.Response(text="alive\n")

    def _ready(self, request: web.BaseRequest) -> web.Response:
        problems = ["the collector is stopping"] if self.is_draining else self._sink.problems()
        shown: dict[str, object] = {"ready": not problems}
        if self._operators.may_read(request):
            shown |= {
                "problems": problems,
                "warnings": [*self._customers.warnings(), *self._sink.warnings()],
                "spool": page_of(self._sink),
            }
        return web.Response(
            status=503 if problems else 200,
            headers={"Cache-Control": "no-store", **pid_header()},
            body=msgspec.json.encode(shown),
            content_type="application/json",
        )

    def _metrics_page(self, request: web.BaseRequest) -> web.Response:
        refused = self._operators.refusal(request)
        if refused is not None:
            response = self._recorder.reject(refused, request, None)
            response.headers["WWW-Authenticate"] = BEARER
            return response
        return web.Response(body=self._metrics.page(), headers={"Content-Type": CONTENT_TYPE})

    def _openapi(self, _request: web.BaseRequest) -> web.Response:
        return web.Response(body=_openapi_json(), content_type="application/json")

    _pages: Final = {
        "/health/live": _live,
        "/health/ready": _ready,
        "/metrics": _metrics_page,
        "/openapi.json": _openapi,
    }


@functools.cache
def _openapi_json() -> bytes:
    from app.collector import openapi  # imported here: it takes 50 ms, and most collectors never need it

    return msgspec.json.encode(openapi.document())


def _origin_form(raw_path: str) -> str:
    """Return the path of an absolute-form request target (``GET http://host/path``), as proxies send it."""
    _, separator, rest = raw_path.partition("://")
    return f"/{rest.partition('/')[2]}" if separator else raw_path
