"""One record of the journal is folded, forwarded, or becomes a dead letter; its neighbours are folded in each case."""

import json
from typing import Any

import pytest

from events.codec import encode
from events.model import NO_PROFILE_USER, EventBase, user_key
from events.partitions import partition_of
from events.pseudonym import journal_key
from events.topics import DAY_MS, DEADLETTERS, HISTORY, JOURNAL, PARTIALS, TRANSFERS
from tables.base.table_spec import Stretch
from tables.transfers import encode as encode_transfer
from tables.user.identity import Transfer
from tables.user.rendered import RenderedState
from tables.user.shown_bytes import Shown
from tests.support.builders import CUSTOMER, NOW_MS, OTHER_USER, USER, a_click, a_rendered
from tests.support.partitions import World, a_record, fold_records

KEY = user_key(CUSTOMER, USER)


def a_raw(**fields: Any) -> bytes:
    event = {
        "type": "click",
        "customer": CUSTOMER,
        "user": USER,
        "item": "1",
        "received_ms": NOW_MS,
        **fields,
    }
    return json.dumps(event).encode()


def a_transfer(**fields: Any) -> Transfer:
    values = {
        "customer": CUSTOMER,
        "source": "k1.s",
        "target": USER,
        "number": 1,
        "login_ms": 1,
        "received_ms": 1,
    }
    return Transfer(**{**values, "stretch": Stretch(), **fields})


DEAD: dict[str, tuple[str, bytes | None, bytes | None, str]] = {
    "null": (JOURNAL, KEY, None, "null"),
    "malformed": (JOURNAL, KEY, b"{", "malformed"),
    "no bytes": (JOURNAL, KEY, b"", "malformed"),
    "deep": (JOURNAL, KEY, b'{"x":' * 50_000, "malformed"),
    "unknown version": (JOURNAL, KEY, a_raw(v=9), "unknown_version"),
    "too large": (JOURNAL, KEY, a_raw(x="x" * 1_000_000), "too_large"),
    "over-bounds time": (JOURNAL, KEY, a_raw(time_ms=10**14), "malformed"),
    "over-bounds number": (JOURNAL, KEY, a_raw(itemtype=2**40), "malformed"),
    "huge decimal": (JOURNAL, KEY, a_raw(type="buy", price="1e9999", currency="EUR"), "malformed"),
    "bots of a user": (JOURNAL, KEY, a_raw(type="bots", counts=[{"events": 1}]), "malformed"),
    "login target": (JOURNAL, KEY, a_raw(type="login", target="ü"), "malformed"),
    "no key": (JOURNAL, None, a_raw(), "bad_key"),
    "another's key": (JOURNAL, user_key(CUSTOMER, "k1.other"), a_raw(), "bad_key"),
    "anonymous key for a user": (JOURNAL, b"00000|~1", a_raw(), "bad_key"),
    "key of a user for an anonymous event": (JOURNAL, KEY, a_raw(user="~"), "bad_key"),
    "bar in the customer": (JOURNAL, b"a|b|c", a_raw(customer="a|b", user="c"), "bad_key"),
    "user not ASCII": (JOURNAL, "00000|ü".encode(), a_raw(user="ü"), "bad_key"),
    "empty user": (JOURNAL, b"00000|", a_raw(user=""), "bad_key"),
    "raw user": (JOURNAL, b"00000|maxmustermann", a_raw(user="maxmustermann"), "raw_user"),
    "raw user of an import": (HISTORY, b"00000|max.muster", a_raw(user="max.muster"), "raw_user"),
    "pseudonym without a key id": (JOURNAL, b"00000|" + b"a" * 26, a_raw(user="a" * 26), "raw_user"),
    "pseudonym in capital letters": (JOURNAL, KEY.upper(), a_raw(user=USER.upper()), "raw_user"),
    "raw target of a login": (JOURNAL, KEY, a_raw(type="login", target="anna"), "raw_user"),
    "no target that is no junk": (JOURNAL, KEY, a_raw(type="login", target="~"), "raw_user"),
    "raw target that is called junk": (
        JOURNAL,
        KEY,
        a_raw(type="login", target="anna", is_junk_target=True),
        "raw_user",
    ),
    "raw former user": (JOURNAL, KEY, a_raw(previous_user="anna"), "raw_user"),
    "history": (HISTORY, KEY, b"[]", "malformed"),
    "null transfer": (TRANSFERS, KEY, None, "null"),
    "malformed transfer": (TRANSFERS, KEY, b"\xc1", "malformed"),
    "transfer of a later version": (TRANSFERS, KEY, encode_transfer(a_transfer(v=2)), "unknown_version"),
    "transfer to nowhere": (TRANSFERS, KEY, encode_transfer(a_transfer(target="ü")), "bad_key"),
    "transfer from nowhere": (TRANSFERS, KEY, encode_transfer(a_transfer(source="")), "bad_key"),
    "transfer of a number that cannot be summed": (
        TRANSFERS,
        KEY,
        encode_transfer(
            a_transfer(stretch=Stretch({"rendered": RenderedState({"1/1": Shown(2**63, 1, [1])})}))
        ),
        "malformed",
    ),
    "null partials": (PARTIALS, b"k", None, "null"),
    "malformed partials": (PARTIALS, b"k", b"{", "malformed"),
    "partials of a later version": (
        PARTIALS,
        b"k",
        b'{"customer":"c","scenario":"s","partition":0,"panes":[],"v":2}',
        "malformed",
    ),
}


