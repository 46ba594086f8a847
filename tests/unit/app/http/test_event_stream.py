"""Event streams over real connections: shared fetches, changes only, and no client that holds up the others."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from app.http import event_stream
from app.http.event_stream import EventHub, StreamProblemError, _rest_s
from events.rejections import RefusedError

Fetched = Callable[[], Awaitable[bytes]]
NEVER_S = 3_600.0


class Reader:
    """A client that reads one stream event by event."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._text = b""
        self.status = 0
        self.comments = 0

    async def start(self, topic: str, headers: dict[str, str] | None = None) -> None:
        lines = [f"GET /{topic} HTTP/1.1", "Host: x", *(f"{k}: {v}" for k, v in (headers or {}).items())]
        self._writer.write("\r\n".join([*lines, "", ""]).encode())
        head = await self._reader.readuntil(b"\r\n\r\n")
        self.status = int(head.split(b" ", 2)[1])
        self.head = head.decode()

    async def block(self) -> bytes:
        while b"\n\n" not in self._text:
            size = int(await self._reader.readuntil(b"\r\n"), 16)
            self._text += (await self._reader.readexactly(size + 2))[:-2]
            if size == 0:
                raise EOFError
        block, _, self._text = self._text.partition(b"\n\n")
        return block

    async def next(self) -> dict[str, str]:
        """Return the fields of the next event; EOFError at the end of the stream."""
        while True:
            block = (await self.block()).decode()
            if block == ":":
                self.comments += 1
            elif not block.startswith("retry: "):
                fields: dict[str, str] = {}
                for line in block.split("\n"):
                    name, _, value = line.partition(": ")
                    fields[name] = f"{fields[name]}\n{value}" if name in fields else value
                return fields

    async def heartbeat(self) -> None:
        while await self.block() != b":":
            pass

    async def end(self) -> None:
        """Read until the server ends the stream."""
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                await self.next()

    def close(self) -> None:
        self._writer.close()


class Numbers:
    """Data that changes with each fetch, or only when a test says so."""

    def __init__(self, *, changes: bool = True, padding: int = 0) -> None:
        self.fetches = self.number = self.running = self.most_running = 0
        self.changes, self._padding = changes, "x" * padding
        self.error: Exception | None = None
        self.may_go = asyncio.Event()
        self.may_go.set()

    async def fetch(self) -> bytes:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await self.may_go.wait()
            await asyncio.sleep(0)
            self.fetches += 1
            if self.error is not None:
                raise self.error
            self.number += self.changes
            return f'{{"n":{self.number},"x":"{self._padding}"}}'.encode()
        finally:
            self.running -= 1


class Site:
    """A real server that streams the topics of one hub."""

    def __init__(self, hub: EventHub, fetch: Fetched, event: str) -> None:
        self.hub, self.fetch, self._event = hub, fetch, event
        self._readers: list[Reader] = []
        app = web.Application()
        app.router.add_get("/{topic}", self._serve)
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self.hub.serve(
                request, request.match_info["topic"], lambda: self.fetch(), event=self._event
            )
        except RefusedError as refused:
            return web.Response(status=refused.rejection.status, text=refused.rejection.sentence)

    async def listen(self) -> None:
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()

    async def socket(self, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = self.runner.addresses[0][:2]
        return await asyncio.open_connection(host, port, **options)

    async def reader(self, topic: str = "a", headers: dict[str, str] | None = None) -> Reader:
        reader = Reader(*await self.socket())
        self._readers.append(reader)
        await reader.start(topic, headers)
        return reader

    async def end(self) -> None:
        await self.hub.close()
        for reader in self._readers:
            reader.close()
        await self.runner.cleanup()


Sites = Callable[..., Awaitable[Site]]


@pytest.fixture
async def site() -> AsyncIterator[Sites]:
    sites: list[Site] = []

    async def make(fetch: Fetched, event: str = "message", **options: Any) -> Site:
        made = Site(EventHub(**{"interval_s": 0.01, "heartbeat_s": NEVER_S} | options), fetch, event)
        sites.append(made)
        await made.listen()
        return made

    yield make
    for each in sites:
        await each.end()


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0.005)


def shared_tasks() -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("event stream")]


async def test_an_event_has_id_name_and_data(site: Sites) -> None:
    numbers = Numbers()
    reader = await (await site(numbers.fetch, event="ctr")).reader()
    first, second = await reader.next(), await reader.next()
    assert (first["event"], json.loads(first["data"])["n"]) == ("ctr", 1)
    assert json.loads(second["data"])["n"] == 2
    assert first["id"] != second["id"]
    assert "Content-Type: text/event-stream\r\n" in reader.head
    assert "Cache-Control: no-store\r\n" in reader.head
    assert "aiohttp" not in reader.head


async def test_data_is_sent_only_when_its_bytes_changed(site: Sites) -> None:
    numbers = Numbers(changes=False)
    reader = await (await site(numbers.fetch)).reader()
    assert json.loads((await reader.next())["data"])["n"] == 0
    await until(lambda: numbers.fetches > 5)
    numbers.number = 9
    assert json.loads((await reader.next())["data"])["n"] == 9


