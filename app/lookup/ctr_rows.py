"""Stored windows of the partitions of this worker and of others, which an answer about click-through rates is made of."""

from collections.abc import Mapping
from typing import Final

import msgspec

from app.lookup.owners import PartRequest, Stamped, ask_owners, decode_list, must_own
from app.lookup.routing import Router
from app.lookup.service import LookupService
from app.lookup.staleness import oldest
from app.lookup.turns import Turns
from tables.ctr.panes import Counts, add
from tables.ctr.window_keys import ALL_SCENARIOS, CUSTOMER, SCENARIO, WindowKey
from tables.ctr.window_sums import StoredSpan, WindowRow

MAX_ROWS: Final = 200_000
"""Stored windows that are read at once for one answer: about 100 MB."""


class RowsRequest(PartRequest, frozen=True, forbid_unknown_fields=True):
    """A worker's request to another: the stored windows of these partitions."""

    dimension: str
    segments: list[StoredSpan]


_decoder: Final = msgspec.json.Decoder(list[WindowRow])


async def _decode(raw: bytes) -> list[WindowRow]:
    return await decode_list(raw, _decoder)


async def local_rows(service: LookupService, customer: str, request: RowsRequest) -> Stamped[list[WindowRow]]:
    """Return the stored windows of these partitions; raise UnavailableError if this worker does not own one of them."""
    rows: list[WindowRow] = []
    stale_ms: int | None = None
    turns = Turns()
    for partition in request.partitions:
        must_own(service, partition)
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
    return Stamped(rows, stale_ms)


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


async def rows_of_owners(
    service: LookupService,
    router: Router,
    customer: str,
    scenario: str | None,
    dimension: str,
    spans: list[StoredSpan],
    headers: Mapping[str, str],
) -> list[Stamped[list[WindowRow]]]:
    """Return the stored windows of a scenario (None: of all) in a dimension, from the workers that own them."""
    asked = RowsRequest([], scenario, dimension, spans)
    return await ask_owners(service, router, customer, asked, headers, "rows", local_rows, _decode)
