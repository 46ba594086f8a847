"""However a worker ends, its successors count each record of each source exactly once."""

import asyncio
import random
from collections import Counter
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.partition import Partition
from agents.row_budget import RowBudget
from events.topics import JOURNAL, PARTIALS, TRANSFERS
from tables.ctr.item_columns import ItemColumns
from tables.ctr.item_counts import ItemCounts
from tables.ctr.panes import Counts, add
from tables.ctr.unique_users import UniqueUsers, add_marks, estimate, union
from tables.ctr.user_windows import SeenSketches
from tables.ctr.window_keys import ITEM, ITEM_IMAGE, SCENARIO, WindowKey, scenario_of
from tables.declare import BY_NAME, STORED
from tests.support.builders import (
    NOW_MS,
    a_buy,
    a_click,
    a_clickrecommended,
    a_login,
    a_rate,
    a_recommended,
    a_rendered,
)
from tests.support.memory_outbox import MemoryOutbox, catch_up
from tests.support.memory_store import Disk, MemoryStore
from tests.support.partitions import World, fold_records

SOURCES = (JOURNAL, TRANSFERS, PARTIALS)
USERS = "abcd"

folds = st.tuples(st.just("fold"), st.sampled_from(SOURCES), st.integers(1, 8), st.integers(0, 2))
COMMANDS = st.one_of(
    folds,
    folds,
    st.tuples(st.just("flush")),
    st.tuples(st.just("fold_during_flush"), st.integers(1, 5)),
    st.tuples(st.just("fail"), st.sampled_from(["before commit", "after commit"])),
    st.tuples(st.just("kill"), st.booleans()),
    st.tuples(st.just("close")),
    st.tuples(st.just("zombie")),
)


def history(seed: int, number: int) -> list[Any]:
    chooser = random.Random(seed)
    builds = (a_click, a_buy, a_rate, a_clickrecommended, a_rendered, a_recommended, a_login)
    events = []
    for at in range(number):
        build = chooser.choice(builds)
        fields: dict[str, Any] = {"user": chooser.choice(USERS), "time_ms": NOW_MS + at * 1_000}
        if chooser.random() < 0.2:
            fields["eid"] = chooser.choice("xyz")
        if build is a_login:
            fields["target"] = chooser.choice(USERS)
        if build is a_rendered:
            fields |= {"experiment": chooser.choice(("e", "f", None)), "variant": chooser.choice("AB")}
        events.append(build(**fields))
    return events


class Ledger:
    """A partition under faults, and the order in which it folded the records that are durable."""

    def __init__(self, events: list[Any]) -> None:
        self.world = World(budget=RowBudget(200), merge_after=2)
        self.world.produce(JOURNAL, *events)
        self.disk = Disk()
        self.folded: list[tuple[str, int]] = []
        self.durable: list[tuple[str, int]] = []
        self.partition = self.world.open(disk=self.disk)

    @property
    def outbox(self) -> MemoryOutbox:
        return self.world.outbox()

    def unread(self, topic: str) -> int:
        return len(self.world.logs.read(topic, 0, self.partition.positions.get(topic, 0)))

    async def fold(self, topic: str, records: int, again: int = 0) -> None:
        """Fold a chunk, which may begin with ``again`` records that were folded before."""
        position = self.partition.positions.get(topic, 0)
        chunk = self.world.logs.read(topic, 0, max(0, position - again))[: records + again]
        await fold_records(self.partition, topic, chunk)
        self.folded += [(topic, record.offset) for record in chunk if record.offset >= position]

    def _is_now_durable(self) -> None:
        self.durable += self.folded
        self.folded = []

    def _reopen(self, disk: Disk) -> None:
        self.folded = []
        self.disk = disk
        self.partition = self.world.open(disk=disk)

    async def flush(self) -> None:
        assert await self.partition.flush()
        self._is_now_durable()

    async def fold_during_flush(self, records: int) -> None:
        self.outbox.may_commit.clear()
        flushing = asyncio.ensure_future(self.partition.flush())
        await asyncio.sleep(0)
        covered, self.folded = self.folded, []
        await self.fold(JOURNAL, records)
        self.outbox.may_commit.set()
        assert await flushing
        self.durable += covered

    async def fail(self, failure: Any) -> None:
        if not self.folded:
            return
        self.outbox.next_failure = failure
        assert not await self.partition.flush()
        if failure == "after commit":
            self._is_now_durable()
        await self.partition.close(1)
        self._reopen(self.disk)

    async def kill(self, is_disk_lost: bool) -> None:
        disk = self.world.kill(self.partition)
        self._reopen(Disk() if is_disk_lost else disk)

    async def close(self) -> None:
        await self.partition.close(1)
        self._is_now_durable()
        self._reopen(self.disk)

    async def zombie(self) -> None:
        """Let another worker take over while this one sleeps; then it wakes up and tries to flush what it had."""
        older, had_any = self.partition, bool(self.folded)
        self._reopen(Disk())
        assert await older.flush() is not had_any
        self.world.kill(older)

    async def drain(self) -> None:
        for _ in range(1_000):
            for topic in SOURCES:
                await self.fold(topic, 1_000)
            await self.flush()
            if not any(self.unread(topic) for topic in SOURCES):
                return
        raise AssertionError("the partition never comes to its end")


