"""Stored windows of the partitions of this worker and of others, which an answer about click-through rates is made of."""

from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import quote

import msgspec

from app.lookup.large_json import cut
from app.lookup.routing import MOVING_S, PeerRefusedError, Router
from app.lookup.service import LookupService, UnavailableError
from app.lookup.staleness import STALE_HEADER, oldest
from app.lookup.turns import Turns
from events.rejections import RefusedError
from tables.ctr.panes import Counts, add
from tables.ctr.window_keys import ALL_SCENARIOS, CUSTOMER, SCENARIO, WindowKey
from tables.ctr.window_sums import StoredSpan, WindowRow

MAX_ROWS: Final = 200_000
"""Stored windows that are read at once for one answer: about 100 MB."""


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
        if request.dimension == CUSTOMER:
            rows += await _totals(service, partition, customer, request, turns)
        else:
            windows = service.windows(
                partition, customer, request.scenario, request.dimension, request.segments
            )
            async for some in turns.each(windows):
                rows += some
                if len(rows) > MAX_ROWS:
                    break  # answer_ctr refuses so many
        # Asked for after the rows were read: the contact may have been lost meanwhile.
        stale_ms = oldest((stale_ms, service.stale_ms(partition)))
    return MarkedRows(rows, stale_ms)


async def _totals(
    service: LookupService, partition: int, customer: str, request: RowsRequest, turns: Turns
) -> list[WindowRow]:
    """Return the windows of a customer in a partition: sums over its scenarios, which may be many."""
    sums: dict[tuple[str, int], WindowRow] = {}
    async for some in turns.each(service.windows(partition, customer, None, SCENARIO, request.segments)):
        for row in some:
            place = row.key.granularity, row.key.start_ms
            known = sums.get(place)
            counts = Counts() if known is None else known.counts
            add(counts, row.counts)
            key = WindowKey(customer, ALL_SCENARIOS, CUSTOMER, *place)
            if known is None:
                sums[place] = WindowRow(key, counts, row.revision, row.is_final, row.over_ms)
            else:
                sums[place] = WindowRow(
                    key,
                    counts,
                    known.revision + row.revision,
                    known.is_final and row.is_final,
                    min(known.over_ms, row.over_ms),
                )
    return list(sums.values())


async def rows_from(
    service: LookupService,
    router: Router,
    customer: str,
    owner: str | None,
    request: RowsRequest,
    headers: Mapping[str, str],
) -> MarkedRows:
    """Return stored windows of a worker. ``owner`` is its address, None for this one."""
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
