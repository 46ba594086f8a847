"""A worker answers from its open partitions; for others it reports their progress and their owner."""

import shutil
from collections.abc import AsyncIterator
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types.tuples import TP

from agents.poison import PoisonRule
from agents.registry import Partitions
from app.lookup.service import HiddenEventsError, OutOfTouchError, PartitionNotReady
from app.lookup.user_view import items_of
from app.worker.answer_age import AnswerAge
from app.worker.assignor import GroupOwners
from app.worker.contact import ContactRule
from app.worker.freshness import Freshness
from app.worker.lag import ConsumerFeed
from app.worker.lookups import WorkerLookups
from app.worker.restore import RestoreProgress
from app.worker.standby import Standbys
from app.worker.stores import Stores
from app.worker.watchdog import Sight, SourcePartition, Watchdog
from events.model import user_key
from events.partitions import partition_of
from events.topics import JOURNAL, PARTIALS, SOURCES
from tables.ctr.panes import Counts
from tables.ctr.watermarks import WatermarkState
from tables.ctr.window_keys import MAX_TIME_MS, SCENARIO, WindowKey
from tables.ctr.window_sums import StoredSpan
from tables.ctr.windows import HISTORY_LANE, LIVE_LANE, WindowState
from tables.store import StoreDamageError, StoreDiskError, StoreMemory
from tables.user import clicked
from tests.support.builders import CUSTOMER, MINUTE_MS, USER, a_click, a_login, a_recommended, a_rendered
from tests.support.lookups import NOW, FixedClock
from tests.support.overlays import T0, SpiedOverlay, fold_all, forget_rows
from tests.support.partitions import World, a_record, fold_records

PARTITIONS = 4
HERE, ELSEWHERE = "http://127.0.0.1:6067", "http://127.0.0.1:6068"
KEY = user_key(CUSTOMER, USER)
HOME = partition_of(KEY, PARTITIONS)
MEMORY = StoreMemory(1_048_576, 4 * 1_048_576)


class Bench:
    """A worker's lookups over a world in memory; ``owners`` is Faust's map of partitions to workers."""

    def __init__(self, directory: Path) -> None:
        self.world = World(partitions=PARTITIONS)
        self.partitions = Partitions(close_timeout_seconds=1)
        self.owners: dict[TP, str] = {}
        self.copies: dict[str, dict[str, list[int]]] = {}
        consumer = SimpleNamespace(unread=lambda tp: 1 if tp.topic == PARTIALS else 0, delivered=lambda _: 3)
        self.app = SimpleNamespace(
            assignor=SimpleNamespace(_external_tps_url=self.owners, changelog_distribution=self.copies),
            consumer=consumer,
            rebalancing=False,
        )
        self.stores = Stores(directory, MEMORY, FixedClock())
        self.restorer: Any = SimpleNamespace(progress=None, stores=self.stores)
        self.standbys = Standbys("", "", self.stores, FixedClock(), print)
        self.ages: dict[int, int] = {}
        self.hidden: dict[int, int | None] = {}
        self.watchdog = Watchdog(alarm_ms=1_000, exit_ms=0, interval_ms=1_000)
        feed = ConsumerFeed()
        feed.app = self.app
        self.lookups = WorkerLookups(
            {},
            self.partitions,
            self.restorer,
            self.standbys,
            PARTITIONS,
            HERE,
            GroupOwners(self.app),
            feed.lag,
            AnswerAge(
                ContactRule.of(9_000, 300_000),
                lambda numbers: max((self.ages.get(number, 0) for number in numbers), default=0),
                lambda number: self.hidden.get(number, 0),
            ),
            self.watchdog.alarms,
        )

    def assign(self, *numbers: int, url: str = HERE) -> None:
        self.owners.update({TP(topic, number): url for topic in SOURCES for number in numbers})

    def open(self, number: int) -> Any:
        self.assign(number)
        partition = self.world.open(number)
        self.partitions.add(partition)
        return partition


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.stores.close(HOME)
    bench.world.end()


def test_owner_is_the_one_whom_the_group_gave_the_partition(bench: Bench) -> None:
    bench.assign(0, url=HERE + "/")
    bench.assign(1, url=ELSEWHERE)
    lookups = bench.lookups
    assert [lookups.owner_of(number) for number in range(3)] == [HERE + "/", ELSEWHERE, None]
    assert [lookups.is_local(number) for number in range(3)] == [True, False, False]
    assert lookups.partition_of(KEY) == HOME


