"""Faust's consumer delivers chunks: runs of one partition, never of an earlier epoch; it knows what may be committed."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import KafkaError
from faust.transport.drivers import aiokafka as driver
from faust.types.tuples import TP
from mode.threads import QueueServiceThread
from yarl import URL

from agents.ports import Chunk, Reach
from app.kafka.background_tasks import ClientDiedError
from app.worker import chunk_thread
from app.worker.contact import Contact
from app.worker.lag import ConsumerFeed, lag_of, readable_lag
from app.worker.transport import CHUNK_RECORDS, ChunkConsumer, ChunkTransport
from events.topics import JOURNAL, TRANSFERS
from tests.support.kafka_clients import Clients, kill_sender, until

A, B = TP(JOURNAL, 0), TP(JOURNAL, 1)


class Owner:
    """An owner of partitions; each revocation starts a new epoch."""

    def __init__(self) -> None:
        self.epoch = 0
        self.positions: dict[tuple[str, int], int] = {}
        self.paused: set[tuple[str, int]] = set()
        self.begins: dict[int, int] = {}

    async def on_revoked(self) -> None:
        self.epoch += 1
        self.begins = {tp.partition: self.epoch for tp in (A, B)}

    def hold(self, partition: int) -> None:
        self.epoch += 1
        self.begins[partition] = self.epoch

    def is_over(self, partition: int, epoch: int) -> bool:
        return epoch < self.begins.get(partition, 0)

    def durable(self, topic: str, partition: int) -> int | None:
        return self.positions.get((topic, partition))

    def is_paused(self, topic: str, partition: int) -> bool:
        return (topic, partition) in self.paused


class Records(ChunkConsumer):
    """A consumer that returns prepared fetches."""

    ownership: Any
    fetches: list[dict[TP, list[Any]]]
    active: set[TP] | None = None

    async def _wait_next_records(self, timeout: float) -> tuple[dict[TP, list[Any]], set[TP] | None]:
        return (self.fetches.pop(0) if self.fetches else {}), self.active


def run_of(offsets: range) -> list[Any]:
    return [SimpleNamespace(offset=offset, timestamp=1_000 + offset, timestamp_type=0) for offset in offsets]


@pytest.fixture
async def consumer() -> AsyncIterator[Records]:
    app = faust.App("t", broker="kafka://127.0.0.1:1", store="memory://", web_enabled=False)
    transport = ChunkTransport(
        [URL("kafka://127.0.0.1:1")], app, Owner(), lambda _error: None, Contact(0), 50
    )

    async def nothing(*_: Any) -> None:
        pass

    consumer = Records(
        transport, callback=nothing, on_partitions_revoked=nothing, on_partitions_assigned=nothing
    )
    consumer.fetches = []
    consumer.resume_flow()
    yield consumer
    consumer._thread.thread_loop.close()  # it was created with the thread object, which this test never starts


async def chunks(consumer: ChunkConsumer) -> list[Chunk]:
    return [message.value async for _, message in consumer.getmany(0)]


async def test_fetch_becomes_one_message_for_a_run_of_a_partition(consumer: Records) -> None:
    run, other = run_of(range(5, 8)), run_of(range(2))
    consumer.fetches = [{A: run, B: other}]
    messages = [(tp, message) async for tp, message in consumer.getmany(0)]
    assert [tp for tp, _ in messages] == [A, B]
    message = messages[0][1]
    assert message.value == Chunk(JOURNAL, 0, 0, run)
    assert (message.topic, message.partition, message.offset, message.tp) == (JOURNAL, 0, 7, A)
    assert message.timestamp == run[-1].timestamp / 1000
    assert messages[1][1].value.records == other


@pytest.mark.parametrize(
    ("records", "sizes"),
    [
        (1, [1]),
        (CHUNK_RECORDS, [CHUNK_RECORDS]),
        (CHUNK_RECORDS + 1, [CHUNK_RECORDS, 1]),
        (2 * CHUNK_RECORDS + 3, [CHUNK_RECORDS, CHUNK_RECORDS, 3]),
    ],
)
async def test_long_runs_are_split_in_order(consumer: Records, records: int, sizes: list[int]) -> None:
    run = run_of(range(records))
    consumer.fetches = [{A: run}]
    handed_on = await chunks(consumer)
    assert [len(chunk.records) for chunk in handed_on] == sizes
    assert [record for chunk in handed_on for record in chunk.records] == run


async def test_partition_that_is_not_active_is_left_out(consumer: Records) -> None:
    consumer.active = {B}
    consumer.fetches = [{A: run_of(range(3)), B: run_of(range(2))}]
    assert [chunk.partition for chunk in await chunks(consumer)] == [1]
    assert (consumer.delivered(A), consumer.delivered(B)) == (0, 2)


async def test_what_is_paused_is_not_fetched_until_an_assignment(consumer: Records) -> None:
    consumer._set_active_tps({A, B})
    consumer.ownership.paused = {tuple(A)}
    assert consumer._get_active_partitions() == {B}
    consumer.ownership.paused = set()
    assert consumer._get_active_partitions() == {B}  # its position must be sought first
    consumer.resume_partitions({A, B})
    assert consumer._get_active_partitions() == {A, B}


async def test_chunk_of_an_earlier_epoch_is_not_handed_on(consumer: Records) -> None:
    consumer.fetches = [{A: run_of(range(2 * CHUNK_RECORDS)), B: run_of(range(2))}]
    handed_on = []
    async for _, message in consumer.getmany(0):
        handed_on.append(message.value)
        await consumer.ownership.on_revoked()
    assert len(handed_on) == 1
    assert consumer.delivered(A) == CHUNK_RECORDS
    assert consumer.delivered(B) == 0


async def test_partition_that_is_closed_meanwhile_is_dropped_and_others_are_handed_on(
    consumer: Records,
) -> None:
    subscribed(consumer, A=(9, 9, 9), B=(2, 2, 2))
    consumer.active = {A, B}

    async def fetch(timeout: float) -> Any:
        consumer.ownership.hold(A.partition)
        return {A: run_of(range(3)), B: run_of(range(2))}, {A, B}

    consumer._wait_next_records = fetch
    assert [chunk.partition for chunk in await chunks(consumer)] == [B.partition]
    assert (consumer.delivered(A), consumer._fetched, consumer.passed) == (0, {B: 2}, {B: 2})
    del consumer._wait_next_records
    consumer.fetches = [{A: run_of(range(3 * CHUNK_RECORDS)), B: run_of(range(2))}]
    handed_on = []
    async for tp, _ in consumer.getmany(0):
        handed_on.append(tp)
        if tp == A:  # while the agent's queue is full
            consumer.ownership.hold(A.partition)
            consumer.forget({A})
    assert handed_on == [A, B]
    assert (consumer.delivered(A), consumer._fetched, consumer.passed) == (0, {B: 2}, {B: 2})


async def test_partition_that_faust_adds_while_a_fetch_runs_is_not_fetched(
    consumer: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faust adds a partition as soon as its agent's queue has room. It may be held by then."""
    seen: list[set[TP]] = []

    async def getmany(active: set[TP], timeout: float) -> dict[TP, list[Any]]:
        consumer.on_buffer_drop(A)
        seen.append(set(active))
        return {}

    monkeypatch.setattr(consumer._thread, "getmany", getmany)
    consumer._set_active_tps({A, B})
    consumer.on_buffer_full(A)
    consumer.ownership.paused = {tuple(A)}
    await ChunkConsumer._wait_next_records(consumer, 0)
    await ChunkConsumer._wait_next_records(consumer, 0)
    assert seen == [{B}, {B}]


