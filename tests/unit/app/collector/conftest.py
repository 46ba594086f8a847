"""Fixtures for tests of the collector: a server on a free port, in front of a sink in memory."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
import pytest
from yarl import URL

from app.base.settings import Settings
from app.collector.server import serve_collector
from app.customers.customer import Customer, RateLimit
from app.customers.customer_registry import Customers
from events.codec import decode
from events.model import EventBase
from tests.support.memory_sink import MemorySink
from tests.support.tracker import RULES, rules

CUSTOMERS = Customers(
    {
        "00000": Customer(RULES),
        "strict": Customer(
            replace(rules(customer="strict"), strict_scenario=True, strict_price=True),
            cors_origins=frozenset({"https://shop.example"}),
        ),
        "locked": Customer(
            rules(customer="locked", license_key="license-of-locked"), require_credentials=True
        ),
        "limited": Customer(rules(customer="limited"), rate_limit=RateLimit(0.01, 2)),
    }
)


@dataclass
class Running:
    """A running collector. ``get`` sends the target as written, without normalising it."""

    sink: MemorySink
    host: str
    port: int
    session: aiohttp.ClientSession
    stop: asyncio.Event
    ended: "asyncio.Task[None]"

    async def ask(self, method: str, target: str, **options: Any) -> aiohttp.ClientResponse:
        url = URL(f"http://{self.host}:{self.port}{target}", encoded=True)
        response = await self.session.request(method, url, **options)
        await response.read()
        return response

    async def get(self, target: str, **headers: str) -> aiohttp.ClientResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.ask("GET", target, headers=named)

    async def raw(self, request: bytes) -> bytes:
        """Send bytes over a connection of their own; return all bytes until the server closes it."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        writer.write(request)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    def events(self) -> list[EventBase]:
        return [decode(value) for _, _, value, _ in self.sink.records]


@asynccontextmanager
async def running(customers: Customers = CUSTOMERS, **settings: Any) -> AsyncIterator[Running]:
    sink, stop = MemorySink(), asyncio.Event()
    address: asyncio.Future[tuple[str, int]] = asyncio.get_running_loop().create_future()
    served = asyncio.create_task(
        serve_collector(
            Settings(**{"port": 0, "drain_ms": 0, **settings}),
            customers,
            sink,
            stop,
            on_listening=lambda host, port: address.set_result((host, port)),
        )
    )
    await asyncio.wait([address, served], return_when=asyncio.FIRST_COMPLETED)
    if served.done():
        served.result()
    async with aiohttp.ClientSession() as session:
        yield Running(sink, *address.result(), session, stop, served)
    sink.may_acknowledge.set()
    stop.set()
    await served


@pytest.fixture
async def collector() -> AsyncIterator[Running]:
    async with running() as started:
        yield started


@pytest.fixture
async def start_collector() -> AsyncIterator[Callable[..., Any]]:
    """Return ``await start(customers, **settings) -> Running``."""
    async with AsyncExitStack() as stack:

        async def start(customers: Customers = CUSTOMERS, **settings: Any) -> Running:
            return await stack.enter_async_context(running(customers, **settings))

        yield start
