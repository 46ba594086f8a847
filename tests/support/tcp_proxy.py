"""A TCP proxy in a thread of its own, which can reset its connections, and cut the link that they are."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

_HOST = "127.0.0.1"


class TcpProxy:
    """Forwards connections to ``port`` to another port of this machine. ``resets`` counts the connections it has reset."""

    def __init__(self, port: int, target: int) -> None:
        self.port, self._target = port, target
        self.resets = 0
        self._is_whole = threading.Event()
        self._is_whole.set()
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()

    @classmethod
    @contextlib.contextmanager
    def running(cls, port: int, target: int) -> Iterator["TcpProxy"]:
        """Forward while the block runs."""
        proxy = cls(port, target)
        listening = threading.Event()
        thread = threading.Thread(target=lambda: proxy._loop.run_until_complete(proxy._serve(listening)))
        thread.start()
        try:
            assert listening.wait(5)
            yield proxy
        finally:
            proxy._loop.call_soon_threadsafe(proxy._over.set)
            thread.join(5)
            proxy._loop.close()

    def reset(self) -> None:
        """Reset all connections."""
        asyncio.run_coroutine_threadsafe(self._reset(), self._loop).result(5)

    def cut(self) -> None:
        """Lose every byte from now on, also of new connections, and tell neither side."""
        self._is_whole.clear()

    def heal(self) -> None:
        """Forward again. Connections that lost bytes are reset."""
        asyncio.run_coroutine_threadsafe(self._heal(), self._loop).result(5)

    async def _serve(self, listening: threading.Event) -> None:
        self._over = asyncio.Event()
        server = await asyncio.start_server(self._forward, _HOST, self.port)
        listening.set()
        await self._over.wait()
        server.close()
        await self._reset()
        pending = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        await asyncio.wait(pending, timeout=2) if pending else None

    async def _heal(self) -> None:
        await self._reset()  # it does not wait, so no connection loses bytes between the two
        self._is_whole.set()

    async def _reset(self) -> None:
        for writer in self._writers:
            peer = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            self.resets += 1

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(_HOST, self._target)
        except OSError:
            writer.close()
            return
        self._writers |= {writer, back}
        try:
            await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
        finally:
            self._writers -= {writer, back}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                if not self._is_whole.is_set():
                    continue
                writer.write(data)
                await writer.drain()
        writer.close()