@pytest.mark.parametrize(("topic", "key", "value", "reason"), DEAD.values(), ids=DEAD)
async def test_dead_letter_keeps_its_bytes_and_reason_and_its_neighbours_are_folded(
    world: World, topic: str, key: bytes | None, value: bytes | None, reason: str
) -> None:
    partition = world.open()
    await fold_records(partition, JOURNAL, [a_record(a_click(), 0)])
    await fold_records(partition, topic, [a_record(key=key, value=value, offset=7, timestamp=NOW_MS)])
    await fold_records(partition, JOURNAL, [a_record(a_click(), 8)])
    assert await partition.flush()
    (dead,) = world.logs.read(DEADLETTERS, 0)
    headers = dict(dead.headers)
    assert headers.pop("detail")
    kept = value if value is None else value[:500_000]
    assert (dead.key, dead.value) == (key, kept)
    headers.pop("value_bytes", None)
    assert headers == {
        "topic": topic.encode(),
        "partition": b"0",
        "offset": b"7",
        "timestamp": b"%d" % NOW_MS,
        "reason": reason.encode(),
    }
    assert partition.overlay.tables["clicked"].get(KEY).items["1/1"].count == 2
    assert (partition.stats.deadlettered, partition.durable[topic]) == (1, 9 if topic == JOURNAL else 8)
    assert world.lost == world.failed == []


def away_from_home(event: EventBase, partitions: int) -> int:
    return (partition_of(user_key(event.customer, event.user), partitions) + 1) % partitions


async def test_event_in_a_wrong_partition_is_forwarded_with_its_origin_and_not_folded() -> None:
    world = World(partitions=4)
    event = a_rendered()
    number = away_from_home(event, 4)
    home = (number - 1) % 4
    partition = world.open(number)
    record = a_record(event, 5)
    await fold_records(partition, HISTORY, [record])
    assert await partition.flush()
    (forwarded,) = world.logs.read(HISTORY, home)
    assert (forwarded.key, forwarded.value) == (record.key, record.value)
    assert dict(forwarded.headers) == {
        "origin": b"%s/%d/5" % (HISTORY.encode(), number),
        "timestamp": b"%d" % record.timestamp,
    }
    assert (partition.stats.forwarded, partition.overlay.tables["impressions"].get(KEY)) == (1, None)
    assert world.logs.read(DEADLETTERS, number) == []
    at_home = world.open(home)
    await fold_records(at_home, HISTORY, [forwarded])
    assert at_home.overlay.tables["impressions"].get(KEY) is not None
    assert at_home.stats.forwarded == 0
    world.end()


async def test_event_of_nobody_is_folded_where_it_is() -> None:
    world = World(partitions=4)
    for number in range(4):
        partition = world.open(number)
        event = a_rendered(user=NO_PROFILE_USER)
        await fold_records(partition, JOURNAL, [a_record(event, key=b"00000|~0")])
        assert (partition.stats.forwarded, partition.stats.deadlettered) == (0, 0)
        assert len(partition.overlay.tally) == 1
    world.end()


def test_retry_of_nobodys_event_goes_where_the_first_went() -> None:
    retried = a_click(user=NO_PROFILE_USER, eid="e")
    assert len({journal_key(retried, spread) for spread in range(100)}) == 1
    keys = {journal_key(a_click(user=NO_PROFILE_USER, eid=str(number)), 0) for number in range(200)}
    assert {partition_of(key, 8) for key in keys} == set(range(8))
    assert {journal_key(a_click(user=NO_PROFILE_USER), spread) for spread in (0, 7)} == {
        b"00000|~0",
        b"00000|~7",
    }


