"""Parts of one answer: each worker answers for its own partitions, and one of them asks all of their owners."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, NamedTuple, TypeVar
from urllib.parse import quote

import msgspec

from app.lookup.large_json import cut
from app.lookup.routing import MOVING_S, PeerRefusedError, Router
from app.lookup.service import LookupService, UnavailableError
from app.lookup.staleness import STALE_HEADER
from app.lookup.turns import Turns
from events.rejections import RefusedError
from tables.ctr.window_keys import scenario_key

_T = TypeVar("_T")


class PartRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a worker asks another: these partitions, about one scenario or all of them (None)."""

    partitions: list[int]
    scenario: str | None


_Request = TypeVar("_Request", bound=PartRequest)


class Stamped(NamedTuple, Generic[_T]):
    """A part, and the ``stale_ms`` of the oldest partition that it comes from."""

    reply: _T
    stale_ms: int | None


async def ask_owners(
    service: LookupService,
    router: Router,
    customer: str,
    asked: _Request,
    headers: Mapping[str, str],
    what: str,
    local: Callable[[LookupService, str, _Request], Awaitable[Stamped[_T]]],
    decode: Callable[[bytes], Awaitable[_T]],
) -> list[Stamped[_T]]:
    """Return the parts of all owners of the partitions that may hold the scenario of a request, whatever partitions it names.

    ``what`` ends the path at other workers, and ``decode`` reads their replies. ``local`` answers here.
    """
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


async def decode_list(raw: bytes, decoder: msgspec.json.Decoder[list[_T]]) -> list[_T]:
    """Return the rows of a reply, decoded a few at a time."""
    rows: list[_T] = []
    async for some in Turns().each(cut(raw)):
        rows += decoder.decode(b"[%b]" % some)
    return rows


def read_request(raw: bytes, request: type[_T], what: str) -> _T:
    """Return the request of another worker; raise RefusedError if it is not valid. ``what`` is what it should ask for."""
    try:
        return msgspec.json.decode(raw, type=request)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError("bad_body", f"the body does not ask for {what}: {error}") from None


def must_own(service: LookupService, partition: int) -> None:
    """Raise UnavailableError unless this worker owns a partition."""
    if not service.is_local(partition):
        raise UnavailableError(f"partition {partition} is not at this worker any more", MOVING_S, partition)
