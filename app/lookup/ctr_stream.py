"""Streams of CTR answers. The clients of one query share one computation, whose data are the answers of ``/ctr``."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from aiohttp import web
from multidict import MultiMapping
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from app.base.clock import Clock
from app.http.event_format import check_size
from app.http.event_stream import EventHub, StreamProblemError
from app.lookup.ctr import PREVIOUS_WINDOWS, answer_ctr
from app.lookup.ctr_query import CtrQuery, read_ctr
from app.lookup.errors import Check
from app.lookup.large_json import object_in_pieces
from app.lookup.query_params import Params
from app.lookup.requests import read_max_stale
from app.lookup.routing import PeerRefusedError, Reply, Router
from app.lookup.service import LookupService, UnavailableError


class CtrStreams:
    """The streams of one worker."""

    def __init__(self, service: LookupService, clock: Clock, hub: EventHub, check: Check) -> None:
        self._service, self._clock, self._hub, self._check = service, clock, hub, check

    async def serve(self, request: web.Request, customer: str, router: Router) -> web.StreamResponse:
        """Stream the answers of a query until its client goes. Raise RefusedError if the query is not valid."""
        self._read(request.query, customer)
        key = request.headers.get("Authorization")

        async def fetch() -> bytes:
            self._check(request, customer)  # the key may have been replaced since the stream began
            query, max_stale_ms = self._read(request.query, customer)
            return await self._data(router, customer, query, request.headers, max_stale_ms)

        topic = ("ctr", customer, frozenset(request.query.items()), key)
        return await self._hub.serve(request, topic, fetch, event="ctr")

    def _read(self, given: MultiMapping[str], customer: str) -> tuple[CtrQuery, int | None]:
        params, zone = Params(given), self._service.customers[customer].rules.time_zone
        query, max_stale_ms = read_ctr(params, self._clock.now_ms(), zone), read_max_stale(params)
        params.done()
        return query, max_stale_ms

    async def _data(
        self,
        router: Router,
        customer: str,
        query: CtrQuery,
        headers: Mapping[str, str],
        max_stale_ms: int | None,
    ) -> bytes:
        """Return the answer without ``as_of_ms``: its bytes change only when something else does."""
        try:
            answer = await answer_ctr(self._service, router, customer, query, headers, max_stale_ms)
        except UnavailableError as unavailable:
            raise StreamProblemError("unavailable", unavailable.sentence) from None
        except PeerRefusedError as refused:
            raise _problem_of(refused.reply) from None
        del answer["as_of_ms"]
        pieces = await object_in_pieces(answer, "windows", *[PREVIOUS_WINDOWS] * query.has_previous)
        check_size(pieces.size or 0)
        return pieces.whole()


class StreamMetrics(Collector):
    """Reads the number of streams when Prometheus asks."""

    def __init__(self, hub: EventHub) -> None:
        self._hub = hub

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Yield the open streams, and how many clients were dropped because they did not read."""
        yield GaugeMetricFamily("uptake_lookup_streams", "Open event streams", value=self._hub.client_count)
        yield CounterMetricFamily(
            "uptake_lookup_streams_dropped",
            "Event streams that ended because their client did not read",
            value=self._hub.dropped_count,
        )


def _problem_of(reply: Reply) -> StreamProblemError:
    """Return the problem that another worker's refusal states."""
    try:
        told: Any = msgspec.json.decode(reply.body)
        return StreamProblemError(str(told["code"]), str(told["sentence"]))
    except (msgspec.DecodeError, KeyError, TypeError):
        return StreamProblemError("unavailable", f"another worker answered {reply.status}")
