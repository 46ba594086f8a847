"""Items and unique users: what partitions added is merged once, into hours and days, and read the same before and after."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import addition_merges
from agents.partition import Partition
from app.worker.item_reads import read_items, read_seen
from events.model import user_key
from events.partitions import partition_of
from events.topics import DAY_MS, JOURNAL, PARTIALS, TRANSFERS
from tables.ctr.item_columns import ItemColumns
from tables.ctr.item_sums import ItemSums, SeenSums
from tables.ctr.unique_users import estimate
from tables.ctr.window_keys import ALL_SCENARIOS, HOUR_MS, ITEM, ITEM_IMAGE, scenario_key
from tables.ctr.window_sums import StoredSpan, segments
from tests.support.builders import CUSTOMER, MINUTE_MS, a_clickrecommended, a_login, a_rendered, a_viewed
from tests.support.overlays import T0
from tests.support.partitions import World, a_record, fold_records

PARTITIONS = 2
DAY = T0 - T0 % DAY_MS
LETTERS = "abcdefgh"
events = st.lists(
    st.tuples(
        st.sampled_from(("rendered", "viewed", "click", "login")),
        st.sampled_from(LETTERS),
        st.sampled_from(("home", "mail", None)),
        st.lists(st.sampled_from("123456"), min_size=1, max_size=4),
        st.integers(0, 5 * 60),
        st.sampled_from((None, "p.jpg", "q.jpg")),
    ),
    max_size=40,
)


def user(letter: str) -> str:
    return f"k1.{'a' * 14}{letter * 12}"


def home_of(name: str) -> int:
    return partition_of(user_key(CUSTOMER, name), PARTITIONS)


def event_of(kind: str, letter: str, scenario: Any, items: list[str], minute: int, image: Any) -> Any:
    common = {"user": user(letter), "time_ms": DAY + minute * MINUTE_MS}
    if kind == "rendered":
        return a_rendered(items=tuple(items), scenario=scenario, image=image, **common)
    if kind == "viewed":
        return a_viewed(items=tuple(items), scenario=scenario, **common)
    if kind == "login":
        return a_login(target=user(chr(ord(letter) + 1)), **common)
    return a_clickrecommended(item=items[0], scenario=scenario, **common)


@contextmanager
def opened(partition: Partition) -> Iterator[Partition]:
    yield partition


async def pump(world: World, partitions: list[Partition]) -> None:
    """Flush, and fold what this sends, until nothing is left."""
    is_left = True
    while is_left:
        is_left = False
        for partition in partitions:
            assert await partition.flush()
        for number, partition in enumerate(partitions):
            for topic in (TRANSFERS, PARTIALS):
                records = world.logs.read(topic, number, partition.positions.get(topic, 0))
                is_left = is_left or bool(records)
                await fold_records(partition, topic, records)


def read(partition: Partition, scenario: str, dimension: str, hours: tuple[int, int]) -> Any:
    spans = segments(DAY + hours[0] * HOUR_MS, DAY + hours[1] * HOUR_MS)
    found = list(read_items(lambda: opened(partition), CUSTOMER, scenario, dimension, spans, lambda _: 0))
    sums = found[-1]
    assert isinstance(sums, ItemSums)
    return {
        name: (c.rendered, c.viewed, c.clicks, c.attributed_clicks)
        for name, c in sums.steps.get(0, ItemColumns()).by_item()
        if any((c.rendered, c.viewed, c.clicks, c.attributed_clicks))
    }


def users(partition: Partition, scenario: str, hours: tuple[int, int]) -> tuple[int, int]:
    spans = segments(DAY + hours[0] * HOUR_MS, DAY + hours[1] * HOUR_MS)
    found = list(
        read_seen(lambda: opened(partition), CUSTOMER, scenario, spans, lambda _: 0, by_variant=False)
    )
    sums = found[-1]
    assert isinstance(sums, SeenSums)
    for _, _, sketches in sums.sums():
        return estimate(sketches.users).value, estimate(sketches.clickers).value
    return 0, 0


class Oracle:
    """The same counts from the list of events alone. A click joins only showings of the same user here: logins are left out."""

    def __init__(self, listed: list[Any]) -> None:
        self.items: Counter[tuple[Any, ...]] = Counter()
        self.seen: dict[tuple[Any, ...], set[str]] = {}
        for kind, letter, scenario, items, minute, image in listed:
            hour, named = minute // 60, scenario or "unknown"
            if kind in ("rendered", "viewed"):
                for item in items:
                    self.items[named, hour, f"1/{item}", kind] += 1
                    if image is not None and kind == "rendered":
                        self.items[named, hour, f"1/{item}\x1f{image}", kind] += 1
            if kind == "click":
                self.items[named, hour, f"1/{items[0]}", "clicks"] += 1
            for whose in (named, ALL_SCENARIOS):
                if kind == "rendered":
                    self.seen.setdefault((whose, hour, "users"), set()).add(letter)
                if kind == "click":
                    self.seen.setdefault((whose, hour, "clickers"), set()).add(letter)

    def of(self, scenario: str, hours: tuple[int, int], *, has_image: bool) -> dict[str, tuple[int, ...]]:
        found: dict[str, Counter[str]] = {}
        for (named, hour, item, counter), times in self.items.items():
            if named == scenario and hours[0] <= hour < hours[1] and ("\x1f" in item) is has_image:
                found.setdefault(item, Counter())[counter] += times
        return {item: (c["rendered"], c["viewed"], c["clicks"]) for item, c in found.items()}

    def users(self, scenario: str, hours: tuple[int, int]) -> tuple[int, int]:
        def count(what: str) -> int:
            of_hours = [self.seen.get((scenario, hour, what), set()) for hour in range(*hours)]
            return len(set().union(*of_hours))

        return count("users"), count("clickers")


async def check(listed: list[Any], seed: int, merge_after: int) -> None:
    chooser = random.Random(seed)
    world = World(partitions=PARTITIONS, merge_after=merge_after)
    partitions = [world.open(number) for number in range(PARTITIONS)]
    offsets = [0] * PARTITIONS
    for each in listed:
        event = event_of(*each)
        number = home_of(event.user)
        await fold_records(partitions[number], JOURNAL, [a_record(event, offsets[number])])
        offsets[number] += 1
        if chooser.random() < 0.4:
            assert await partitions[number].flush()
        if chooser.random() < 0.2:
            await pump(world, partitions)
    await pump(world, partitions)
    if chooser.random() < 0.5:  # what was merged, and what waits, is in the changelogs
        partitions = [world.open(number) for number in range(PARTITIONS)]
    oracle = Oracle(listed)
    for scenario in ("home", "mail", "unknown"):
        merged_at = partitions[partition_of(scenario_key(CUSTOMER, scenario), PARTITIONS)]
        for hours in ((0, 24), (0, 5), (1, 3)):
            for dimension in (ITEM, ITEM_IMAGE):
                found = read(merged_at, scenario, dimension, hours)
                expected = oracle.of(scenario, hours, has_image=dimension == ITEM_IMAGE)
                assert {name: counts[:3] for name, counts in found.items() if any(counts[:3])} == expected
                assert all(counts[3] <= counts[0] for counts in found.values())
            assert users(merged_at, scenario, hours) == oracle.users(scenario, hours)
    totals = partitions[partition_of(scenario_key(CUSTOMER, ALL_SCENARIOS), PARTITIONS)]
    assert users(totals, ALL_SCENARIOS, (0, 24)) == oracle.users(ALL_SCENARIOS, (0, 24))
    world.end()


@settings(max_examples=60, deadline=None)
@given(listed=events, seed=st.integers(0, 2**32), merge_after=st.sampled_from((1, 2, 1_000)))
def test_items_and_users_are_those_of_the_events_however_they_were_flushed_and_merged(
    listed: list[Any], seed: int, merge_after: int
) -> None:
    asyncio.run(check(listed, seed, merge_after))


async def counted(world: World, shown: list[tuple[str, int]]) -> Partition:
    """Show these items, each with a flush, and return the partition that merges them."""
    partition = world.open()
    for offset, (item, minute) in enumerate(shown):
        event = a_rendered(user=user("a"), items=(item,), time_ms=DAY + minute * MINUTE_MS)
        await fold_records(partition, JOURNAL, [a_record(event, offset)])
        assert await partition.flush()
        await pump(world, [partition])
    return partition


def rows(partition: Partition, table: str) -> list[bytes]:
    """Return the keys of the scenario's rows on the disk of a partition."""
    store: Any = partition.store
    return [key for key in store.disk.tables.get(table, {}) if b"home" in key]


