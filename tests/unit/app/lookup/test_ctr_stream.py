"""The stream of CTR answers: one computation for all clients, marked when it may be old, and closed when it must be."""

import asyncio
import contextlib
import json
from typing import Any

import pytest
from aiohttp import ClientResponse

from app.http import event_format
from app.http.event_stream import EventHub
from tables.ctr.panes import Counts
from tables.ctr.window_keys import SCENARIO, WindowKey, scenario_key
from tables.ctr.window_sums import WindowRow
from tests.support.lookups import MINUTE, NOW, Client, MemoryWorker, Start, two_workers

PATH = "/v1/00000/ctr/stream?span=PT15M"
NEVER_S = 3_600.0


class MovingClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time_ms = NOW

    def now_ms(self) -> int:
        return self.time_ms


class CountingWorker(MemoryWorker):
    """Counts how often its windows are read."""

    computed = 0

    def windows(self, partition: int, *args: Any) -> list[list[WindowRow]]:
        self.computed += partition == min(self.local)
        return super().windows(partition, *args)


def hub(interval_s: float = 0.01) -> EventHub:
    return EventHub(interval_s=interval_s, heartbeat_s=NEVER_S)


def count(worker: MemoryWorker, scenario: str = "home", at: int = NOW - MINUTE, **counted: int) -> int:
    """Store a minute in the partition of its scenario, and return the partition."""
    key = WindowKey("00000", scenario, SCENARIO, "minute", at - at % MINUTE)
    partition = worker.partition_of(scenario_key("00000", scenario))
    worker.rows.setdefault(partition, []).append(WindowRow(key, Counts(**counted), 0, True))
    return partition


async def event(stream: ClientResponse) -> tuple[str, Any]:
    """Return name and data of the next event; raise EOFError at the end of the stream."""
    while True:
        block = (await stream.content.readuntil(b"\n\n")).decode()
        if not block:
            raise EOFError
        fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
        if "data" in fields:
            return fields["event"], json.loads(fields["data"])


async def opened(client: Client, path: str = PATH, **headers: str) -> ClientResponse:
    stream = await client.get(path, headers=headers)
    assert (stream.status, stream.content_type) == (200, "text/event-stream")
    return stream


async def test_an_event_is_the_answer_of_ctr_and_comes_when_a_count_changed(start: Start) -> None:
    worker, clock = CountingWorker(), MovingClock()
    count(worker, rendered=10, attributed_clicks=3)
    client = await start(worker, hub=hub(), clock=clock)
    stream = await opened(client)
    name, data = await event(stream)
    answer = await (await client.get("/v1/00000/ctr?span=PT15M")).json()
    assert (name, data | {"as_of_ms": NOW}) == ("ctr", answer)
    assert data["total"]["rendered"] == 10
    before = worker.computed
    while worker.computed < before + 5:
        clock.time_ms += 1
        await asyncio.sleep(0.005)
    count(worker, rendered=1)
    assert (await event(stream))[1]["total"]["rendered"] == 11, "nothing came between"


async def test_a_span_moves_along_with_the_time(start: Start) -> None:
    worker, clock = MemoryWorker(), MovingClock()
    count(worker, at=NOW - 14 * MINUTE, rendered=10)
    count(worker, at=NOW, rendered=1)
    client = await start(worker, hub=hub(), clock=clock)
    stream = await opened(client)
    _, first = await event(stream)
    clock.time_ms += 10 * MINUTE
    _, second = await event(stream)
    assert [each["total"]["rendered"] for each in (first, second)] == [11, 1]
    assert second["from_ms"] - first["from_ms"] == 10 * MINUTE


async def test_clients_of_one_query_share_its_computation(start: Start) -> None:
    worker = CountingWorker()
    count(worker, rendered=10)
    client = await start(worker, hub=hub(NEVER_S))
    first = await event(await opened(client, "/v1/00000/ctr/stream?span=PT15M&by=variant"))
    for _ in range(20):
        assert await event(await opened(client, "/v1/00000/ctr/stream?by=variant&span=PT15M")) == first
    assert worker.computed == 1
    await event(await opened(client))
    assert worker.computed == 2


async def test_an_answer_that_may_be_old_is_marked_while_it_is(start: Start) -> None:
    worker = MemoryWorker()
    partition = count(worker, rendered=10)
    stream = await opened(await start(worker, hub=hub()))
    marks = []
    for stale in ({}, {partition: 8_000}, {partition: 9_000}, {}):
        worker.stale = stale
        marks.append((await event(stream))[1].get("stale_ms"))
    assert marks == [None, 8_000, 9_000, None]


