"""CTR of items, and unique users: each worker sums what its partitions store, and one of them puts the sums together."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import quote

import msgspec

from app.lookup.ctr_query import CtrQuery, Sort
from app.lookup.ctr_sort import FirstWindows
from app.lookup.routing import MOVING_S, PeerRefusedError, Router
from app.lookup.service import LookupService, UnavailableError
from app.lookup.staleness import STALE_HEADER, oldest
from app.lookup.turns import Turns
from events.rejections import RefusedError
from events.topics import DAY_MS
from tables.ctr.item_columns import IMAGE_SEPARATOR
from tables.ctr.item_counts import ItemCounts, add_item, as_counts
from tables.ctr.item_sums import ItemSums, StepOf
from tables.ctr.item_windows import ITEM_KEEP_MS
from tables.ctr.local_days import LocalSteps
from tables.ctr.local_windows import LocalReading, window_at
from tables.ctr.unique_users import UniqueUsers, estimate
from tables.ctr.window_keys import ALL_SCENARIOS, HOUR_MS, ITEM, ITEM_IMAGE, scenario_key
from tables.ctr.window_sums import StoredSpan, WindowSum, segments, step_end, step_start

_REST: Final = ""
"""The name of the row of all items without a place."""


class SumsRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A worker's request to another: sums of what these partitions store. With ``bounds``, a window lasts from one to the next."""

    partitions: list[int]
    scenario: str | None
    from_ms: int
    to_ms: int
    step_ms: int | None
    sort: Sort = "top"
    limit: int = 100
    by_image: bool = False
    by_variant: bool = False
    bounds: list[int] = []

    def end_of(self, start_ms: int) -> int:
        """Return the end of the window that starts at a time."""
        if self.bounds:
            return window_at(self.bounds, start_ms)[1]
        return self.to_ms if self.step_ms is None else start_ms + self.step_ms


class _ItemRow(msgspec.Struct, array_like=True, gc=False):
    """One item, or one with an image, of a scenario in a step. The name ``""`` has all items without a place of their own."""

    start_ms: int
    scenario: str
    name: str
    counts: ItemCounts
    is_final: bool


class _ItemsReply(msgspec.Struct, array_like=True):
    """The first items of some partitions. ``rests`` has what counts under no name; ``total`` sums everything."""

    rows: list[_ItemRow]
    rests: list[_ItemRow]
    left_out: int
    total: ItemCounts


class _SeenRow(msgspec.Struct, array_like=True, gc=False):
    """The unique users of a scenario (and variant) in a step."""

    start_ms: int
    scenario: str
    variant: str | None
    users: UniqueUsers
    clickers: UniqueUsers


class Stamped(NamedTuple):
    """A reply, and the ``stale_ms`` of the oldest partition that it comes from."""

    reply: Any
    stale_ms: int | None


_T = TypeVar("_T")


class SummedItems(NamedTuple):
    """The windows of an answer by item, the first ones first, with what was left out."""

    windows: list[WindowSum]
    left_out: int
    total: ItemCounts
    stale_ms: int | None


async def items_of(
    service: LookupService, router: Router, customer: str, query: CtrQuery, headers: Mapping[str, str]
) -> SummedItems:
    """Return the items of a query. Each scenario is in one partition, so the first of each part are enough for the first of all."""
    asked = SumsRequest(
        [],
        query.scenario,
        query.from_ms,
        query.to_ms,
        query.step_ms,
        query.sort or "top",
        query.limit or 1,
        by_image="image" in query.by,
        bounds=_bounds(query),
    )
    parts = await _ask_owners(service, router, customer, query.scenario, asked, headers, "items", _ItemsReply)
    first = FirstWindows[_ItemRow](asked.sort, asked.limit)
    total, left_out = ItemCounts(), 0
    rests: list[_ItemRow] = []
    for part in parts:
        reply: _ItemsReply = part.reply
        add_item(total, reply.total)
        left_out += reply.left_out
        rests += reply.rests
        for row in reply.rows:
            first.offer(row)
    rows = [*first.in_order(), *rests]
    windows = [_window(row, asked, query.as_of_ms) for row in rows]
    return SummedItems(windows, left_out + first.left_out, total, oldest(part.stale_ms for part in parts))


