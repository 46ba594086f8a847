"""What happens to one request: read it, make an event of it, hand the event to the sink, answer when it is durable."""

import asyncio
import logging
import random
import time
import traceback
from typing import Final, Protocol

import msgspec
from aiohttp import web

from app.collector import answers
from app.collector.metrics import CONTENT_TYPE, Metrics
from app.collector.sink import EventSink, FateUnknownError, NotTakenError
from app.customers import Customer, Customers
from events.codec import encode
from events.model import ALIASES
from events.pseudonym import journal_key
from events.rejections import Rejection
from events.target import RawPath, Target, read_target, split_path
from events.tracker import JSONP_NAMES, Accepted, parse

log = logging.getLogger(__name__)

_METHODS: Final = frozenset(("GET", "POST", "HEAD"))
_FORMS: Final = frozenset(
    ("", "application/x-www-form-urlencoded", "text/plain")
)  # text/plain: navigator.sendBeacon
_INTERNAL: Final = Rejection(
    "internal", "something went wrong here; it was logged, and the event may be sent again"
)
_FATE_UNKNOWN: Final = Rejection(
    "fate_unknown",
    "the event was handed on, but not acknowledged in time; send it again only with the same eid",
)


class Clock(Protocol):
    """Tells the time of receipt."""

    def now_ms(self) -> int:
        """Return milliseconds since 1970 UTC."""
        ...


