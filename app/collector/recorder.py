"""What becomes of an outcome: an accepted event is made durable, a refused one counted and answered. Every endpoint ends here."""

import time
from typing import Final

from aiohttp import web

from app.collector import answers
from app.collector.metrics import Metrics
from app.collector.sink import EventSink, FateUnknownError, NotTakenError
from app.customers import Customer
from events.rejections import Rejection
from events.tracker import Accepted

FATE_UNKNOWN: Final = Rejection(
    "fate_unknown",
    "the event was handed on, but not acknowledged in time; send it again only with the same eid",
)
_CLOSES: Final = frozenset(("body_too_large", "request_timeout"))  # the rest of the body is not read


class Recorder:
    """Hands events to the sink, and counts what became of them."""

    def __init__(self, sink: EventSink, metrics: Metrics) -> None:
        self._sink, self.metrics = sink, metrics

    async def record(self, accepted: Accepted, started: float) -> Accepted | Rejection:
        """Make an event durable; return it, or why it is not known to be. ``started``: time.perf_counter() at the request's head."""
        event = accepted.event
        try:
            await self._sink.send(accepted.topic, event)
        except NotTakenError as error:
            return Rejection(
                "unavailable", f"the event cannot be taken now, nothing was recorded: {error.reason}"
            )
        except FateUnknownError:
            return FATE_UNKNOWN
        self.metrics.accepted[str(event.__struct_config__.tag)].inc()
        self.metrics.seconds.observe(time.perf_counter() - started)
        if event.is_clamped:
            self.metrics.clamped.inc()
        return accepted

    def reject(
        self,
        rejection: Rejection,
        request: web.BaseRequest,
        customer: Customer | None,
        callback: str | None = None,
    ) -> web.Response:
        """Count a refused request and return its answer."""
        self.metrics.rejected[rejection.code].inc()
        headers = answers.base_headers(customer, request.headers.get("Origin"))
        response = answers.rejected(
            rejection, headers, accept=request.headers.get("Accept", ""), callback=callback
        )
        if rejection.code in _CLOSES:
            response.force_close()
        return response
