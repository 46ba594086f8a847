"""The stop of a collector: requests in flight are answered; a collector that cannot start reports why."""

import asyncio
from typing import Any

import pytest

from app.base.errors import PortTakenError
from app.base.settings import Settings
from app.collector.server import serve_collector
from tests.support.memory_sink import MemorySink
from tests.unit.app.collector.conftest import CUSTOMERS

CLICK = "/api/00000/click/u/1/5"


async def test_request_in_flight_is_answered_after_the_stop_began(collector: Any) -> None:
    collector.sink.may_acknowledge.clear()
    asked = asyncio.create_task(collector.get(CLICK))
    while not collector.sink.waiting:
        await asyncio.sleep(0)
    collector.stop.set()
    await asyncio.sleep(0.05)
    assert not collector.ended.done()
    collector.sink.may_acknowledge.set()
    response = await asked
    assert (response.status, response.headers["Connection"]) == (204, "close")
    await collector.ended
    assert len(collector.sink.records) == 1


async def test_idle_connection_may_still_send_while_draining(start_collector: Any) -> None:
    collector = await start_collector(drain_ms=5_000)
    assert (await collector.get(CLICK)).status == 204  # leaves a connection open
    collector.stop.set()
    await asyncio.sleep(0.05)
    response = await collector.get("/health/ready")
    assert response.status == 503
    # That answer closed the last connection, so the collector ends at once.
    await asyncio.wait_for(collector.ended, 2)


async def test_new_connections_are_refused_after_the_stop(collector: Any) -> None:
    collector.stop.set()
    await collector.ended
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(collector.host, collector.port)


async def test_taken_port_is_named(collector: Any) -> None:
    settings = Settings(port=collector.port)
    with pytest.raises(PortTakenError, match=str(collector.port)):
        await serve_collector(settings, CUSTOMERS, MemorySink(), asyncio.Event())
