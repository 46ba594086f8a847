"""The bytes of the answer to an accepted event: complete HTTP/1.1, whatever happens to its connection."""

import asyncio
import logging
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from app.collector.answers import GIF

TARGET = b"/api/00000/click/u/1/5"
IMAGE = b"Accept: image/*\r\n"


def heads_of(answers: bytes) -> list[dict[str, str]]:
    """Return the status line (under "") and headers of consecutive answers without bodies."""
    heads = []
    for head in answers.decode("ascii").split("\r\n\r\n")[:-1]:
        status, *lines = head.split("\r\n")
        heads.append({"": status, **dict(line.split(": ", 1) for line in lines)})
    return heads


def request(method: bytes = b"GET", version: bytes = b"1.1", headers: bytes = b"") -> bytes:
    return method + b" " + TARGET + b" HTTP/" + version + b"\r\nHost: x\r\n" + headers + b"\r\n"


async def test_each_of_pipelined_requests_is_answered_in_turn(collector: Any) -> None:
    last = request(headers=b"Connection: close\r\n")
    first, second, third = heads_of(await collector.raw(request() + request(b"HEAD") + last))
    assert first[""] == second[""] == third[""] == "HTTP/1.1 204 No Content"
    assert "Connection" not in first
    assert third["Connection"] == "close"
    assert len(collector.events()) == 2  # HEAD records nothing


async def test_answer_is_dated_and_says_nothing_of_a_body_it_has_not(collector: Any) -> None:
    [head] = heads_of(await collector.raw(request(headers=b"Connection: close\r\n")))
    assert parsedate_to_datetime(head["Date"]).timestamp() > 1_700_000_000
    assert head["Server"] == "uptake"
    assert "Content-Length" not in head
    assert "Content-Type" not in head


async def test_image_has_its_length_and_bytes(collector: Any) -> None:
    answer = await collector.raw(request(headers=IMAGE + b"Connection: close\r\n"))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert f"Content-Length: {len(GIF)}\r\n".encode() in head
    assert body == GIF


async def test_client_of_http_1_0_gets_its_answer_and_the_end(collector: Any) -> None:
    assert b" 204 No Content\r\n" in await collector.raw(request(version=b"1.0"))


@pytest.mark.parametrize(
    ("origin", "allowed"), [("https://shop.example", "https://shop.example"), ("https://other.example", None)]
)
async def test_origins_are_those_of_the_customer(collector: Any, origin: str, allowed: str | None) -> None:
    for _ in range(2):  # the answer is built, then reused
        response = await collector.get("/api/strict/click/u/1/5", Origin=origin)
        assert response.headers.get("Access-Control-Allow-Origin") == allowed
        assert response.headers["Vary"] == "Origin"


async def test_client_that_has_gone_is_no_failure(collector: Any, caplog: pytest.LogCaptureFixture) -> None:
    collector.sink.may_acknowledge.clear()
    _, writer = await asyncio.open_connection(collector.host, collector.port)
    writer.write(request())
    while not collector.sink.waiting:
        await asyncio.sleep(0)
    writer.transport.abort()
    await asyncio.sleep(0.05)
    with caplog.at_level(logging.WARNING):
        collector.sink.may_acknowledge.set()
        assert (await collector.get("/health/live")).status == 200
    assert len(collector.events()) == 1
    assert caplog.records == []


@pytest.mark.parametrize(
    "path",
    ["/health/live", "/health/ready", "/metrics", "/openapi.json", "/nothing", "/api/00000/click/u/1/%FF"],
)
async def test_no_answer_names_a_version_in_its_head(collector: Any, path: str) -> None:
    assert (await collector.get(path)).headers["Server"] == "uptake"
