"""The server of lookups: each bad request has its documented answer, and no log line holds what was sent."""

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from app.lookup.user_view import UserView
from tests.support.bad_lookups import CLOSED, MARK, BadLookup, bad_lookups
from tests.support.lookups import Client, MemoryWorker, Start, two_workers

CASES = list(bad_lookups())
LIMITS = {"request_timeout_ms": 300}


@pytest.fixture(autouse=True)
def no_log_line_holds_the_marker(caplog: pytest.LogCaptureFixture, capfd: Any) -> Iterator[None]:
    """Read every record of every logger at every level, with its arguments and traceback, and all that was printed."""
    logging.getLogger("asyncio").setLevel(logging.DEBUG)
    with caplog.at_level(logging.DEBUG):
        yield
    printed = capfd.readouterr()
    assert MARK not in caplog.text + printed.out + printed.err
    for record in caplog.records:
        assert MARK not in repr(vars(record))


async def raw(client: Client, request: bytes) -> bytes:
    """Send bytes over a connection of their own; return all bytes until the server closes it."""
    assert client.port is not None
    reader, writer = await asyncio.open_connection(client.host, client.port)
    try:
        writer.write(request)
        return await reader.read()
    finally:
        writer.close()


def must_be_documented(answer: bytes, status: int, code: str | None) -> None:
    if status == CLOSED:
        assert answer == b""
        return
    head, _, body = answer.partition(b"\r\n\r\n")
    assert int(head.split(b" ", 2)[1]) == status, answer[:300]
    assert b"\r\nServer: uptake\r\n" in head + b"\r\n"
    assert b"aiohttp" not in answer
    assert b"Python" not in answer
    told = json.loads(body)
    assert told.get("code") == code
    if code is not None:
        assert MARK.encode() not in answer
        assert len(told["sentence"]) > 10


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_bad_request_has_its_answer_and_is_not_logged(start: Start, case: BadLookup) -> None:
    _, here, _, there = await two_workers(start, limits=LIMITS)
    for client in (here, there):  # one of them has to ask the other
        must_be_documented(await raw(client, case.request), case.status, case.code)


async def test_unforeseen_error_is_500_and_its_message_is_not_logged(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    class Faulty(MemoryWorker):
        def user_view(self, partition: int, key: bytes) -> UserView:
            raise RuntimeError(f"no row of {MARK}")

    client = await start(Faulty())
    response = await client.get(f"/v1/00000/users/{MARK}")
    assert (response.status, (await response.json())["code"]) == (500, "internal")
    assert "a lookup failed with RuntimeError at" in caplog.text
    assert "user_view" in caplog.text


async def test_client_that_goes_before_its_answer_leaves_no_log_line(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    client = await start(MemoryWorker(), limits=LIMITS)
    assert client.port is not None
    for sent in (
        b"POST /v1/00000/users/u/filter HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{",
        b"GET /v1/0",
    ):
        _, writer = await asyncio.open_connection(client.host, client.port)
        writer.write(sent)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    # Over a new connection, so that the server has seen the end of the others.
    assert (await client.get("/v1/00000/users/u")).status == 200
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize(
    "sent", [b"", b"GET /v1/00000/users/u HTTP/1.1\r\nHost: x\r\n\r\n"], ids=["silent", "idle"]
)
async def test_connection_without_a_request_is_closed(start: Start, sent: bytes) -> None:
    client = await start(MemoryWorker(), limits={"request_timeout_ms": 100})
    answer = await asyncio.wait_for(raw(client, sent), 5)
    assert answer.startswith(b"HTTP/1.1 200") if sent else answer == b""


async def test_connections_beyond_the_limit_are_closed(start: Start) -> None:
    client = await start(MemoryWorker(), limits={"max_connections": 1})
    assert client.port is not None
    _, writer = await asyncio.open_connection(client.host, client.port)
    assert await asyncio.wait_for(raw(client, b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"), 5) == b""
    writer.close()
    await writer.wait_closed()


async def test_continue_is_sent_once_and_only_for_a_body_that_is_not_too_large(start: Start) -> None:
    client = await start(MemoryWorker())
    assert client.port is not None
    reader, writer = await asyncio.open_connection(client.host, client.port)
    line = (
        b"POST /v1/00000/users/u/filter HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\n"
    )
    writer.write(line + b"Content-Length: 18\r\n\r\n")
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b'{"candidates": []}')
    assert (await reader.read()).startswith(b"HTTP/1.1 200")
    writer.close()


async def test_metrics_count_what_the_parser_refused(start: Start) -> None:
    client = await start(MemoryWorker())
    await raw(client, b"GET / HTTP/1.1\r\nHost: x\r\nX: " + 9_000 * b"x" + b"\r\n\r\n")
    text = await (await client.get("/metrics")).text()
    assert 'uptake_lookup_unread_total{code="headers_too_large"} 1.0' in text
    assert "uptake_lookup_connections 1.0" in text
