"""An older answer from a standby's copy: only for clients that allow it, within their limit of age, and always marked."""

import asyncio
from typing import Any

import pytest
from aiohttp.test_utils import unused_port

from tests.support.lookups import Client, MemoryWorker, Start, a_shopper, two_workers, url_of

ALLOWED = "max_stale_ms=5000"


async def ask(
    client: Client, user: str = "max", *, max_stale_ms: int | None = 5_000
) -> list[tuple[int, Any]]:
    """Return status and body of every lookup about a user."""
    query = "" if max_stale_ms is None else f"?max_stale_ms={max_stale_ms}"
    body: dict[str, Any] = {"candidates": ["7", "8"]}
    if max_stale_ms is not None:
        body["max_stale_ms"] = max_stale_ms
    answers = [
        await client.get(f"/v1/00000/users/{user}{query}"),
        await client.get(f"/v1/00000/users/{user}/exclusions{query}"),
        await client.post(f"/v1/00000/users/{user}/filter", json=body),
        await client.post("/v1/00000/filter", json={**body, "users": [user]}),
    ]
    found = [(answer.status, await answer.json()) for answer in answers]
    return [(status, each["results"][0] if "results" in each else each) for status, each in found]


def is_of_a_shopper(answers: list[tuple[int, Any]]) -> bool:
    page, exclusions, *filtered = [answer for _, answer in answers]
    return (
        [each["item"] for each in page["rendered"]] == ["7"]
        and sorted(each["item"] for each in exclusions["excluded"]) == ["7", "9"]
        and all(each["kept"] == ["8"] for each in filtered)
    )


async def test_an_owner_that_answers_is_asked_and_its_answer_not_marked(start: Start) -> None:
    one, here, other, there = await two_workers(start)
    partition = one.know("max", a_shopper())
    other.views = one.views
    one.copies = other.copies = {partition: 100}
    for client in (here, there):
        answers = await ask(client)
        assert is_of_a_shopper(answers)
        assert [(status, "stale_ms" in answer) for status, answer in answers] == [(200, False)] * 4


@pytest.fixture
async def orphaned(start: Start) -> tuple[MemoryWorker, Client, MemoryWorker, Client]:
    """Two workers and a user, `max`, whose owner is a third worker that does not answer."""
    one, other = MemoryWorker(local=set()), MemoryWorker(local=set())
    one.know("max", a_shopper())
    other.views = one.views
    one.owners = other.owners = dict.fromkeys(range(4), f"http://127.0.0.1:{unused_port()}")
    return one, await start(one), other, await start(other)


Orphaned = tuple[MemoryWorker, Client, MemoryWorker, Client]


async def test_a_copy_of_this_worker_answers_for_an_owner_that_does_not(orphaned: Orphaned) -> None:
    one, here, _, _ = orphaned
    one.copies = dict.fromkeys(range(4), 1_200)
    answers = await ask(here)
    assert is_of_a_shopper(answers)
    assert [(status, answer["stale_ms"]) for status, answer in answers] == [(200, 1_200)] * 4


async def test_a_copy_of_another_worker_answers_too(orphaned: Orphaned) -> None:
    one, here, other, there = orphaned
    dead = f"http://127.0.0.1:{unused_port()}"
    one.standbys = {partition: [dead, url_of(there)] for partition in range(4)}
    other.copies = dict.fromkeys(range(4), 1_200)
    answers = await ask(here)
    assert is_of_a_shopper(answers)
    assert [(status, answer["stale_ms"]) for status, answer in answers] == [(200, 1_200)] * 4


async def test_nobody_who_did_not_allow_it_gets_an_old_answer(orphaned: Orphaned) -> None:
    one, here, other, there = orphaned
    one.copies = other.copies = dict.fromkeys(range(4), 0)
    one.standbys = {partition: [url_of(there)] for partition in range(4)}
    for status, answer in await ask(here, max_stale_ms=None):
        assert (status, answer["code"]) == (503, "unavailable")


async def test_an_answer_that_is_older_than_allowed_is_none(orphaned: Orphaned) -> None:
    one, here, other, there = orphaned
    one.copies = other.copies = dict.fromkeys(range(4), 5_001)
    one.standbys = {partition: [url_of(there)] for partition in range(4)}
    for status, answer in await ask(here):
        assert (status, answer["code"]) == (503, "unavailable")
    other.copies = dict.fromkeys(range(4), 5_000)
    assert [(status, answer["stale_ms"]) for status, answer in await ask(here)] == [(200, 5_000)] * 4


async def test_an_owner_that_is_restoring_answers_from_the_copy_that_it_restores(start: Start) -> None:
    one, here, other, there = await two_workers(start)
    raw_user = next(f"u{n}" for n in range(99) if one.know(f"u{n}", a_shopper()) in other.local)
    other.views = one.views
    other.restoring = dict.fromkeys(other.local)
    other.copies = dict.fromkeys(other.local, 70)
    for client in (here, there):
        assert [(status, answer["stale_ms"]) for status, answer in await ask(client, raw_user)] == [
            (200, 70)
        ] * 4


async def test_a_copy_answers_where_nobody_owns_the_partition(start: Start) -> None:
    worker = MemoryWorker(local=set())
    worker.know("max", a_shopper())
    worker.copies = dict.fromkeys(range(4), 70)
    answers = await ask(await start(worker))
    assert is_of_a_shopper(answers)


async def test_an_owner_that_hangs_is_not_waited_for_where_a_copy_will_do(start: Start) -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # until the other side gives up
        writer.close()

    silent = await asyncio.start_server(never, "127.0.0.1", 0)
    worker = MemoryWorker(local=set())
    worker.owners = dict.fromkeys(range(4), f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}")
    worker.copies = dict.fromkeys(range(4), 70)
    client = await start(worker, timeout_s=3_600)
    assert (await client.get(f"/v1/00000/users/max?{ALLOWED}")).status == 200
    silent.close()
    await silent.wait_closed()


async def test_of_many_users_only_those_of_a_copy_are_marked(start: Start) -> None:
    one, here, other, there = await two_workers(start)
    users = [f"u{number}" for number in range(40)]
    at = {user: one.know(user, a_shopper()) for user in users}
    other.views = one.views
    other.restoring = {2: None}
    other.copies = {2: 70}
    for client in (here, there):
        body = {"users": users, "candidates": ["7", "8"], "max_stale_ms": 5_000}
        answer = await (await client.post("/v1/00000/filter", json=body)).json()
        assert [result["user"] for result in answer["results"]] == users
        for result in answer["results"]:
            assert result["kept"] == ["8"]
            assert result.get("stale_ms") == (70 if at[result["user"]] == 2 else None)
        del body["max_stale_ms"]
        assert (await client.post("/v1/00000/filter", json=body)).status == 503


@pytest.mark.parametrize("value", ["-1", "soon", "1.5"])
async def test_what_is_no_time_is_refused(start: Start, value: str) -> None:
    client = await start(MemoryWorker())
    response = await client.get(f"/v1/00000/users/max?max_stale_ms={value}")
    assert (response.status, (await response.json())["parameter"]) == (400, "max_stale_ms")
    response = await client.get(f"/v1/00000/ctr?max_stale_ms={value}")
    assert (response.status, (await response.json())["parameter"]) == (400, "max_stale_ms")


async def test_copies_do_not_answer_for_windows(orphaned: Orphaned) -> None:
    one, here, other, there = orphaned
    one.copies = other.copies = dict.fromkeys(range(4), 0)
    one.standbys = {partition: [url_of(there)] for partition in range(4)}
    assert (await here.get(f"/v1/00000/ctr?{ALLOWED}")).status == 503
