"""A worker's answers become the same cells as the files, and the end of the work is never reported too early."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from app.base.errors import UptakeError
from app.demo.counts import Cell
from app.demo.drain import wait_until_drained
from app.demo.file_counts import Question
from app.demo.lookups import Lookup, ask, sentence
from app.demo.measured_counts import _is_wanted, get_json, read_over_http
from tables.ctr.window_keys import POSITION, SCENARIO, VARIANT, WindowKey

HOUR_MS = 1_574_571_600_000  # 2019-11-24 05
Answer = Callable[[web.Request], web.Response]


class Worker:
    """A worker that gives prepared answers and records the questions."""

    def __init__(self, session: aiohttp.ClientSession, server: TestServer, answers: list[Answer]) -> None:
        self.session, self.url, self.answers = session, str(server.make_url("")).rstrip("/"), answers
        self.asked: list[URL] = []


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    answers: list[Answer] = []

    async def handle(request: web.Request) -> web.Response:
        made.asked.append(request.url)
        return answers[0](request) if len(answers) == 1 else answers.pop(0)(request)

    app = web.Application()
    app.router.add_get("/{tail:.*}", handle)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        made = Worker(session, server, answers)
        yield made


def says(body: Any, status: int = 200, **headers: str) -> Answer:
    text = body if isinstance(body, str) else json.dumps(body)
    return lambda _request: web.Response(
        status=status, text=text, headers=headers, content_type="application/json"
    )


def a_window(**values: Any) -> dict[str, Any]:
    window = {"scenario": "all", "variant": "bts", "start_ms": HOUR_MS, "row": 0, "rank": 1}
    return window | {"rendered": 4, "clicks": 2, "attributed_clicks": 1} | values


async def test_windows_become_cells_of_every_part(worker: Worker) -> None:
    worker.answers.append(says({"windows": [a_window(), a_window(variant=None, rank=0)]}))
    counts = await read_over_http(worker.session, worker.url, "00000", 1_000, 2_000)
    parts = {
        ("total", ""),
        ("position", "1"),
        ("position", "2"),
        ("day", "2019-11-24"),
        ("hour", "2019-11-24 05"),
    }
    assert {(cell.part, cell.at) for cell in counts} == parts
    assert counts[Cell("bts/all", "position", "2", "impressions")] == 4
    assert counts[Cell("-/all", "position", "1", "clicks")] == 2
    assert counts[Cell("bts/all", "hour", "2019-11-24 05", "attributed_clicks")] == 1
    assert [dict(url.query) for url in worker.asked] == [
        {"by": "variant", "from": "1000", "to": "2000"},
        {"by": "variant,position", "from": "1000", "to": "2000"},
        {"by": "variant", "granularity": "P1D", "time_zone": "UTC", "from": "1000", "to": "2000"},
        {"by": "variant", "granularity": "PT1H", "from": "1000", "to": "2000"},
    ]


async def test_worker_that_is_not_ready_is_asked_again(worker: Worker) -> None:
    worker.answers += [says({"code": "unavailable"}, 503, **{"Retry-After": "0"}), says({"a": 1})]
    assert await get_json(worker.session, URL(worker.url)) == {"a": 1}
    assert len(worker.asked) == 2


@pytest.mark.parametrize(("status", "times"), [(400, 1), (500, 1), (503, 2)])
async def test_other_answers_end_it_with_the_workers_words(worker: Worker, status: int, times: int) -> None:
    worker.answers.append(says("no such thing", status, **{"Retry-After": "1"}))
    with pytest.raises(UptakeError, match=f"{status}: no such thing"):
        await get_json(worker.session, URL(worker.url), timeout_s=1.5)
    assert len(worker.asked) == times


def a_status(lag: int, position: int, *, numbers: str = "01", ready: bool = True) -> Answer:
    entry = {"ready": True, "lag": lag, "durable": {"uptake.events": position}}
    partitions = {number: dict(entry) if ready else {"ready": False} for number in numbers}
    return says({"ready": ready, "partitions": partitions})


async def drained(worker: Worker, stuck_s: float = 60.0) -> int:
    """Wait for the end of the work; return how often the worker was asked."""
    await wait_until_drained(worker.session, [worker.url], 2, pause_s=0, stuck_s=stuck_s)
    return len(worker.asked)


async def test_no_lag_twice_at_the_same_positions_is_the_end(worker: Worker) -> None:
    worker.answers += [a_status(5, 1), a_status(0, 2), a_status(0, 3), a_status(0, 3), a_status(9, 9)]
    assert await drained(worker) == 4


async def test_positions_that_stand_still_with_lag_are_not_the_end(worker: Worker) -> None:
    worker.answers += [a_status(3, 1), a_status(3, 1), a_status(0, 1), a_status(9, 9)]
    assert await drained(worker) == 3


@pytest.mark.parametrize(
    "incomplete", [a_status(0, 1, numbers="0"), a_status(0, 1, ready=False)], ids=["unowned", "not-ready"]
)
async def test_partition_that_nobody_answers_for_is_waited_for(worker: Worker, incomplete: Answer) -> None:
    worker.answers += [incomplete, incomplete, a_status(0, 1), a_status(0, 1), a_status(9, 9)]
    assert await drained(worker) == 4


async def test_work_that_does_not_move_ends_with_a_sentence(worker: Worker) -> None:
    worker.answers.append(a_status(3, 1))
    with pytest.raises(UptakeError, match=r"made no progress for .*: 6 records wait"):
        await drained(worker, stuck_s=0.05)


async def test_exclusion_lookup_is_the_curl_that_is_shown(worker: Worker) -> None:
    worker.answers.append(says({"known": True, "excluded": [{"item": "18"}, {"item": "43"}]}))
    question = Question("u", 2, "PT30M", 1_575_158_387_000, frozenset(("18", "43")))
    lookup = await ask(worker.session, worker.url, "00000", question)
    assert lookup.curl == f"curl '{worker.asked[0]}'"
    assert worker.asked[0].path == "/v1/00000/users/u/exclusions"
    assert dict(worker.asked[0].query) == {
        "itemtype": "1",
        "threshold": "2",
        "within": "PT30M",
        "reasons": "rendered",
        "as_of_ms": "1575158387000",
    }
    assert lookup.is_right
    assert sentence(lookup) == "items 18, 43; the files say the same"


@pytest.mark.parametrize("items", [["18"], ["18", "43", "44"], []])
def test_lookup_with_other_items_is_not_right(items: list[str]) -> None:
    question = Question("u", 2, "PT30M", 1, frozenset(("18", "43")))
    lookup = Lookup(question, "http://w", {"excluded": [{"item": item} for item in items]})
    assert not lookup.is_right
    assert "but the files say 18, 43" in sentence(lookup)


@pytest.mark.parametrize(
    ("customer", "dimension", "granularity", "is_wanted"),
    [
        ("00000", VARIANT, "day", True),
        ("00000", VARIANT, "hour", True),
        ("00000", POSITION, "day", True),
        ("00000", VARIANT, "minute", False),
        ("00000", POSITION, "hour", False),
        ("00000", SCENARIO, "day", False),
        ("0", VARIANT, "day", False),
    ],
)
def test_records_of_the_topic_are_summed_once(
    customer: str, dimension: str, granularity: str, is_wanted: bool
) -> None:
    key = WindowKey(customer, "all", dimension, granularity, HOUR_MS, "bts", 0, 1)
    assert _is_wanted(key.encode(), b"00000") is is_wanted
