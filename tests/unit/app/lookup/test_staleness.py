"""Answers of a worker without contact with Kafka: marked in body and head, refused where the client or the worker wants that."""

from typing import Any

import pytest

from app.lookup.service import TooStaleError
from app.lookup.staleness import STALE_HEADER, marked, oldest, refuse_stale, stale_headers
from tests.support.lookups import Client, MemoryWorker, Start, a_shopper, two_workers, url_of
from tests.unit.app.lookup.test_former import CUSTOMERS, USERS, rotating

ENDPOINTS = ["page", "exclusions", "filter", "many", "ctr"]
STALE = 7_000


async def ask(client: Client, endpoint: str, max_stale_ms: int | None = None) -> tuple[int, Any, str | None]:
    """Return status, body and mark of the head of a lookup."""
    query = "" if max_stale_ms is None else f"?max_stale_ms={max_stale_ms}"
    body: dict[str, Any] = {"candidates": ["7", "8"]} | (
        {} if max_stale_ms is None else {"max_stale_ms": max_stale_ms}
    )
    user = "/v1/00000/users/max"
    response = await {
        "page": lambda: client.get(user + query),
        "exclusions": lambda: client.get(f"{user}/exclusions{query}"),
        "filter": lambda: client.post(f"{user}/filter", json=body),
        "many": lambda: client.post("/v1/00000/filter", json={**body, "users": ["max", "moritz"]}),
        "ctr": lambda: client.get(f"/v1/00000/ctr{query}"),
    }[endpoint]()
    return response.status, await response.json(), response.headers.get(STALE_HEADER)


@pytest.fixture
def worker() -> MemoryWorker:
    worker = MemoryWorker()
    worker.know("max", a_shopper())
    return worker


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("max_stale_ms", [None, 0, STALE])
async def test_fresh_answer_has_no_mark(
    start: Start, worker: MemoryWorker, endpoint: str, max_stale_ms: int | None
) -> None:
    status, body, mark = await ask(await start(worker), endpoint, max_stale_ms)
    assert (status, mark, "stale_ms" in body) == (200, None, False)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("max_stale_ms", [None, STALE, STALE + 1])
async def test_answer_without_contact_is_marked_in_body_and_head(
    start: Start, worker: MemoryWorker, endpoint: str, max_stale_ms: int | None
) -> None:
    worker.stale = dict.fromkeys(range(4), STALE)
    status, body, mark = await ask(await start(worker), endpoint, max_stale_ms)
    assert (status, body["stale_ms"], mark) == (200, STALE, str(STALE))
    assert [result["stale_ms"] for result in body.get("results", [])] == [STALE] * len(
        body.get("results", [])
    )


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("max_stale_ms", [0, STALE - 1])
async def test_client_that_allows_less_is_refused(
    start: Start, worker: MemoryWorker, endpoint: str, max_stale_ms: int
) -> None:
    worker.stale = dict.fromkeys(range(4), STALE)
    status, body, mark = await ask(await start(worker), endpoint, max_stale_ms)
    assert (status, body["code"], mark) == (503, "unavailable", None)
    assert str(STALE) in body["sentence"]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("max_stale_ms", [None, 0, 10**9])
async def test_worker_that_is_out_of_touch_for_too_long_refuses_all(
    start: Start, worker: MemoryWorker, endpoint: str, max_stale_ms: int | None
) -> None:
    worker.refusing = set(range(4))
    status, body, _ = await ask(await start(worker), endpoint, max_stale_ms)
    assert (status, body["code"]) == (503, "unavailable")
    assert "no contact with Kafka for 301 s" in body["sentence"]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_hop_passes_the_marks_on(start: Start, endpoint: str) -> None:
    one, here, other, there = await two_workers(start)
    one.know("max", a_shopper())
    other.views = one.views
    one.stale = dict.fromkeys(one.local, STALE)
    other.stale = dict.fromkeys(other.local, STALE)
    for client in (here, there):
        status, body, mark = await ask(client, endpoint)
        assert (status, body["stale_ms"], mark) == (200, STALE, str(STALE))
        assert (await ask(client, endpoint, 0))[0] == 503


