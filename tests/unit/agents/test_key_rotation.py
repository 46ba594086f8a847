"""While a pseudonym key rotates, a login made exactly once moves what the old pseudonym holds to the new one."""

import random
from typing import Any

import pytest

from agents.partition import Partition
from events.codec import decode
from events.model import NO_PROFILE_USER, EventBase, Login, user_key
from events.partitions import partition_of
from events.topics import DEADLETTERS, HISTORY, JOURNAL, TRANSFERS
from tables.fold.fold_ports import MOVED
from tables.user.identity import REPEAT_LOGIN_MS
from tests.support.builders import (
    CUSTOMER,
    DAY_MS,
    NOW_MS,
    OTHER_USER,
    a_buy,
    a_click,
    a_login,
    a_rendered,
)
from tests.support.partitions import World, a_record, fold_records

OLD, NEW = "k1.aaaaaaaaaaaaaaaaaaaaaaaaaa", "k2.cccccccccccccccccccccccccc"
PARTITIONS = 4


def home(user: str) -> int:
    return partition_of(user_key(CUSTOMER, user), PARTITIONS)


class Rotating:
    """Four partitions that read the journal and the transfers, which they and the test write."""

    def __init__(self) -> None:
        self.world = World(partitions=PARTITIONS)
        self.partitions = {number: self.world.open(number) for number in range(PARTITIONS)}
        self.read: dict[tuple[int, str], int] = {}

    def send(self, *events: EventBase, topic: str = JOURNAL) -> None:
        for event in events:
            record = a_record(event)
            key = (record.key, record.value, (), NOW_MS + DAY_MS)
            self.world.logs.append(topic, partition_of(record.key or b"", PARTITIONS), key)

    async def settle(self) -> None:
        """Fold and flush until no partition writes anything new."""
        while await self._step():
            pass

    async def _step(self) -> int:
        count = 0
        for partition in self.partitions.values():
            for topic in (JOURNAL, HISTORY, TRANSFERS):
                count += await self.fold(partition, topic)
            assert await partition.flush()
        return count

    async def fold(self, partition: Partition, topic: str) -> int:
        start = partition.positions.get(topic, 0)
        records = self.world.logs.read(topic, partition.number, start)
        await fold_records(partition, topic, records)
        return len(records)

    def logins(self) -> list[Login]:
        found = [decode(record.value) for record in self.world.logs.read(JOURNAL, home(OLD))]
        return [event for event in found if isinstance(event, Login) and event.user == OLD]

    def count(self, user: str, suffix: bytes = b"") -> int:
        state = self.partitions[home(user)].overlay.tables["clicked"].get(user_key(CUSTOMER, user) + suffix)
        return 0 if state is None else state.items["1/1"].count


@pytest.fixture
async def rotating() -> Any:
    world = Rotating()
    yield world
    world.world.end()


def renewed(build: Any, **fields: Any) -> Any:
    return build(**{"user": NEW, "previous_user": OLD, **fields})


async def test_what_was_known_under_the_old_pseudonym_comes_to_the_new_one(rotating: Rotating) -> None:
    rotating.send(a_click(user=OLD), a_click(user=OLD), a_buy(user=OLD, item="9"))
    await rotating.settle()
    rotating.send(renewed(a_click, time_ms=NOW_MS + 1))
    await rotating.settle()
    assert (rotating.count(NEW), rotating.count(OLD), rotating.count(OLD, MOVED)) == (3, 0, 2)
    bought = rotating.partitions[home(NEW)].overlay.tables["purchases"].get(user_key(CUSTOMER, NEW))
    assert list(bought.items) == ["1/9"]
    assert [(login.target, login.time_ms) for login in rotating.logins()] == [(NEW, NOW_MS)]


async def test_the_login_is_made_once_however_many_events_come(rotating: Rotating) -> None:
    rotating.send(*(renewed(a_click, time_ms=NOW_MS + number) for number in range(50)))
    await rotating.settle()
    rotating.send(*(renewed(a_rendered, time_ms=NOW_MS + number) for number in range(50, 99)))
    await rotating.settle()
    assert len(rotating.logins()) == 1
    assert rotating.count(NEW) == 50
    origin = dict(rotating.world.logs.read(JOURNAL, home(OLD))[-1].headers)["origin"]
    assert origin.startswith(f"{JOURNAL}/{home(NEW)}/".encode())


async def test_what_comes_under_the_old_pseudonym_afterwards_follows_within_the_hour(
    rotating: Rotating,
) -> None:
    """Such events come from a collector that has not read the new key yet, or waited in a spool."""
    rotating.send(renewed(a_click, time_ms=NOW_MS))
    await rotating.settle()
    rotating.send(a_click(user=OLD, time_ms=NOW_MS + 5), renewed(a_click, time_ms=NOW_MS + 10))
    await rotating.settle()
    assert (rotating.count(NEW), rotating.count(OLD)) == (2, 1)
    rotating.send(renewed(a_click, time_ms=NOW_MS + REPEAT_LOGIN_MS))
    await rotating.settle()
    assert (rotating.count(NEW), rotating.count(OLD)) == (4, 0)
    assert len(rotating.logins()) == 2


