"""Limits of a request's size and duration: each excess has its documented answer."""

import asyncio
import io
import time
from collections.abc import Callable
from typing import Any

import pytest

HEAD = b"Host: x\r\nConnection: close\r\n"
START = b"GET /api/00000/click/u/1/"


def status_of(answer: bytes) -> int:
    assert answer, "the connection was closed without an answer"
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (START + b"5" * 8_200 + b" HTTP/1.1\r\n" + HEAD + b"\r\n", 414),
        (START + b"5" * 80_000 + b" HTTP/1.1\r\n" + HEAD + b"\r\n", 414),
        (START + b"5?q=" + b"x" * 1_000_000 + b" HTTP/1.1\r\n" + HEAD + b"\r\n", 414),
        (START + b"5 HTTP/1.1\r\n" + HEAD + b"X-Big: " + b"x" * 9_000 + b"\r\n\r\n", 431),
        (START + b"5 HTTP/1.1\r\n" + HEAD + b"".join(b"X%d: x\r\n" % n for n in range(100)) + b"\r\n", 431),
        (START + b"5\x00 HTTP/1.1\r\n" + HEAD + b"\r\n", 400),
        (START + b"5\n HTTP/1.1\r\n" + HEAD + b"\r\n", 400),
        (START + b"5\\ HTTP/1.1\r\n" + HEAD + b"\r\n", 400),
        (START + b"\xff HTTP/1.1\r\n" + HEAD + b"\r\n", 400),
        (START + b"5 HTTP/1.1\r\n" + HEAD + b"X: a\rb\r\n\r\n", 400),
        (START + b"5 HTTP/1.1\r\n" + HEAD + b"Content-Length: -1\r\n\r\n", 400),
        (
            START
            + b"5 HTTP/1.1\r\n"
            + HEAD
            + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"OPTIONS * HTTP/1.1\r\n" + HEAD + b"\r\n", 404),
    ],
    ids=lambda value: value[:40] if isinstance(value, bytes) else None,
)
async def test_bad_bytes_get_a_documented_answer(collector: Any, request_bytes: bytes, status: int) -> None:
    assert status_of(await collector.raw(request_bytes)) == status
    assert collector.sink.records == []


@pytest.mark.parametrize(
    "line",
    [b"GET /api/00000/click/u/1/5 HTTP/1.1", b"GET http://shop/api/00000/click/u/1/5 HTTP/1.1"],
    ids=["origin form", "absolute form"],
)
async def test_good_bytes_are_an_event(collector: Any, line: bytes) -> None:
    assert status_of(await collector.raw(line + b"\r\n" + HEAD + b"\r\n")) == 204
    assert len(collector.sink.records) == 1


@pytest.mark.parametrize("size", [65_537, 300_000, 2_000_000])
async def test_large_body_is_413(collector: Any, size: int) -> None:
    response = await collector.ask("POST", "/api/00000/click/u/1/5", data=io.BytesIO(b"a" * size))
    assert response.status == 413
    assert collector.sink.records == []


async def test_large_body_of_unknown_length_is_413(collector: Any) -> None:
    async def pieces() -> Any:
        for _ in range(100):
            yield b"a" * 1_000

    response = await collector.ask("POST", "/api/00000/click/u/1/5", data=pieces())
    assert response.status == 413


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/json"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "application/x-www-form-urlencoded", "Content-Encoding": "gzip"},
    ],
)
async def test_body_of_another_kind_is_400_and_never_unpacked(
    collector: Any, headers: dict[str, str]
) -> None:
    response = await collector.ask("POST", "/api/00000/click/u/1/5", data=b"a=1", headers=headers)
    assert response.status == 400
    assert collector.sink.records == []


@pytest.mark.parametrize("start", [b"", b"GET /api/00000/click/u", START + b"5 HTTP/1.1\r\nHost: x\r\nX: "])
async def test_silent_or_half_sent_head_is_given_up(
    start_collector: Callable[..., Any], start: bytes
) -> None:
    collector = await start_collector(request_timeout_ms=100)
    before = time.monotonic()
    assert await asyncio.wait_for(collector.raw(start), 5) == b""
    assert time.monotonic() - before >= 0.09


async def test_head_sent_byte_by_byte_is_given_up(start_collector: Callable[..., Any]) -> None:
    collector = await start_collector(request_timeout_ms=200)
    reader, writer = await asyncio.open_connection(collector.host, collector.port)

    async def drip() -> None:
        writer.write(START + b"5 HTTP/1.1\r\nX: ")
        while True:
            writer.write(b"a")
            await asyncio.sleep(0.02)

    dripping = asyncio.create_task(drip())
    try:
        # Bytes that arrive after our close may cause a reset; both outcomes show that the connection was ended.
        assert b"HTTP/1.1 2" not in await asyncio.wait_for(reader.read(), 5)
    except ConnectionResetError:
        pass
    finally:
        dripping.cancel()
        writer.close()


async def test_slow_body_is_408(start_collector: Callable[..., Any]) -> None:
    collector = await start_collector(request_timeout_ms=100)
    answer = await collector.raw(
        b"POST /api/00000/click/u/1/5 HTTP/1.1\r\nContent-Length: 9\r\n" + HEAD + b"\r\na="
    )
    assert status_of(answer) == 408
    assert collector.sink.records == []


async def test_connections_beyond_the_limit_are_closed(start_collector: Callable[..., Any]) -> None:
    collector = await start_collector(max_connections=2)
    held = [await asyncio.open_connection(collector.host, collector.port) for _ in range(2)]
    await asyncio.sleep(0.05)
    assert await collector.raw(b"") == b""
    for _, writer in held:
        writer.close()
        await writer.wait_closed()
    await asyncio.sleep(0.05)
    assert status_of(await collector.raw(START + b"5 HTTP/1.1\r\n" + HEAD + b"\r\n")) == 204


async def test_continue_is_sent_to_a_client_that_waits_for_it(collector: Any) -> None:
    reader, writer = await asyncio.open_connection(collector.host, collector.port)
    writer.write(
        b"POST /api/00000/consume/u/1/5 HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 13\r\n"
        + HEAD
        + b"\r\n"
    )
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"percentage=30")
    assert status_of(await reader.read()) == 204
    writer.close()
    assert collector.events()[0].percentage == 30
