"""Long lookups let other coroutines run every few milliseconds of their work."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from multidict import MultiDict

from app.customers.exclusion_rules import REASONS, ExclusionRules
from app.lookup import turns
from app.lookup.ctr import Encode, answer_ctr
from app.lookup.ctr_csv import window_as_csv
from app.lookup.ctr_query import read_ctr
from app.lookup.ctr_window import window_as_json
from app.lookup.exclusions import exclusion_steps, filter_steps
from app.lookup.filter_many import filter_many
from app.lookup.query_params import Params
from app.lookup.requests import read_filter
from app.lookup.rotation import Rotation, rotate_steps
from app.lookup.routing import Router
from app.lookup.turns import Steps, Turns, at_once, pieces
from app.lookup.user_page import page_steps
from app.lookup.user_view import UserView
from tables.base.table_spec import Stretch
from tables.ctr.panes import Counts
from tables.ctr.window_keys import SCENARIO, WindowKey, scenario_key
from tables.ctr.window_sums import WindowRow
from tests.support.lookups import CUSTOMER, DAY, NOW, MemoryWorker, clicked_on, shown

MOST_MS = 10
ITEMS = [str(number) for number in range(2_000)]
RULES = ExclusionRules(reasons=frozenset(REASONS), threshold=1, within="session")
OF_ONE_USER: dict[str, Callable[[UserView], Steps[dict[str, Any]]]] = {
    "exclusions": lambda view: exclusion_steps(view, RULES, NOW),
    "filter": lambda view: filter_steps(view, ITEMS, 1, RULES, None, NOW),
    "rotation": lambda view: rotate_steps(view, ITEMS, 1, Rotation(), NOW),
    "page": lambda view: page_steps(view, NOW),
}


class Work:
    """A clock on which each piece of work takes a millisecond, and the longest time without a turn of the event loop."""

    def __init__(self) -> None:
        self.now_ms = self.longest_ms = self.turn_ms = 0

    def perf_counter(self) -> float:
        self.now_ms += 1
        self.longest_ms = max(self.longest_ms, self.now_ms - self.turn_ms)
        return self.now_ms / 1000

    async def watch(self) -> None:
        while True:
            self.turn_ms = self.now_ms
            await asyncio.sleep(0)


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    work = Work()
    monkeypatch.setattr(turns, "time", SimpleNamespace(perf_counter=work.perf_counter))
    return work


async def watched(work: Work, running: Any) -> Any:
    watching = asyncio.create_task(work.watch())
    try:
        return await running
    finally:
        watching.cancel()


async def test_each_item_comes_once_and_others_run_between_slices(work: Work) -> None:
    async def consume() -> list[int]:
        return [item async for item in Turns().each(range(1_000))]

    assert await watched(work, consume()) == list(range(1_000))
    assert work.now_ms > 1_000
    assert work.longest_ms <= MOST_MS


async def test_work_that_is_short_takes_one_turn(work: Work) -> None:
    ran: list[int] = []
    asyncio.get_running_loop().call_soon(lambda: ran.append(1))
    assert [item async for item in Turns().each([1])] == [1]
    assert ran == []


@pytest.mark.parametrize("more", [{}, {"sort": "top", "limit": "1000"}, {"previous": "1"}])
@pytest.mark.parametrize("encode", [window_as_json, window_as_csv])
async def test_ctr_of_many_scenarios_lets_others_run(
    work: Work, more: dict[str, str], encode: Encode
) -> None:
    worker = MemoryWorker()
    for number in range(500):
        key = WindowKey("00000", f"s{number}", SCENARIO, "hour", NOW // DAY * DAY)
        partition = worker.partition_of(scenario_key(key.customer, key.scenario))
        worker.rows.setdefault(partition, []).append(WindowRow(key, Counts(rendered=2), 0, True))
    query = read_ctr(Params(MultiDict(granularity="PT1H", **{"from": str(NOW // DAY * DAY)}, **more)), NOW)
    router = Router(worker, SimpleNamespace())
    answer = await watched(work, answer_ctr(worker, router, "00000", query, {}, encode=encode))
    assert (len(answer["windows"]), answer["total"]["rendered"]) == (500, 1_000)
    assert work.now_ms > 4 * 500, "collected, summed and encoded in slices"
    assert work.longest_ms <= MOST_MS


async def test_filter_for_many_users_lets_others_run(work: Work) -> None:
    worker = MemoryWorker()
    raw = b'{"candidates":["1"],"users":[%s]}' % b",".join(b'"u%d"' % number for number in range(500))
    asked = read_filter(raw, CUSTOMER, NOW, is_for_many=True)
    router = Router(worker, SimpleNamespace())
    answer = await watched(work, filter_many(worker, router, CUSTOMER, asked, raw, {}, is_hop=False))
    assert len(answer["results"]) == 500
    assert work.now_ms > 2 * 500, "filtered and encoded in slices"
    assert work.longest_ms <= MOST_MS


def full_user() -> UserView:
    """Return a user who was shown 2,000 items, and clicked on them."""
    own = Stretch()
    shown(own, *ITEMS, at=NOW - 1_000)
    for item in ITEMS:
        clicked_on(own, item, NOW - 500)
    return UserView(own)


@pytest.mark.parametrize("kind", OF_ONE_USER)
async def test_a_lookup_of_a_full_user_lets_others_run(work: Work, kind: str) -> None:
    expected = at_once(OF_ONE_USER[kind](full_user()))
    assert await watched(work, Turns().run(OF_ONE_USER[kind](full_user()))) == expected
    assert work.now_ms >= len(ITEMS) // 64, "computed in slices"
    assert work.longest_ms <= MOST_MS


@pytest.mark.parametrize("kind", OF_ONE_USER)
def test_events_between_two_steps_do_not_break_a_lookup(kind: str) -> None:
    expected = at_once(OF_ONE_USER[kind](full_user()))
    view = full_user()
    steps = OF_ONE_USER[kind](view)
    next(steps)
    for number in range(10):
        shown(view.own, f"new {number}", at=NOW + 1)
        clicked_on(view.own, f"new {number}", NOW + 1)
    assert at_once(steps) == expected


def test_pieces_hold_all_items_in_order() -> None:
    assert [len(piece) for piece in pieces(ITEMS)] == [64] * 31 + [16]
    assert [item for piece in pieces(ITEMS) for item in piece] == ITEMS
    assert list(pieces([])) == [[]]