async def test_view_of_a_user_is_fresh_before_any_flush(bench: Bench) -> None:
    partition = bench.open(HOME)
    assert not bench.lookups.user_view(HOME, KEY).is_known
    await fold_records(partition, JOURNAL, [a_record(a_click(), 0), a_record(a_recommended(), 1)])
    view = bench.lookups.user_view(HOME, KEY)
    assert view.is_known
    assert view.own[clicked.TABLE] is not None
    assert view.own[clicked.TABLE].items["1/1"].count == 1
    assert view.recommended is not None
    assert (view.moved, view.identity, view.impressions) == (None, None, None)


async def test_view_shows_what_a_login_moved_beside_what_came_since(bench: Bench) -> None:
    partition = bench.open(HOME)
    records = [a_record(a_click(), 0), a_record(a_login(), 1), a_record(a_click(item="2"), 2)]
    await fold_records(partition, JOURNAL, records)
    for _ in range(2):  # from memory, then from the store
        view = bench.lookups.user_view(HOME, KEY)
        assert view.own[clicked.TABLE] is not None
        assert set(view.own[clicked.TABLE].items) == {"1/2"}
        assert view.moved is not None
        assert view.moved[clicked.TABLE] is not None
        assert set(view.moved[clicked.TABLE].items) == {"1/1"}
        assert view.identity is not None
        await partition.flush()
        forget_rows(partition.overlay)


async def test_partition_that_is_not_open_is_no_empty_answer(bench: Bench) -> None:
    bench.assign(0)
    with pytest.raises(PartitionNotReady) as raised:
        bench.lookups.user_view(0, KEY)
    assert (raised.value.partition, raised.value.progress) == (0, None)
    bench.restorer.progress = RestoreProgress(total=200, done=50)
    with pytest.raises(PartitionNotReady) as raised:
        bench.lookups.windows(0, CUSTOMER, None, SCENARIO, [])
    assert raised.value.progress == 0.25


async def test_lost_partition_is_not_read(bench: Bench) -> None:
    partition = bench.open(HOME)
    await fold_records(partition, JOURNAL, [a_record(a_click())])
    bench.world.outbox(HOME).next_failure = "after commit"
    await partition.flush()
    with pytest.raises(PartitionNotReady):
        bench.lookups.user_view(HOME, KEY)


async def test_damaged_partition_is_not_ready_and_lost_and_others_answer(bench: Bench) -> None:
    partition, other = bench.open(HOME), bench.open((HOME + 1) % PARTITIONS)
    await fold_records(partition, JOURNAL, [a_record(a_click())])
    await partition.flush()
    for _ in range(2):
        forget_rows(partition.overlay)
    partition.store.disk.is_damaged = True
    with pytest.raises(PartitionNotReady):
        bench.lookups.user_view(HOME, KEY)
    assert [error.partition for error in bench.world.lost] == [HOME]
    assert bench.lookups.status()["partitions"][str(HOME)] == {"ready": False}
    assert not bench.lookups.user_view(other.number, b"other").is_known
    other.store.disk.is_damaged = True
    with pytest.raises(PartitionNotReady):
        list(bench.lookups.windows(other.number, CUSTOMER, None, SCENARIO, [StoredSpan("minute", 0, T0)]))
    assert [error.partition for error in bench.world.lost] == [HOME, other.number]


async def test_lookup_whose_disk_cannot_be_read_is_unavailable_and_loses_the_partition(bench: Bench) -> None:
    partition = bench.open(HOME)

    def unreadable(*_: object) -> None:
        raise StoreDiskError(Path("0"), "IO error: While open a file for random read: Too many open files")

    partition.store._table = unreadable
    with pytest.raises(PartitionNotReady):
        bench.lookups.user_view(HOME, KEY)
    assert len(bench.world.lost) == 1


async def test_status_names_damaged_stores_until_somebody_deletes_them(bench: Bench) -> None:
    assert bench.lookups.status()["damaged_stores"] == []
    (bench.stores.state_dir / "3").mkdir(parents=True)
    (bench.stores.state_dir / "3" / "MANIFEST-000005").touch()
    bench.stores.open(3, {})
    (aside,) = bench.stores.state_dir.glob("3.damaged-*")
    entry = {"partition": 3, "directory": str(aside), "rebuilding": True}
    assert bench.lookups.status()["damaged_stores"] == [entry]
    bench.stores.rebuilt(3)
    assert bench.lookups.status()["damaged_stores"] == [{**entry, "rebuilding": False}]
    shutil.rmtree(aside)
    assert bench.lookups.status()["damaged_stores"] == []
    bench.stores.close(3)


