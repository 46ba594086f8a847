"""Records the outcome of every request: makes accepted events durable, counts and answers refused ones."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiohttp import web

from app.collector import answers, debug_answers
from app.collector.bot_tally import BotTally
from app.collector.bots import BotKind
from app.collector.metrics import Metrics
from app.collector.refused_requests import RefusedRequests
from app.customers.customer import Customer
from app.journal.sink import EventSink, FateUnknownError, NotTakenError
from events.rejections import Rejection
from events.tracker import Accepted

_FATE_UNKNOWN: Final = Rejection(
    "fate_unknown",
    "the event was handed on, but not acknowledged in time; send it again only with the same eid",
)
# The rest of the body is not read, so the connection must close.
_CLOSES: Final = frozenset(("body_too_large", "request_timeout"))


class Recorder:
    """Hands events to the sink and counts the outcomes. All endpoints share one."""

    def __init__(
        self, sink: EventSink, metrics: Metrics, refused: RefusedRequests, bot_tally: BotTally
    ) -> None:
        self._sink, self.metrics, self._refused, self._bot_tally = sink, metrics, refused, bot_tally

    async def record(self, accepted: Accepted, started: float) -> Accepted | Rejection:
        """Make an event durable; return it, or the rejection if it is not known to be durable.

        ``started``: time.perf_counter() when the request's head had arrived.
        """
        event = accepted.event
        try:
            await self._sink.send(accepted.topic, event)
        except NotTakenError as error:
            return _unavailable(error)
        except FateUnknownError:
            return _FATE_UNKNOWN
        self.metrics.accepted[str(event.__struct_config__.tag)].inc()
        self.metrics.seconds.observe(time.perf_counter() - started)
        if event.is_clamped:
            self.metrics.clamped.inc()
        if accepted.has_ignored_clock:
            self.metrics.ignored_clocks.inc()
        if accepted.unread is not None:
            self._refused.count_unread(event.customer, accepted.unread)
        return accepted

    async def record_many(self, accepted: Sequence[Accepted]) -> list[Rejection | None]:
        """Make events durable, those of one user in their order.

        Return for each None, or the rejection if the event is not known to be durable.
        """
        outcomes = await self._sink.send_many([(each.topic, each.event) for each in accepted])
        taken: Counter[type] = Counter()
        clamped = ignored_clocks = 0
        results: list[Rejection | None] = []
        for each, outcome in zip(accepted, outcomes, strict=True):
            if outcome is None:
                taken[type(each.event)] += 1
                clamped += each.event.is_clamped
                ignored_clocks += each.has_ignored_clock
                if each.unread is not None:
                    self._refused.count_unread(each.event.customer, each.unread)
                results.append(None)
            elif isinstance(outcome, NotTakenError):
                results.append(_unavailable(outcome))
            else:
                results.append(_FATE_UNKNOWN)
        for kind, count in taken.items():
            self.metrics.accepted[str(kind.__struct_config__.tag)].inc(count)  # type: ignore[attr-defined]
        self.metrics.clamped.inc(clamped)
        self.metrics.ignored_clocks.inc(ignored_clocks)
        return results

    def count_bots(self, customer: Customer, kind: BotKind, accepted: Sequence[Accepted]) -> None:
        """Count events that are answered as if they were accepted. Nothing but their number is recorded."""
        self.metrics.bots.labels(customer.id, kind).inc(len(accepted))
        for each in accepted:
            self._bot_tally.add(each.event)

    def reject(
        self,
        rejection: Rejection,
        request: web.BaseRequest,
        customer: Customer | None,
        callback: str | None = None,
        *,
        given: Mapping[str, Any] | None = None,
        is_debug: bool = False,
    ) -> web.Response:
        """Count a refused request and return its answer.

        ``given``: its parameters, if they have been read. ``is_debug``: its body asks what was recorded; the query is looked at here.
        """
        self._refused.add(rejection, request, customer, given)
        headers = answers.base_headers(customer, request.headers.get("Origin"))
        accept = request.headers.get("Accept", "")
        response = answers.rejected(rejection, headers, accept=accept, callback=callback)
        if is_debug or debug_answers.is_asked(request.raw_path.partition("?")[2]):
            has_eid = given is not None and bool(given.get("eid"))
            told = debug_answers.rejected_result(rejection, has_eid=has_eid)
            response = answers.told(told, headers, status=rejection.status, callback=callback)
        if rejection.code in _CLOSES:
            response.force_close()
        return response

    def reject_elements(
        self,
        request: web.BaseRequest,
        customer: Customer,
        refused: Sequence[tuple[Rejection, object]],
    ) -> None:
        """Count refused elements of a body, each with the element itself."""
        numbers = Counter(rejection.code for rejection, _ in refused)
        firsts: dict[str, tuple[Rejection, object]] = {}
        for each in refused:
            firsts.setdefault(each[0].code, each)
        for code, (rejection, element) in firsts.items():
            given = element if isinstance(element, dict) else {}
            self._refused.add(rejection, request, customer, given, elements=numbers[code])

    def reject_unread(self, rejection: Rejection, customer: Customer | None) -> web.Response:
        """Count a request that the parser could not read, and return its answer as plain text."""
        self._refused.count(rejection, customer)
        return answers.rejected(rejection, answers.base_headers(None, None))


def _unavailable(error: NotTakenError) -> Rejection:
    return Rejection("unavailable", f"the event cannot be taken now, nothing was recorded: {error.reason}")
