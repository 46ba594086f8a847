"""One filter for many users: each owner answers for its users, and a standby may answer if the owner does not."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import msgspec

from app.customers.customer import Customer
from app.lookup.exclusions import filter_steps
from app.lookup.large_json import cut
from app.lookup.requests import Filter
from app.lookup.rotation import rotate_steps
from app.lookup.routing import (
    STALE_AFTER_S,
    UNAVAILABLE,
    PeerRefusedError,
    Reply,
    Router,
    asking_for_former,
)
from app.lookup.service import LookupService, UnavailableError
from app.lookup.staleness import STALE_HEADER, marked, oldest, owned_view
from app.lookup.turns import Steps, Turns
from app.lookup.user_view import UserView
from events.model import user_key

_Results = dict[str, bytes]
"""User (raw id) -> entry of the answer, as JSON. As objects, all entries of a large answer would have to be encoded at once."""


def filtered(view: UserView, asked: Filter) -> Steps[dict[str, Any]]:
    """Return the answer of a filter for one user, in steps."""
    if asked.rotation is not None:
        answer = yield from rotate_steps(
            view, asked.candidates, asked.itemtype, asked.rotation, asked.as_of_ms, asked.in_scenario
        )
    else:
        answer = yield from filter_steps(
            view,
            asked.candidates,
            asked.itemtype,
            asked.rules,
            asked.limit,
            asked.as_of_ms,
            asked.in_scenario,
        )
    return marked(answer, view.stale_ms)


def user_of(customer: Customer, raw_user: str, *, is_former: bool) -> str:
    """Return a user's pseudonym. ``is_former``: the one under the previous key, if the customer's key rotates."""
    former = customer.rules.previous_user(raw_user) if is_former else None
    return customer.rules.user(raw_user) if former is None else former


def has_former(customer: Customer) -> bool:
    """Return whether the customer's key rotates: inactive users may still be known under a former pseudonym."""
    return customer.rules.previous_key_id is not None


async def filter_many(
    service: LookupService,
    router: Router,
    customer: Customer,
    asked: Filter,
    raw: bytes,
    headers: Mapping[str, str],
    *,
    is_hop: bool,
    is_former: bool = False,
) -> dict[str, Any]:
    """Return the answer of a filter for ``asked.users``; ``raw`` is its body. Raise UnavailableError unless it covers all of them.

    Its ``stale_ms`` is the largest of its results.
    ``is_former``: use the states under their former pseudonyms.
    """
    many = _Many(service, router, customer, asked, raw, headers, is_hop=is_hop, is_former=is_former)
    results = await many.answer()
    answer = {"as_of_ms": asked.as_of_ms, "results": [msgspec.Raw(results[user]) for user in asked.users]}
    return marked(answer, many.stale_ms)