@pytest.mark.parametrize(
    ("header", "expected_ms"),
    [
        (b"%d" % (NOW_MS - 40 * DAY_MS), NOW_MS - 40 * DAY_MS),
        (b"%d" % (NOW_MS + 1), NOW_MS),  # a record cannot come from the future
        (b"-5", NOW_MS),
        (b"9" * 30, NOW_MS),
        (b"", NOW_MS),
    ],
)
async def test_record_that_is_written_again_keeps_the_time_of_the_first(
    world: World, header: bytes, expected_ms: int
) -> None:
    partition = world.open()
    event = a_click(time_ms=0, received_ms=0)
    record = a_record(event, timestamp=NOW_MS, headers=(("replayed", b"x"), ("timestamp", header)))
    await fold_records(partition, JOURNAL, [record])
    assert partition.overlay.tables["clicked"].get(KEY).items["1/1"].last_ms == expected_ms
    bad = a_record(key=KEY, value=b"{", offset=1, timestamp=NOW_MS, headers=(("timestamp", header),))
    await fold_records(partition, JOURNAL, [bad])
    assert await partition.flush()
    (dead,) = world.logs.read(DEADLETTERS, 0)
    assert dict(dead.headers)["timestamp"] == b"%d" % expected_ms


async def test_transfer_in_a_wrong_partition_is_a_dead_letter() -> None:
    world = World(partitions=4)
    number = away_from_home(a_click(), 4)
    partition = world.open(number)
    await fold_records(partition, TRANSFERS, [a_record(key=KEY, value=encode_transfer(a_transfer()))])
    await partition.flush()
    (dead,) = world.logs.read(DEADLETTERS, number)
    assert dict(dead.headers)["reason"] == b"bad_key"
    world.end()


@pytest.mark.parametrize(
    ("topic", "time_ms", "received_ms", "expected_ms", "clamped"),
    [
        (JOURNAL, NOW_MS - 5, NOW_MS, NOW_MS - 5, 0),
        (JOURNAL, 0, NOW_MS, NOW_MS, 0),
        (JOURNAL, 0, 0, NOW_MS + 7, 0),
        (JOURNAL, NOW_MS, 0, NOW_MS, 0),
        (JOURNAL, NOW_MS + 1, NOW_MS, NOW_MS, 1),
        (JOURNAL, NOW_MS - DAY_MS, NOW_MS, NOW_MS - DAY_MS, 0),
        (JOURNAL, NOW_MS - DAY_MS - 1, NOW_MS, NOW_MS - DAY_MS, 1),
        (HISTORY, NOW_MS - 900 * DAY_MS, NOW_MS, NOW_MS - 900 * DAY_MS, 0),
        (HISTORY, NOW_MS + 1, NOW_MS, NOW_MS, 1),
    ],
)
async def test_event_time_is_held_between_24_hours_before_receipt_and_receipt(
    world: World, topic: str, time_ms: int, received_ms: int, expected_ms: int, clamped: int
) -> None:
    partition = world.open()
    event = a_click(time_ms=time_ms, received_ms=received_ms)
    await fold_records(partition, topic, [a_record(event, timestamp=NOW_MS + 7)])
    assert partition.overlay.tables["clicked"].get(KEY).items["1/1"].last_ms == expected_ms
    assert partition.stats.clamped == clamped
    assert partition.overlay.newest_received_ms == (received_ms or NOW_MS + 7)
    moves = topic == JOURNAL and not clamped  # only such events move the watermark
    assert partition.overlay.newest_time_ms == (expected_ms if moves else 0)


@pytest.mark.parametrize("timestamp", [-1, 0, 2**62])
async def test_event_without_any_time_is_a_dead_letter(world: World, timestamp: int) -> None:
    partition = world.open()
    event = a_click(time_ms=0, received_ms=0)
    await fold_records(partition, JOURNAL, [a_record(event, timestamp=timestamp)])
    assert (partition.stats.deadlettered, partition.overlay.tables["clicked"].get(KEY)) == (1, None)
    assert await partition.flush()


async def test_key_is_checked_again_when_another_event_comes_under_it(world: World) -> None:
    """A key verified for its user says nothing about another user's event under the same key."""
    partition = world.open()
    forged = a_click(user=OTHER_USER)
    await fold_records(
        partition, JOURNAL, [a_record(a_click(), 0), a_record(key=KEY, value=encode(forged), offset=1)]
    )
    assert partition.stats.deadlettered == 1
    assert partition.overlay.tables["clicked"].get(KEY).items["1/1"].count == 1


async def test_remembered_keys_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.overlay._MAX_VERIFIED_KEYS", 3)
    partition = world.open()
    events = [a_click(user=f"k{number}.{'a' * 26}") for number in range(10)]
    await fold_records(partition, JOURNAL, [a_record(event, at) for at, event in enumerate(events)])
    assert len(partition.overlay.verified) <= 3
    assert partition.stats.deadlettered == 0