async def test_status_finds_damage_itself(bench: Bench) -> None:
    partition = bench.open(HOME)
    for _ in range(2):
        forget_rows(partition.overlay)
    partition.store.disk.is_damaged = True
    bench.lookups.status()
    assert bench.lookups.status()["ready"] is False
    assert [error.partition for error in bench.world.lost] == [HOME]


async def test_damaged_copy_is_none(bench: Bench) -> None:
    a_copy(bench, complete_ms=NOW)
    store = bench.stores.opened(HOME)
    assert store is not None

    def damaged(*_: object) -> None:
        store.damage = StoreDamageError(store.path, "Corruption: block checksum mismatch")
        raise StoreDamageError(store.path, "Corruption: block checksum mismatch")

    store._getters = dict.fromkeys(store._getters, damaged)
    assert bench.standbys.reading(HOME) is not None
    assert bench.lookups.stale_view(HOME, KEY, 5_000) is None
    assert bench.standbys.reading(HOME) is None


def a_copy(bench: Bench, complete_ms: int | None) -> Freshness:
    """Keep a copy of the user's partition, with one click."""
    store = bench.stores.open(HOME, {})
    row = clicked.click(None, a_click())
    store.write({"clicked": [(KEY, clicked.TABLE.encode(row))]}, {})
    freshness = bench.stores.freshness[HOME] = Freshness()
    freshness.complete_ms = complete_ms
    return freshness


async def test_copy_answers_only_as_old_as_allowed_and_never_in_the_owners_place(bench: Bench) -> None:
    lookups = bench.lookups
    assert lookups.stale_view(HOME, KEY, 5_000) is None
    freshness = a_copy(bench, complete_ms=None)
    assert lookups.stale_view(HOME, KEY, 5_000) is None, "its age is unknown"
    freshness.complete_ms = NOW - 3_000
    view = lookups.stale_view(HOME, KEY, 5_000)
    assert view is not None
    assert view.own[clicked.TABLE] is not None
    assert (set(view.own[clicked.TABLE].items), view.stale_ms) == ({"1/1"}, 3_000)
    assert lookups.stale_view(HOME, KEY, 2_999) is None
    with pytest.raises(PartitionNotReady):
        lookups.user_view(HOME, KEY)


@pytest.mark.parametrize("behind", ["rendered", "impressions", "impression_buckets"])
@pytest.mark.parametrize("ahead", [True, False])
async def test_copy_that_has_part_of_a_flush_answers_one_of_both_states_or_nothing(
    bench: Bench, behind: str, ahead: bool
) -> None:
    """A standby reads three changelogs of what was shown, one of them a flush later or earlier than the others."""
    overlay, flushes = SpiedOverlay(), []
    for number in range(150):
        fold_all(overlay, a_rendered(items=("1", f"x{number}"), time_ms=T0 + number))
        changes, _ = overlay.encode_changes()
        overlay._store.write(changes, {})
        flushes.append(changes)
    store = bench.stores.open(HOME, {})
    bench.stores.freshness[HOME] = Freshness()
    bench.stores.freshness[HOME].complete_ms = NOW
    answered = 0
    for number, changes in enumerate(flushes, 1):
        alone = {behind: changes.get(behind, [])}
        others = {table: rows for table, rows in changes.items() if table != behind}
        store.write(alone if ahead else others, {})
        view = bench.lookups.stale_view(HOME, KEY, 5_000)
        if view is not None:
            shown, _ = items_of(view, "rendered")
            assert (shown["1/1"].total if shown else 0) in (number - 1, number)
            answered += 1
        store.write(others if ahead else alone, {})
        view = bench.lookups.stale_view(HOME, KEY, 5_000)
        assert view is not None
        assert items_of(view, "rendered")[0]["1/1"].total == number
    assert answered > 100


async def test_copy_is_none_any_more_once_its_partition_is_open_or_its_store_closed(bench: Bench) -> None:
    a_copy(bench, complete_ms=NOW)
    bench.standbys.forget([HOME])
    assert bench.lookups.stale_view(HOME, KEY, 5_000) is None
    a_copy(bench, complete_ms=NOW)
    bench.stores.close(HOME)
    assert bench.lookups.stale_view(HOME, KEY, 5_000) is None


def test_standbys_are_the_other_workers_with_a_copy(bench: Bench) -> None:
    bench.copies |= {HERE: {JOURNAL: [1, 2]}, ELSEWHERE: {JOURNAL: [2]}}
    assert [bench.lookups.standbys_of(number) for number in range(3)] == [[], [], [ELSEWHERE]]


