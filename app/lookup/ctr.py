"""Answers of CTR lookups: collects windows from the workers that own them, sums them, and adds rates."""

from collections.abc import Callable, Mapping, Set
from typing import Any, Final, NamedTuple

from app.lookup.ctr_items import items_of
from app.lookup.ctr_query import CtrQuery, query_before
from app.lookup.ctr_rows import MAX_ROWS, rows_of_owners
from app.lookup.ctr_sort import FirstWindows
from app.lookup.ctr_users import add_users
from app.lookup.ctr_window import changed, counted, window_as_json
from app.lookup.owners import Stamped
from app.lookup.routing import Router
from app.lookup.service import LookupService
from app.lookup.staleness import marked, oldest, refuse_stale
from app.lookup.turns import Turns
from events.rejections import RefusedError
from tables.base.long_lists import used_up
from tables.ctr.item_counts import as_counts
from tables.ctr.local_days import LocalSteps
from tables.ctr.local_windows import LocalReading
from tables.ctr.panes import Counts, add
from tables.ctr.window_sums import (
    StoredSpan,
    WindowRow,
    WindowSum,
    WindowSums,
    dimension_of,
    segments,
)

_RUN: Final = 16  # windows of local days read at once: many more hours are read for them


PREVIOUS_WINDOWS: Final = "previous_windows"
"""The field of the windows of the span before."""

Encode = Callable[[WindowSum, Set[str], int | None], Any]
"""Returns the entry of a window, by its dimensions and the mark of the answer."""


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
    from_ms, to_ms = _widened(query)
    collector = _Collector(service, router, customer, headers, max_stale_ms, encode)
    found = await collector.collect(query)
    answer: dict[str, Any] = {
        "customer": customer,
        "scenario": query.scenario,
        "from_ms": from_ms,
        "to_ms": to_ms,
        "step_ms": query.step_ms,
        "time_zone": str(query.zone),
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
    earlier = query_before(query, from_ms, to_ms)
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
        bounds = () if query.local is None else query.local.bounds
        sums = WindowSums(query.by, query.from_ms, query.to_ms, query.step_ms, query.as_of_ms, bounds)
        turns, stale_ms = Turns(), None
        for steps in [None] if query.local is None else query.local.runs(_RUN):
            stale_ms = oldest((stale_ms, await self._fill(sums, query, steps, turns)))
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

    async def _fill(
        self, sums: WindowSums, query: CtrQuery, steps: LocalSteps | None, turns: Turns
    ) -> int | None:
        """Add the stored windows of ``steps``, or of the whole query, to their sums; return their ``stale_ms``."""
        reading = None if steps is None else LocalReading(steps)
        parts = await self._parts(query, reading)
        stale_ms = oldest(part.stale_ms for part in parts)
        refuse_stale(stale_ms, self._max_stale_ms)
        if len(sums) + sum(len(part.reply) for part in parts) > MAX_ROWS:
            for rest in (
                (row for part in parts for row in used_up(part.reply)),
                await turns.run(sums.in_order()),
            ):
                async for _ in turns.each(rest):
                    pass  # freed in slices
            raise RefusedError(
                "bad_parameter",
                f"the span holds more than {MAX_ROWS} stored windows; take a shorter one, one scenario, or a larger granularity",
                "from",
            )
        async for row in turns.each(row for part in parts for row in used_up(part.reply)):
            if reading is None or reading.takes(row):
                sums.add(row)
        if reading is not None:
            _refuse_incomplete(reading.missing(), str(query.zone))
        return stale_ms

    async def _parts(self, query: CtrQuery, reading: LocalReading | None) -> list[Stamped[list[WindowRow]]]:
        """Return the stored windows that the answer is made of, from the workers that own them."""
        spans = _spans(query) if reading is None else reading.segments
        return await rows_of_owners(
            self._service,
            self._router,
            self._customer,
            query.scenario,
            dimension_of(query.by),
            spans,
            self._headers,
        )


def _spans(query: CtrQuery) -> list[StoredSpan]:
    return segments(query.from_ms, query.to_ms, query.step_ms)


def _widened(query: CtrQuery) -> tuple[int, int]:
    """Return the span of the windows of a query."""
    if query.local is not None:
        return query.local.bounds[0], query.local.bounds[-1]
    spans = _spans(query)
    return (spans[0].from_ms, spans[-1].to_ms) if spans else (query.from_ms, query.to_ms)


def _refuse_incomplete(missing: str | None, zone: str) -> None:
    """Raise RefusedError if ``missing``, a granularity, is needed and no longer stored."""
    if missing is not None:
        raise RefusedError(
            "bad_parameter",
            f"some {missing}s that windows of {zone} are made of are no longer kept; "
            "take granularity=PT1H, time_zone=UTC, or a later span",
            "time_zone",
        )