async def test_a_limit_of_age_makes_an_old_answer_a_problem(start: Start) -> None:
    worker = MemoryWorker()
    partition = count(worker, rendered=10)
    stream = await opened(await start(worker, hub=hub()), PATH + "&max_stale_ms=0")
    assert (await event(stream))[0] == "ctr"
    worker.stale = {partition: 8_000}
    name, problem = await event(stream)
    assert (name, problem["error"], "8000 ms" in problem["detail"]) == ("problem", "unavailable", True)


async def test_a_partition_that_cannot_answer_is_a_problem_until_it_can(start: Start) -> None:
    one, here, other, _ = await two_workers(start, hub=hub())
    stream = await opened(here)
    _, data = await event(stream)
    for worker, partition in ((one, 0), (other, 2)):
        worker.restoring = {partition: 0.25}
        name, problem = await event(stream)
        assert (name, problem["error"]) == ("problem", "unavailable")
        assert f"partition {partition} is being restored" in problem["detail"]
        worker.restoring = {}
        assert await event(stream) == ("ctr", data)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("?span=yesterday", "bad_parameter"),
        ("?span=PT15M&to=2019-11-24", "bad_parameter"),
        ("?pretty=1", "bad_parameter"),
        ("?span=PT15M&span=PT15M", "duplicate_parameter"),
    ],
)
async def test_a_wrong_query_is_refused_before_the_stream(start: Start, query: str, code: str) -> None:
    client = await start(MemoryWorker(), hub=hub())
    response = await client.get(f"/v1/00000/ctr/stream{query}")
    assert (response.status, (await response.json())["code"]) == (400, code)


async def test_a_stream_needs_the_key_and_ends_its_data_when_the_key_is_replaced(start: Start) -> None:
    keys, worker = {"00000": "secret"}, MemoryWorker()
    worker.customers = customers = dict(worker.customers)
    client = await start(worker, hub=hub(), api_key_of=keys.get)
    assert (await client.get(PATH)).status == 401
    former = await opened(client, Authorization="Bearer secret")
    await event(former)
    keys["00000"] = "new"
    name, problem = await event(former)
    assert (name, problem["error"]) == ("problem", "unauthorized")
    stream = await opened(client, Authorization="Bearer new")
    assert (await event(stream))[0] == "ctr"
    count(worker, rendered=7)
    assert (await event(stream))[1]["total"]["rendered"] == 7
    customers.clear()
    assert (await event(stream))[1]["error"] == "unauthorized"


async def test_an_answer_that_is_too_large_is_a_problem(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = MemoryWorker()
    count(worker, rendered=10)
    monkeypatch.setattr(event_format, "_MAX_BYTES", 2_000)
    stream = await opened(await start(worker, hub=hub()))
    assert (await event(stream))[0] == "ctr"
    for number in range(5):
        count(worker, f"s{number}", rendered=10)
    name, problem = await event(stream)
    while name == "ctr":
        name, problem = await event(stream)
    assert (name, problem["error"]) == ("problem", "bad_parameter")


async def test_a_stream_outlives_the_limits_of_requests_and_ends_with_the_server(start: Start) -> None:
    worker, clock = MemoryWorker(), MovingClock()
    client = await start(worker, hub=hub(), clock=clock, limits={"request_timeout_ms": 50})
    stream = await opened(client)
    for _ in range(5):
        await event(stream)
        await asyncio.sleep(0.05)
        clock.time_ms += MINUTE
    closing = asyncio.create_task(client.server.close())
    with contextlib.suppress(EOFError):
        while True:
            await event(stream)
    await closing


async def test_a_worker_that_holds_all_the_streams_it_can_answers_503(start: Start) -> None:
    client = await start(MemoryWorker(), hub=EventHub(max_clients=1))
    await opened(client)
    response = await client.get(PATH)
    assert (response.status, (await response.json())["code"]) == (503, "unavailable")
    assert int(response.headers["Retry-After"]) > 0


async def test_metrics_count_streams_but_not_how_long_they_last(start: Start) -> None:
    client = await start(MemoryWorker(), hub=hub())
    await event(await opened(client))
    other = await opened(client)
    text = await metrics(client)
    assert "uptake_lookup_streams 2.0" in text
    assert "uptake_lookup_streams_dropped_total 0.0" in text
    other.close()
    while "uptake_lookup_streams 1.0" not in (text := await metrics(client)):
        await asyncio.sleep(0.005)
    assert "ctr/stream" not in text


async def metrics(client: Client) -> str:
    return await (await client.get("/metrics")).text()
