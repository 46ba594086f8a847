"""Answers of CTR lookups: collects windows from the workers that own them, sums them, and adds rates."""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Final
from urllib.parse import quote

import msgspec

from app.lookup.requests import CtrQuery
from app.lookup.routing import MOVING_S, PeerRefusedError, Router
from app.lookup.service import LookupService, UnavailableError
from app.lookup.turns import Turns
from events.target import RefusedError
from tables.ctr.panes import Counts, add
from tables.ctr.rates import rates
from tables.ctr.window_keys import scenario_key
from tables.ctr.window_sums import (
    StoredSpan,
    WindowRow,
    WindowSum,
    WindowSums,
    dimension_of,
    segments,
)

_MAX_ROWS: Final = 200_000  # stored windows read for one answer: about 100 MB


class RowsRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A worker's request to another: the stored windows of these partitions."""

    partitions: list[int]
    scenario: str | None
    dimension: str
    segments: list[StoredSpan]


_rows_decoder: Final = msgspec.json.Decoder(list[WindowRow])


async def answer_ctr(
    service: LookupService, router: Router, customer: str, query: CtrQuery, headers: Mapping[str, str]
) -> dict[str, Any]:
    """Return the answer of ``/ctr``; raise UnavailableError unless every partition that may hold windows answered."""
    if query.scenario is None:
        partitions = list(range(service.partition_count))
    else:
        partitions = [service.partition_of(scenario_key(customer, query.scenario))]
    spans = segments(query.from_ms, query.to_ms, query.step_ms)
    dimension = dimension_of(query.by)
    asked = [
        _rows(service, router, customer, owner, RowsRequest(here, query.scenario, dimension, spans), headers)
        for owner, here in router.places(partitions, is_hop=False).items()
    ]
    parts = await asyncio.gather(*asked)
    if sum(map(len, parts)) > _MAX_ROWS:
        raise RefusedError(
            "bad_parameter",
            f"the span holds more than {_MAX_ROWS} stored windows; take a shorter one, one scenario, or a larger granularity",
            "from",
        )
    turns = Turns()
    sums = WindowSums(query.by, query.from_ms, query.to_ms, query.step_ms, query.as_of_ms)
    async for row in turns.each(chain.from_iterable(parts)):
        sums.add(row)
    all_counts = Counts()
    windows: list[msgspec.Raw] = []
    async for window in turns.each(sums.ordered()):
        add(all_counts, window.counts)
        # To encode all windows at once would block the event loop for a large answer.
        windows.append(msgspec.Raw(msgspec.json.encode(_window(window, query))))
    return {
        "customer": customer,
        "scenario": query.scenario,
        "from_ms": spans[0].from_ms if spans else query.from_ms,
        "to_ms": spans[-1].to_ms if spans else query.to_ms,
        "step_ms": query.step_ms,
        "by": sorted(query.by),
        "as_of_ms": query.as_of_ms,
        "windows": windows,
        "total": {**_counters(all_counts), **rates(all_counts)},
    }


def read_rows_request(raw: bytes) -> RowsRequest:
    """Return the request of another worker; raise RefusedError if it is not valid."""
    try:
        return msgspec.json.decode(raw, type=RowsRequest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError("bad_body", f"the body does not ask for windows: {error}") from None


async def local_rows(service: LookupService, customer: str, request: RowsRequest) -> list[WindowRow]:
    """Return the stored windows of these partitions; raise UnavailableError if this worker does not own one of them."""
    rows: list[WindowRow] = []
    turns = Turns()
    for partition in request.partitions:
        if not service.is_local(partition):
            raise UnavailableError(
                f"partition {partition} is not at this worker any more", MOVING_S, partition
            )
        windows = service.windows(partition, customer, request.scenario, request.dimension, request.segments)
        async for row in turns.each(windows):
            rows.append(row)
            if len(rows) > _MAX_ROWS:
                return rows  # answer_ctr refuses so many
    return rows


async def _rows(
    service: LookupService,
    router: Router,
    customer: str,
    owner: str | None,
    request: RowsRequest,
    headers: Mapping[str, str],
) -> Sequence[WindowRow]:
    if owner is None:
        return await local_rows(service, customer, request)
    body = msgspec.json.encode(request)
    reply = await router.ask(owner, "POST", f"/v1/{quote(customer, safe='')}/ctr/rows", body, headers)
    if reply.status != 200:
        raise PeerRefusedError(reply)
    return _rows_decoder.decode(reply.body)


def _window(window: WindowSum, query: CtrQuery) -> dict[str, Any]:
    place: dict[str, Any] = {"scenario": window.scenario}
    if "variant" in query.by:
        place["variant"] = window.variant
    if "position" in query.by:
        place |= {"row": window.row, "rank": window.rank}
    return {
        "start_ms": window.start_ms,
        "end_ms": window.end_ms,
        **place,
        **_counters(window.counts),
        **rates(window.counts),
        "final": window.is_final,
        "revision": window.revision,
    }


def _counters(counts: Counts) -> dict[str, Any]:
    return msgspec.structs.asdict(counts)
