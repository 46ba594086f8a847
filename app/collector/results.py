"""Answers to requests of many events: one result for each, so that the sender can send again only those that failed."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from aiohttp import web

from app.collector import answers, debug_answers
from app.collector.bots import BotKind
from app.collector.recorder import Recorder
from app.customers.customer import Customer
from app.http.refusals import RETRY_AFTER_SECONDS
from events.json_bodies import Element
from events.rejections import Rejection
from events.tracker import Accepted

_SLICE: Final = 200  # elements that are read before the event loop gets a turn: a few ms
_ACCEPTED: Final = msgspec.json.encode(debug_answers.ACCEPTED)

ElementResult = Rejection | None
"""The fate of an element. None: it is durable, or there was nothing to record."""


ElementOutcome = Accepted | Rejection | None
"""An element as it was read. None: there is nothing to record."""


async def read_each(
    read: Callable[[Element], ElementOutcome], values: Sequence[Element]
) -> list[ElementOutcome]:
    """Read each element, and let other tasks run in between."""
    outcomes: list[ElementOutcome] = []
    for start in range(0, len(values), _SLICE):
        if start:
            await asyncio.sleep(0)
        outcomes += map(read, values[start : start + _SLICE])
    return outcomes


async def record(
    recorder: Recorder, customer: Customer, outcomes: Sequence[ElementOutcome], bot: BotKind | None
) -> list[ElementResult]:
    """Make the accepted events durable; return the fate of each element, in order.

    Those of a ``bot`` are only counted.
    """
    accepted = [outcome for outcome in outcomes if isinstance(outcome, Accepted)]
    if bot is not None:
        recorder.count_bots(customer, bot, accepted)
        return [None if isinstance(outcome, Accepted) else outcome for outcome in outcomes]
    fates = iter(await recorder.record_many(accepted) if accepted else ())
    recorder.metrics.empty.inc(outcomes.count(None))
    return [next(fates) if isinstance(outcome, Accepted) else outcome for outcome in outcomes]


def answer_each(
    recorder: Recorder,
    request: web.BaseRequest,
    customer: Customer,
    values: Sequence[Element],
    results: Sequence[ElementResult],
    recorded: Sequence[ElementOutcome] | None = None,
    bot: BotKind | None = None,
) -> web.Response:
    """Count the refused elements and return 200 with a result for each.

    ``recorded``: the results show these events, or that a ``bot`` sent them.

    The status is 503 if no element was accepted, at least one was ``unavailable``, and none has an unknown fate. The whole request may
    then be sent again.
    """
    refused = [(result, value) for result, value in zip(results, values, strict=True) if result is not None]
    if refused:
        recorder.reject_elements(request, customer, refused)
    told = [
        _ACCEPTED if result is None else _result_json(result, value)
        for result, value in zip(results, values, strict=True)
    ]
    if recorded is not None:
        told = [
            msgspec.json.encode(_recorded_result(outcome, bot)) if result is None else json
            for result, outcome, json in zip(results, recorded, told, strict=True)
        ]
    count = len(refused)
    codes = {result.code for result, _ in refused}
    headers = answers.base_headers(customer, request.headers.get("Origin"))
    headers["Content-Type"] = "application/json"
    status = 200
    if "unavailable" in codes and count == len(results) and "fate_unknown" not in codes:
        status = 503
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    body = b'{"accepted":%d,"rejected":%d,"results":[%b]}' % (len(told) - count, count, b",".join(told))
    return web.Response(status=status, headers=headers, body=body)


def _result_json(rejection: Rejection, value: Element) -> bytes:
    has_eid = isinstance(value, dict) and isinstance(value.get("eid"), str | int) and value["eid"] != ""
    return msgspec.json.encode(debug_answers.rejected_result(rejection, has_eid=has_eid))


def _recorded_result(outcome: ElementOutcome, bot: BotKind | None) -> dict[str, Any]:
    assert not isinstance(outcome, Rejection)
    return debug_answers.accepted_result(outcome) if bot is None else debug_answers.bot_result(bot)


def answer_one(
    request: web.BaseRequest,
    customer: Customer,
    outcome: ElementOutcome,
    bot: BotKind | None = None,
    *,
    is_debug: bool,
) -> web.StreamResponse:
    """Return the answer to a single element that is durable, or that a ``bot`` sent, as to a request of the tracker."""
    if not is_debug:
        return answers.accepted(request, customer)
    headers = answers.base_headers(customer, request.headers.get("Origin"))
    return answers.told(_recorded_result(outcome, bot), headers)
