"""A reset connection is gone at once, though its client has not read what was sent to it."""

import asyncio
import socket
from pathlib import Path

import pytest

from app.http.resets import reset


def held_by_the_kernel(port: int) -> int:
    """Return how many connections from a port there are in whatever state, also without a process."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(int(line.split()[1].split(":")[1], 16) == port for line in lines)


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="only Linux shows its connections there")
async def test_nothing_is_left_of_a_client_that_does_not_read() -> None:
    connected: asyncio.Future[asyncio.BaseTransport] = asyncio.get_running_loop().create_future()

    class Talker(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            transport.write(b"x" * 20_000_000)  # type: ignore[attr-defined] # more than both sockets hold
            connected.set_result(transport)

    server = await asyncio.get_running_loop().create_server(Talker, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with socket.create_connection(("127.0.0.1", port)) as silent:
        transport = await connected
        server.close()
        while held_by_the_kernel(port) > 1:  # the listening socket
            await asyncio.sleep(0.01)
        reset(transport)
        while held_by_the_kernel(port):
            await asyncio.sleep(0.01)
        with pytest.raises(ConnectionResetError):
            silent.sendall(b"x")
