"""The contract of an outbox: a partition's transactional producer and its in-memory double pass the same tests."""

import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple, Protocol

import pytest

from agents.overlay import Overlay
from agents.ports import Change, Flush, Outbox, Output, PartitionLostError
from app.base.settings import Settings
from app.kafka.topics import ensure_topics
from app.worker.outbox import BATCH_BYTES, KafkaOutbox
from events.topics import DEADLETTERS, JOURNAL, TRANSFERS
from tables.declare import CHANGELOGS
from tests.support.builders import CUSTOMER, OTHER_USER, a_login, a_rendered
from tests.support.kafka_reader import end_of, read_committed
from tests.support.memory_outbox import LIMITS, MemoryLogs, MemoryOutbox
from tests.support.memory_store import MemoryStore
from tests.support.overlays import fold_all

PARTITIONS = 8
RENDERED, CLICKED, POSITIONS = (CHANGELOGS[table] for table in ("rendered", "clicked", "positions"))
_partitions = itertools.cycle(range(PARTITIONS))


class Seen(NamedTuple):
    """A record as a read_committed reader sees it; ``offset`` counts from the start of the test."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class Bench(Protocol):
    """A broker with one partition to write for."""

    partition: int

    async def start(self) -> Outbox:
        """Return a new outbox of the partition."""

    def seen(self, topic: str, partition: int | None = None) -> list[Seen]: ...

    def offset(self, topic: str, offset: int) -> int:
        """Return an offset counted from the start of the test."""


class MemoryBench:
    def __init__(self) -> None:
        self.logs, self.partition = MemoryLogs(), 3

    async def start(self) -> Outbox:
        return MemoryOutbox(self.logs, self.partition)

    def seen(self, topic: str, partition: int | None = None) -> list[Seen]:
        partition = self.partition if partition is None else partition
        return [Seen(*record[:4]) for record in self.logs.read(topic, partition)]

    def offset(self, topic: str, offset: int) -> int:
        return offset


class KafkaBench:
    """Uses the session's broker, whose topics are shared: each test has one partition and reads from its former end."""

    def __init__(self, kafka: str, app_id: str) -> None:
        self.kafka, self.app_id, self.partition = kafka, app_id, next(_partitions)
        self._starts = {
            (topic, partition): end_of(kafka, topic, partition)
            for topic in (RENDERED, CLICKED, POSITIONS, JOURNAL, TRANSFERS, DEADLETTERS)
            for partition in (self.partition, self.other)
        }
        self._opened: list[KafkaOutbox] = []

    @property
    def other(self) -> int:
        return (self.partition + 1) % PARTITIONS

    async def start(self) -> Outbox:
        outbox = await KafkaOutbox.start(self.kafka, self.app_id, self.partition, 60_000)
        self._opened.append(outbox)
        return outbox

    def seen(self, topic: str, partition: int | None = None) -> list[Seen]:
        at = (topic, self.partition if partition is None else partition)
        start = self._starts[at]
        return [
            Seen(record.offset() - start, record.key(), record.value(), tuple(record.headers() or ()))
            for record in read_committed(self.kafka, *at, start)
        ]

    def offset(self, topic: str, offset: int) -> int:
        return offset - self._starts[topic, self.partition]

    async def close(self) -> None:
        for outbox in self._opened:
            await outbox.close()


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.broker)])
async def bench(request: pytest.FixtureRequest, unique: Callable[[str], str]) -> AsyncIterator[Bench]:
    if request.param == "memory":
        yield MemoryBench()
        return
    kafka = request.getfixturevalue("kafka")
    await ensure_topics(Settings(kafka=kafka, partitions=PARTITIONS), wait_ms=20_000)
    kafka_bench = KafkaBench(kafka, unique("outbox"))
    yield kafka_bench
    await kafka_bench.close()


def a_flush(changes: dict[str, list[Change]] | None = None, outputs: list[Output] | None = None) -> Flush:
    return Flush({"rendered": [(b"a", b"1")]} if changes is None else changes, outputs or [], {JOURNAL: 1})