async def test_what_is_read_again_after_a_seek_is_handed_on_whatever_faust_noted_meanwhile(
    consumer: Records,
) -> None:
    handed_on: list[range] = []
    fetcher: Any = SimpleNamespace(_stopped=asyncio.Event())

    async def take(message: Any) -> None:
        handed_on.append(range(message.value.records[0].offset, message.value.records[-1].offset + 1))
        if not consumer.fetches:
            fetcher._stopped.set()

    consumer.callback = take
    consumer.fetches = [{A: run_of(range(10))}, {A: run_of(range(4, 8))}, {A: run_of(range(8, 10))}]
    await consumer._drain_messages(fetcher)
    assert handed_on == [range(10), range(4, 8), range(8, 10)]


async def test_nothing_is_handed_on_once_the_flow_is_stopped(consumer: Records) -> None:
    consumer.fetches = [{A: run_of(range(2 * CHUNK_RECORDS))}]
    handed_on = []
    async for _, message in consumer.getmany(0):
        handed_on.append(message.value)
        consumer.stop_flow()
    assert len(handed_on) == 1


async def test_chunk_has_the_epoch_in_which_its_fetch_began(consumer: Records) -> None:
    consumer.ownership.epoch = 4
    consumer.fetches = [{A: run_of(range(1))}]
    assert [chunk.epoch for chunk in await chunks(consumer)] == [4]

    async def revoked_meanwhile(timeout: float) -> Any:
        await consumer.ownership.on_revoked()
        return {A: run_of(range(1))}, None

    consumer._wait_next_records = revoked_meanwhile
    assert await chunks(consumer) == []


