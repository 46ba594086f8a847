"""Windows become final once, when all partitions have passed their end and the grace; late events revise them."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import closing
from agents.partition import Partition
from agents.ports import Output
from events.model import EventBase, user_key
from events.partitions import partition_of
from events.topics import DEADLETTERS, HISTORY, JOURNAL, PARTIALS, WINDOWS
from tables.ctr import partials
from tables.ctr.panes import Counts, Pane
from tables.ctr.window_keys import HOUR_MS, SCENARIO, WindowKey, scenario_key
from tables.ctr.windows import GRANULARITY_MS, WindowRecord, WindowState, decode_record
from tables.declare import BY_NAME
from tests.support.builders import CUSTOMER, MINUTE_MS, a_rendered, user_of
from tests.support.memory_outbox import LogRecord
from tests.support.overlays import T0
from tests.support.partitions import World, a_record, fold_records

PARTITIONS = 2
GRACE_MS = 10 * MINUTE_MS
MERGED_AT = partition_of(scenario_key(CUSTOMER, "home"), PARTITIONS)
USERS = [
    next(
        user
        for user in map(user_of, range(100))
        if partition_of(user_key(CUSTOMER, user), PARTITIONS) == home
    )
    for home in range(PARTITIONS)
]
"""One user for each partition."""
NOW_MS = T0 + 60 * HOUR_MS


class Chatty:
    """An announcer that announces with every flush and reports the lanes that the test sets."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.lanes = partials.DrainedLanes(live=False, history=False)

    def is_due(self, positions: Mapping[str, int], newest_ms: int) -> bool:
        return False

    def take(self, positions: Mapping[str, int], newest_ms: int) -> tuple[list[Output], list[Output]]:
        key, value = partials.announcement(self.number, newest_ms, self.lanes)
        return [], [Output(PARTIALS, MERGED_AT, key, value)]


class Shop:
    """Two source partitions, one of which merges.

    ``say`` folds an event, flushes, and lets the merge fold what the flush published.
    """

    def __init__(self) -> None:
        self.announcers = [Chatty(number) for number in range(PARTITIONS)]
        self.world = World(PARTITIONS, self.announcers.__getitem__, grace_ms=GRACE_MS)
        self.partitions = [self.world.open(number) for number in range(PARTITIONS)]
        self._offsets: Counter[tuple[int, str]] = Counter()
        self._merged = 0

    async def say(self, minute: float, home: int = 0, topic: str = JOURNAL) -> None:
        time_ms = T0 + int(minute * MINUTE_MS)
        received_ms = max(time_ms, T0 + 20 * HOUR_MS)
        event = a_rendered(user=USERS[home], time_ms=time_ms, received_ms=received_ms)
        await self.fold(event, home, topic)
        await self.flush(home)

    async def fold(self, event: EventBase, home: int, topic: str = JOURNAL) -> None:
        record = a_record(event, self._offsets[home, topic], timestamp=NOW_MS)
        self._offsets[home, topic] += 1
        await fold_records(self.partitions[home], topic, [record])

    async def flush(self, home: int) -> None:
        assert await self.partitions[home].flush()
        await self.merge()

    async def merge(self) -> None:
        """Let the merge fold the new records of its topic, and flush."""
        await self.fold_partials()
        assert await self.merging.flush()

    async def fold_partials(self) -> None:
        """Let the merge fold the new records of its topic."""
        records = self.world.logs.read(PARTIALS, MERGED_AT, self._merged)
        if records:
            self._merged = records[-1].offset + 1
            stamped = [record._replace(timestamp=NOW_MS) for record in records]
            await fold_records(self.merging, PARTIALS, stamped)

    @property
    def merging(self) -> Partition:
        return self.partitions[MERGED_AT]

    def read(self, home: int, *, live: bool = True, history: bool = True) -> None:
        """Mark these lanes as read by a partition, from its next announcement on."""
        self.announcers[home].lanes = partials.DrainedLanes(live, history)

    def published(self, dimension: str = SCENARIO) -> dict[tuple[str, int], list[WindowRecord]]:
        """Return all records of each window, by granularity and minute after T0."""
        found: dict[tuple[str, int], list[WindowRecord]] = {}
        for record in self.world.logs.read(WINDOWS, MERGED_AT):
            window = decode_record(record.value or b"")
            if window.dimension == dimension:
                place = window.granularity, (window.start_ms - T0) // MINUTE_MS
                found.setdefault(place, []).append(window)
        return found

    def minute(self, minute: int) -> tuple[int, bool, int]:
        """Return the last published record of a minute: items shown, whether it is final, its revision."""
        window = self.published()["minute", minute][-1]
        return window.rendered, window.final, window.revision

    def restart(self) -> None:
        """Kill the merging partition and open it again on its disk."""
        disk = World.kill(self.merging)
        self.partitions[MERGED_AT] = self.world.open(MERGED_AT, disk)