async def test_clients_of_one_topic_share_a_fetch_and_a_newcomer_gets_the_latest_at_once(
    site: Sites,
) -> None:
    numbers = Numbers()
    here = await site(numbers.fetch, interval_s=NEVER_S)
    first = await (await here.reader()).next()
    for _ in range(3):
        assert await (await here.reader()).next() == first
    assert numbers.fetches == 1
    assert json.loads((await (await here.reader("b")).next())["data"])["n"] == 2
    assert numbers.fetches == 2


async def test_a_client_that_has_the_latest_gets_nothing_until_a_change(site: Sites) -> None:
    numbers = Numbers(changes=False)
    here = await site(numbers.fetch)
    has = (await (await here.reader()).next())["id"]
    again = await here.reader(headers={"Last-Event-ID": has})
    alone = await here.reader("b", headers={"Last-Event-ID": has})
    other = await here.reader(headers={"Last-Event-ID": "0" * 16})
    assert (await other.next())["id"] == has
    await until(lambda: numbers.fetches > 10)
    numbers.number = 5
    assert [json.loads((await reader.next())["data"])["n"] for reader in (again, alone, other)] == [5, 5, 5]


async def test_a_silent_stream_has_a_heartbeat(site: Sites) -> None:
    here = await site(Numbers().fetch, interval_s=NEVER_S, heartbeat_s=0.05)
    reader = await here.reader()
    await reader.next()
    for _ in range(3):
        await reader.heartbeat()


async def test_heartbeats_come_while_a_fetch_hangs(site: Sites) -> None:
    numbers = Numbers()
    numbers.may_go.clear()
    reader = await (await site(numbers.fetch, heartbeat_s=0.05)).reader()
    await reader.heartbeat()
    numbers.may_go.set()
    assert json.loads((await reader.next())["data"])["n"] == 1
    assert reader.comments < 100