class Collector:
    """The handler of every request of one collector."""

    def __init__(
        self,
        customers: Customers,
        sink: EventSink,
        clock: Clock,
        metrics: Metrics,
        *,
        partitions: int,
        max_body_bytes: int,
        request_timeout_ms: int,
    ) -> None:
        self._customers, self._sink, self._clock, self._metrics = customers, sink, clock, metrics
        self._partitions, self._max_body_bytes = partitions, max_body_bytes
        self._timeout_seconds = request_timeout_ms / 1000
        self.is_draining = False

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; whatever happens, with a status that says what became of the event."""
        try:
            response = await self._answer(request)
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - the last line of defence: logged, and answered 500
            # The message of an exception may hold what the client sent, so only its kind and place are logged.
            frames = "".join(traceback.format_tb(error.__traceback__))
            log.error("a request failed with %s at\n%s", type(error).__name__, frames)
            response = self._reject(_INTERNAL, request, None)
            response.force_close()
        if self.is_draining:
            response.force_close()
        return response

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        raw_path, _, raw_query = request.raw_path.partition("?")
        if not raw_path.startswith("/"):
            raw_path = _origin_form(raw_path)
        path = split_path(raw_path)
        if isinstance(path, Rejection):
            if path.code == "unknown_path" and raw_path in self._pages:
                return self._pages[raw_path](self, request)
            return self._reject(path, request, None)
        customer = self._customers.get(path.customer)
        if customer is None:
            return self._reject(
                Rejection("unknown_customer", f"there is no customer {path.customer[:64]!r}", "customer"),
                request,
                None,
            )
        if request.method == "OPTIONS":
            headers = answers.base_headers(customer, request.headers.get("Origin"))
            return answers.preflight(headers, request.headers.get("Access-Control-Request-Headers"))
        if request.method not in _METHODS:
            return self._reject(
                Rejection(
                    "method_not_allowed", f"an event is sent by GET or POST, not {request.method[:16]}"
                ),
                request,
                customer,
            )
        return await self._answer_event(request, path, raw_query, customer)

    async def _answer_event(
        self, request: web.BaseRequest, path: RawPath, raw_query: str, customer: Customer
    ) -> web.Response:
        started = time.perf_counter()
        received_ms = self._clock.now_ms()
        if ALIASES.get(path.event, path.event) not in self._metrics.accepted:
            unknown = parse(Target(path.event, path.event, (), {}), customer.rules, received_ms)
            assert isinstance(unknown, Rejection)
            return self._reject(unknown, request, customer)
        body = await self._body(request) if request.method == "POST" and request.can_read_body else ""
        target = body if isinstance(body, Rejection) else read_target(path, raw_query, body)
        if isinstance(target, Rejection):
            return self._reject(target, request, customer)
        callback = next((target.params[name] for name in JSONP_NAMES if name in target.params), None)
        if callback is not None and not answers.is_callback(callback):
            return self._reject(
                Rejection(
                    "bad_jsonp", "jsonp must be a plain name: letters, digits, '_', '$' and '.'", "jsonp"
                ),
                request,
                customer,
            )
        outcome = parse(target, customer.rules, received_ms)
        if isinstance(outcome, Accepted) and request.method != "HEAD":
            outcome = await self._record(outcome, started)
        if isinstance(outcome, Rejection):
            return self._reject(outcome, request, customer, callback)
        if outcome is None:
            self._metrics.empty.inc()
        headers = answers.base_headers(customer, request.headers.get("Origin"))
        accepts_image = request.method != "POST" and "image/" in request.headers.get("Accept", "")
        return answers.accepted(headers, accepts_image=accepts_image, callback=callback)

    async def _record(self, accepted: Accepted, started: float) -> Accepted | Rejection:
        """Make an event durable; return it, or why it is not known to be."""
        event = accepted.event
        key = journal_key(event, random.randrange(self._partitions))  # noqa: S311 - spreads load, hides nothing
        try:
            await self._sink.send(accepted.topic, key, encode(event), event.received_ms)
        except NotTakenError as error:
            return Rejection(
                "unavailable", f"the event cannot be taken now, nothing was recorded: {error.reason}"
            )
        except FateUnknownError:
            return _FATE_UNKNOWN
        self._metrics.accepted[str(event.__struct_config__.tag)].inc()
        self._metrics.seconds.observe(time.perf_counter() - started)
        if event.is_clamped:
            self._metrics.clamped.inc()
        return accepted

    async def _body(self, request: web.BaseRequest) -> str | Rejection:
        """Return the form-encoded body of a POST, as it was sent."""
        limit = self._max_body_bytes
        too_large = Rejection("body_too_large", f"a body takes at most {limit} bytes")
        announced = request.content_length or 0
        if announced <= limit and request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = bytearray()
        try:
            async with asyncio.timeout(self._timeout_seconds):
                # A little more than the limit is read and thrown away, so that the client gets to read the answer.
                while len(body) <= limit * 4 and (piece := await request.content.readany()):
                    body += piece
        except TimeoutError:
            return Rejection("request_timeout", f"the body did not arrive within {self._timeout_seconds:g} s")
        if announced > limit or len(body) > limit:
            return too_large
        kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if body and (kind not in _FORMS or request.headers.get("Content-Encoding", "identity") != "identity"):
            return Rejection(
                "bad_body",
                "a body must be application/x-www-form-urlencoded, and not compressed",
                "Content-Type",
                kind[:80],
            )
        return body.decode("utf-8", "surrogateescape")

    def _reject(
        self,
        rejection: Rejection,
        request: web.BaseRequest,
        customer: Customer | None,
        callback: str | None = None,
    ) -> web.Response:
        self._metrics.rejected[rejection.code].inc()
        headers = answers.base_headers(customer, request.headers.get("Origin"))
        response = answers.rejected(
            rejection, headers, accept=request.headers.get("Accept", ""), callback=callback
        )
        if rejection.code in ("body_too_large", "request_timeout"):
            response.force_close()
        return response

    def _live(self, _request: web.BaseRequest) -> web.Response:
        return web.Response(text="alive\n")

    def _ready(self, _request: web.BaseRequest) -> web.Response:
        problems = ["the collector is stopping"] if self.is_draining else self._sink.problems()
        return web.Response(
            status=503 if problems else 200,
            headers={"Cache-Control": "no-store"},
            body=msgspec.json.encode({"ready": not problems, "problems": problems}),
            content_type="application/json",
        )

    def _metrics_page(self, _request: web.BaseRequest) -> web.Response:
        return web.Response(body=self._metrics.page(), headers={"Content-Type": CONTENT_TYPE})

    _pages: Final = {"/health/live": _live, "/health/ready": _ready, "/metrics": _metrics_page}


def _origin_form(raw_path: str) -> str:
    """Return the path of an absolute-form request target (``GET http://host/path``), as proxies send it."""
    _, separator, rest = raw_path.partition("://")
    return f"/{rest.partition('/')[2]}" if separator else raw_path