async def test_windows_are_those_of_the_scenario_and_span_flushed_or_not(bench: Bench) -> None:
    source, merge = bench.open(HOME), bench.open((HOME + 1) % PARTITIONS)
    records = [
        a_record(a_rendered(scenario=scenario, time_ms=T0 + minute * MINUTE_MS), offset)
        for offset, (scenario, minute) in enumerate([("a", 0), ("a", 1), ("a", 2), ("ab", 1), ("b", 1)])
    ]
    await fold_records(source, JOURNAL, records)
    await source.flush()
    partials = [record for number in range(PARTITIONS) for record in bench.world.logs.read(PARTIALS, number)]
    partials = [record._replace(offset=offset) for offset, record in enumerate(partials)]
    for part in (partials[:1], partials[1:]):
        await fold_records(merge, PARTIALS, part)
        if part == partials[:1]:
            await merge.flush()
    span = [StoredSpan("minute", T0 + MINUTE_MS, T0 + 2 * MINUTE_MS)]

    def found(scenario: str | None, segments: list[StoredSpan] = span) -> list[tuple[str, int, int]]:
        rows = chain.from_iterable(
            bench.lookups.windows(merge.number, CUSTOMER, scenario, SCENARIO, segments)
        )
        return [(row.key.scenario, (row.key.start_ms - T0) // MINUTE_MS, row.counts.rendered) for row in rows]

    assert found("a") == [("a", 1, 2)]
    assert found(None) == [("a", 1, 2), ("ab", 1, 2), ("b", 1, 2)]
    assert found("a", [StoredSpan("minute", T0, T0 + MINUTE_MS), *span]) == [("a", 0, 2), ("a", 1, 2)]
    assert found("none") == []
    assert not any(bench.lookups.windows(merge.number, "other", None, SCENARIO, span))

    lazy = bench.lookups.windows(merge.number, CUSTOMER, None, SCENARIO, span)
    assert next(filter(None, lazy))[0].key.scenario == "a"
    merge.is_open = False
    with pytest.raises(PartitionNotReady):
        list(lazy)


@pytest.mark.parametrize("segments", [[], [StoredSpan("hour", T0, T0 + 1)]])
async def test_a_caller_may_pause_at_each_scenario_also_where_it_has_no_windows(
    bench: Bench, segments: list[StoredSpan]
) -> None:
    merge = bench.open(0)
    for scenario in ("a", "b", "c"):
        key = WindowKey(CUSTOMER, scenario, SCENARIO, "minute", T0)
        merge.overlay.tables["windows"].put(key.encode(), WindowState(received_ms=T0))
    lists = list(bench.lookups.windows(0, CUSTOMER, None, SCENARIO, segments))
    assert len(lists) >= 3
    assert not any(lists)


async def test_status_is_ready_when_every_assigned_partition_is_open(bench: Bench) -> None:
    assert bench.lookups.status()["ready"] is False  # no partition is assigned yet
    partition = bench.open(1)
    bench.assign(2)
    bench.assign(0, url=ELSEWHERE)
    status = bench.lookups.status()
    assert (status["ready"], set(status["partitions"])) == (False, {"1", "2"})
    assert status["partitions"]["2"] == {"ready": False}
    bench.open(2)
    assert bench.lookups.status()["ready"] is True
    bench.app.rebalancing = True
    assert bench.lookups.status()["ready"] is False
    bench.app.rebalancing = False
    partition.is_open = False
    assert bench.lookups.status()["ready"] is False


async def test_status_tells_lag_positions_and_restoring(bench: Bench) -> None:
    partition = bench.open(1)
    await fold_records(partition, JOURNAL, [a_record(value=b"{", offset=2)])
    entry = bench.lookups.status()["partitions"]["1"]
    assert (entry["positions"], entry["durable"], entry["deadlettered"]) == ({JOURNAL: 3}, {}, 1)
    assert entry["lag"] == 3 * len(SOURCES) + 1
    await partition.flush()
    status = bench.lookups.status()
    assert status["lag"] == status["partitions"]["1"]["lag"] == 3 * (len(SOURCES) - 1) + 1
    assert (status["restoring"], status["url"]) == (None, HERE)
    bench.restorer.progress = RestoreProgress(total=10, done=0)
    restoring = bench.lookups.status()["restoring"]
    assert (restoring["records"], restoring["done"], restoring["seconds_left"]) == (10, 0, None)


async def test_status_tells_what_stands_still_and_is_not_ready_then(bench: Bench) -> None:
    bench.open(1)
    for second in range(3):
        bench.watchdog.look(second * 1_000, {SourcePartition(JOURNAL, 1): Sight(0, 7, second)})
    status = bench.lookups.status()
    assert [(alarm["alarm"], alarm["position"]) for alarm in status["alarms"]] == [("stands_still", 7)]
    assert status["ready"] is False
    bench.watchdog.look(3_000, {SourcePartition(JOURNAL, 1): Sight(0, 8, 0)})
    assert bench.lookups.status()["alarms"] == []
    assert bench.lookups.status()["ready"] is True


async def test_status_tells_what_is_paused_and_stays_ready_for_lookups(bench: Bench) -> None:
    bench.world.limits.poison = PoisonRule(records=10)
    partition = bench.open(HOME)
    await fold_records(partition, JOURNAL, [a_record(a_click(), 0)])
    await fold_records(partition, JOURNAL, [a_record(value=b"{", offset=offset) for offset in range(1, 20)])
    status = bench.lookups.status()
    assert [(alarm["alarm"], alarm["position"]) for alarm in status["alarms"]] == [("paused", 11)]
    assert status["ready"] is True
    assert bench.lookups.user_view(HOME, KEY).is_known


async def test_rows_say_what_is_over_by_the_watermark_unless_they_are_of_history(bench: Bench) -> None:
    merge = bench.open(0)
    grace_ms = merge.rules.grace_ms
    states = {
        0: WindowState(Counts(rendered=1), received_ms=T0, lane=LIVE_LANE),
        1: WindowState(Counts(rendered=1), 2, True, T0, lane=HISTORY_LANE),
    }
    for minute, state in states.items():
        key = WindowKey(CUSTOMER, "home", SCENARIO, "minute", T0 + minute * MINUTE_MS)
        merge.overlay.tables["windows"].put(key.encode(), state)
    merge.overlay.tables["watermarks"].put(b"0", WatermarkState(T0 + grace_ms + 7))
    span = [StoredSpan("minute", T0, T0 + 2 * MINUTE_MS)]
    rows = chain.from_iterable(bench.lookups.windows(0, CUSTOMER, "home", SCENARIO, span))
    assert [(row.is_final, row.revision, row.over_ms) for row in rows] == [
        (False, 0, T0 + 7),
        (True, 2, MAX_TIME_MS),
    ]
    assert merge.watermark_ms == T0 + grace_ms + 7


async def test_partition_without_contact_answers_marked_and_then_not_at_all(bench: Bench) -> None:
    partition, other = bench.open(HOME), bench.open((HOME + 1) % PARTITIONS)
    lookups = bench.lookups
    assert lookups.user_view(HOME, KEY).stale_ms is None
    bench.ages = {HOME: 6_001}
    assert lookups.user_view(HOME, KEY).stale_ms == lookups.stale_ms(HOME) == 6_001
    assert lookups.stale_ms(other.number) is None
    bench.ages = {HOME: 300_001}
    for ask in (lookups.stale_ms, lambda number: lookups.user_view(number, KEY)):
        with pytest.raises(OutOfTouchError) as raised:
            ask(partition.number)
        assert raised.value.partition == HOME


async def test_partition_with_hidden_events_answers_marked_and_then_not_at_all(bench: Bench) -> None:
    for number in range(PARTITIONS):
        bench.open(number)
    marks = []
    for hidden_ms in (6_000, 6_001, 300_000):
        bench.hidden = {HOME: hidden_ms}
        marks.append((bench.lookups.user_view(HOME, KEY).stale_ms, bench.lookups.status()["ready"]))
    assert marks == [(None, True), (6_001, True), (300_000, True)]
    for unknown_or_too_long in (None, 300_001):
        bench.hidden = {HOME: unknown_or_too_long}
        with pytest.raises(HiddenEventsError):
            bench.lookups.user_view(HOME, KEY)
        assert bench.lookups.stale_ms((HOME + 1) % PARTITIONS) is None
        assert bench.lookups.status()["ready"] is False


async def test_status_warns_of_lost_contact_and_is_unready_when_lookups_are_refused(bench: Bench) -> None:
    for number in range(PARTITIONS):
        bench.open(number)
    found = []
    for age_ms in (6_000, 6_001, 300_001):
        bench.ages = {1: age_ms}
        status = bench.lookups.status()
        found.append((status["kafka_contact_ms"], status["ready"], len(status["warnings"])))
    assert found == [(6_000, True, 0), (6_001, True, 1), (300_001, False, 1)]
