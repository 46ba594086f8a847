"""Requests of a worker to others for sums of what their partitions store: items, and unique users."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, NamedTuple, TypeVar
from urllib.parse import quote

import msgspec

from app.lookup.ctr_query import CtrQuery, Sort
from app.lookup.routing import MOVING_S, PeerRefusedError, Router
from app.lookup.service import LookupService, UnavailableError
from app.lookup.staleness import STALE_HEADER
from events.rejections import RefusedError
from events.topics import DAY_MS
from tables.ctr.item_sums import StepOf
from tables.ctr.item_windows import ITEM_KEEP_MS
from tables.ctr.local_days import LocalSteps
from tables.ctr.local_windows import LocalReading, window_at
from tables.ctr.window_keys import HOUR_MS, scenario_key
from tables.ctr.window_sums import StoredSpan, segments, step_start

_T = TypeVar("_T")


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


class Stamped(NamedTuple, Generic[_T]):
    """A reply, and the ``stale_ms`` of the oldest partition that it comes from."""

    reply: _T
    stale_ms: int | None


LocalSums = Callable[[LookupService, str, SumsRequest], Awaitable[Stamped[_T]]]
"""Answers a request from the partitions of this worker."""


async def ask_owners(
    service: LookupService,
    router: Router,
    customer: str,
    asked: SumsRequest,
    headers: Mapping[str, str],
    what: str,
    local: LocalSums[_T],
    decode: Callable[[bytes], Awaitable[_T]],
) -> list[Stamped[_T]]:
    """Return the sums of all owners of the partitions that may hold a scenario. ``what`` ends the path, ``decode`` reads a reply."""
    partitions = list(range(service.partition_count))
    if asked.scenario is not None:
        partitions = [service.partition_of(scenario_key(customer, asked.scenario))]

    async def ask(owner: str | None, here: list[int]) -> Stamped[_T]:
        request = msgspec.structs.replace(asked, partitions=here)
        if owner is None:
            return await local(service, customer, request)
        body, path = msgspec.json.encode(request), f"/v1/{quote(customer, safe='')}/ctr/{what}"
        reply = await router.ask(owner, "POST", path, body, headers)
        if reply.status != 200:
            raise PeerRefusedError(reply)
        mark = reply.headers.get(STALE_HEADER)
        return Stamped(await decode(reply.body), None if mark is None else int(mark))

    places = router.places(partitions, is_hop=False)
    return await asyncio.gather(*[ask(owner, here) for owner, here in places.items()])


def read_sums_request(raw: bytes) -> SumsRequest:
    """Return the request of another worker; raise RefusedError if it is not valid."""
    try:
        return msgspec.json.decode(raw, type=SumsRequest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError("bad_body", f"the body does not ask for sums: {error}") from None


def spans_of(asked: SumsRequest) -> tuple[list[StoredSpan], StepOf]:
    """Return the stored spans of a request, of whole hours, and the function from their starts to steps."""
    step_ms, from_ms, bounds = asked.step_ms, asked.from_ms, tuple(asked.bounds)
    if bounds:
        return LocalReading(LocalSteps(bounds, 0)).segments, lambda time_ms: window_at(bounds, time_ms)[0]
    spans = segments(from_ms, asked.to_ms, step_ms)
    if step_ms is None:
        return spans, lambda _: from_ms
    return spans, lambda start_ms: step_start(start_ms, step_ms)


def bounds_of(query: CtrQuery) -> list[int]:
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


def must_own(service: LookupService, partition: int) -> None:
    """Raise UnavailableError unless this worker owns a partition."""
    if not service.is_local(partition):
        raise UnavailableError(f"partition {partition} is not at this worker any more", MOVING_S, partition)