async def test_idle_is_waited_for_until_a_fetch_has_ended(consumer: Records) -> None:
    seen: list[bool] = []

    async def fetch(timeout: float) -> Any:
        seen.append(consumer._idle.is_set())
        return {}, None

    consumer._wait_next_records = fetch
    await chunks(consumer)
    await consumer.wait_idle()
    assert seen == [False]


async def test_delivered_is_the_offset_after_the_last_record_handed_on(consumer: Records) -> None:
    assert consumer.delivered(A) == 0
    consumer.fetches = [{A: run_of(range(10, 15))}, {A: run_of(range(20, 21))}]
    await chunks(consumer)
    assert consumer.delivered(A) == 15
    await chunks(consumer)
    assert consumer.delivered(A) == 21
    await consumer.on_partitions_revoked({A})
    assert (consumer.delivered(A), consumer.ownership.epoch, consumer.flow_active) == (0, 1, False)


async def test_only_what_a_flush_made_durable_is_committed_to_the_group(consumer: Records) -> None:
    consumer.fetches = [{A: run_of(range(10))}]
    await chunks(consumer)
    assert consumer._new_offset(A) is None
    consumer.ownership.positions[JOURNAL, 0] = 7
    assert consumer._new_offset(A) == 7
    assert consumer._new_offset(A) == 7
    assert consumer._new_offset(B) is None


def subscribed(consumer: Records, **states: Any) -> None:
    """Give the consumer's thread these fetch positions: partition name -> (position, lso, highwater)."""
    at = {
        tp: SimpleNamespace(
            has_valid_position=position is not None, position=position, lso=lso, highwater=highwater
        )
        for tp, (position, lso, highwater) in ((globals()[name], state) for name, state in states.items())
    }
    assignment = SimpleNamespace(tps=set(at), state_value=at.get)
    subscription = SimpleNamespace(subscription=SimpleNamespace(assignment=assignment))
    consumer._thread._consumer = SimpleNamespace(_subscription=subscription)


@pytest.mark.parametrize(
    ("state", "unread"),
    [
        ((10, 15, 20), 10),  # what an open transaction hides was acknowledged, so it counts
        ((15, 15, 20), 5),
        ((10, None, 20), 10),
        ((20, 20, 20), 0),
        ((25, 20, 20), 0),
        ((10, None, None), 0),
        ((None, 15, 20), 0),
    ],
)
async def test_unread_is_what_the_broker_has_and_was_not_fetched(
    consumer: Records, state: tuple[Any, ...], unread: int
) -> None:
    assert consumer.unread(A) == 0
    subscribed(consumer, A=state)
    assert (consumer.unread(A), consumer.unread(B)) == (unread, 0)


async def test_unread_before_an_end_leaves_out_what_is_behind_it(consumer: Records) -> None:
    assert consumer.unread(A, 15) == 0
    subscribed(consumer, A=(10, 15, 20))
    assert [consumer.unread(A, end) for end in (15, 10, 5)] == [5, 0, 0]


@pytest.mark.parametrize(
    ("state", "reach"),
    [
        ((10, 15, 20), Reach(20, 10, 0)),  # no window closes over what an open transaction hides
        ((10, None, 20), Reach(20, 10, 0)),
        ((10, None, None), None),  # the broker has reported no end yet
        ((None, 15, 20), None),
    ],
)
async def test_reach_is_known_once_the_broker_has_told_where_the_partition_ends(
    consumer: Records, state: tuple[Any, ...], reach: Reach | None
) -> None:
    feed = ConsumerFeed()
    feed.app = SimpleNamespace(consumer=consumer)
    assert feed.reach(A.topic, A.partition) is None
    subscribed(consumer, A=state)
    assert feed.reach(A.topic, A.partition) == reach
    assert feed.reach(B.topic, B.partition) is None


