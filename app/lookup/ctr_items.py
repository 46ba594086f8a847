"""CTR of items: each worker sums what its partitions store, and one of them puts the sums together."""

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from app.lookup.ctr_query import CtrQuery
from app.lookup.ctr_sort import FirstWindows
from app.lookup.ctr_sums import SumsRequest, bounds_of, spans_of
from app.lookup.owners import Stamped, ask_owners, must_own
from app.lookup.routing import Router
from app.lookup.service import LookupService
from app.lookup.staleness import oldest
from app.lookup.turns import Turns
from tables.ctr.item_columns import IMAGE_SEPARATOR
from tables.ctr.item_counts import ItemCounts, add_item, as_counts
from tables.ctr.item_sums import ItemSums
from tables.ctr.window_keys import ITEM, ITEM_IMAGE
from tables.ctr.window_sums import WindowSum

_REST: Final = ""
"""The name of the row of all items without a place."""


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


_decoder: Final = msgspec.json.Decoder(_ItemsReply)


async def _decode(raw: bytes) -> _ItemsReply:
    return _decoder.decode(raw)  # a thousand rows at most


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
        bounds=bounds_of(query),
    )
    parts = await ask_owners(service, router, customer, asked, headers, "items", local_items, _decode)
    first = FirstWindows[_ItemRow](asked.sort, asked.limit)
    total, left_out = ItemCounts(), 0
    rests: list[_ItemRow] = []
    for part in parts:
        reply = part.reply
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


async def local_items(service: LookupService, customer: str, asked: SumsRequest) -> Stamped[_ItemsReply]:
    """Return the first items of partitions of this worker; raise UnavailableError if it does not own one of them."""
    spans, step_of = spans_of(asked)
    dimension = ITEM_IMAGE if asked.by_image else ITEM
    first = FirstWindows[_ItemRow](asked.sort, asked.limit)
    reply, stale_ms, turns = _ItemsReply([], [], 0, ItemCounts()), None, Turns()
    for partition in asked.partitions:
        must_own(service, partition)
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
    for start_ms in list(sums.steps):
        columns = sums.steps.pop(start_ms)  # freed step by step: all at once would take 30 ms
        is_final = asked.end_of(start_ms) <= sums.over_ms
        async for name, counts in turns.each(columns.by_item()):
            add_item(reply.total, counts)
            first.offer(_ItemRow(start_ms, sums.scenario, name, counts, is_final))
    for start_ms, counts in sums.rest.items():
        add_item(reply.total, counts)
        reply.rests.append(_ItemRow(start_ms, sums.scenario, _REST, counts, is_final=False))
