"""Fixtures for tests of lookups: workers served over HTTP for one test, as a worker serves them."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry

from app.lookup.runner import LookupRunner
from app.lookup.server import create_lookup_app
from tests.support.lookups import Client, FixedClock, MemoryWorker, Start

_LIMITS = {"max_uri_bytes": 8_192, "max_connections": 4_096, "request_timeout_ms": 15_000}


class _Server(TestServer):
    """Serves lookups with ``limits``."""

    def __init__(self, app: web.Application, registry: CollectorRegistry, limits: dict[str, int]) -> None:
        super().__init__(app)
        self._registry, self._limits = registry, limits

    async def _make_runner(self, **_: Any) -> LookupRunner:
        return LookupRunner(self.app, self._registry, **self._limits)


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Return ``start(worker, **options) -> client``, which serves a worker. ``limits`` are those of its connections."""
    clients: list[Client] = []

    async def make(worker: MemoryWorker, limits: dict[str, int] | None = None, **options: Any) -> Client:
        limits = _LIMITS | (limits or {})
        registry = options.setdefault("registry", CollectorRegistry())
        options.setdefault("request_timeout_s", limits["request_timeout_ms"] / 1000)
        options.setdefault("clock", FixedClock())
        app = create_lookup_app(worker, **options)
        client: Client = TestClient(_Server(app, registry, limits))
        await client.start_server()
        clients.append(client)
        return client

    yield make
    for client in clients:
        await client.close()