async def test_reach_counts_what_was_fetched_before_it_is_handed_on(consumer: Records) -> None:
    subscribed(consumer, A=(2 * CHUNK_RECORDS, 2 * CHUNK_RECORDS, 2 * CHUNK_RECORDS))
    consumer.fetches = [{A: run_of(range(2 * CHUNK_RECORDS))}]
    async for _ in consumer.getmany(0):
        assert consumer.reach(A) == Reach(2 * CHUNK_RECORDS, 2 * CHUNK_RECORDS, 2 * CHUNK_RECORDS)
    await consumer.on_partitions_revoked({A})
    assert consumer.reach(A) == Reach(2 * CHUNK_RECORDS, 2 * CHUNK_RECORDS, 0)


async def test_lag_is_what_no_flush_covers_over_all_sources(consumer: Records) -> None:
    subscribed(consumer, A=(10, 12, 12))
    consumer.fetches = [{A: run_of(range(10)), TP(TRANSFERS, 0): run_of(range(3))}]
    await chunks(consumer)
    partition: Any = SimpleNamespace(number=0, durable={JOURNAL: 6})
    assert lag_of(consumer, partition) == 2 + 4 + 3
    assert readable_lag(consumer, partition, JOURNAL, stable_end=11) == 1 + 4
    partition.durable = {JOURNAL: 10, TRANSFERS: 5}  # past a commit marker
    assert lag_of(consumer, partition) == 2


@pytest.fixture
async def clients() -> AsyncIterator[Clients]:
    clients = Clients()
    yield clients
    await clients.stop()


@pytest.mark.parametrize("kind", ["fetcher", "coordination"])
@pytest.mark.parametrize("ending", [KafkaError("no group"), None], ids=["failed", "cancelled"])
async def test_consumer_with_a_dead_task_ends_the_worker(
    consumer: Records,
    clients: Clients,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    ending: BaseException | None,
) -> None:
    failures: list[BaseException] = []
    consumer.on_failed = failures.append
    is_over = asyncio.Event()

    async def routine(_: object) -> None:
        await is_over.wait()
        raise asyncio.CancelledError if ending is None else ending

    owner = Fetcher if kind == "fetcher" else GroupCoordinator
    monkeypatch.setattr(
        owner, "_fetch_requests_routine" if kind == "fetcher" else "_coordination_routine", routine
    )
    thread: Any = consumer._thread
    thread._consumer = await clients.consumer("group")
    thread._consumer._client.cluster._brokers = {1: "a broker"}
    monkeypatch.setattr(driver.AIOKafkaConsumerThread, "on_start", _nothing)
    await thread.on_start()
    await asyncio.sleep(0)
    assert failures == []
    is_over.set()
    await until(lambda: bool(failures))
    (error,) = failures
    assert isinstance(error, ClientDiedError)
    assert kind in str(error)
    assert error.__cause__ is ending


async def test_consumer_that_stops_does_not_end_the_worker(
    consumer: Records, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[BaseException] = []
    consumer.on_failed = failures.append
    thread: Any = consumer._thread
    thread._consumer = await clients.consumer("group")
    thread._consumer._client.cluster._brokers = {1: "a broker"}
    monkeypatch.setattr(driver.AIOKafkaConsumerThread, "on_start", _nothing)
    monkeypatch.setattr(QueueServiceThread, "on_thread_stop", _nothing)
    await thread.on_start()
    await thread.on_thread_stop()
    assert thread._consumer._closed
    await asyncio.wait({thread._watching})
    assert thread._watching.cancelled()
    assert failures == []


async def test_consumer_that_does_not_stop_is_abandoned(
    consumer: Records, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker ends all the same."""
    thread: Any = consumer._thread
    client = thread._consumer = await clients.consumer("group")
    fetching = client._fetcher._fetch_task

    async def stop() -> None:
        await asyncio.Event().wait()

    client.stop = stop
    monkeypatch.setattr(chunk_thread, "_STOP_SECONDS", 0.01)
    monkeypatch.setattr(QueueServiceThread, "on_thread_stop", _nothing)
    await asyncio.wait_for(thread.on_thread_stop(), 2)
    await asyncio.wait({fetching}, timeout=2)
    assert fetching.done()
    del client.stop


async def test_producer_of_faust_with_a_dead_task_ends_the_worker(
    consumer: Records, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[BaseException] = []
    ours: Any = consumer.transport
    ours.on_failed = failures.append
    producer: Any = ours.create_producer()
    producer._producer = await clients.producer()
    monkeypatch.setattr(driver.Producer, "on_start", _nothing)
    await producer.on_start()
    kill_sender(producer._producer)
    await until(lambda: bool(failures))
    assert isinstance(failures[0], ClientDiedError)


async def _nothing(_: object) -> None:
    pass
