"""The statistics summary of YOOCHOOSE and Ibexa Personalization, as far as Uptake counts what it has; docs/switching.md has the table."""

from datetime import datetime
from itertools import pairwise
from typing import Any, Final

from aiohttp import web

from app.base.clock import Clock
from app.customers.customer import Customer
from app.lookup.ctr import answer_ctr
from app.lookup.ctr_query import CtrQuery
from app.lookup.errors import json_response
from app.lookup.query_params import Params
from app.lookup.request_parts import pretty
from app.lookup.routing import Router
from app.lookup.service import LookupService
from app.lookup.staleness import stale_headers
from app.lookup.statistic_query import check_groups, read_summary
from app.lookup.turns import Turns
from tables.ctr.panes import Counts, add

_NOT_COUNTED: Final = (
    "clickEvents",
    "purchaseEvents",
    "consumeEvents",
    "rateEvents",
    "blacklistEvents",
    "basketEvents",
    "deliveredRecommendations",
    "purchasedRecommendedFresh",
    "revenueFresh",
)
"""Fields that count other things than Uptake does. They are null: clients read null as 0, and a missing field as an error."""
_PREFIXES: Final = ("api", "ebl")


class StatisticSummary:
    """The route of the summary. ``router`` exists while the application runs."""

    router: Router

    def __init__(self, service: LookupService, clock: Clock) -> None:
        self._service, self._clock = service, clock

    def routes(self) -> list[web.RouteDef]:
        """Return the routes, one for each prefix that clients use."""
        path = "v4/{customer:[^/]+}/statistic/summary/{groups:[^/]*}"
        return [web.get(f"/{prefix}/{path}", self._summary) for prefix in _PREFIXES]

    async def _summary(self, request: web.Request) -> web.Response:
        check_groups(request.match_info["groups"])
        customer = self._service.customers[request.match_info["customer"]]  # the guard has checked it
        params = Params(request.query)
        query = read_summary(params, self._clock.now_ms(), customer.rules.time_zone)
        granularity, is_pretty = request.query["granularity"], pretty(params)
        answer = await answer_ctr(
            self._service,
            self.router,
            customer.id,
            query,
            request.headers,
            encode=lambda window, _by, _stale_ms: window,
        )
        sums = {start_ms: Counts() for start_ms, _ in _spans(query)}
        async for window in Turns().each(answer["windows"]):
            add(sums[window.start_ms], window.counts)
        spans = [_span(customer, start_ms, counts, granularity) for start_ms, counts in sums.items()]
        return json_response(spans, is_pretty=is_pretty, headers=stale_headers(answer))


def _spans(query: CtrQuery) -> list[tuple[int, int]]:
    return [] if query.local is None else list(pairwise(query.local.bounds))


def _span(customer: Customer, start_ms: int, counts: Counts, granularity: str) -> dict[str, Any]:
    """Return one span of an answer. ``otherCurrencies`` is ours: amounts that ``revenue`` leaves out."""
    currency, begin = (
        customer.rules.currency,
        datetime.fromtimestamp(start_ms // 1_000, customer.rules.time_zone),
    )
    span: dict[str, Any] = {
        "timespanBegin": begin.strftime("%Y-%m-%dT%H:%M:%S.000"),
        "timespanDuration": granularity,
        "recommendationCalls": counts.calls,
        "renderedEvents": counts.rendered,
        "clickedRecommended": counts.clicks,
        "purchasedRecommended": counts.purchases,
        "revenue": float(counts.revenue.get(currency, 0)),
        **dict.fromkeys(_NOT_COUNTED),
    }
    others = sorted(set(counts.revenue) - {currency})
    return span | {"otherCurrencies": others} if others else span