async def test_items_beyond_the_first_of_a_day_count_together_in_each_hour() -> None:
    world = World(max_items=2, merge_after=1)
    partition = await counted(world, [("1", 0), ("2", 70), ("3", 70), ("1", 70), ("3", 130)])
    for hours, expected, rest in (((0, 24), {"1/1": 2, "1/2": 1}, 2), ((1, 2), {"1/1": 1, "1/2": 1}, 1)):
        spans = segments(DAY + hours[0] * HOUR_MS, DAY + hours[1] * HOUR_MS)
        *_, sums = read_items(lambda: opened(partition), CUSTOMER, "home", ITEM, spans, lambda _: 0)
        assert sums is not None
        assert {name: each.rendered for name, each in sums.steps[0].by_item()} == expected
        assert sums.rest[0].rendered == rest
    world.end()


async def test_additions_of_a_quiet_hour_are_merged_though_they_are_few(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    partition = await counted(world, [("1", 0)])
    assert rows(partition, "item_windows") == []
    monkeypatch.setattr(addition_merges, "_QUIET_S", 0.0)
    assert await partition.flush()
    assert sorted(b"day" in key for key in rows(partition, "item_windows")) == [False, True]
    assert rows(partition, "pending_additions") == []
    assert read(partition, "home", ITEM, (0, 24)) == {"1/1": (1, 0, 0, 0)}
    world.end()


async def test_reader_that_a_merge_interrupts_begins_again() -> None:
    """The merge moves counts between tables: a reader that went on would count them twice, or not at all."""
    world = World()
    partition = await counted(world, [("1", 0), ("2", 1), ("3", 2)])
    spans = [StoredSpan("day", DAY, DAY + DAY_MS)]
    reader = read_items(lambda: opened(partition), CUSTOMER, "home", ITEM, spans, lambda _: 0)
    assert next(reader) is None
    partition.limits.merge_after = 1
    for hour in list(partition.merger._waiting):
        partition.merger._merge(hour)
    *_, sums = reader
    assert sums is not None
    assert {name: each.rendered for name, each in sums.steps[0].by_item()} == {"1/1": 1, "1/2": 1, "1/3": 1}
    world.end()


async def test_what_waits_is_merged_by_the_next_owner() -> None:
    world = World(merge_after=3)
    partition = await counted(world, [("1", 0), ("1", 1)])
    assert len(rows(partition, "pending_additions")) == 2
    successor = world.open(disk=world.kill(partition))
    event = a_rendered(user=user("a"), items=("1",), time_ms=DAY)
    await fold_records(successor, JOURNAL, [a_record(event, 2)])
    assert await successor.flush()
    await pump(world, [successor])
    assert await successor.flush()
    assert rows(successor, "pending_additions") == []
    assert read(successor, "home", ITEM, (0, 24)) == {"1/1": (3, 0, 0, 0)}
    world.end()


async def test_click_counts_for_the_image_that_its_impression_showed() -> None:
    world = World()
    partition = world.open()
    events = [
        a_rendered(user=user("a"), items=("1", "2"), image="p.jpg", time_ms=DAY),
        a_rendered(user=user("b"), items=("1",), image="q.jpg", time_ms=DAY),
        a_clickrecommended(user=user("a"), item="1", time_ms=DAY + 1),
    ]
    await fold_records(partition, JOURNAL, [a_record(event, at) for at, event in enumerate(events)])
    await pump(world, [partition])
    assert read(partition, "home", ITEM_IMAGE, (0, 24)) == {
        "1/1\x1fp.jpg": (1, 0, 0, 1),
        "1/2\x1fp.jpg": (1, 0, 0, 0),
        "1/1\x1fq.jpg": (1, 0, 0, 0),
    }
    assert read(partition, "home", ITEM, (0, 24)) == {"1/1": (2, 0, 1, 1), "1/2": (1, 0, 0, 0)}
    world.end()