def rows(disk: Disk) -> dict[str, dict[bytes, bytes]]:
    return {table: disk.tables.get(table, {}) for table in STORED}


OF_FLUSHES = ("panes", "pending_additions", "item_windows", "user_windows")
"""Tables whose rows depend on where flushes were."""


def answers(disk: Disk) -> dict[str, Any]:
    """Return all rows; of those that depend on flushes only what they count."""
    return {table: rows(disk)[table] for table in BY_NAME if table not in OF_FLUSHES} | {
        "panes": {key: BY_NAME["panes"].decode(raw).counts for key, raw in rows(disk)["panes"].items()},
        "items": items_of(disk),
        "users": users_of(disk),
    }


def items_of(disk: Disk) -> dict[tuple[str, str], dict[str, ItemCounts]]:
    """Return the counts of each item by scenario and day, merged or not."""
    found: dict[tuple[str, str], ItemColumns] = {}
    for key, raw in rows(disk)["item_windows"].items():
        window = WindowKey.decode(key)
        if window.granularity == "day":
            into = found.setdefault((window.scenario, window.dimension), ItemColumns())
            into.add(BY_NAME["item_windows"].decode(raw).items)
    for key, raw in rows(disk)["pending_additions"].items():
        scenario, addition = scenario_of(key)[1], BY_NAME["pending_additions"].decode(raw)
        for dimension, names in ((ITEM, addition.items), (ITEM_IMAGE, addition.images)):
            if len(names):
                found.setdefault((scenario, dimension), ItemColumns()).add(names)
    return {place: dict(columns.by_item()) for place, columns in found.items()}


def users_of(disk: Disk) -> dict[tuple[str, str], tuple[UniqueUsers, UniqueUsers]]:
    """Return how many users and clickers each scenario and variant has, merged or not."""
    found: dict[tuple[str, str], SeenSketches] = {}
    for key, raw in rows(disk)["user_windows"].items():
        window = WindowKey.decode(key)
        for variant, seen in BY_NAME["user_windows"].decode(raw).variants.items():
            into = found.setdefault((window.scenario, variant), SeenSketches())
            into.users, into.clickers = (
                union([into.users, seen.users]),
                union([into.clickers, seen.clickers]),
            )
    for key, raw in rows(disk)["pending_additions"].items():
        for variant, marks in BY_NAME["pending_additions"].decode(raw).seen.items():
            into = found.setdefault((scenario_of(key)[1], variant), SeenSketches())
            into.users = add_marks(into.users, marks.users)
            into.clickers = add_marks(into.clickers, marks.clickers)
    return {place: (estimate(seen.users), estimate(seen.clickers)) for place, seen in found.items()}


async def folded_once(ledger: Ledger) -> Disk:
    """Return the disk of an undisturbed partition that folds the same records in the same order."""
    world = World()
    plain: Partition = world.open()
    for topic, offset in ledger.durable:
        (record, *_) = ledger.world.logs.read(topic, 0, offset)
        await fold_records(plain, topic, [record])
    assert await plain.flush()
    return world.kill(plain)


async def check(events: list[Any], commands: list[tuple[Any, ...]]) -> None:
    ledger = Ledger(events)
    for name, *arguments in commands:
        await getattr(ledger, name)(*arguments)
    await ledger.drain()
    disk = ledger.world.kill(ledger.partition)

    visible = [(topic, record.offset) for topic in SOURCES for record in ledger.world.logs.read(topic, 0)]
    assert Counter(ledger.durable) == Counter(visible)
    assert answers(disk) == answers(await folded_once(ledger))

    restored = MemoryStore()
    catch_up(ledger.world.logs, 0, restored)
    assert rows(restored.disk) == rows(disk)

    in_panes, in_windows = Counts(), Counts()
    for key, raw in rows(disk)["panes"].items():
        if WindowKey.decode(key).dimension == SCENARIO:
            add(in_panes, BY_NAME["panes"].decode(raw).counts)
    for key, raw in rows(disk)["windows"].items():
        window = WindowKey.decode(key)
        if (window.dimension, window.granularity) == (SCENARIO, "day"):
            add(in_windows, BY_NAME["windows"].decode(raw).counts)
    assert msgspec.structs.asdict(in_windows) == msgspec.structs.asdict(in_panes)
    by_item = sum(
        counts.rendered
        for (_, dimension), names in items_of(disk).items()
        for counts in names.values()
        if dimension == ITEM
    )
    assert by_item == in_panes.rendered
    ledger.world.end()


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), number=st.integers(0, 40), commands=st.lists(COMMANDS, max_size=25))
def test_every_record_counts_exactly_once_whatever_happens_to_the_worker(
    seed: int, number: int, commands: list[tuple[Any, ...]]
) -> None:
    asyncio.run(check(history(seed, number), commands))
