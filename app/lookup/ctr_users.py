"""Unique users of CTR windows: each worker estimates those of its scenarios, and one of them puts them next to the windows."""

from collections.abc import Mapping
from typing import Final

import msgspec

from app.lookup.ctr_query import CtrQuery
from app.lookup.ctr_sums import SumsRequest, bounds_of, spans_of
from app.lookup.owners import Stamped, ask_owners, decode_list, must_own
from app.lookup.routing import Router
from app.lookup.service import LookupService
from app.lookup.staleness import oldest
from app.lookup.turns import Turns
from tables.base.long_lists import used_up
from tables.ctr.unique_users import UniqueUsers, estimate
from tables.ctr.window_keys import ALL_SCENARIOS, HOUR_MS
from tables.ctr.window_sums import WindowSum, step_end, step_start

_NOBODY: Final = UniqueUsers(0, 0, 0)


class _Seen(msgspec.Struct, frozen=True, gc=False):
    """The start of a window, a scenario and a variant. A large answer has 100,000: none is an object of the garbage collector."""

    start_ms: int
    scenario: str
    variant: str | None


class _SeenRow(msgspec.Struct, array_like=True, gc=False):
    """The unique users of a scenario (and variant) in a step."""

    start_ms: int
    scenario: str
    variant: str | None
    users: UniqueUsers
    clickers: UniqueUsers


_decoder: Final = msgspec.json.Decoder(list[_SeenRow])


async def _decode(raw: bytes) -> list[_SeenRow]:
    return await decode_list(raw, _decoder)


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
        bounds=bounds_of(query),
    )
    parts = await ask_owners(service, router, customer, asked, headers, "users", local_users, _decode)
    turns, found = Turns(), dict[_Seen, _SeenRow]()
    async for row in turns.each(row for part in parts for row in used_up(part.reply)):
        found[_Seen(row.start_ms, row.scenario, row.variant)] = row
    async for window in turns.each(windows):
        start_ms = asked.from_ms if query.step_ms is None else window.start_ms
        seen = found.pop(_Seen(start_ms, window.scenario, window.variant), None)
        window.users, window.clickers = (_NOBODY, _NOBODY) if seen is None else (seen.users, seen.clickers)
    return oldest(part.stale_ms for part in parts)


async def local_users(service: LookupService, customer: str, asked: SumsRequest) -> Stamped[list[_SeenRow]]:
    """Return the unique users in partitions of this worker; raise UnavailableError if it does not own one of them."""
    spans, step_of = spans_of(asked)
    rows: list[_SeenRow] = []
    stale_ms, turns = None, Turns()
    for partition in asked.partitions:
        must_own(service, partition)
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
