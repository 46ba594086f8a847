"""Kinds of lookups: both sides are asked the same, refusals are not answers, and answers are compared by what all of them know."""

import asyncio
import json
import random
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.clients import Pool
from benchmarks.questions import CANDIDATES, KINDS, MANY_CANDIDATES, MANY_USERS, comparable, questions
from tests.support.lookups import NOW

USERS = 50
ASKED = questions(USERS, 5, NOW, 1)


class Recorded:
    """A server of this machine that keeps its requests, as method, target and body."""

    def __init__(self, status: bytes) -> None:
        self._head = b"HTTP/1.1 %b\r\nContent-Length: 2\r\n\r\n{}" % status
        self.requests: list[tuple[str, str, bytes]] = []
        self.connections: list[asyncio.Task[None] | None] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(asyncio.current_task())
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                length = 0
                for line in head.splitlines():
                    name, _, value = line.partition(":")
                    length = int(value) if name.lower() == "content-length" else length
                method, target, _ = head.split(" ", 2)
                self.requests.append((method, target, await reader.readexactly(length)))
                writer.write(self._head)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@asynccontextmanager
async def recording(status: bytes = b"200 OK") -> AsyncIterator[tuple[Recorded, int]]:
    recorded = Recorded(status)
    async with await asyncio.start_server(recorded.serve, "127.0.0.1", 0) as server:
        yield recorded, server.sockets[0].getsockname()[1]
        await asyncio.gather(*(each for each in recorded.connections if each is not None))


def test_every_kind_is_there() -> None:
    assert tuple(ASKED) == KINDS
    assert {name: question.users for name, question in ASKED.items() if name.endswith("_warm")} == {
        "exclusions_warm": 5,
        "filter_warm": 5,
    }


def test_bodies_have_their_sizes() -> None:
    assert {len(json.loads(body)["candidates"]) for body in ASKED["filter"].bodies} == {CANDIDATES}
    for body in ASKED["many"].bodies:
        read = json.loads(body)
        assert (len(read["users"]), len(read["candidates"])) == (MANY_USERS, MANY_CANDIDATES)
        assert read["as_of_ms"] == NOW


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
@pytest.mark.parametrize("kind", ["exclusions_warm", "filter", "many"])
async def test_wrk_and_the_open_loop_ask_the_same_of_all_users(kind: str, tmp_path: Path) -> None:
    question, asked = questions(4, 4, NOW, 1)[kind], []
    async with recording() as (recorded, port):
        pool, draw = Pool(port), random.Random(1)
        for _ in range(100):
            await question.ask(pool, draw)
        pool.close()
        asked.append({request[:2] for request in recorded.requests})
        recorded.requests.clear()
        asking = question.start(port, tmp_path, 2, 1, 7)
        told = await asyncio.to_thread(asking.result)
        asked.append({request[:2] for request in recorded.requests})
        bodies = {request[2] for request in recorded.requests}
    assert (told.refused, told.broken) == (0, 0)
    assert asked[0] == asked[1]
    assert len(asked[0]) == (question.users if "%d" in question.target else 1)
    assert bodies <= (set(question.bodies) or {b""})
    assert len(bodies) == min(max(1, len(question.bodies)), len(recorded.requests))


async def test_refusals_are_counted_and_told_by_a_sample() -> None:
    async with recording(b"503 Service Unavailable") as (_, port):
        answers = await ASKED["exclusions"].ask_steadily(port, 200.0, 0.1, 1)
        sample = await ASKED["exclusions"].sample(port, 3)
    assert answers.failed == len(answers.milliseconds) > 0
    assert sample == [503, 503, 503]


async def test_a_sample_asks_about_the_same_users_each_time() -> None:
    async with recording() as (recorded, port):
        for _ in range(2):
            assert len(await ASKED["filter"].sample(port, 10)) == 10
    assert recorded.requests[:10] == recorded.requests[10:]
    assert len(set(recorded.requests)) == 10


def entry(**changes: Any) -> dict[str, Any]:
    return {
        "item": "7",
        "itemtype": 1,
        "reasons": ["rendered"],
        "count": 2,
        "last_ms": NOW,
        **changes,
    }


def answer(*entries: dict[str, Any], is_known: bool = True) -> Any:
    return comparable({"known": is_known, "as_of_ms": NOW, "excluded": list(entries)})


def test_answers_compare_by_what_every_contestant_knows() -> None:
    assert answer(entry()) == answer(entry(new_field=1))
    assert answer(entry(count=17)) == answer(entry(count=40))
    for changes in ({"count": 3}, {"last_ms": 0}, {"reasons": ["bought"]}, {"item": "8"}):
        assert answer(entry()) != answer(entry(**changes))
    assert answer(entry(reasons=["bought"], count=17)) != answer(entry(reasons=["bought"], count=18))
    assert answer() != answer(is_known=False)
    assert comparable(503) == 503


def test_filters_compare_what_is_kept_and_dropped() -> None:
    one = {"known": True, "as_of_ms": NOW, "kept": ["1", "2"], "dropped": [entry()]}
    many = {"as_of_ms": NOW, "results": [{"user": "u1", **one}]}
    assert comparable(one) != comparable({**one, "kept": ["2", "1"]})
    assert comparable(many) != comparable({**many, "results": [{"user": "u1", **one, "dropped": []}]})
    assert comparable(many) == comparable(json.loads(json.dumps(many)))
