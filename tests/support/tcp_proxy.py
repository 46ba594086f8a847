"""A TCP proxy in a thread of its own, which breaks a link in the ways in which networks do."""

import asyncio
import contextlib
import enum
import socket
import struct
import threading
import time
from collections.abc import Iterator

_HOST = "127.0.0.1"
DELAY_SECONDS = 0.3
THIN_BYTES_PER_SECOND = 50_000
_THIN_PIECE = 2_048
_PIECE = 65_536
_BUFFER_BYTES = 32_768
_FIRST_PAUSE_SECONDS, _FIRST_CONNECT_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.2, 1.0, 120.0


def _small_socket() -> socket.socket:
    """Return a socket with a small receive buffer. A large one would hold back a minute of a thin link."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
    made.setblocking(False)
    return made


class Link(enum.Enum):
    """What the proxy does with a link."""

    OPEN = "open"
    CUT = "cut"
    """Connections are reset, and new ones too."""
    HALF_OPEN = "half-open"
    """The far side is gone, and the near side is not told: what it sends gets no answer. Healing resets the connections."""
    BLACK_HOLE = "black hole"
    """Nothing arrives, in either direction. After it heals, what was sent arrives when TCP next tries again.

    TCP doubles its pause after each try, so an old connection may stay silent for as long again as the hole lasted.
    """
    SLOW = "300 ms"
    """Everything arrives 300 ms later."""
    THIN = "50 kB/s"
    """Each direction of each connection carries 50 kB a second."""


def next_try(sent: float, now: float, pause: float) -> float:
    """Return when TCP, which sent something at ``sent`` and gets no answer, next tries again. All in seconds."""
    moment = sent
    while moment < now:
        moment += pause
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
    return moment


class TcpProxy:
    """Forwards connections to ``port`` to another port of this machine.

    ``resets`` counts the connections it has reset, and ``held_bytes`` what it lost, held back or delayed.
    """

    def __init__(self, port: int, target: int) -> None:
        self.port, self._target = port, target
        self.resets = self.held_bytes = 0
        self._link = Link.OPEN
        self._loop = asyncio.new_event_loop()
        self._near: set[asyncio.StreamWriter] = set()
        self._far: set[asyncio.StreamWriter] = set()

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
        asyncio.run_coroutine_threadsafe(self._reset(self._near | self._far), self._loop).result(5)

    def make(self, link: Link) -> None:
        """Break the link, or heal it with ``Link.OPEN``."""
        asyncio.run_coroutine_threadsafe(self._set(link), self._loop).result(5)

    async def _set(self, link: Link) -> None:
        before, self._link = self._link, link
        if link is Link.CUT or before is Link.HALF_OPEN:
            await self._reset(self._near | self._far)
        elif link is Link.HALF_OPEN:
            await self._reset(self._far)
        self._changed.set()
        self._changed = asyncio.Event()

    async def _serve(self, listening: threading.Event) -> None:
        self._over, self._changed = asyncio.Event(), asyncio.Event()
        listener = _small_socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((_HOST, self.port))
        server = await asyncio.start_server(self._forward, sock=listener)
        listening.set()
        await self._over.wait()
        server.close()
        await self._reset(self._near | self._far)
        pending = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=2) if pending else None

    async def _reset(self, writers: set[asyncio.StreamWriter]) -> None:
        for writer in list(writers):
            self._abort(writer)
            self.resets += 1

    def _abort(self, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("socket")
        with contextlib.suppress(OSError):
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async def _out_of_the_hole(self, sent: float, pause: float) -> None:
        """Wait until what was sent at ``sent`` gets through."""
        while self._link is Link.BLACK_HOLE:
            await self._changed.wait()
            now = time.monotonic()
            await asyncio.sleep(next_try(sent, now, pause) - now)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._link is Link.CUT:
            self._abort(writer)
            self.resets += 1
            return
        self._near.add(writer)
        try:
            await self._connect(reader, writer)
        except asyncio.CancelledError:
            pass  # the proxy ends; asyncio would log the end of a task that serves a connection
        finally:
            self._near.discard(writer)
            writer.transport.abort() if self._over.is_set() else writer.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._out_of_the_hole(time.monotonic(), _FIRST_CONNECT_PAUSE_SECONDS)
        if self._link is Link.HALF_OPEN:
            await self._swallow(reader)
            return
        try:
            far = _small_socket()
            await self._loop.sock_connect(far, (_HOST, self._target))
            there, back = await asyncio.open_connection(sock=far)
        except OSError:
            far.close()
            self._abort(writer)
            return
        self._far.add(back)
        try:
            await asyncio.gather(self._pump(reader, back, writer), self._pump(there, writer, back))
        finally:
            self._far.discard(back)
            back.close()

    async def _swallow(self, reader: asyncio.StreamReader) -> None:
        """Take what a side sends, and answer nothing."""
        with contextlib.suppress(OSError):
            while data := await reader.read(_PIECE):
                self.held_bytes += len(data)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, behind: asyncio.StreamWriter
    ) -> None:
        """Forward one direction; ``behind`` is the side that sends."""
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(16)
        delivery = asyncio.create_task(self._deliver(waiting, writer))
        try:
            while data := await reader.read(_THIN_PIECE if self._link is Link.THIN else _PIECE):
                delay = DELAY_SECONDS if self._link is Link.SLOW else 0.0
                if self._link is not Link.OPEN:
                    self.held_bytes += len(data)
                await waiting.put((time.monotonic() + delay, data))
        except OSError:
            pass
        except asyncio.CancelledError:
            delivery.cancel()
            raise
        if self._link is Link.HALF_OPEN and behind in self._near:
            delivery.cancel()
            return
        await waiting.put((0.0, b""))
        await delivery

    async def _deliver(
        self, waiting: "asyncio.Queue[tuple[float, bytes]]", writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while (due := await waiting.get())[1]:
                await asyncio.sleep(max(0.0, due[0] - time.monotonic()))
                if self._link is Link.THIN:
                    await asyncio.sleep(len(due[1]) / THIN_BYTES_PER_SECOND)
                await self._out_of_the_hole(due[0], _FIRST_PAUSE_SECONDS)
                if self._link is Link.HALF_OPEN:
                    continue
                writer.write(due[1])
                await writer.drain()
        if self._link is not Link.HALF_OPEN:
            writer.close()
