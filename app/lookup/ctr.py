"""Answers of CTR lookups: collects windows from the workers that own them, sums them, and adds rates."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import msgspec

from app.lookup.ctr_query import CtrQuery
from app.lookup.large_json import cut, used_up
from app.lookup.routing import MOVING_S, PeerRefusedError, Router
from app.lookup.service import LookupService, UnavailableError
from app.lookup.staleness import STALE_HEADER, marked, oldest, refuse_stale
from app.lookup.turns import Turns
from events.rejections import RefusedError
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


class MarkedRows(NamedTuple):
    """Stored windows, and the ``stale_ms`` of the oldest partition that they come from."""

    rows: list[WindowRow]
    stale_ms: int | None


_rows_decoder: Final = msgspec.json.Decoder(list[WindowRow])


async def answer_ctr(
    service: LookupService,
    router: Router,
    customer: str,
    query: CtrQuery,
    headers: Mapping[str, str],
    max_stale_ms: int | None = None,
) -> dict[str, Any]:
    """Return the answer of ``/ctr``; raise UnavailableError unless every partition that may hold windows answered.

    Raise TooStaleError if one of them may lack events of a longer time than ``max_stale_ms``.
    """
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
    stale_ms = oldest(part.stale_ms for part in parts)
    refuse_stale(stale_ms, max_stale_ms)
    turns = Turns()
    if sum(len(part.rows) for part in parts) > _MAX_ROWS:
        async for _ in turns.each(row for part in parts for row in used_up(part.rows)):
            pass  # freed in slices
        raise RefusedError(
            "bad_parameter",
            f"the span holds more than {_MAX_ROWS} stored windows; take a shorter one, one scenario, or a larger granularity",
            "from",
        )
    sums = WindowSums(query.by, query.from_ms, query.to_ms, query.step_ms, query.as_of_ms)
    async for row in turns.each(row for part in parts for row in used_up(part.rows)):
        sums.add(row)
    all_counts = Counts()
    windows: list[msgspec.Raw] = []
    async for window in turns.each(await turns.run(sums.in_order())):
        add(all_counts, window.counts)
        # To encode all windows at once would block the event loop for a large answer (app/lookup/large_json.py).
        windows.append(msgspec.Raw(msgspec.json.encode(_window(window, query))))
    answer = {
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
    return marked(answer, stale_ms)


def read_rows_request(raw: bytes) -> RowsRequest:
    """Return the request of another worker; raise RefusedError if it is not valid."""
    try:
        return msgspec.json.decode(raw, type=RowsRequest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError("bad_body", f"the body does not ask for windows: {error}") from None


async def local_rows(service: LookupService, customer: str, request: RowsRequest) -> MarkedRows:
    """Return the stored windows of these partitions; raise UnavailableError if this worker does not own one of them."""
    rows: list[WindowRow] = []
    stale_ms: int | None = None
    turns = Turns()
    for partition in request.partitions:
        if not service.is_local(partition):
            raise UnavailableError(
                f"partition {partition} is not at this worker any more", MOVING_S, partition
            )
        windows = service.windows(partition, customer, request.scenario, request.dimension, request.segments)
        async for some in turns.each(windows):
            rows += some
            if len(rows) > _MAX_ROWS:
                break  # answer_ctr refuses so many
        # Asked for after the rows were read: the contact may have been lost meanwhile.
        stale_ms = oldest((stale_ms, service.stale_ms(partition)))
    return MarkedRows(rows, stale_ms)


async def _rows(
    service: LookupService,
    router: Router,
    customer: str,
    owner: str | None,
    request: RowsRequest,
    headers: Mapping[str, str],
) -> MarkedRows:
    if owner is None:
        return await local_rows(service, customer, request)
    body = msgspec.json.encode(request)
    reply = await router.ask(owner, "POST", f"/v1/{quote(customer, safe='')}/ctr/rows", body, headers)
    if reply.status != 200:
        raise PeerRefusedError(reply)
    mark = reply.headers.get(STALE_HEADER)
    rows: list[WindowRow] = []
    async for some in Turns().each(cut(reply.body)):
        rows += _rows_decoder.decode(b"[%b]" % some)
    return MarkedRows(rows, None if mark is None else int(mark))


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
