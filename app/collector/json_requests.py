"""Answers requests with JSON bodies: many events, each accepted or rejected by itself.

``POST /v1/{customer}/events`` accepts every event. ``.../recommended`` and ``.../playback`` accept one kind, also a single event.
"""

from dataclasses import dataclass
from typing import Final

from aiohttp import web

from app.collector import debug_answers, results
from app.collector.bots import Bots
from app.collector.endpoints import JSON_EVENTS
from app.collector.gate import Gate
from app.collector.recorder import Recorder
from app.customers.customer import Customer
from app.http import bodies
from events import json_bodies
from events.json_bodies import Element
from events.json_events import Reader
from events.rejections import Rejection
from events.target import first_conflict

METHODS: Final = frozenset(("POST",))
_JSON: Final = frozenset(("", "application/json", "text/plain"))  # text/plain: navigator.sendBeacon
_LINES: Final = frozenset(("application/x-ndjson", "application/ndjson", "application/jsonl"))


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a body: bytes as sent, bytes unpacked, number of elements, and seconds until it has arrived."""

    max_bytes: int
    max_unpacked_bytes: int
    max_elements: int
    timeout_seconds: float


class JsonEndpoint:
    """Endpoint of ``POST /v1/{customer}/{name}``, for the names in JSON_EVENTS."""

    def __init__(self, recorder: Recorder, gate: Gate, bots: Bots, limits: Limits) -> None:
        self._recorder, self._gate, self._bots, self._limits = recorder, gate, bots, limits

    async def answer(
        self, request: web.BaseRequest, name: str, raw_query: str, customer: Customer, received_ms: int
    ) -> web.StreamResponse:
        """Answer a body of events: 200 with a result for each. A single event on a path of one kind is answered like a tracker's."""
        twice = first_conflict(raw_query) if raw_query else None
        is_debug = debug_answers.is_asked(raw_query)
        read = await self._read(request) if twice is None else twice
        if isinstance(read, Rejection):
            return self._recorder.reject(read, request, customer)
        values, is_single, is_plain = read
        refusal = self._gate.charge_rest(customer, len(values))
        if refusal is not None:
            return self._recorder.reject(refusal, request, customer)
        reader = Reader(
            customer.rules,
            received_ms,
            event=JSON_EVENTS[name],
            is_owner=self._gate.has_credentials(customer, request.headers.get("Authorization")),
            is_plain=is_plain,
        )
        outcomes = await results.read_each(reader.read, values)
        bot = self._bots.kind_of(request, customer)
        fates = await results.record(self._recorder, customer, outcomes, bot)
        if is_single and JSON_EVENTS[name] is not None:
            if fates[0] is not None:
                given = values[0] if isinstance(values[0], dict) else None
                return self._recorder.reject(fates[0], request, customer, given=given)
            return results.answer_one(request, customer, outcomes[0], bot, is_debug=is_debug)
        recorded = outcomes if is_debug else None
        return results.answer_each(self._recorder, request, customer, values, fates, recorded, bot)

    async def _read(self, request: web.BaseRequest) -> tuple[list[Element], bool, bool] | Rejection:
        """Return the elements, whether the body is a single one, and whether it is plain (``json_bodies.is_plain``)."""
        limits = self._limits
        sent = await bodies.read_body(
            request, limit_bytes=limits.max_bytes, timeout_seconds=limits.timeout_seconds
        )
        if isinstance(sent, Rejection):
            return sent
        kind = bodies.content_type(request)
        if kind not in _JSON and kind not in _LINES:
            return Rejection(
                "bad_body",
                "a body must be application/json, application/x-ndjson or text/plain",
                "Content-Type",
                kind[:80],
            )
        plain = bodies.unpacked(
            sent, request.headers.get("Content-Encoding", ""), limit_bytes=limits.max_unpacked_bytes
        )
        if isinstance(plain, Rejection):
            return plain
        body = bytes(plain)
        read = json_bodies.read(body, limits.max_elements, is_lines=kind in _LINES)
        return read if isinstance(read, Rejection) else (*read, json_bodies.is_plain(body))


def split(raw_path: str) -> tuple[str, str] | None:
    """Return customer and name of ``/v1/{customer}/{name}``, or None for another path. Customer ids are never percent-encoded."""
    parts = raw_path.removesuffix("/").split("/")
    return (parts[2], parts[3]) if len(parts) == 4 and parts[1] == "v1" and parts[3] in JSON_EVENTS else None
