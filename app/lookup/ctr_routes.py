"""HTTP routes of click-through rates: the answer, its stream, and the stored windows for other workers."""

from functools import partial
from typing import Final, TypeVar

from aiohttp import web

from app.base.clock import Clock
from app.customers.customer import Customer
from app.lookup.ctr import PREVIOUS_WINDOWS, answer_ctr
from app.lookup.ctr_csv import CSV_HEADERS, csv_head, wants_csv, window_as_csv
from app.lookup.ctr_items import local_items
from app.lookup.ctr_query import read_ctr
from app.lookup.ctr_rows import RowsRequest, local_rows
from app.lookup.ctr_stream import CtrStreams
from app.lookup.ctr_sums import SumsRequest
from app.lookup.ctr_users import local_users
from app.lookup.ctr_window import window_as_json
from app.lookup.errors import json_response
from app.lookup.large_json import array_in_pieces, lines_in_pieces, object_in_pieces
from app.lookup.owners import read_request
from app.lookup.query_params import Params
from app.lookup.request_parts import body_of, expect, pretty
from app.lookup.requests import read_max_stale
from app.lookup.routing import Router
from app.lookup.service import LookupService
from app.lookup.staleness import stale_headers
from events.rejections import RefusedError

_T = TypeVar("_T")
_ROWS_OF_A_PART: Final = 64
"""Stored windows that another worker decodes at once."""


class CtrRoutes:
    """One method for each route. ``router`` exists while the application runs."""

    router: Router

    def __init__(
        self, service: LookupService, clock: Clock, body_timeout_s: float, streams: CtrStreams
    ) -> None:
        self._service, self._clock, self._body_timeout_s = service, clock, body_timeout_s
        self._streams = streams

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of click-through rates."""
        path = "/v1/{customer:[^/]+}/ctr"
        return [
            web.get(path, self._ctr),
            web.get(f"{path}/stream", self._stream),
            web.post(f"{path}/rows", self._rows, expect_handler=expect),
            web.post(f"{path}/items", self._items, expect_handler=expect),
            web.post(f"{path}/users", self._users, expect_handler=expect),
        ]

    async def _ctr(self, request: web.Request) -> web.Response:
        params, customer = Params(request.query), self._customer(request)
        query = read_ctr(params, self._clock.now_ms(), customer.rules.time_zone)
        max_stale_ms = read_max_stale(params)
        is_pretty = pretty(params)
        is_csv = wants_csv(request.headers.get("Accept", ""))
        for name, is_asked in (("previous", query.has_previous), ("users", query.has_users)):
            if is_csv and is_asked:
                raise RefusedError("bad_parameter", f"{name}=1 has no form in CSV; accept JSON", name)
        answer = await answer_ctr(
            self._service,
            self.router,
            customer.id,
            query,
            request.headers,
            max_stale_ms,
            partial(window_as_csv, zone=query.zone) if is_csv else window_as_json,
        )
        headers = {**stale_headers(answer), "Vary": "Accept"}
        if is_csv:
            body = await lines_in_pieces(csv_head(query.by), answer["windows"])
            return json_response(body, headers={**headers, **CSV_HEADERS})
        names = ["windows", *[PREVIOUS_WINDOWS] * query.has_previous]
        return json_response(await object_in_pieces(answer, *names, is_pretty=is_pretty), headers=headers)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        return await self._streams.serve(request, self._customer(request).id, self.router)

    async def _rows(self, request: web.Request) -> web.Response:
        """Answer another worker that collects windows."""
        asked = await self._asked(request, RowsRequest, "windows")
        rows, stale_ms = await local_rows(self._service, self._customer(request).id, asked)
        body = await array_in_pieces(rows, _ROWS_OF_A_PART)
        return json_response(body, headers=stale_headers({"stale_ms": stale_ms}))

    async def _items(self, request: web.Request) -> web.Response:
        """Answer another worker that puts items together."""
        asked = await self._asked(request, SumsRequest, "sums")
        found = await local_items(self._service, self._customer(request).id, asked)
        return json_response(found.reply, headers=stale_headers({"stale_ms": found.stale_ms}))

    async def _users(self, request: web.Request) -> web.Response:
        """Answer another worker that puts unique users together."""
        asked = await self._asked(request, SumsRequest, "sums")
        rows, stale_ms = await local_users(self._service, self._customer(request).id, asked)
        body = await array_in_pieces(rows, _ROWS_OF_A_PART)
        return json_response(body, headers=stale_headers({"stale_ms": stale_ms}))

    async def _asked(self, request: web.Request, kind: type[_T], what: str) -> _T:
        return read_request(await body_of(request, self._body_timeout_s), kind, what)

    def _customer(self, request: web.Request) -> Customer:
        """Return the customer of a request, whose path may have an alias."""
        return self._service.customers[request.match_info["customer"]]  # the guard has checked it