def pairs(seen: list[Seen]) -> list[tuple[bytes | None, bytes | None]]:
    return [(record.key, record.value) for record in seen]


async def lose(commit: Awaitable[Any], partition: int) -> PartitionLostError:
    with pytest.raises(PartitionLostError) as raised:
        await commit
    assert raised.value.partition == partition
    return raised.value


async def test_rows_of_a_flush_are_read_in_their_order_with_deletes(bench: Bench) -> None:
    outbox = await bench.start()
    rows: list[Change] = [(b"b", b"1"), (b"a", b"2"), (b"b", None), (b"c", b"")]
    await outbox.commit(a_flush({"rendered": rows, "clicked": [(b"x", b"y")], "positions": [(b"3", b"{}")]}))
    assert pairs(bench.seen(RENDERED)) == rows
    assert pairs(bench.seen(CLICKED)) == [(b"x", b"y")]
    assert pairs(bench.seen(POSITIONS)) == [(b"3", b"{}")]


async def test_committed_offsets_stand_behind_the_last_record_of_each_changelog(bench: Bench) -> None:
    outbox = await bench.start()
    for _ in range(3):
        committed = await outbox.commit(
            a_flush({"rendered": [(b"a", b"1"), (b"b", b"2")], "clicked": [(b"a", b"")]})
        )
        assert set(committed.offsets) == {RENDERED, CLICKED}
        for topic in (RENDERED, CLICKED):
            assert bench.offset(topic, committed.offsets[topic]) == bench.seen(topic)[-1].offset + 1


async def test_outputs_go_to_their_partitions_with_headers(bench: Bench) -> None:
    outbox = await bench.start()
    other = (bench.partition + 1) % PARTITIONS
    headers = (("origin", b"t/1/2"), ("reason", b"\x00\xff"), ("origin", b"twice"))
    committed = await outbox.commit(
        a_flush(
            outputs=[
                Output(TRANSFERS, other, b"k", b"first"),
                Output(DEADLETTERS, bench.partition, None, None, headers),
                Output(TRANSFERS, bench.partition, b"k", b"here"),
                Output(TRANSFERS, other, b"k", b"second"),
            ]
        )
    )
    assert pairs(bench.seen(TRANSFERS, other)) == [(b"k", b"first"), (b"k", b"second")]
    assert pairs(bench.seen(TRANSFERS)) == [(b"k", b"here")]
    assert [record[1:] for record in bench.seen(DEADLETTERS)] == [(None, None, headers)]
    assert set(committed.offsets) == {RENDERED}


async def test_flush_without_rows_commits_its_outputs(bench: Bench) -> None:
    outbox = await bench.start()
    committed = await outbox.commit(a_flush({}, [Output(TRANSFERS, bench.partition, b"k", b"v")]))
    assert committed.offsets == {}
    assert pairs(bench.seen(TRANSFERS)) == [(b"k", b"v")]


async def test_more_rows_than_a_batch_holds_are_committed_whole(bench: Bench) -> None:
    outbox = await bench.start()
    rows: list[Change] = [(b"%d" % number, bytes([number]) * 150_000) for number in range(30)]
    assert sum(len(value or b"") for _, value in rows) > 4 * BATCH_BYTES
    committed = await outbox.commit(a_flush({"rendered": rows}))
    seen = bench.seen(RENDERED)
    assert pairs(seen) == rows
    assert bench.offset(RENDERED, committed.offsets[RENDERED]) == seen[-1].offset + 1


async def test_row_larger_than_a_batch_is_committed(bench: Bench) -> None:
    outbox = await bench.start()
    rows: list[Change] = [(b"a", b"1"), (b"big", b"x" * (2 * BATCH_BYTES)), (b"c", b"3")]
    await outbox.commit(a_flush({"rendered": rows}))
    assert pairs(bench.seen(RENDERED)) == rows


