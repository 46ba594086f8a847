"""While a pseudonym key rotates, lookups about users who have not come back yet use their former pseudonym."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from app.customers.customer import Customer
from app.lookup.user_view import UserView
from events.model import user_key
from tables.base.table_spec import Stretch
from tests.support.lookups import CUSTOMER, MINUTE, NOW, MemoryWorker, Start, a_shopper, shown, two_workers

ROTATING = replace(
    CUSTOMER,
    rules=replace(
        CUSTOMER.rules,
        key_id="k2",
        pseudonym_key=b"n" * 32,
        previous_key_id="k1",
        previous_pseudonym_key=CUSTOMER.rules.pseudonym_key,
    ),
)
CUSTOMERS: Mapping[str, Customer] = {"00000": ROTATING}
USERS = [f"user {number}" for number in range(24)]


def key_of(raw_user: str) -> bytes:
    return user_key("00000", ROTATING.rules.user(raw_user))


def seen(item: str) -> UserView:
    own = Stretch()
    shown(own, item, at=NOW - MINUTE)
    shown(own, item, at=NOW)
    return UserView(own)


async def rotating(start: Start) -> Any:
    """Return two workers that know all users by their former pseudonyms; every third has come back since."""
    one, here, other, there = await two_workers(start)
    for number, raw_user in enumerate(USERS):
        one.know(raw_user, seen("7"))  # as the customer was before
        if number % 3 == 0:
            one.views[key_of(raw_user)] = seen("8")
    other.views = one.views
    one.customers = other.customers = CUSTOMERS
    return one, here, other, there


def expected(number: int) -> list[str]:
    return ["8"] if number % 3 == 0 else ["7"]


async def test_every_lookup_of_a_user_finds_the_former_pseudonym_at_any_worker(start: Start) -> None:
    _, here, _, there = await rotating(start)
    for client in (here, there):
        for number, raw_user in enumerate(USERS):
            path = f"/v1/00000/users/{raw_user.replace(' ', '%20')}"
            answer = await (await client.get(f"{path}/exclusions")).json()
            assert answer["known"] is True
            assert [entry["item"] for entry in answer["excluded"]] == expected(number)
            page = await (await client.get(path)).json()
            assert [entry["item"] for entry in page["rendered"]] == expected(number)
            assert page["user"].startswith("k2.")
            reply = await client.post(f"{path}/filter", json={"candidates": ["7", "8"]})
            assert [entry["item"] for entry in (await reply.json())["dropped"]] == expected(number)


async def test_a_filter_for_many_finds_them_too(start: Start) -> None:
    _, here, _, there = await rotating(start)
    for client in (here, there):
        body = {"users": [*USERS, "stranger"], "candidates": ["7", "8"]}
        results = (await (await client.post("/v1/00000/filter", json=body)).json())["results"]
        assert [result["user"] for result in results] == [*USERS, "stranger"]
        for number, result in enumerate(results[:-1]):
            assert [entry["item"] for entry in result["dropped"]] == expected(number)
        assert (results[-1]["known"], results[-1]["kept"]) == (False, ["7", "8"])


async def test_who_is_known_under_neither_is_unknown(start: Start) -> None:
    _, here, _, there = await rotating(start)
    for client in (here, there):
        answer = await (await client.get("/v1/00000/users/stranger/exclusions")).json()
        assert (answer["known"], answer["excluded"]) == (False, [])


async def test_the_key_of_a_lookup_goes_with_it_however_the_client_writes_its_header(start: Start) -> None:
    def served(name: str) -> str:
        return "the-key"

    one, other = MemoryWorker(local={0, 1}), MemoryWorker(local={2, 3})
    here, there = await start(one, api_key_of=served), await start(other, api_key_of=served)
    one.owners = dict.fromkeys((2, 3), str(there.make_url("")).rstrip("/"))
    other.owners = dict.fromkeys((0, 1), str(here.make_url("")).rstrip("/"))
    for raw_user in USERS:
        one.know(raw_user, a_shopper())
    other.views, one.customers, other.customers = one.views, CUSTOMERS, CUSTOMERS
    for raw_user in USERS:
        path = f"/v1/00000/users/{raw_user.replace(' ', '%20')}/exclusions"
        answer = await here.get(path, headers={"authorization": "Bearer the-key"})
        assert (await answer.json())["known"] is True


@pytest.mark.parametrize("path", ["/exclusions", ""])
async def test_a_former_place_that_does_not_answer_is_503_and_never_empty(start: Start, path: str) -> None:
    one, here, other, _ = await rotating(start)

    def former(raw_user: str) -> int:
        return one.partition_of(user_key("00000", CUSTOMER.rules.user(raw_user)))

    raw_user = next(user for user in USERS[1:] if former(user) != one.partition_of(key_of(user)))
    for worker in (one, other):
        worker.restoring = {former(raw_user): None}
    assert (await here.get(f"/v1/00000/users/{raw_user.replace(' ', '%20')}{path}")).status == 503