@pytest.mark.parametrize("failure", ["before commit", "after commit"])
async def test_a_flush_that_fails_makes_the_login_exactly_once(rotating: Rotating, failure: Any) -> None:
    rotating.send(a_click(user=OLD))
    await rotating.settle()
    rotating.send(renewed(a_click, time_ms=NOW_MS + 1))
    number = home(NEW)
    partition = rotating.partitions[number]
    await rotating.fold(partition, JOURNAL)
    rotating.world.outbox(number).next_failure = failure
    assert not await partition.flush()
    disk = rotating.world.kill(partition)
    rotating.partitions[number] = rotating.world.open(number, disk)
    rotating.world.lost.clear()
    await rotating.settle()
    assert len(rotating.logins()) == 1
    assert (rotating.count(NEW), rotating.count(OLD)) == (2, 0)


async def test_a_login_that_is_the_first_event_passes_on_what_was_known(rotating: Rotating) -> None:
    rotating.send(a_click(user=OLD))
    await rotating.settle()
    rotating.send(renewed(a_login, target=OTHER_USER, time_ms=NOW_MS + 1))
    await rotating.settle()
    assert (rotating.count(OTHER_USER), rotating.count(NEW), rotating.count(OLD)) == (1, 0, 0)


async def test_what_others_bring_to_the_old_pseudonym_goes_on_to_the_new_one(rotating: Rotating) -> None:
    rotating.send(renewed(a_click, time_ms=NOW_MS + 5))
    await rotating.settle()
    rotating.send(a_click(user=OTHER_USER), a_login(user=OTHER_USER, target=OLD, time_ms=NOW_MS + 1))
    await rotating.settle()
    assert (rotating.count(NEW), rotating.count(OLD)) == (2, 0)


async def test_an_import_moves_what_is_known_now(rotating: Rotating) -> None:
    rotating.send(a_click(user=OLD), a_login(user=OLD, target=OTHER_USER, time_ms=NOW_MS - 5))
    await rotating.settle()
    rotating.send(a_click(user=OLD))
    event = renewed(a_click, time_ms=NOW_MS - 900 * DAY_MS, received_ms=NOW_MS)
    rotating.send(event, topic=HISTORY)
    await rotating.settle()
    assert (rotating.count(NEW), rotating.count(OLD), rotating.count(OTHER_USER)) == (2, 0, 1)
    (login,) = [login for login in rotating.logins() if login.target == NEW]
    assert login.time_ms == NOW_MS


@pytest.mark.parametrize("previous", [NEW, None])
async def test_no_login_without_another_pseudonym(rotating: Rotating, previous: str | None) -> None:
    rotating.send(a_click(user=NEW, previous_user=previous))
    await rotating.settle()
    assert rotating.logins() == []
    assert rotating.partitions[home(NEW)].overlay.tables["identity"].get(user_key(CUSTOMER, NEW)) is None


async def test_nobody_has_no_old_pseudonym() -> None:
    world = World()
    partition = world.open()
    event = a_click(user=NO_PROFILE_USER, previous_user=OLD)
    await fold_records(partition, JOURNAL, [a_record(event, key=b"00000|~0")])
    assert (partition.outputs, partition.stats.deadlettered) == ([], 0)
    world.end()


@pytest.mark.parametrize("previous", ["", "ü", "a\0moved", "x" * 300])
async def test_an_old_pseudonym_that_is_none_is_a_dead_letter_and_changes_nothing(previous: str) -> None:
    world = World()
    partition = world.open()
    await fold_records(partition, JOURNAL, [a_record(a_click(previous_user=previous))])
    assert await partition.flush()
    (dead,) = world.logs.read(DEADLETTERS, 0)
    assert dict(dead.headers)["reason"] == b"bad_key"
    assert partition.overlay.tables["clicked"].get(user_key(CUSTOMER, OLD)) is None
    world.end()


@pytest.mark.parametrize("seed", range(5))
async def test_in_any_order_and_cut_nothing_is_lost_or_doubled(rotating: Rotating, seed: int) -> None:
    draw = random.Random(seed)
    sent = 0
    for _ in range(30):
        time_ms = NOW_MS + draw.randrange(3 * REPEAT_LOGIN_MS)
        rotating.send(
            a_click(user=OLD, time_ms=time_ms) if draw.random() < 0.4 else renewed(a_click, time_ms=time_ms)
        )
        sent += 1
        if draw.random() < 0.3:
            partition = rotating.partitions[draw.randrange(PARTITIONS)]
            for topic in (JOURNAL, TRANSFERS):
                await rotating.fold(partition, topic)
            if draw.random() < 0.5:
                disk = rotating.world.kill(partition)
                rotating.partitions[partition.number] = rotating.world.open(partition.number, disk)
            else:
                await partition.flush()
    await rotating.settle()
    assert rotating.count(NEW) + rotating.count(OLD) == sent
    rotating.send(renewed(a_click, time_ms=NOW_MS + 9 * REPEAT_LOGIN_MS))
    await rotating.settle()
    assert (rotating.count(NEW), rotating.count(OLD)) == (sent + 1, 0)