async def test_rows_of_a_user_with_the_longest_ids_are_committed_and_follow_a_login(bench: Bench) -> None:
    """Any visitor may send ids of 256 characters of 4 bytes. If the broker took no such row, the partition would fail for ever."""
    chosen, overlay = random.Random(1), Overlay(MemoryStore(), bench.partition, PARTITIONS, 10, {CUSTOMER})

    def word() -> str:
        return "".join(map(chr, chosen.choices(range(0x1F300, 0x1FAFF), k=256)))

    items, place = [word() for _ in range(2_000)], {"scenario": word(), "itemtype": 2_147_483_647}
    lists = [tuple(items[start : start + 500]) for start in range(0, 2_000, 500)]
    fold_all(overlay, *(a_rendered(items=each, **place) for _ in range(16) for each in lists))
    shown, _ = overlay.encode_changes()
    fold_all(overlay, a_login(target=OTHER_USER))
    moved, outputs = overlay.encode_changes()
    sizes = [sum(len(value or b"") for _, value in shown[name]) for name in ("rendered", "impressions")]
    assert sizes > [4_000_000, 5_000_000]
    outbox = await bench.start()
    await outbox.commit(Flush(shown, [], {JOURNAL: 64}))
    await outbox.commit(Flush(moved, outputs, {JOURNAL: 65}))
    (transfer,) = (each for each in outputs if each.topic == TRANSFERS)
    assert len(transfer.value or b"") > 9_000_000
    assert pairs(bench.seen(RENDERED)) == [*shown["rendered"], *moved["rendered"]]


async def test_flush_with_a_row_beyond_the_limit_of_its_topic_is_lost_whole(bench: Bench) -> None:
    outbox = await bench.start()
    rows: list[Change] = [(b"a", b"1"), (b"big", b"x" * (LIMITS[RENDERED] + 10_000))]
    await lose(outbox.commit(a_flush({"clicked": [(b"a", b"1")], "rendered": rows})), bench.partition)
    await lose(outbox.commit(a_flush()), bench.partition)
    await (await bench.start()).commit(a_flush({"rendered": [(b"z", b"9")]}))
    assert (pairs(bench.seen(RENDERED)), bench.seen(CLICKED)) == ([(b"z", b"9")], [])


async def test_newer_outbox_of_the_partition_fences_the_older(bench: Bench) -> None:
    older = await bench.start()
    await older.commit(a_flush({"rendered": [(b"a", b"1")]}))
    newer = await bench.start()
    fenced = a_flush({"rendered": [(b"a", b"fenced")]}, [Output(TRANSFERS, bench.partition, b"k", b"fenced")])
    await lose(older.commit(fenced), bench.partition)
    await newer.commit(a_flush({"rendered": [(b"a", b"2")]}))
    await lose(older.commit(fenced), bench.partition)
    assert pairs(bench.seen(RENDERED)) == [(b"a", b"1"), (b"a", b"2")]
    assert bench.seen(TRANSFERS) == []


async def test_closed_outbox_commits_nothing_and_closes_twice(bench: Bench) -> None:
    outbox = await bench.start()
    await outbox.commit(a_flush({"rendered": [(b"a", b"1")]}))
    await outbox.close()
    await outbox.close()
    await lose(outbox.commit(a_flush({"rendered": [(b"a", b"2")]})), bench.partition)
    assert pairs(bench.seen(RENDERED)) == [(b"a", b"1")]


@pytest.mark.broker
async def test_what_an_owner_left_open_is_aborted_when_the_next_one_starts(kafka: str, unique) -> None:
    await ensure_topics(Settings(kafka=kafka, partitions=PARTITIONS), wait_ms=20_000)
    bench = KafkaBench(kafka, unique("outbox"))
    older: Any = await bench.start()
    await older._producer.begin_transaction()  # it dies in the middle of a commit
    await older._producer.send_and_wait(RENDERED, b"open", key=b"a", partition=bench.partition)
    await bench.start()  # from here on, a read_committed reader is not blocked
    assert bench.seen(RENDERED) == []
    await lose(older.commit(a_flush()), bench.partition)
    await bench.close()
