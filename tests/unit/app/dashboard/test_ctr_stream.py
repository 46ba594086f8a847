"""The stream of click-through rates: one poll for all clients of a query, and it outlives its workers."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from multidict import MultiDict

from app.dashboard.answers import UpstreamError
from app.dashboard.ctr_stream import SPANS, CtrPoll, CtrPolls, CtrQuestion
from events.rejections import RefusedError
from tests.support.dashboard import Events, SetClock, SmallServer
from tests.support.lookups import DAY, MINUTE, NOW
from tests.unit.app.dashboard.conftest import Start

STREAM = "/dashboard/00000/ctr/stream"


def ctr(shown: int, as_of_ms: int = NOW) -> bytes:
    answer = {"customer": "00000", "as_of_ms": as_of_ms, "total": {"rendered": shown}}
    return msgspec.json.encode(answer)


def asked(path: str) -> Mapping[str, list[str]]:
    return parse_qs(urlsplit(path).query)


def question(**query: str) -> CtrQuestion:
    return CtrQuestion("00000", MultiDict(query))


# --- queries --------------------------------------------------------------------------------------------------------------------------


def test_a_span_moves_with_time() -> None:
    an_hour = question(span="PT1H", granularity="PT1M", scenario="a b", by="")
    assert asked(an_hour.path(NOW)) == {
        "from": [str(NOW - 60 * MINUTE)],
        "to": [str(NOW)],
        "granularity": ["PT1M"],
        "scenario": ["a b"],
    }
    assert asked(an_hour.path(NOW + 1_000))["to"] == [str(NOW + 1_000)]
    assert asked(question().path(NOW))["from"] == [str(NOW - DAY)]


@pytest.mark.parametrize("span", SPANS)
def test_every_span_is_one(span: str) -> None:
    assert int(asked(question(span=span).path(NOW))["from"][0]) < NOW


def test_from_and_to_stand() -> None:
    query = CtrQuestion("00000", MultiDict({"from": "1", "to": "2"}))
    assert asked(query.path(NOW)) == {"from": ["1"], "to": ["2"]}


def test_equal_queries_share_a_topic() -> None:
    assert question(span="PT1H", by="variant").topic == question(by="variant", span="PT1H").topic
    assert question(span="PT1H").topic != question(span="PT6H").topic
    assert question().topic == question(span="P1D").topic
    assert question().topic != CtrQuestion("shop-2", MultiDict()).topic


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("span=PT2H", "span"),
        ("span=x", "span"),
        ("span=-P1D", "span"),
        ("from=1", "from"),
        ("to=1", "from"),
        ("from=1&to=2&span=P1D", "span"),
        ("as_of_ms=1", "as_of_ms"),
        ("pretty=1", "pretty"),
    ],
)
async def test_a_query_that_is_none_is_refused_before_the_stream_begins(
    start: Start, workers: list[SmallServer], query: str, parameter: str
) -> None:
    client = await start()
    answer = await client.get(f"{STREAM}?{query}")
    assert answer.status == 400
    assert (await answer.json())["parameter"] == parameter
    assert workers[0].asked == []


def test_a_parameter_is_given_once() -> None:
    with pytest.raises(RefusedError, match="duplicate_parameter"):
        CtrQuestion("00000", MultiDict([("span", "P1D"), ("span", "P7D")]))


async def test_what_a_worker_refuses_is_refused_before_the_stream_begins(
    start: Start, workers: list[SmallServer]
) -> None:
    workers[0].set("/v1/00000/ctr", {"code": "bad_parameter", "sentence": "granularity must be ..."}, 400)
    client = await start()
    answer = await client.get(f"{STREAM}?granularity=x")
    assert (answer.status, (await answer.json())["detail"]) == (400, "granularity must be ...")


async def test_an_answer_too_large_for_a_stream_is_refused(start: Start, workers: list[SmallServer]) -> None:
    workers[0].set("/v1/00000/ctr", b'{"as_of_ms":1,"windows":["%b"]}' % (b"x" * 1_000_000))
    client = await start()
    answer = await client.get(STREAM)
    assert answer.status == 400
    assert "take one scenario" in (await answer.json())["detail"]
    assert (await client.get("/dashboard/00000/ctr")).status == 200, "it can be had once"


# --- sources --------------------------------------------------------------------------------------------------------------------------


class SetAnswers:
    """What a worker answers next."""

    def __init__(self) -> None:
        self.next: bytes | UpstreamError = ctr(1)

    async def __call__(self, path: str) -> bytes:
        if isinstance(self.next, UpstreamError):
            raise self.next
        return self.next


SILENT = UpstreamError(503, "unavailable", "no worker answers")


async def test_an_answer_that_says_the_same_is_not_new_for_some_seconds() -> None:
    clock, answers = SetClock(), SetAnswers()
    source = CtrPoll(question(), answers, clock)
    first = await source.fetch()
    answers.next = ctr(1, NOW + 1_000)
    clock.ms += 1_000
    assert await source.fetch() == first
    answers.next = ctr(2, NOW + 2_000)
    assert await source.fetch() == answers.next
    answers.next = ctr(2, NOW + 60_000)
    clock.ms += 60_000
    assert await source.fetch() == answers.next, "so that a reader knows that it is still true"


async def test_without_a_worker_the_last_answer_says_since_when() -> None:
    clock, answers = SetClock(), SetAnswers()
    source = CtrPoll(question(), answers, clock)
    await source.fetch()
    answers.next = SILENT
    clock.ms += 5_000
    stale = json.loads(await source.fetch())
    assert stale == {**json.loads(ctr(1)), "stale_since_ms": NOW}
    clock.ms += 5_000
    assert json.loads(await source.fetch()) == stale, "the same bytes are sent once"
    answers.next = ctr(1)
    assert await source.fetch() == ctr(1)


async def test_without_any_answer_the_problem_is_raised() -> None:
    answers = SetAnswers()
    source = CtrPoll(question(), answers, SetClock())
    answers.next = SILENT
    await source.prepare()
    with pytest.raises(UpstreamError):
        await source.fetch()
    answers.next = ctr(1)
    assert await source.fetch() == ctr(1)


async def test_a_query_that_a_worker_begins_to_refuse_is_a_problem() -> None:
    answers = SetAnswers()
    source = CtrPoll(question(), answers, SetClock())
    await source.fetch()
    answers.next = UpstreamError(400, "bad_parameter", "too many windows")
    with pytest.raises(UpstreamError, match="bad_parameter"):
        await source.fetch()


async def test_a_source_is_forgotten_with_its_last_client() -> None:
    sources = CtrPolls(SetClock())
    one = sources.of(question(), SetAnswers())
    assert sources.of(question(), SetAnswers()) is one
    sources.leave(question(), one)
    assert sources.of(question(), SetAnswers()) is one
    sources.leave(question(), one)
    sources.leave(question(), one)
    assert sources.of(question(), SetAnswers()) is not one


# --- over HTTP ------------------------------------------------------------------------------------------------------------------------


def shown(data: Mapping[str, Any]) -> int:
    number: int = data["total"]["rendered"]
    return number


async def test_clients_of_one_query_share_one_poll(start: Start, workers: list[SmallServer]) -> None:
    workers[0].set("/v1/00000/ctr", ctr(1))
    client = await start(interval_s=3_600)
    streams = [await client.get(f"{STREAM}?span=PT1H&scenario=a") for _ in range(20)]
    readers = [Events(stream) for stream in streams]
    for reader in readers:
        assert shown((await reader.next())[1]) == 1
    assert len(workers[0].asked) == 1, "not one for each of the 20 clients"
    for stream in streams:
        stream.close()


async def test_a_stream_survives_the_death_and_the_return_of_its_workers(
    start: Start, workers: list[SmallServer]
) -> None:
    for worker in workers:
        worker.set("/v1/00000/ctr", ctr(1))
    client = await start()
    async with client.get(STREAM) as stream:
        reader = Events(stream)
        assert shown((await reader.next())[1]) == 1
        await workers[0].stop()
        workers[1].set("/v1/00000/ctr", ctr(2))
        event, data = await reader.next()
        assert (event, shown(data), data.get("stale_since_ms")) == ("message", 2, None)
        await workers[1].stop()
        event, data = await reader.next()
        assert (event, shown(data), data["stale_since_ms"]) == ("message", 2, NOW)
        await workers[0].start()
        event, data = await reader.next()
        assert (event, shown(data), data.get("stale_since_ms")) == ("message", 1, None)


async def test_a_stream_without_any_worker_begins_with_the_problem(
    start: Start, workers: list[SmallServer]
) -> None:
    for worker in workers:
        await worker.stop()
    client = await start()
    async with client.get(STREAM) as stream:
        reader = Events(stream)
        event, data = await reader.next()
        assert (event, data["error"]) == ("problem", "unavailable")
        await workers[1].start()
        workers[1].set("/v1/00000/ctr", ctr(3))
        event, data = await reader.next()
        assert (event, shown(data)) == ("message", 3)


async def test_streams_end_when_the_dashboard_stops(start: Start, workers: list[SmallServer]) -> None:
    workers[0].set("/v1/00000/ctr", ctr(1))
    client = await start()
    stream = await client.get(STREAM)
    reader = Events(stream)
    await reader.next()
    stopping = asyncio.create_task(client.server.close())
    assert await reader.ends()
    await stopping
