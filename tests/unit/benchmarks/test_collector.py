"""A missing wrk is reported, and the open loop measures how long a slow server makes its clients wait."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from benchmarks import collector, wrk
from benchmarks.open_loop import open_loop


def test_missing_wrk_is_said_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(wrk.shutil, "which", lambda _name: None)
    with pytest.raises(SystemExit, match="apt install wrk"):
        collector.main(["--json"])
    assert capsys.readouterr().out == ""


@asynccontextmanager
async def serving(answer: bytes, pause_s: float = 0.0) -> AsyncIterator[int]:
    """Yield the port of a server that handles one request at a time, 1 / pause_s of them a second."""
    is_free, connections = asyncio.Lock(), list[Any]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(asyncio.current_task())
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                async with is_free:
                    await asyncio.sleep(pause_s)
                writer.write(answer)
        except asyncio.IncompleteReadError:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.gather(*connections)


async def test_open_loop_counts_the_wait_that_a_slow_server_causes() -> None:
    started = time.monotonic()
    async with serving(b"HTTP/1.1 204 No Content\r\n\r\n", pause_s=0.02) as port:
        answers = await open_loop(port, "00000", 200.0, 0.2, 10, 1)
        passed_ms = (time.monotonic() - started) * 1000
    assert answers.failed == 0
    # Each answer takes 20 ms, but four requests are due in that time: the last one waits for all before it.
    assert 200 < max(answers.milliseconds) <= passed_ms


@pytest.mark.parametrize("status", [b"503 Service Unavailable", b"400 Bad Request"])
async def test_open_loop_counts_refusals_as_failures(status: bytes) -> None:
    async with serving(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n") as port:
        answers = await open_loop(port, "00000", 100.0, 0.1, 10, 1)
    assert answers.failed == len(answers.milliseconds) > 0
