"""Changelogs for `loop_lag`: windows of many scenarios, users, and a few users whose tables are full."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from benchmarks.rows import Population, rows_of_visitors
from benchmarks.traffic import CUSTOMER, Record
from events.partitions import partition_of
from events.topics import DAY_MS
from tables.ctr.item_columns import ItemColumns
from tables.ctr.item_windows import MAX_ITEMS, ItemWindow
from tables.ctr.panes import Counts
from tables.ctr.unique_users import add_marks
from tables.ctr.user_windows import SeenSketches, UserWindow
from tables.ctr.window_keys import HOUR_MS, ITEM, POSITION, SCENARIO, VARIANT, WindowKey, scenario_key
from tables.ctr.windows import HISTORY_LANE, MINUTE_MS, WindowState
from tables.declare import BY_NAME

FULL_USERS: Final = 4
LONG: Final = "long"
"""The scenario with a window a minute."""
MINUTES: Final = 10_000
HOURS: Final = {SCENARIO: 48, VARIANT: 24, POSITION: 13}
"""Dimension -> hours that each scenario has windows of."""
ITEM_DAYS: Final = 30
_USERS_OF_HOUR: Final = 50
VARIANTS: Final = ("a", "b")
RANKS: Final = 4
_EVENTS_OF_FULL_USER: Final = 12_000
_EVENTS_OF_USER: Final = 50


@dataclass(frozen=True)
class State:
    """What the workers know: windows up to now of ``scenarios``, and ``users`` next to those with full tables."""

    scenarios: int
    users: int
    seed: int

    def changelogs(
        self, pseudonym: Callable[[str], str], partitions: int, now_ms: int
    ) -> Iterator[tuple[str, Iterator[Record]]]:
        """Yield tables with their records. ``pseudonym`` turns a raw user into a pseudonym."""
        yield "windows", self._windows(partitions, now_ms)
        yield "item_windows", self._items(partitions, now_ms)
        yield "user_windows", self._users(partitions, now_ms)
        start_ms = now_ms - HOUR_MS
        for prefix, users, events, visitors in (
            ("u", self.users, _EVENTS_OF_USER, 100),
            ("full", FULL_USERS, _EVENTS_OF_FULL_USER, FULL_USERS),
        ):
            rows = rows_of_visitors(events, self.seed, start_ms, visitors)
            population = Population(
                rows, users, partitions, name=lambda number, prefix=prefix: pseudonym(f"{prefix}{number}")
            )
            for table in population.tables:
                yield table, population.records(table, now_ms)

    def _windows(self, partitions: int, now_ms: int) -> Iterator[Record]:
        encode = BY_NAME["windows"].encode
        counts = Counts(calls=40, rendered=160, viewed=120, clicks=9, attributed_clicks=7, purchases=1)
        value = encode(WindowState(counts, 0, True, now_ms, {}, HISTORY_LANE))
        for key in self._keys(now_ms):
            partition = partition_of(scenario_key(CUSTOMER, key.scenario), partitions)
            yield Record(partition, key.encode(), value, now_ms)

    def _items(self, partitions: int, now_ms: int) -> Iterator[Record]:
        """Yield the days of the scenario LONG, each with as many items as count by themselves."""
        columns = {
            f"{counter}/1": {f"item-{item}": each for item in range(MAX_ITEMS)}
            for counter, each in (("rendered", 160), ("clicks", 9), ("attributed_clicks", 7))
        }
        value = BY_NAME["item_windows"].encode(ItemWindow(now_ms, ItemColumns(columns)))
        partition = partition_of(scenario_key(CUSTOMER, LONG), partitions)
        for at in range(ITEM_DAYS):
            key = WindowKey(CUSTOMER, LONG, ITEM, "day", now_ms // DAY_MS * DAY_MS - at * DAY_MS)
            yield Record(partition, key.encode(), value, now_ms)

    def _users(self, partitions: int, now_ms: int) -> Iterator[Record]:
        """Yield the unique users of each scenario in the hours that it has windows by variant of."""
        sketch = add_marks(b"", (f"{number:012d}" for number in range(_USERS_OF_HOUR)))
        window = UserWindow({variant: SeenSketches(sketch, sketch) for variant in VARIANTS}, now_ms)
        value = BY_NAME["user_windows"].encode(window)
        for number in range(self.scenarios):
            partition = partition_of(scenario_key(CUSTOMER, f"scenario-{number}"), partitions)
            for at in range(HOURS[VARIANT]):
                start_ms = now_ms // HOUR_MS * HOUR_MS - at * HOUR_MS
                key = WindowKey(CUSTOMER, f"scenario-{number}", SCENARIO, "hour", start_ms)
                yield Record(partition, key.encode(), value, now_ms)

    def _keys(self, now_ms: int) -> Iterator[WindowKey]:
        hour_ms, minute_ms = now_ms // HOUR_MS * HOUR_MS, now_ms // MINUTE_MS * MINUTE_MS
        for number in range(self.scenarios):
            name = f"scenario-{number}"
            for at in range(HOURS[SCENARIO]):
                yield WindowKey(CUSTOMER, name, SCENARIO, "hour", hour_ms - at * HOUR_MS)
            for at in range(HOURS[VARIANT]):
                for variant in VARIANTS:
                    yield WindowKey(CUSTOMER, name, VARIANT, "hour", hour_ms - at * HOUR_MS, variant)
            for at in range(HOURS[POSITION]):
                for variant in VARIANTS:
                    for rank in range(RANKS):
                        start_ms = hour_ms - at * HOUR_MS
                        yield WindowKey(CUSTOMER, name, POSITION, "hour", start_ms, variant, 0, rank)
        for at in range(MINUTES):
            yield WindowKey(CUSTOMER, LONG, SCENARIO, "minute", minute_ms - at * MINUTE_MS)
