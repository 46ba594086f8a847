"""Fixtures for tests of lookups: workers served over HTTP for one test."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from app.lookup.server import create_lookup_app
from tests.support.lookups import Client, FixedClock, MemoryWorker, Start


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Return ``start(worker, **options) -> client``, which serves a worker."""
    clients: list[Client] = []

    async def make(worker: MemoryWorker, **options: Any) -> Client:
        app = create_lookup_app(worker, clock=FixedClock(), **options)
        client: Client = TestClient(TestServer(app))
        await client.start_server()
        clients.append(client)
        return client

    yield make
    for client in clients:
        await client.close()
