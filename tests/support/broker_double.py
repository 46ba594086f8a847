"""A broker that answers the first question of a Kafka client, and resets connections on demand."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator


class BrokerDouble:
    """Answers every request as if it asked for the API versions. ``transports`` are its open connections."""

    def __init__(self) -> None:
        self.port = 0
        self.accepted = 0
        self._writers: list[asyncio.StreamWriter] = []

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls) -> AsyncIterator["BrokerDouble"]:
        """Listen on loopback while the block runs."""
        double = cls()
        server = await asyncio.start_server(double._serve, "127.0.0.1", 0)
        double.port = server.sockets[0].getsockname()[1]
        try:
            yield double
        finally:
            server.close()
            double.reset()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self._writers.append(writer)
        with contextlib.suppress(OSError, EOFError):
            while True:
                (size,) = struct.unpack(">i", await reader.readexactly(4))
                request = await reader.readexactly(size)
                answer = request[4:8] + struct.pack(">hi", 0, 0)  # its correlation id, no error, no versions
                writer.write(struct.pack(">i", len(answer)) + answer)

    async def begin_answer(self, size_bytes: int) -> None:
        """Send so many bytes of an answer that is twice as long, on all connections. Further answers only continue it."""
        for writer in self._writers:
            writer.write(struct.pack(">i", 2 * size_bytes) + bytes(size_bytes))
            await writer.drain()

    def end(self) -> None:
        """Close all connections in order, after what was sent."""
        for writer in self._writers:
            writer.close()
        self._writers.clear()

    def reset(self) -> None:
        """Reset all connections, as a failing link does."""
        for writer in self._writers:
            with contextlib.suppress(OSError, RuntimeError):
                peer = writer.get_extra_info("socket")
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        self._writers.clear()
