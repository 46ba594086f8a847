"""Pages of a worker for operators: off loopback they need the operators' key, and health stays open."""

import pytest

from app.http.operators import Operators
from tests.support.lookups import MemoryWorker, Start

OPERATORS = Operators(is_private=False, key="secrét")
RIGHT = {"Authorization": "bearer secrét"}


@pytest.mark.parametrize("path", ["/v1/status", "/v1/status?pretty=1", "/metrics"])
async def test_off_loopback_a_page_needs_the_key(start: Start, path: str) -> None:
    client = await start(MemoryWorker(), operators=OPERATORS)
    assert (await client.get(path, headers=RIGHT)).status == 200
    for wrong in ("", "Bearer ", "Bearer secret", "Basic secrét", "Bearer secrét2", "secrét"):
        response = await client.get(path, headers={"Authorization": wrong})
        assert (response.status, (await response.json())["code"]) == (401, "unauthorized")
        assert response.headers["WWW-Authenticate"].startswith("Bearer ")


@pytest.mark.parametrize("path", ["/v1/status", "/metrics"])
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer "}, {"Authorization": "Bearer None"}])
async def test_off_loopback_without_a_key_the_pages_are_closed(
    start: Start, path: str, headers: dict[str, str]
) -> None:
    client = await start(MemoryWorker(), operators=Operators(is_private=False))
    assert (await client.get(path, headers=headers)).status == 401


async def test_health_is_open_and_shows_more_only_to_operators(start: Start) -> None:
    worker = MemoryWorker()
    client = await start(worker, operators=OPERATORS)
    assert (await client.get("/health/live")).status == 200
    for is_ready, status in ((True, 200), (False, 503)):
        worker.is_ready = is_ready
        response = await client.get("/health/ready")
        assert (response.status, await response.json()) == (status, {"ready": is_ready})
        response = await client.get("/health/ready", headers=RIGHT)
        assert (response.status, (await response.json()).keys()) == (status, worker.status().keys())
