"""Routing of lookups: this worker answers, or it asks the owner of the partition in one hop.

A worker never forwards a request that another worker forwarded. Two workers with different maps would send it back and forth.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from app.lookup.service import LookupService, UnavailableError
from app.lookup.staleness import STALE_HEADER

HOP_HEADER: Final = "X-Uptake-Hop"
FORMER_HEADER: Final = "X-Uptake-Former"
"""Set by a worker that asks another for the user's states under the former pseudonym, while the customer's key rotates."""
_RETRY_AFTER_S: Final = 1
MOVING_S: Final = 3  # about as long as a rebalance takes
STALE_AFTER_S: Final = 1.0
"""How long the owner may take to answer before a standby may answer instead."""
UNAVAILABLE: Final = 503
_PASSED_ON: Final = ("Authorization", "Content-Type")
_GIVEN_BACK: Final = ("Content-Type", "Retry-After", STALE_HEADER)


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer of another worker."""

    status: int
    body: bytes
    headers: dict[str, str]


class PeerRefusedError(Exception):
    """Another worker refused its part of an answer; the client gets the reply of that worker."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"another worker answered {reply.status}")
        self.reply = reply


def asking_for_former(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Return the headers of a request for the states under the former pseudonym."""
    asking = CIMultiDict(headers)  # header names may have any case
    asking[FORMER_HEADER] = "1"
    return asking


class Router:
    """Finds the owners of partitions, and asks other workers."""

    def __init__(self, service: LookupService, session: aiohttp.ClientSession) -> None:
        self._service = service
        self._session = session

    def place(self, partition: int, *, is_hop: bool) -> str | None:
        """Return the owner's address, None if this worker owns the partition; raise UnavailableError if it has no owner."""
        if self._service.is_local(partition):
            return None
        if is_hop:
            raise UnavailableError(
                f"partition {partition} is not at this worker any more; ask again in {MOVING_S} s",
                MOVING_S,
                partition,
            )
        owner = self._service.owner_of(partition)
        if owner is None:
            raise UnavailableError(
                f"no worker owns partition {partition} now; ask again in {MOVING_S} s", MOVING_S, partition
            )
        return owner

    def places(self, partitions: Iterable[int], *, is_hop: bool) -> dict[str | None, list[int]]:
        """Return address (None: here) -> partitions; raise UnavailableError if one of them has no owner."""
        found: dict[str | None, list[int]] = {}
        for partition in partitions:
            found.setdefault(self.place(partition, is_hop=is_hop), []).append(partition)
        return found

    async def ask(
        self,
        owner: str,
        method: str,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        timeout_s: float | None = None,
    ) -> Reply:
        """Ask another worker; raise UnavailableError if it does not answer. ``path`` is raw, with its query.

        ``timeout_s`` replaces the timeout of the session.
        """
        timeout = self._session.timeout if timeout_s is None else aiohttp.ClientTimeout(total=timeout_s)
        passed_on = {
            name: headers[name]
            for name in (*_PASSED_ON, FORMER_HEADER)
            if name in headers and _is_utf8(headers[name])
        }
        try:
            async with self._session.request(
                method,
                URL(owner.rstrip("/") + path, encoded=True),
                data=body or None,
                headers={**passed_on, HOP_HEADER: "1"},
                allow_redirects=False,
                timeout=timeout,
            ) as response:
                answer = await response.read()
                given_back = {
                    name: response.headers[name] for name in _GIVEN_BACK if name in response.headers
                }
                return Reply(response.status, answer, given_back)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise UnavailableError(
                f"the worker at {owner} does not answer ({type(error).__name__}); ask again in {_RETRY_AFTER_S} s",
                _RETRY_AFTER_S,
            ) from None

    async def ask_first(
        self, workers: Iterable[str], method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> Reply | None:
        """Ask one worker after the other for a copy; return the first answer that is not 503, else None."""
        for url in workers:
            try:
                reply = await self.ask(url, method, path, body, headers, timeout_s=STALE_AFTER_S)
            except UnavailableError:
                continue
            if reply.status != UNAVAILABLE:
                return reply
        return None


def _is_utf8(value: str) -> bool:
    """Return whether a header can be sent: bytes that are not UTF-8 arrive as lone surrogates, and no valid key has one."""
    return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)