@pytest.fixture
async def shop() -> Iterator[Shop]:
    shop = Shop()
    yield shop
    shop.world.end()


async def test_window_is_final_when_the_last_partition_has_passed_its_end_and_grace(shop: Shop) -> None:
    await shop.say(0, home=0)
    await shop.say(30, home=0)
    assert shop.minute(0) == (2, False, 0)
    await shop.say(10.99, home=1)
    assert shop.minute(0) == (2, False, 0)
    await shop.say(11, home=1)
    assert shop.minute(0) == (2, True, 0)
    assert shop.minute(10) == (2, False, 0)
    finals = [window.final for window in shop.published()["minute", 0]]
    assert finals == [False, True]


async def test_partition_that_has_read_all_does_not_hold(shop: Shop) -> None:
    await shop.say(0, home=1)
    await shop.say(30, home=0)
    assert shop.minute(0) == (2, False, 0)
    shop.read(1)
    # Gives the merge something to flush.
    await shop.fold(a_rendered(user=USERS[1], time_ms=T0, received_ms=T0), 1)
    await shop.flush(1)
    assert shop.minute(0) == (4, True, 0)  # a flush sends its counts before its announcement


async def test_hours_and_days_become_final_too(shop: Shop) -> None:
    await shop.say(0)
    for home in range(PARTITIONS):
        await shop.say(70, home)
    hour = -(T0 % HOUR_MS) // MINUTE_MS
    assert shop.published()["hour", hour][-1].final
    for home in range(PARTITIONS):
        await shop.say(36 * 60, home)
    assert all(
        windows[-1].final
        for (name, minute), windows in shop.published().items()
        if T0 + minute * MINUTE_MS + GRANULARITY_MS[name] + GRACE_MS <= T0 + 36 * HOUR_MS
    )
    assert [
        key for key, value in shop.merging.overlay.tables["open_windows"].changed.items() if value is not None
    ] == []