async def test_a_slow_client_is_dropped_and_the_others_are_not_slowed(site: Sites) -> None:
    numbers = Numbers(padding=100_000)
    here = await site(numbers.fetch)
    numbers.may_go.clear()
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    sock.connect(here.runner.addresses[0][:2])
    _, slow = await asyncio.open_connection(sock=sock, limit=1)  # it reads two bytes and then no more
    slow.write(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
    await until(lambda: here.hub.client_count == 1)
    reader = await here.reader()
    numbers.may_go.set()
    seen = []
    while not here.hub.dropped_count:
        seen.append(json.loads((await reader.next())["data"])["n"])
    seen += [json.loads((await reader.next())["data"])["n"] for _ in range(10)]
    assert seen == list(range(1, len(seen) + 1)), "the other client got every event"
    assert (here.hub.client_count, here.hub.dropped_count) == (1, 1)
    slow.close()


async def test_a_client_that_stops_reading_is_dropped_though_nothing_changes(site: Sites) -> None:
    async def large() -> bytes:
        return b"x" * 20_000_000  # more than the buffers of both sockets hold

    here = await site(large, interval_s=NEVER_S, heartbeat_s=0.05)
    _, slow = await here.socket(limit=1)
    slow.write(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
    await until(lambda: here.hub.dropped_count == 1 and not shared_tasks())
    assert here.hub.client_count == 0
    slow.close()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StreamProblemError("unavailable", "ask again in 2 s"), "unavailable"),
        (RefusedError("unauthorized", "send the key"), "unauthorized"),
        (RuntimeError("of a secret"), "internal"),
    ],
)
async def test_a_failing_fetch_is_told_once_and_tried_again(
    site: Sites, error: Exception, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    numbers = Numbers(changes=False)
    here = await site(numbers.fetch)
    reader = await here.reader()
    data = await reader.next()
    numbers.error = error
    problem = await reader.next()
    told = json.loads(problem["data"])
    assert (problem["event"], "id" in problem, told["error"]) == ("problem", False, code)
    assert "secret" not in told["detail"] + caplog.text
    tried = numbers.fetches
    await until(lambda: numbers.fetches > tried + 3)
    newcomer = await here.reader()
    while (first := await newcomer.next()) == data:
        pass  # the latest data may come before the problem
    assert first == problem
    numbers.error = None
    assert [await each.next() for each in (reader, newcomer)] == [data, data], (
        "the same data ends the problem"
    )
    assert ("RuntimeError" in caplog.text) == (code == "internal")
    assert caplog.text.count("the data of a stream failed") == (code == "internal")


async def test_an_answer_that_may_be_old_is_not_given_to_a_newcomer(site: Sites) -> None:
    numbers = Numbers(changes=False)
    here = await site(numbers.fetch, heartbeat_s=0.2)
    await (await here.reader()).next()
    numbers.may_go.clear()
    await until(lambda: numbers.running == 1)
    await (await here.reader()).heartbeat()  # more than three intervals later
    late = await here.reader()
    assert [await late.block(), await late.block()] == [b"retry: 2000", b":"]
    numbers.may_go.set()
    assert json.loads((await late.next())["data"])["n"] == 0


async def test_two_fetches_of_a_topic_never_run_at_once(site: Sites) -> None:
    numbers = Numbers()

    async def slow() -> bytes:
        data = await numbers.fetch()
        numbers.running += 1
        await asyncio.sleep(0.03)  # three intervals
        numbers.running -= 1
        return data

    here = await site(slow)
    readers = [await here.reader() for _ in range(3)]
    for _ in range(3):
        for reader in readers:
            await reader.next()
    assert numbers.most_running == 1


async def test_a_client_that_goes_while_nothing_changes_is_missed_too(site: Sites) -> None:
    here = await site(Numbers(changes=False).fetch)
    reader = await here.reader()
    await reader.next()
    reader.close()
    await until(lambda: here.hub.client_count == 0 and not shared_tasks())


@pytest.mark.parametrize(
    ("took_s", "fetch_s", "rest_s"),
    [(0.01, 0.005, 0.99), (0.3, 0.3, 1.2), (0.9, 0.005, 0.1), (3, 0.005, 0.02), (30, 30, 5)],
)
def test_a_long_fetch_is_followed_by_a_long_rest(took_s: float, fetch_s: float, rest_s: float) -> None:
    assert _rest_s(1.0, took_s, fetch_s) == pytest.approx(rest_s)


async def test_data_that_are_the_same_are_fetched_again_after_half_an_interval(
    site: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def rest_s(interval_s: float, _took_s: float, _fetch_s: float) -> float:
        asked.append(interval_s)
        return 0.001

    monkeypatch.setattr(event_stream, "_rest_s", rest_s)
    numbers = Numbers()
    reader = await (await site(numbers.fetch, interval_s=8.0)).reader()
    await until(lambda: len(asked) > 3)
    assert set(asked) == {8.0}
    numbers.changes = False
    asked.clear()
    await until(lambda: len(asked) > 3)
    assert set(asked[2:]) == {4.0}
    numbers.error = StreamProblemError("unavailable", "ask again in 2 s")
    asked.clear()
    await until(lambda: len(asked) > 3)
    assert set(asked[2:]) == {8.0}, "who has a problem is not asked more often"
    await reader.next()


async def test_the_shared_task_ends_with_its_last_client(site: Sites) -> None:
    numbers = Numbers()
    here = await site(numbers.fetch)
    readers = [await here.reader() for _ in range(3)]
    for reader in readers:
        await reader.next()
    assert shared_tasks() == ["event stream message"]
    for reader in readers[1:]:
        reader.close()
    await until(lambda: here.hub.client_count == 1)
    assert len(shared_tasks()) == 1
    readers[0].close()
    await until(lambda: here.hub.client_count == 0 and not shared_tasks())
    assert json.loads((await (await here.reader()).next())["data"])["n"] > 1, "and begins again with the next"


async def test_close_ends_all_streams_also_of_a_client_that_does_not_read(site: Sites) -> None:
    numbers = Numbers(padding=20_000_000)
    numbers.may_go.clear()
    here = await site(numbers.fetch, max_waiting=100)
    _, slow = await here.socket(limit=1)
    slow.write(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
    idle = await here.reader("b")
    await until(lambda: here.hub.client_count == 2)
    async with asyncio.timeout(10):  # "within a second", on a machine that may be busy
        await here.hub.close()
    await idle.end()
    assert (here.hub.client_count, shared_tasks()) == (0, [])
    late = await here.reader()
    assert late.status == 503
    slow.close()


async def test_close_resets_a_client_in_the_middle_of_an_event(site: Sites) -> None:
    async def large() -> bytes:
        return b"x" * 20_000_000

    here = await site(large, interval_s=NEVER_S)
    reader, slow = await here.socket(limit=1)
    slow.write(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
    assert await reader.readexactly(1) == b"H"
    await until(lambda: here.hub.client_count == 1)
    async with asyncio.timeout(10):
        await here.hub.close()
    assert here.hub.client_count == 0
    slow.close()


async def test_a_hub_takes_no_more_clients_than_its_limit(site: Sites) -> None:
    here = await site(Numbers().fetch, max_clients=2)
    readers = [await here.reader(), await here.reader("b"), await here.reader()]
    assert [reader.status for reader in readers] == [200, 200, 503]


async def test_500_clients_are_held_and_each_gets_every_change(site: Sites) -> None:
    numbers = Numbers(changes=False)
    here = await site(numbers.fetch, interval_s=0.1)
    readers = await asyncio.gather(*(here.reader() for _ in range(500)))
    for number in (0, 1, 2):
        numbers.number = number
        events = await asyncio.gather(*(reader.next() for reader in readers))
        assert {json.loads(event["data"])["n"] for event in events} == {number}
    assert (here.hub.client_count, here.hub.dropped_count) == (500, 0)
    assert len(shared_tasks()) == 1


async def test_a_head_request_is_answered_without_a_stream(site: Sites) -> None:
    here = await site(Numbers().fetch)
    reader, writer = await here.socket()
    writer.write(b"HEAD /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b"Content-Type: text/event-stream" in await reader.read()
    assert here.hub.client_count == 0
    writer.close()