def _window(row: _ItemRow, asked: SumsRequest, as_of_ms: int) -> WindowSum:
    start_ms, end_ms = row.start_ms, asked.end_of(row.start_ms)
    item, _, image = row.name.partition(IMAGE_SEPARATOR)
    return WindowSum(
        start_ms,
        end_ms,
        row.scenario,
        None,
        None,
        None,
        as_counts(row.counts),
        0,
        row.is_final and end_ms <= as_of_ms,
        item or None,
        image or None,
    )


def _bounds(query: CtrQuery) -> list[int]:
    """Return the bounds of days of a time zone, if the query is by such; raise RefusedError if what they need is not stored."""
    if query.local is None:
        return []
    bounds, now_ms = query.local
    if any(bound % HOUR_MS for bound in bounds):
        sentence = f"items and users are kept by hour, and a day of {query.zone} begins within one; take time_zone=UTC"
        raise RefusedError("bad_parameter", sentence, "time_zone")
    oldest_ms = now_ms - ITEM_KEEP_MS["hour"] + DAY_MS
    if query.is_of_items and any(bound % DAY_MS and bound < oldest_ms for bound in bounds):
        sentence = "items of so long ago are kept by days of UTC; take time_zone=UTC, or a later span"
        raise RefusedError("bad_parameter", sentence, "time_zone")
    return list(bounds)


async def add_users(
    service: LookupService,
    router: Router,
    customer: str,
    query: CtrQuery,
    headers: Mapping[str, str],
    windows: list[WindowSum],
) -> int | None:
    """Give windows their numbers of unique users, of all hours that they overlap. Return the ``stale_ms`` of these."""
    scenario = ALL_SCENARIOS if "customer" in query.by else query.scenario
    asked = SumsRequest(
        [],
        scenario,
        step_start(query.from_ms, HOUR_MS),
        step_end(query.to_ms, HOUR_MS),
        query.step_ms,
        by_variant="variant" in query.by,
        bounds=_bounds(query),
    )
    parts = await _ask_owners(service, router, customer, scenario, asked, headers, "users", list[_SeenRow])
    found = {(row.start_ms, row.scenario, row.variant): row for part in parts for row in part.reply}
    nobody = UniqueUsers(0, 0, 0)
    for window in windows:
        start_ms = asked.from_ms if query.step_ms is None else window.start_ms
        row = found.get((start_ms, window.scenario, window.variant))
        window.users, window.clickers = (nobody, nobody) if row is None else (row.users, row.clickers)
    return oldest(part.stale_ms for part in parts)


async def _ask_owners(
    service: LookupService,
    router: Router,
    customer: str,
    scenario: str | None,
    asked: SumsRequest,
    headers: Mapping[str, str],
    what: str,
    reply_type: Any,
) -> list[Stamped]:
    """Return the sums of all owners of the partitions that may hold a scenario (None: all scenarios)."""
    partitions = list(range(service.partition_count))
    if scenario is not None:
        partitions = [service.partition_of(scenario_key(customer, scenario))]
    local = {"items": local_items, "users": local_users}[what]

    async def ask(owner: str | None, here: list[int]) -> Stamped:
        request = msgspec.structs.replace(asked, partitions=here)
        if owner is None:
            return await local(service, customer, request)
        body, path = msgspec.json.encode(request), f"/v1/{quote(customer, safe='')}/ctr/{what}"
        reply = await router.ask(owner, "POST", path, body, headers)
        if reply.status != 200:
            raise PeerRefusedError(reply)
        mark = reply.headers.get(STALE_HEADER)
        return Stamped(msgspec.json.decode(reply.body, type=reply_type), None if mark is None else int(mark))

    places = router.places(partitions, is_hop=False)
    return await asyncio.gather(*[ask(owner, here) for owner, here in places.items()])


