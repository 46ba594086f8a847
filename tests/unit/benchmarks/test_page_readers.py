"""The load of `page` counts each event of each client once, also when the network cuts it anywhere."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app.http.event_format import HEARTBEAT, RETRY, event_part
from benchmarks.page_readers import PageReader, read, reading

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
IDS = [b"%016x" % number for number in range(3)]


def chunk(part: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(part), part)


def stream() -> bytes:
    events = [chunk(event_part("message", b'{"windows":[]}', name.decode())) for name in IDS]
    return HEAD + chunk(RETRY) + events[0] + chunk(HEARTBEAT) + events[1] + events[2]


@pytest.mark.parametrize("size", [1, 7, 40, 1_000])
async def test_each_event_counts_once_wherever_it_is_cut(size: int) -> None:
    reader, whole = PageReader(b""), stream()
    for at in range(0, len(whole), size):
        reader.data_received(whole[at : at + size])
    assert list(reader.arrived) == IDS
    assert reader.size_bytes == len(whole)


async def test_a_reading_has_the_slowest_client_and_the_spread() -> None:
    early, late = PageReader(b""), PageReader(b"")
    early.is_open = True
    early.arrived = {IDS[0]: 0.5, IDS[1]: 1.0, IDS[2]: 3.0}
    late.arrived = {IDS[1]: 1.25, IDS[2]: 3.5}
    found = reading([early, late], 1.0, 5.0)
    assert (found.clients, found.lost) == (2, 1)
    assert (found.least_updates, found.updates_per_second) == (2, 0.5)
    assert (found.spread_ms["count"], found.spread_ms["max"]) == (4, 500.0)


@asynccontextmanager
async def serving(answer: bytes) -> AsyncIterator[int]:
    """Yield the port of a server that answers so, and then waits until its client goes, or goes first after a refusal."""
    handling: list[Any] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handling.append(asyncio.current_task())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        if answer.startswith(HEAD):
            await reader.read()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.gather(*handling)


async def test_all_clients_are_opened_and_read(capsys: pytest.CaptureFixture[str]) -> None:
    async with serving(stream()) as port:
        found = await read(port, "/x", 120, 0.0)
    assert (found.clients, found.lost) == (120, 0)
    assert capsys.readouterr().out == "all clients read\n"


async def test_a_refused_client_is_an_error() -> None:
    async with serving(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n") as port:
        with pytest.raises(ConnectionError, match="before its first event"):
            await read(port, "/x", 1, 0.0)