class _Many:
    def __init__(
        self,
        service: LookupService,
        router: Router,
        customer: Customer,
        asked: Filter,
        raw: bytes,
        headers: Mapping[str, str],
        *,
        is_hop: bool,
        is_former: bool,
    ) -> None:
        self._service, self._router, self._asked, self._headers = service, router, asked, headers
        self._customer, self._raw, self._is_hop, self._is_former = customer, raw, is_hop, is_former
        self._path = f"/v1/{quote(customer.id, safe='')}/filter"
        self._body = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        self._body["as_of_ms"] = msgspec.Raw(b"%d" % asked.as_of_ms)  # one time for all users
        self._keys: dict[str, bytes] = {}
        self._partitions: dict[str, int] = {}
        self.stale_ms: int | None = None
        """The largest mark of the entries so far."""

    async def answer(self) -> _Results:
        """Return all results: of this worker's own users, of other workers' users, and of users whose partition has no owner."""
        here: list[str] = []
        elsewhere: dict[str, list[str]] = {}
        nowhere: list[str] = []
        failure: Exception | None = None
        async for user in Turns().each(self._asked.users):
            key = user_key(self._customer.id, user_of(self._customer, user, is_former=self._is_former))
            self._keys[user], self._partitions[user] = key, self._service.partition_of(key)
        for user, partition in self._partitions.items():
            try:
                owner = self._router.place(partition, is_hop=self._is_hop)
            except UnavailableError as unavailable:
                if self._asked.max_stale_ms is None:
                    raise
                failure = unavailable
                nowhere.append(user)
            else:
                (here if owner is None else elsewhere.setdefault(owner, [])).append(user)
        others = asyncio.gather(
            *(self._of_another(owner, users) for owner, users in elsewhere.items()),
            *([self._of_copies(nowhere, failure)] if failure is not None else []),
        )
        try:
            results = await self._of_mine(here)
        finally:
            answers = await others
        for answer in answers:
            results |= answer
        return results

    async def _of_mine(self, users: Sequence[str]) -> _Results:
        results: _Results = {}
        left: list[str] = []
        strangers: dict[str, int | None] = {}
        failure: UnavailableError | None = None
        turns = Turns()
        async for user in turns.each(users):
            try:
                view = owned_view(
                    self._service, self._partitions[user], self._keys[user], self._asked.max_stale_ms
                )
            except UnavailableError as unavailable:
                if self._asked.max_stale_ms is None:
                    raise
                failure = unavailable
                left.append(user)
            else:
                if not (view.is_known or self._is_former) and has_former(self._customer):
                    strangers[user] = view.stale_ms
                else:
                    results[user] = self._entry(user, await turns.run(filtered(view, self._asked)))
        if strangers:
            results |= await self._of_former(strangers)
        return results if failure is None else results | await self._of_copies(left, failure)

    async def _of_former(self, strangers: Mapping[str, int | None]) -> _Results:
        """Return the answers under the former pseudonyms of users without an event since the key rotation began.

        ``strangers`` maps these users to the marks of the partitions that do not know them.
        """
        asked = replace(self._asked, users=list(strangers))
        headers = asking_for_former(self._headers)
        former = _Many(
            self._service,
            self._router,
            self._customer,
            asked,
            self._raw,
            headers,
            is_hop=False,
            is_former=True,
        )
        results = await former.answer()
        self.stale_ms = oldest((self.stale_ms, former.stale_ms))
        async for user in Turns().each(user for user, stale_ms in strangers.items() if stale_ms is not None):
            result = msgspec.json.decode(results[user])
            del result["user"]
            results[user] = self._entry(user, marked(result, strangers[user]))
        return results

    async def _of_another(self, owner: str, users: list[str]) -> _Results:
        may_be_stale = self._asked.max_stale_ms is not None
        try:
            reply = await self._router.ask(
                owner,
                "POST",
                self._path,
                self._for(users),
                self._headers,
                timeout_s=STALE_AFTER_S if may_be_stale else None,
            )
        except UnavailableError as unavailable:
            if not may_be_stale:
                raise
            return await self._of_copies(users, unavailable)
        if reply.status == UNAVAILABLE and may_be_stale:
            return await self._of_copies(users, PeerRefusedError(reply))
        return await self._of_reply(users, reply)

    async def _of_copies(self, users: Sequence[str], failure: Exception) -> _Results:
        """Return the answers of copies, ours or those of other workers; raise ``failure`` if no copy covers one of the users."""
        assert self._asked.max_stale_ms is not None
        results: _Results = {}
        left: dict[tuple[str, ...], list[str]] = {}
        turns = Turns()
        async for user in turns.each(users):
            partition = self._partitions[user]
            view = self._service.stale_view(partition, self._keys[user], self._asked.max_stale_ms)
            if view is None:
                left.setdefault(tuple(self._service.standbys_of(partition)), []).append(user)
            else:
                results[user] = self._entry(user, await turns.run(filtered(view, self._asked)))
        if left and self._is_hop:
            raise failure
        for standbys, theirs in left.items():
            reply = await self._router.ask_first(
                standbys, "POST", self._path, self._for(theirs), self._headers
            )
            if reply is None:
                raise failure
            results |= await self._of_reply(theirs, reply)
        return results

    async def _of_reply(self, users: Sequence[str], reply: Reply) -> _Results:
        """Return the entries of another worker's answer, which come in the order of the users."""
        if reply.status != 200:
            raise PeerRefusedError(reply)
        mark = reply.headers.get(STALE_HEADER)
        self.stale_ms = oldest((self.stale_ms, None if mark is None else int(mark)))
        body = reply.body
        entries: list[bytes] = []
        async for some in Turns().each(cut(body, body.index(b"[") + 1, body.rindex(b"]"))):
            entries += msgspec.json.decode(b"[%b]" % some, type=list[msgspec.Raw])
        return dict(zip(users, entries, strict=True))

    def _entry(self, user: str, result: Mapping[str, Any]) -> bytes:
        """Return the entry of one user, and note its mark."""
        self.stale_ms = oldest((self.stale_ms, result.get("stale_ms")))
        return msgspec.json.encode({"user": user, **result})

    def _for(self, users: list[str]) -> bytes:
        return msgspec.json.encode({**self._body, "users": msgspec.Raw(msgspec.json.encode(users))})
