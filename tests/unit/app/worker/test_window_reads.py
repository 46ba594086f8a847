"""Windows are read in key order from memory and store, and no scenario costs a look at the rows of the others."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from agents.overlay import Overlay
from app.worker.window_reads import read_windows
from events.topics import DAY_MS
from tables.ctr.local_days import LocalSteps, day_bounds
from tables.ctr.local_windows import LocalReading
from tables.ctr.panes import Counts
from tables.ctr.user_totals import UserTotals
from tables.ctr.window_keys import EXPERIMENT, SCENARIO, WindowKey, experiment_name
from tables.ctr.window_sums import StoredSpan
from tables.ctr.windows import GRANULARITY_MS, WindowState, add_delta, floor
from tables.declare import BY_NAME
from tests.support.builders import MINUTE_MS
from tests.support.memory_store import MemoryStore
from tests.support.overlays import T0

SPAN = [StoredSpan("minute", T0, T0 + 3 * MINUTE_MS)]
names = st.text("ab ~\x1f%", min_size=1, max_size=3)
cells = st.dictionaries(
    st.tuples(st.sampled_from(("shop", "shop 2", "sho")), names, st.integers(-1, 3)),
    st.integers(1, 9),
    max_size=12,
)


class Reading:
    """An overlay over a store, and how many keys in memory the scans were given."""

    def __init__(self) -> None:
        self.store: Any = MemoryStore()
        self.overlay = Overlay(self.store, 0, 1)
        self.looked_at = 0
        scan = self.overlay.scan

        def counted(table: str, start: bytes, end: bytes, most: int, in_memory: Any) -> Any:
            self.looked_at += len(in_memory)
            return scan(table, start, end, most, in_memory)

        self.overlay.scan = counted  # type: ignore[method-assign]

    def put(self, customer: str, scenario: str, minute: int, clicks: int | None) -> None:
        state = None if clicks is None else WindowState(Counts(clicks=clicks))
        self.overlay.tables["windows"].put(_key(customer, scenario, minute), state)

    def keep(self, customer: str, scenario: str, minute: int, clicks: int) -> None:
        encoded = BY_NAME["windows"].encode(WindowState(Counts(clicks=clicks)))
        self.store.write({"windows": [(_key(customer, scenario, minute), encoded)]}, {})

    @contextmanager
    def open(self) -> Iterator[Any]:
        yield SimpleNamespace(overlay=self.overlay, watermark_ms=T0, rules=SimpleNamespace(grace_ms=0))

    def read(self, scenario: str | None = None) -> list[tuple[str, int, int]]:
        rows = chain.from_iterable(read_windows(self.open, "shop", scenario, SCENARIO, SPAN))
        return [(row.key.scenario, (row.key.start_ms - T0) // MINUTE_MS, row.counts.clicks) for row in rows]


def _key(customer: str, scenario: str, minute: int) -> bytes:
    return WindowKey(customer, scenario, SCENARIO, "minute", T0 + minute * MINUTE_MS).encode()


@given(cells, cells, st.sets(st.tuples(st.just("shop"), names, st.integers(0, 2)), max_size=3))
def test_all_windows_of_the_span_come_once_and_in_order(
    stored: dict[Any, int], changed: dict[Any, int], deleted: set[Any]
) -> None:
    reading = Reading()
    for place, clicks in stored.items():
        reading.keep(*place, clicks)
    for place, clicks in changed.items():
        reading.put(*place, clicks)
    for place in deleted:
        reading.put(*place, None)
    truth = {
        place: clicks
        for place, clicks in {**stored, **changed}.items()
        if place[0] == "shop" and 0 <= place[2] < 3 and place not in deleted
    }
    expected = [
        (scenario, minute, truth[customer, scenario, minute])
        for customer, scenario, minute in sorted(truth, key=lambda place: _key(*place))
    ]
    assert reading.read() == expected
    for scenario in {place[1] for place in truth}:
        assert reading.read(scenario) == [each for each in expected if each[0] == scenario]


def test_experiments_are_read_without_the_scenarios() -> None:
    reading = Reading()
    reading.put("shop", "home", 0, 1)
    key = WindowKey("shop", experiment_name("list"), EXPERIMENT, "minute", T0, "A")
    for each in (key, msgspec.structs.replace(key, customer="shop 2")):
        reading.overlay.tables["windows"].put(each.encode(), WindowState(Counts(user_totals=UserTotals(1))))
    first_stored, asked = reading.overlay.first_stored, []

    def spied(table: str, start: bytes, end: bytes) -> Any:
        asked.append(start)
        return first_stored(table, start, end)

    reading.overlay.first_stored = spied  # type: ignore[method-assign]
    rows = list(chain.from_iterable(read_windows(reading.open, "shop", None, EXPERIMENT, SPAN)))
    assert [(row.key, row.counts.user_totals) for row in rows] == [(key, UserTotals(1))]
    assert len(asked) == 2  # the experiment, and the end


def test_work_grows_with_the_rows_and_not_with_their_square() -> None:
    reading = Reading()
    scenarios = [f"list-{number}" for number in range(300)]
    for number, scenario in enumerate(scenarios):
        reading.put("shop", scenario, 0, 1)
        if number % 2:
            reading.keep("shop", scenario, 1, 1)
    assert {each[0] for each in reading.read()} == set(scenarios)
    assert reading.looked_at == len(scenarios)


def test_a_split_day_or_hour_is_read_before_its_parts() -> None:
    """Events may be counted between two reads, and then the parts must not lack them (tables/ctr/local_windows.py)."""
    reading, kolkata = Reading(), ZoneInfo("Asia/Kolkata")
    steps = LocalSteps(day_bounds(kolkata, 1, T0, T0 + DAY_MS), T0 + 99 * DAY_MS)
    for scenario in ("a", "b"):
        for minute_ms in range(steps.bounds[0] - MINUTE_MS, steps.bounds[-1] + MINUTE_MS, 10 * MINUTE_MS):
            for granularity in GRANULARITY_MS:
                key = WindowKey("shop", scenario, SCENARIO, granularity, floor(minute_ms, granularity))
                states = reading.overlay.tables["windows"]
                states.put(key.encode(), add_delta(states.get(key.encode()), Counts(clicks=1), T0))
    local = LocalReading(steps)
    rows = list(chain.from_iterable(read_windows(reading.open, "shop", None, SCENARIO, local.segments)))
    assert Counter(row.key for row in rows).most_common(1)[0][1] == 1
    for scenario in ("a", "b"):
        read = [row.key.granularity for row in rows if row.key.scenario == scenario]
        assert read == sorted(read, key=["day", "hour", "minute"].index)
    clicks = Counter[str]()
    for row in rows:
        if local.takes(row):
            clicks[row.key.scenario] += row.counts.clicks
    expected = len(range(steps.bounds[0] + 9 * MINUTE_MS, steps.bounds[-1], 10 * MINUTE_MS))
    assert (clicks, local.missing()) == ({"a": expected, "b": expected}, None)
