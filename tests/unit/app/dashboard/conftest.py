"""Fixtures for tests of the dashboard: its real application, with small real servers as workers and collectors."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from app.dashboard.server import Upstreams, create_dashboard_app
from app.http.event_stream import EventHub
from app.http.operators import Operators
from tests.support.dashboard import (
    ADMIN_KEY,
    Client,
    DashboardServer,
    SetClock,
    SmallServer,
    customers,
)

Start = Callable[..., Awaitable[Client]]


@pytest.fixture
async def servers() -> AsyncIterator[list[SmallServer]]:
    """Two workers and two collectors."""
    servers = [SmallServer() for _ in range(4)]
    for server in servers:
        await server.start()
    yield servers
    for server in servers:
        await server.stop()


@pytest.fixture
def workers(servers: list[SmallServer]) -> list[SmallServer]:
    return servers[:2]


@pytest.fixture
def collectors(servers: list[SmallServer]) -> list[SmallServer]:
    return servers[2:]


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
async def start(
    workers: list[SmallServer], collectors: list[SmallServer], clock: SetClock
) -> AsyncIterator[Start]:
    """Return ``start(**options) -> client``. With ``is_private=False`` the server does not listen on loopback."""
    clients: list[Client] = []

    async def make(*, is_private: bool = True, interval_s: float = 0.05, **options: Any) -> Client:
        app = create_dashboard_app(
            options.pop("customers", None) or customers(),
            Upstreams([each.url for each in workers], [each.url for each in collectors]),
            Operators(is_private, options.pop("admin_key", ADMIN_KEY)),
            clock=clock,
            hub=EventHub(interval_s=interval_s),
            **options,
        )
        client: Client = TestClient(DashboardServer(app))
        await client.start_server()
        clients.append(client)
        return client

    yield make
    for client in clients:
        await client.close()
