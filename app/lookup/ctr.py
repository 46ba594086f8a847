"""Answers of CTR lookups: collects windows from the workers that own them, sums them, and adds rates."""

import asyncio
from collections.abc import Callable, Mapping, Set
from dataclasses import replace
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import msgspec

from app.lookup.ctr_items import add_users, items_of
from app.lookup.ctr_query import CtrQuery
from app.lookup.ctr_sort import FirstWindows
from app.lookup.ctr_window import changed, counted, window_as_json
from app.lookup.large_json import cut
from app.lookup.routing import MOVING_S, PeerRefusedError, Router
from app.lookup.service import LookupService, UnavailableError
from app.lookup.staleness import STALE_HEADER, marked, oldest, refuse_stale
from app.lookup.turns import Turns
from events.rejections import RefusedError
from tables.base.long_lists import used_up
from tables.ctr.item_counts import as_counts
from tables.ctr.panes import Counts, add
from tables.ctr.window_keys import ALL_SCENARIOS, scenario_key
from tables.ctr.window_sums import (
    StoredSpan,
    WindowRow,
    WindowSum,
    WindowSums,
    dimension_of,
    segments,
)

MAX_ROWS: Final = 200_000
"""Stored windows that are read for one answer: about 100 MB."""


PREVIOUS_WINDOWS: Final = "previous_windows"
"""The field of the windows of the span before."""

Encode = Callable[[WindowSum, Set[str], int | None], Any]
"""Returns the entry of a window, by its dimensions and the mark of the answer."""


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


class _Collected(NamedTuple):
    """The windows of one span, encoded, and their sum."""

    windows: list[Any]
    left_out: int
    counts: Counts
    stale_ms: int | None
    is_bounded: bool = False


async def answer_ctr(
    service: LookupService,
    router: Router,
    customer: str,
    query: CtrQuery,
    headers: Mapping[str, str],
    max_stale_ms: int | None = None,
    encode: Encode = window_as_json,
) -> dict[str, Any]:
    """Return the answer of ``/ctr``; raise UnavailableError unless every partition that may hold windows answered.

    Raise TooStaleError if one of them may lack events of a longer time than ``max_stale_ms``. ``encode`` makes an entry of ``windows``.
    """
    spans = segments(query.from_ms, query.to_ms, query.step_ms)
    from_ms, to_ms = (spans[0].from_ms, spans[-1].to_ms) if spans else (query.from_ms, query.to_ms)
    collector = _Collector(service, router, customer, headers, max_stale_ms, encode)
    found = await collector.collect(query)
    answer: dict[str, Any] = {
        "customer": customer,
        "scenario": query.scenario,
        "from_ms": from_ms,
        "to_ms": to_ms,
        "step_ms": query.step_ms,
        "by": sorted(query.by),
        "as_of_ms": query.as_of_ms,
        "windows": found.windows,
        "total": counted(found.counts, query.by),
    }
    if query.is_of_items:
        answer["items_bounded"] = found.is_bounded
    if query.limit is not None:
        answer["left_out"] = found.left_out
    if not query.has_previous:
        return marked(answer, found.stale_ms)
    earlier = replace(query, from_ms=max(0, 2 * from_ms - to_ms), to_ms=from_ms)
    before = await collector.collect(earlier)
    answer["previous"] = {
        "from_ms": earlier.from_ms,
        "to_ms": earlier.to_ms,
        "total": counted(before.counts, query.by),
    }
    answer["change"] = changed(found.counts, before.counts, query.by)
    answer[PREVIOUS_WINDOWS] = before.windows
    return marked(answer, oldest((found.stale_ms, before.stale_ms)))


class _Collector:
    """Collects the windows of one span after the other for one answer."""

    def __init__(
        self,
        service: LookupService,
        router: Router,
        customer: str,
        headers: Mapping[str, str],
        max_stale_ms: int | None,
        encode: Encode,
    ) -> None:
        self._service, self._router, self._customer, self._headers = service, router, customer, headers
        self._max_stale_ms, self._encode = max_stale_ms, encode

    async def collect(self, query: CtrQuery) -> _Collected:
        return await (self._items(query) if query.is_of_items else self._windows(query))

    async def _items(self, query: CtrQuery) -> _Collected:
        found = await items_of(self._service, self._router, self._customer, query, self._headers)
        refuse_stale(found.stale_ms, self._max_stale_ms)
        windows = [self._encode(window, query.by, found.stale_ms) for window in found.windows]
        is_bounded = any(window.item is None for window in found.windows)
        return _Collected(windows, found.left_out, as_counts(found.total), found.stale_ms, is_bounded)

    async def _windows(self, query: CtrQuery) -> _Collected:
        parts = await self._parts(query)
        stale_ms = oldest(part.stale_ms for part in parts)
        refuse_stale(stale_ms, self._max_stale_ms)
        turns = Turns()
        if sum(len(part.rows) for part in parts) > MAX_ROWS:
            async for _ in turns.each(row for part in parts for row in used_up(part.rows)):
                pass  # freed in slices
            raise RefusedError(
                "bad_parameter",
                f"the span holds more than {MAX_ROWS} stored windows; take a shorter one, one scenario, or a larger granularity",
                "from",
            )
        sums = WindowSums(query.by, query.from_ms, query.to_ms, query.step_ms, query.as_of_ms)
        async for row in turns.each(row for part in parts for row in used_up(part.rows)):
            sums.add(row)
        counts = Counts()
        windows: list[Any] = []
        kept: list[WindowSum] = []
        first = None if query.limit is None else FirstWindows[WindowSum](query.sort, query.limit)
        async for window in turns.each(await turns.run(sums.in_order())):
            add(counts, window.counts)
            if first is not None:
                first.offer(window)
            elif query.has_users:
                kept.append(window)
            else:
                windows.append(self._encode(window, query.by, stale_ms))
        if first is not None:
            kept = list(first.in_order())
        if query.has_users:
            of_users = await add_users(
                self._service, self._router, self._customer, query, self._headers, kept
            )
            stale_ms = oldest((stale_ms, of_users))
        async for window in turns.each(used_up(kept)):
            windows.append(self._encode(window, query.by, stale_ms))  # noqa: PERF401 - freed one by one
        return _Collected(windows, 0 if first is None else first.left_out, counts, stale_ms)

    async def _parts(self, query: CtrQuery) -> list[MarkedRows]:
        """Return the stored windows that the answer is made of, from the workers that own them."""
        scenario = ALL_SCENARIOS if "customer" in query.by else query.scenario
        if scenario is None:
            partitions = list(range(self._service.partition_count))
        else:
            partitions = [self._service.partition_of(scenario_key(self._customer, scenario))]
        spans = segments(query.from_ms, query.to_ms, query.step_ms)
        dimension = dimension_of(query.by)
        asked = [
            rows_from(
                self._service,
                self._router,
                self._customer,
                owner,
                RowsRequest(here, scenario, dimension, spans),
                self._headers,
            )
            for owner, here in self._router.places(partitions, is_hop=False).items()
        ]
        return await asyncio.gather(*asked)


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
            if len(rows) > MAX_ROWS:
                break  # answer_ctr refuses so many
        # Asked for after the rows were read: the contact may have been lost meanwhile.
        stale_ms = oldest((stale_ms, service.stale_ms(partition)))
    return MarkedRows(rows, stale_ms)


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
