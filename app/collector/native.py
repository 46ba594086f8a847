"""What happens to a request that carries JSON: a body of many events, each judged and answered for itself.

``POST /v1/{customer}/events`` takes every event; ``.../recommended`` takes one kind, also a single one.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Final

import msgspec
from aiohttp import web

from app.collector import answers, bodies
from app.collector.gate import Gate
from app.collector.recorder import Recorder
from app.customer import Customer
from events import elements
from events.elements import Element
from events.native import Reader
from events.rejections import Rejection
from events.tracker import Accepted

PATHS: Final[dict[str, str | None]] = {"events": None, "recommended": "recommended"}
"""Last segment of the path -> the kind of event that is taken there; None: each element names its own."""

METHODS: Final = frozenset(("POST",))
_JSON: Final = frozenset(("", "application/json", "text/plain"))  # text/plain: navigator.sendBeacon
_LINES: Final = frozenset(("application/x-ndjson", "application/ndjson", "application/jsonl"))
_SLICE: Final = 200  # elements between two turns of the loop: a few ms
_ACCEPTED: Final = b'{"status":"accepted"}'

Result = Rejection | None
"""What became of an element; None: it is durable, or there was nothing to record."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a body is read: as it was sent, unpacked, how many elements, and for how long."""

    max_bytes: int
    max_unpacked_bytes: int
    max_elements: int
    timeout_seconds: float


class NativeEndpoint:
    """``POST /v1/{customer}/{name}``, with a name of PATHS."""

    def __init__(self, recorder: Recorder, gate: Gate, limits: Limits) -> None:
        self._recorder, self._gate, self._limits = recorder, gate, limits

    async def answer(
        self, request: web.BaseRequest, name: str, customer: Customer, received_ms: int
    ) -> web.StreamResponse:
        """Answer a body of events: 200 with a result for each; a single one that names no kind as a tracker request."""
        read = await self._read(request)
        if isinstance(read, Rejection):
            return self._recorder.reject(read, request, customer)
        values, is_single = read
        refusal = self._gate.charge_rest(customer, len(values))
        if refusal is not None:
            return self._recorder.reject(refusal, request, customer)
        reader = Reader(
            customer.rules,
            received_ms,
            event=PATHS[name],
            is_owner=self._gate.has_credentials(customer, request.headers.get("Authorization")),
        )
        results = await self.record(reader, values)
        if is_single and PATHS[name] is not None:
            if results[0] is not None:
                return self._recorder.reject(results[0], request, customer)
            return answers.accepted(request, customer)
        return self._answer_each(request, customer, values, results)

    async def record(self, reader: Reader, values: list[Element]) -> list[Result]:
        """Make what the elements report durable; return what became of each, in order."""
        outcomes: list[Accepted | Rejection | None] = []
        for start in range(0, len(values), _SLICE):
            if start:
                await asyncio.sleep(0)
            outcomes += map(reader.read, values[start : start + _SLICE])
        accepted = [outcome for outcome in outcomes if isinstance(outcome, Accepted)]
        fates = iter(await self._recorder.record_many(accepted) if accepted else ())
        self._recorder.metrics.empty.inc(outcomes.count(None))
        return [next(fates) if isinstance(outcome, Accepted) else outcome for outcome in outcomes]

    async def _read(self, request: web.BaseRequest) -> tuple[list[Element], bool] | Rejection:
        limits = self._limits
        body = await bodies.read_body(
            request, limit_bytes=limits.max_bytes, timeout_seconds=limits.timeout_seconds
        )
        if isinstance(body, Rejection):
            return body
        kind = bodies.content_type(request)
        if kind not in _JSON and kind not in _LINES:
            return Rejection(
                "bad_body",
                "a body must be application/json, application/x-ndjson or text/plain",
                "Content-Type",
                kind[:80],
            )
        plain = bodies.unpacked(
            body, request.headers.get("Content-Encoding", ""), limit_bytes=limits.max_unpacked_bytes
        )
        if isinstance(plain, Rejection):
            return plain
        return elements.read(bytes(plain), limits.max_elements, is_lines=kind in _LINES)

    def _answer_each(
        self,
        request: web.BaseRequest,
        customer: Customer,
        values: list[Element],
        results: list[Result],
    ) -> web.Response:
        rejected = Counter(result.code for result in results if result is not None)
        for code, count in rejected.items():
            self._recorder.metrics.rejected[code].inc(count)
        told = [
            _ACCEPTED if result is None else _told(result, value)
            for result, value in zip(results, values, strict=True)
        ]
        count = rejected.total()
        headers = answers.base_headers(customer, request.headers.get("Origin"))
        headers["Content-Type"] = "application/json"
        status = 200
        if rejected["unavailable"] and count == len(results) and not rejected["fate_unknown"]:
            status = 503
            headers["Retry-After"] = str(answers.RETRY_AFTER_SECONDS)
        body = b'{"accepted":%d,"rejected":%d,"results":[%b]}' % (len(told) - count, count, b",".join(told))
        return web.Response(status=status, headers=headers, body=body)


def split(raw_path: str) -> tuple[str, str] | None:
    """Return customer and name of ``/v1/{customer}/{name}``; None when the path is another. Customer ids need no encoding."""
    parts = raw_path.split("/")
    return (parts[2], parts[3]) if len(parts) == 4 and parts[1] == "v1" and parts[3] in PATHS else None


def _told(rejection: Rejection, value: Element) -> bytes:
    has_eid = isinstance(value, dict) and isinstance(value.get("eid"), str | int) and value["eid"] != ""
    told: dict[str, object] = {
        "status": "rejected",
        "code": rejection.code,
        "reason": rejection.sentence,
        "retry": rejection.code == "unavailable" or (rejection.code == "fate_unknown" and has_eid),
    }
    if rejection.parameter is not None:
        told["parameter"] = rejection.parameter
    return msgspec.json.encode(told)
