"""Answers requests of video pages: what the carousels showed, and the click on one of them.

``POST /uitracking/users/presentationtracking`` and ``POST /uitracking/users/click``, form-encoded or JSON.
"""

import binascii
from base64 import b64decode
from typing import Any, Final

from aiohttp import web

from app.collector import debug_answers, results
from app.collector.bots import Bots
from app.collector.endpoints import CLICKED
from app.collector.gate import Gate
from app.collector.json_requests import Limits
from app.collector.recorder import Recorder
from app.customers.customer import Customer
from app.http import bodies
from events import json_bodies, presentation
from events.json_bodies import Element
from events.json_events import Reader
from events.rejections import Rejection

METHODS: Final = frozenset(("POST",))
_JSON: Final = "application/json"
_LINES: Final = "application/x-ndjson"

_Page = dict[str, Any]
"""The fields of a request outside its elements."""


class PresentationEndpoint:
    """Endpoint of the paths in PRESENTATIONS."""

    def __init__(
        self,
        recorder: Recorder,
        gate: Gate,
        bots: Bots,
        limits: Limits,
        *,
        user_cookie: str,
        default_customer: str | None,
    ) -> None:
        self._recorder, self._gate, self._bots, self._limits = recorder, gate, bots, limits
        self._user_cookie, self._default_customer = user_cookie, default_customer

    def customer_id(self, request: web.BaseRequest, raw_query: str) -> str | Rejection | None:
        """Return the customer of the page: ``?customer=``, else the user name of HTTP Basic, else ``default_customer``.

        Return the Rejection of an invalid query if nothing else names the customer.
        """
        query = presentation.read_form(raw_query)
        unread = query if isinstance(query, Rejection) else None
        named = None if isinstance(query, Rejection) else query.get("customer")
        return named or _basic_user(request.headers.get("Authorization")) or self._default_customer or unread

    async def answer(
        self, request: web.BaseRequest, path: str, raw_query: str, customer: Customer, received_ms: int
    ) -> web.StreamResponse:
        """Answer a report of what was shown or clicked."""
        query = presentation.read_form(raw_query)
        body = query if isinstance(query, Rejection) else await self._body(request)
        if isinstance(body, Rejection):
            return self._recorder.reject(body, request, customer)
        assert not isinstance(query, Rejection)
        is_debug = debug_answers.is_asked(raw_query)
        reader = Reader(customer.rules, received_ms)
        answer = self._answer_click if path == CLICKED else self._answer_shown
        return await answer(request, query, body, customer, reader, is_debug=is_debug)

    async def _answer_click(
        self,
        request: web.BaseRequest,
        query: _Page,
        body: str | list[Element],
        customer: Customer,
        reader: Reader,
        *,
        is_debug: bool,
    ) -> web.StreamResponse:
        page = presentation.read_click(body) if isinstance(body, str) else _one_object(body)
        if isinstance(page, Rejection):
            return self._recorder.reject(page, request, customer)
        page = presentation.page_of(query, page)
        if isinstance(page, Rejection):
            return self._recorder.reject(page, request, customer)
        clicked = presentation.clicked_element(page, self._user(request, page, customer), customer.rules)
        outcome = reader.read(clicked)
        bot = self._bots.kind_of(request, customer)
        (fate,) = await results.record(self._recorder, customer, [outcome], bot)
        if fate is not None:
            return self._recorder.reject(fate, request, customer, given=page)
        return results.answer_one(request, customer, outcome, bot, is_debug=is_debug)

    async def _answer_shown(
        self,
        request: web.BaseRequest,
        query: _Page,
        body: str | list[Element],
        customer: Customer,
        reader: Reader,
        *,
        is_debug: bool,
    ) -> web.StreamResponse:
        read = self._shown(query, body)
        refused = read if isinstance(read, Rejection) else self._gate.charge_rest(customer, len(read[1]))
        if isinstance(refused, Rejection):
            return self._recorder.reject(refused, request, customer)
        assert not isinstance(read, Rejection)
        page, values = read
        user = self._user(request, page, customer)
        outcomes = await results.read_each(
            lambda value: reader.read(presentation.shown_element(value, page, user, customer.rules)), values
        )
        runs, places = presentation.joined(outcomes)
        bot = self._bots.kind_of(request, customer)
        of_runs = await results.record(self._recorder, customer, runs, bot)
        fates = [of_runs[place] for place in places]
        wants_json = is_debug or not isinstance(body, str) or _JSON in request.headers.get("Accept", "")
        if wants_json or (any(fates) and not all(fates)):
            recorded = [runs[place] for place in places] if is_debug else None
            return results.answer_each(self._recorder, request, customer, values, fates, recorded, bot)
        if fates and fates[0] is not None:
            given = values[0] if isinstance(values[0], dict) else None
            return self._recorder.reject(fates[0], request, customer, given=given)
        return results.answer_one(request, customer, None, is_debug=False)

    def _shown(self, query: _Page, body: str | list[Element]) -> tuple[_Page, list[Element]] | Rejection:
        """Return the fields of the page, and the elements."""
        most = self._limits.max_elements
        if isinstance(body, str):
            form = presentation.read_form(body)
            if isinstance(form, Rejection):
                return form
            page = presentation.page_of(query, form)
        elif len(body) == 1 and isinstance(body[0], dict) and "data" in body[0]:
            page = presentation.page_of(query, body[0])
        else:
            return query, body
        if isinstance(page, Rejection):
            return page
        data = presentation.read_data(page.pop("data", None), most)
        return data if isinstance(data, Rejection) else (page, data)

    def _user(self, request: web.BaseRequest, page: _Page, customer: Customer) -> Any:
        return presentation.user_of(page, request.cookies.get(self._user_cookie), customer.rules)

    async def _body(self, request: web.BaseRequest) -> str | list[Element] | Rejection:
        """Return a form-encoded body as text, or a JSON body as elements: those of its array or lines, or its one object."""
        limits = self._limits
        sent = await bodies.read_body(
            request, limit_bytes=limits.max_bytes, timeout_seconds=limits.timeout_seconds
        )
        if isinstance(sent, Rejection):
            return sent
        encoding = request.headers.get("Content-Encoding", "")
        body = bodies.unpacked(sent, encoding, limit_bytes=limits.max_unpacked_bytes)
        if isinstance(body, Rejection):
            return body
        kind = bodies.content_type(request)
        is_form = kind in bodies.FORMS
        if is_form and not (kind != bodies.FORM and body.lstrip()[:1] in (b"[", b"{")):
            return body.decode("utf-8", "surrogateescape")
        if not is_form and kind not in (_JSON, _LINES):
            return Rejection(
                "bad_body",
                "a body must be application/x-www-form-urlencoded, application/json or text/plain",
                "Content-Type",
                kind[:80],
            )
        read = json_bodies.read(bytes(body), limits.max_elements, is_lines=kind == _LINES)
        if isinstance(read, Rejection):
            return read
        values, is_single = read
        return values[0] if is_single and isinstance(values[0], Rejection) else values


def _one_object(values: list[Element]) -> _Page | Rejection:
    if len(values) == 1 and isinstance(values[0], dict):
        return values[0]
    return Rejection("bad_json", "the body must be one JSON object: the address (url) or its parts")


def _basic_user(authorization: str | None) -> str | None:
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() != "basic" or len(encoded) > 2_048:
        return None
    try:
        return b64decode(encoded.strip(), validate=True).decode("utf-8").partition(":")[0] or None
    except (binascii.Error, ValueError):
        return None
