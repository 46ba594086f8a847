"""A double of the collector for the tests of replay: HTTP/1.1 on loopback, prepared answers, recorded requests."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

Respond = Callable[[str], Awaitable[bytes | None]]

TAKEN = b"HTTP/1.1 204 No Content\r\nServer: uptake\r\n\r\n"


def an_answer(status: int, body: str = "", *headers: str) -> bytes:
    head = "".join(f"{header}\r\n" for header in headers)
    return f"HTTP/1.1 {status} Said\r\nContent-Length: {len(body)}\r\n{head}\r\n{body}".encode()


class CollectorDouble:
    """``respond(target)`` returns the bytes of an answer; None closes the connection without one."""

    def __init__(self, respond: Respond) -> None:
        self._respond = respond
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.connections = 0
        self.url = ""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                target = head.split(b" ", 2)[1].decode()
                self.begun.append(target)
                answer = await self._respond(target)
                self.ended.append(target)
                if answer is None:
                    return
                writer.write(answer)
                if b"Connection: close" in answer:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def collector_double(respond: Respond) -> Any:
    double = CollectorDouble(respond)
    server = await asyncio.start_server(double.handle, "127.0.0.1", 0)
    double.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield double