def read_sums_request(raw: bytes) -> SumsRequest:
    """Return the request of another worker; raise RefusedError if it is not valid."""
    try:
        return msgspec.json.decode(raw, type=SumsRequest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError("bad_body", f"the body does not ask for sums: {error}") from None


def _spans(asked: SumsRequest) -> tuple[list[StoredSpan], StepOf]:
    """Return the stored spans of a request, of whole hours, and the function from their starts to steps."""
    step_ms, from_ms, bounds = asked.step_ms, asked.from_ms, tuple(asked.bounds)
    if bounds:
        return LocalReading(LocalSteps(bounds, 0)).segments, lambda time_ms: window_at(bounds, time_ms)[0]
    spans = segments(from_ms, asked.to_ms, step_ms)
    if step_ms is None:
        return spans, lambda _: from_ms
    return spans, lambda start_ms: step_start(start_ms, step_ms)


async def local_items(service: LookupService, customer: str, asked: SumsRequest) -> Stamped:
    """Return the first items of partitions of this worker; raise UnavailableError if it does not own one of them."""
    spans, step_of = _spans(asked)
    dimension = ITEM_IMAGE if asked.by_image else ITEM
    first = FirstWindows[_ItemRow](asked.sort, asked.limit)
    reply, stale_ms, turns = _ItemsReply([], [], 0, ItemCounts()), None, Turns()
    for partition in asked.partitions:
        _must_own(service, partition)
        async for sums in turns.each(
            service.item_sums(partition, customer, asked.scenario, dimension, spans, step_of)
        ):
            if sums is not None:
                await _offer(sums, asked, first, reply, turns)
        # Asked for after the rows were read: the contact may have been lost meanwhile.
        stale_ms = oldest((stale_ms, service.stale_ms(partition)))
    reply.rows, reply.left_out = list(first.in_order()), first.left_out
    return Stamped(reply, stale_ms)


async def _offer(
    sums: ItemSums, asked: SumsRequest, first: FirstWindows[_ItemRow], reply: _ItemsReply, turns: Turns
) -> None:
    for start_ms, columns in sums.steps.items():
        is_final = asked.end_of(start_ms) <= sums.over_ms
        async for name, counts in turns.each(columns.by_item()):
            add_item(reply.total, counts)
            first.offer(_ItemRow(start_ms, sums.scenario, name, counts, is_final))
    for start_ms, counts in sums.rest.items():
        add_item(reply.total, counts)
        reply.rests.append(_ItemRow(start_ms, sums.scenario, _REST, counts, is_final=False))


async def local_users(service: LookupService, customer: str, asked: SumsRequest) -> Stamped:
    """Return the unique users in partitions of this worker; raise UnavailableError if it does not own one of them."""
    spans, step_of = _spans(asked)
    rows: list[_SeenRow] = []
    stale_ms, turns = None, Turns()
    for partition in asked.partitions:
        _must_own(service, partition)
        async for sums in turns.each(
            service.seen_sums(
                partition, customer, asked.scenario, spans, step_of, by_variant=asked.by_variant
            )
        ):
            if sums is None:
                continue
            async for start_ms, variant, sketches in turns.each(sums.sums()):
                users, clickers = estimate(sketches.users), estimate(sketches.clickers)
                rows.append(_SeenRow(start_ms, sums.scenario, variant, users, clickers))
        stale_ms = oldest((stale_ms, service.stale_ms(partition)))
    return Stamped(rows, stale_ms)


def _must_own(service: LookupService, partition: int) -> None:
    if not service.is_local(partition):
        raise UnavailableError(f"partition {partition} is not at this worker any more", MOVING_S, partition)
