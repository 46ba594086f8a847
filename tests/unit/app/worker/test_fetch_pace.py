"""Fetches keep their distance under a steady load, and come at once after a pause or from a backlog."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.group import HeartbeatRequest

from app.worker.fetch_pace import FULL_ANSWER_BYTES, space_fetches

FETCH = FetchRequest(500, 1, 1_000_000, 1, [])
BEAT = HeartbeatRequest("g", 1, "m")


class World:
    """A client whose time passes only in sleeps. ``sent`` has what was sent, and when."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.bytes = 100.0, 10
        self.sent: list[tuple[Any, float]] = []
        self.client = SimpleNamespace(send=self._send)
        monkeypatch.setattr(asyncio, "sleep", self._sleep)
        space_fetches(SimpleNamespace(_client=self.client), 50, lambda: self.now)

    async def _sleep(self, seconds: float) -> None:
        self.now += seconds

    async def _send(self, node: int, request: Any, **options: Any) -> Any:
        self.sent.append((node, self.now))
        return SimpleNamespace(
            topics=[("t", [(0, 0, 5, 5, None, b"x" * self.bytes), (1, 0, 5, 5, None, None)])]
        )

    async def fetch(self, node: int = 1) -> float:
        await self.client.send(node, FETCH)
        return self.sent[-1][1]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


async def test_fetches_under_load_keep_their_distance(world: World) -> None:
    assert [await world.fetch() for _ in range(3)] == pytest.approx([100.0, 100.05, 100.1])


async def test_fetch_after_a_pause_is_sent_at_once(world: World) -> None:
    await world.fetch()
    world.now += 0.2
    assert await world.fetch() == pytest.approx(100.2)


async def test_backlog_is_fetched_without_waiting(world: World) -> None:
    world.bytes = FULL_ANSWER_BYTES
    assert [await world.fetch() for _ in range(3)] == [100.0] * 3


async def test_each_broker_has_its_own_distance_and_other_requests_have_none(world: World) -> None:
    await world.fetch(1)
    assert await world.fetch(2) == 100.0
    await world.client.send(1, BEAT)
    assert world.sent[-1] == (1, 100.0)