async def test_mark_of_a_sum_is_that_of_its_oldest_part(start: Start) -> None:
    one, here, other, there = await two_workers(start)
    one.stale, other.stale = {1: 6_000}, {2: 9_000}
    for client in (here, there):
        status, body, mark = await ask(client, "ctr")
        assert (status, body["stale_ms"], mark) == (200, 9_000, "9000")


async def test_hop_takes_the_current_owner_even_if_the_asked_worker_is_out_of_touch(start: Start) -> None:
    one, here, other, _ = await two_workers(start)
    one.local, one.owners = set(), dict.fromkeys(range(4), one.owners[2])
    other.local = set(range(4))
    one.stale, one.refusing = dict.fromkeys(range(4), STALE), set(range(4))
    for endpoint in ENDPOINTS:
        status, body, mark = await ask(here, endpoint, 0)
        assert (status, mark, "stale_ms" in body) == (200, None, False)


async def test_copy_elsewhere_answers_where_the_owner_is_too_stale(
    start: Start, worker: MemoryWorker
) -> None:
    other = MemoryWorker()  # by now it owns the partitions
    other.views = worker.views
    worker.stale = dict.fromkeys(range(4), STALE)
    worker.standbys = {partition: [url_of(await start(other))] for partition in range(4)}
    client = await start(worker)
    for endpoint in ENDPOINTS[:-1]:
        status, body, mark = await ask(client, endpoint, 100)
        assert (status, mark, "stale_ms" in body) == (200, None, False)


async def test_answer_of_a_copy_is_marked_in_the_head_too(start: Start) -> None:
    worker = MemoryWorker(local=set())
    worker.copies = dict.fromkeys(range(4), 70)
    client = await start(worker)
    for endpoint in ENDPOINTS[:-1]:
        status, body, mark = await ask(client, endpoint, 100)
        assert (status, body["stale_ms"], mark) == (200, 70, "70")


async def test_unknown_user_found_under_a_former_pseudonym_has_the_older_mark(start: Start) -> None:
    one, here, other, there = await rotating(start)
    assert one.customers is CUSTOMERS
    one.stale, other.stale = dict.fromkeys(one.local, 6_000), dict.fromkeys(other.local, 9_000)
    marks = set()
    for raw_user in USERS:
        path = f"/v1/00000/users/{raw_user.replace(' ', '%20')}/exclusions"
        answers = [await client.get(path) for client in (here, there)]
        bodies = [await answer.json() for answer in answers]
        many = await (
            await here.post("/v1/00000/filter", json={"users": [raw_user], "candidates": ["7"]})
        ).json()
        found = {body["stale_ms"] for body in [*bodies, many, *many["results"]]}
        assert len(found) == 1
        assert {int(answer.headers[STALE_HEADER]) for answer in answers} == found
        marks |= found
    assert marks == {6_000, 9_000}


@pytest.mark.parametrize(
    ("answer", "stale_ms", "mark"),
    [
        ({}, None, None),
        ({}, 5, 5),
        ({"stale_ms": 7}, 5, 7),
        ({"stale_ms": 3}, 5, 5),
        ({"stale_ms": 3}, None, 3),
    ],
)
def test_older_mark_stays(answer: dict[str, Any], stale_ms: int | None, mark: int | None) -> None:
    result = marked(answer, stale_ms)
    assert result.get("stale_ms") == mark
    assert stale_headers(result) == ({} if mark is None else {STALE_HEADER: str(mark)})


def test_refusal_counts_the_oldest_mark() -> None:
    assert oldest((None, 3, 9, None)) == 9
    assert oldest(()) is None
    refuse_stale(9, None)
    refuse_stale(None, 0)
    refuse_stale(9, 9)
    with pytest.raises(TooStaleError):
        refuse_stale(9, 8)
