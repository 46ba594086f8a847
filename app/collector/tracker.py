"""Answers one request of the tracker paths: reads it, makes an event of it, and waits until the event is durable."""

import time
from typing import Final

from aiohttp import web

from app.collector import answers, debug_answers
from app.collector.bots import Bots
from app.collector.recorder import Recorder
from app.customers.customer import Customer
from app.http import bodies
from events.rejections import Rejection
from events.target import RawPath, read_target
from events.tracker import JSONP_NAMES, Accepted, parse, unknown_event

METHODS: Final = frozenset(("GET", "POST", "HEAD"))
_JSONP: Final = frozenset(JSONP_NAMES)


class TrackerEndpoint:
    """Endpoint of ``/{prefix}/{customer}/{event}/...``."""

    def __init__(
        self, recorder: Recorder, bots: Bots, *, max_body_bytes: int, timeout_seconds: float
    ) -> None:
        self._recorder, self._metrics, self._bots = recorder, recorder.metrics, bots
        self._max_body_bytes, self._timeout_seconds = max_body_bytes, timeout_seconds

    async def answer(
        self,
        request: web.BaseRequest,
        path: RawPath,
        raw_query: str,
        customer: Customer,
        received_ms: int,
    ) -> web.StreamResponse:
        """Answer a request that reports one event."""
        started = time.perf_counter()
        unknown = unknown_event(path.event)
        if unknown is not None:
            return self._recorder.reject(unknown, request, customer)
        body: str | Rejection = ""
        if request.method == "POST" and request.can_read_body:
            body = await bodies.read_form(
                request, limit_bytes=self._max_body_bytes, timeout_seconds=self._timeout_seconds
            )
        target = body if isinstance(body, Rejection) else read_target(path, raw_query, body)
        if isinstance(target, Rejection):
            return self._recorder.reject(target, request, customer)
        callback = None
        if not _JSONP.isdisjoint(target.params):
            callback = next(target.params[name] for name in JSONP_NAMES if name in target.params)
        if callback is not None and not answers.is_callback(callback):
            return self._recorder.reject(
                Rejection(
                    "bad_jsonp", "jsonp must be a plain name: letters, digits, '_', '$' and '.'", "jsonp"
                ),
                request,
                customer,
                given=target.params,
                is_debug=target.is_debug,
            )
        bot = None
        outcome = parse(target, customer.rules, received_ms)
        if isinstance(outcome, Accepted) and request.method != "HEAD":
            bot = None if outcome.is_history else self._bots.kind_of(request, customer)
            if bot is None:
                outcome = await self._recorder.record(outcome, started)
            else:
                self._recorder.count_bots(customer, bot, (outcome,))
        if isinstance(outcome, Rejection):
            return self._recorder.reject(
                outcome, request, customer, callback, given=target.params, is_debug=target.is_debug
            )
        if outcome is None:
            self._metrics.empty.inc()
        if target.is_debug and request.method != "HEAD":
            headers = answers.base_headers(customer, request.headers.get("Origin"))
            told = debug_answers.bot_result(bot) if bot else debug_answers.accepted_result(outcome)
            return answers.told(told, headers, callback=callback)
        return answers.accepted(request, customer, callback=callback)