async def test_events_within_the_grace_revise_nothing_whatever_their_order(shop: Shop) -> None:
    draw = random.Random(5)
    minutes = sorted((draw.random() * 60 for _ in range(80)), key=lambda each: each + draw.random() * 9)
    for minute in minutes:
        await shop.say(minute, home=draw.randrange(PARTITIONS))
    for home in range(PARTITIONS):
        await shop.say(600, home)
    counts = Counter(int(minute) for minute in minutes)
    for minute, count in counts.items():
        assert shop.minute(minute) == (2 * count, True, 0)
    assert shop.merging.stats.late == 0


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.integers(0, 1), st.integers(0, 9), st.booleans()),
        min_size=1,
        max_size=40,
    )
)
async def test_any_order_within_the_grace_gives_the_windows_of_a_plain_fold(
    drawn: list[tuple[int, int, int, bool]],
) -> None:
    """Fold events of (minute, partition, minutes late, flush after it): windows are final, unrevised, and equal plain sums."""
    shop = Shop()
    for minute, home, _, is_flushed in sorted(drawn, key=lambda each: each[0] + each[2]):
        await shop.fold(
            a_rendered(user=USERS[home], time_ms=T0 + minute * MINUTE_MS, received_ms=T0 + 20 * HOUR_MS), home
        )
        if is_flushed:
            await shop.flush(home)
    for home in range(PARTITIONS):
        await shop.say(48 * 60, home)
    plain: Counter[tuple[str, int]] = Counter()
    for minute, *_ in drawn:
        for name, size_ms in GRANULARITY_MS.items():
            start_ms = T0 + minute * MINUTE_MS
            plain[name, (start_ms - start_ms % size_ms - T0) // MINUTE_MS] += 2
    published = shop.published()
    for place, count in plain.items():
        window = published[place][-1]
        assert (window.rendered, window.final, window.revision) == (count, True, 0)
    assert shop.merging.stats.late == 0
    shop.world.end()


async def test_late_event_revises_its_windows_and_is_counted(shop: Shop) -> None:
    for home in range(PARTITIONS):
        await shop.say(0, home)
        await shop.say(90, home)
    await shop.say(0.5)
    assert shop.minute(0) == (6, True, 1)
    assert shop.published()["minute", 0][-2].revision == 0
    await shop.say(0.5)
    assert shop.minute(0) == (8, True, 2)
    revisions = sum(
        windows[-1].revision
        for dimension in ("scenario", "scenario.variant", "scenario.variant.row.rank")
        for windows in shop.published(dimension).values()
    )
    assert shop.merging.stats.late >= revisions > 0


async def test_late_event_in_an_empty_minute_makes_a_window_that_is_final_and_revised(shop: Shop) -> None:
    for home in range(PARTITIONS):
        await shop.say(90, home)
    await shop.say(3)
    assert shop.minute(3) == (2, True, 1)
    assert len(shop.published()["minute", 3]) == 1


async def test_window_of_history_is_final_when_all_have_read_that_lane_and_never_by_the_watermark(
    shop: Shop,
) -> None:
    await shop.say(0, topic=HISTORY)
    for home in range(PARTITIONS):
        await shop.say(90, home)
    assert shop.minute(0) == (2, False, 0)
    shop.read(0)
    await shop.say(91, 0)
    assert shop.minute(0) == (2, False, 0)
    shop.read(1)
    await shop.say(91, 1)
    assert shop.minute(0) == (2, True, 0)
    await shop.say(0, topic=HISTORY)  # another import revises it
    assert shop.minute(0) == (4, True, 1)


async def test_history_moves_no_watermark(shop: Shop) -> None:
    for home in range(PARTITIONS):
        await shop.say(0, home)
        await shop.say(90, home, topic=HISTORY)
    assert shop.merging.watermark_ms == T0
    assert shop.minute(0) == (4, False, 0)


async def test_window_of_history_that_a_live_event_touches_waits_for_the_watermark(shop: Shop) -> None:
    await shop.say(20, topic=HISTORY)
    await shop.say(20)
    for home in range(PARTITIONS):
        shop.read(home, live=False)
        await shop.say(21, home)
    assert shop.minute(20) == (4, False, 0)
    for home in range(PARTITIONS):
        await shop.say(31, home)
    assert shop.minute(20) == (4, True, 0)


async def test_watermark_and_open_windows_outlive_a_crash(shop: Shop) -> None:
    for home in range(PARTITIONS):
        await shop.say(0, home)
        await shop.say(9, home)
    shop.restart()
    assert shop.merging.watermark_ms == T0 + 9 * MINUTE_MS
    for home in range(PARTITIONS):
        await shop.say(90, home)
    assert shop.minute(0) == (4, True, 0)
    shop.restart()
    await shop.say(0.2)
    assert shop.minute(0) == (6, True, 1)


async def test_a_flush_closes_a_bounded_number_and_the_next_goes_on(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "_MAX_CLOSED", 4)
    monkeypatch.setattr(closing, "_SLICE_WINDOWS", 1)
    monkeypatch.setattr(closing, "_SLICE_SECONDS", 0.0)
    for minute in range(5):
        await shop.say(minute)
    for home in range(PARTITIONS):
        await shop.say(50, home)

    def finals() -> int:
        return sum(
            windows[-1].final
            for dimension in ("scenario", "scenario.variant", "scenario.variant.row.rank")
            for windows in shop.published(dimension).values()
        )

    before = finals()
    flushes = len(shop.world.outbox(MERGED_AT).flushes)
    for _ in range(20):
        assert await shop.merging.flush()
        assert finals() - before <= 4
        before = finals()
    assert before == 5 * 3  # for each minute: scenario, variant, position
    assert len(shop.world.outbox(MERGED_AT).flushes) < flushes + 10  # then nothing was left to flush


@pytest.mark.parametrize("is_lost", [True, False], ids=["lost", "closed"])
async def test_partition_that_ends_while_windows_are_closed_stops_there(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, is_lost: bool
) -> None:
    monkeypatch.setattr(closing, "_SLICE_WINDOWS", 1)
    monkeypatch.setattr(closing, "_SLICE_SECONDS", 0.0)
    for home in range(PARTITIONS):
        await shop.say(1, home)
    for home in range(PARTITIONS):
        await shop.fold(a_rendered(user=USERS[home], time_ms=T0 + 90 * MINUTE_MS), home)
        await shop.partitions[home].flush()
    await shop.fold_partials()
    merging, flushes = shop.merging, len(shop.world.outbox(MERGED_AT).flushes)
    flushing = asyncio.ensure_future(merging.flush())
    await asyncio.sleep(0)  # it closes the first window and yields to other tasks
    assert not flushing.done()
    if is_lost:
        with pytest.raises(ZeroDivisionError):
            await merging.fold(JOURNAL, [a_record(offset=99)], lambda *_: 1 // 0)
        assert not await flushing
        assert len(shop.world.outbox(MERGED_AT).flushes) == flushes
    else:
        merging.is_open = False
        assert await flushing
        closed = [
            decode_record(output.value or b"")
            for output in shop.world.outbox(MERGED_AT).flushes[-1].outputs
            if output.topic == WINDOWS
        ]
        assert [window.final for window in closed].count(True) == 1


async def test_windows_of_an_earlier_version_are_taken_in(shop: Shop) -> None:
    shop.world.end()
    key = WindowKey(CUSTOMER, "home", SCENARIO, "minute", T0)
    disk = shop.merging.store.disk
    disk.tables["windows"] = {
        key.encode(): BY_NAME["windows"].encode(WindowState(Counts(rendered=9), received_ms=NOW_MS))
    }
    shop.partitions = [
        shop.world.open(number, disk if number == MERGED_AT else None) for number in range(PARTITIONS)
    ]
    for home in range(PARTITIONS):
        await shop.say(90, home)
    await shop.merging.flush()
    assert shop.minute(0) == (9, True, 0)


async def test_announcement_of_a_partition_that_does_not_exist_is_a_dead_letter(shop: Shop) -> None:
    _, value = partials.announcement(PARTITIONS, T0, partials.DrainedLanes(live=False, history=False))
    await fold_records(shop.merging, PARTIALS, [LogRecord(0, b"~9", value, timestamp=NOW_MS)])
    assert await shop.merging.flush()
    assert [record.value for record in shop.world.logs.read(DEADLETTERS, MERGED_AT)] == [value]


async def test_flush_with_nothing_but_an_announcement_writes_no_position() -> None:
    world = World(1, Chatty)
    partition = world.open()
    partition._announcer.is_due = lambda *_: True
    assert await partition.flush()
    (flush,) = world.outbox().flushes
    assert (flush.changes, len(flush.outputs), partition.durable) == ({}, 1, {})
    world.end()


def test_pane_is_of_history_until_a_live_event_counts_in_it() -> None:
    before = partials.decode(b'{"customer":"c","scenario":"s","partition":0,"panes":[]}')
    assert before.lanes is not True
    assert not Pane().is_history
    assert b"lanes" not in encode_of(Pane())
    assert encode_of(Pane(is_history=True)).endswith(b'true]],"watermark_ms":0,"v":1}')


def encode_of(pane: Pane) -> bytes:
    ((_, value),) = partials.records({WindowKey("c", "s", SCENARIO, "minute", T0): pane}, 0)
    return value
