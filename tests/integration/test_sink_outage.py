"""A Kafka that freezes or dies under the collector's sink: nothing is called durable that is not, nothing comes twice."""

import asyncio
import collections
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from app.clock import SystemClock
from app.collector.kafka_sink import KafkaSink
from app.collector.sink import FateUnknownError, NotTakenError
from app.kafka.broker import LocalBroker
from events.model import Click

TOPIC = "events"


async def create_topic(bootstrap: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(TOPIC, 1, 1)])
    finally:
        await admin.close()


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as entered:
        yield entered


@asynccontextmanager
async def started(sink: KafkaSink) -> AsyncIterator[None]:
    await sink.start()
    try:
        yield
    finally:
        await sink.stop()


async def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.05)


async def read_all(bootstrap: str) -> list[str]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    try:
        partition = TopicPartition(TOPIC, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning()
        end = (await consumer.end_offsets([partition]))[partition]
        values: list[str] = []
        while len(values) < end:
            for batch in (await consumer.getmany(timeout_ms=500)).values():
                values += [json.loads(record.value)["item"] for record in batch]
        return values
    finally:
        await consumer.stop()


@pytest.mark.parametrize("fault", ["frozen", "killed"])
async def test_acknowledged_events_are_there_once_after_an_outage(
    own_broker: LocalBroker, fault: str, stack: AsyncExitStack
) -> None:
    bootstrap = own_broker.bootstrap
    await create_topic(bootstrap)
    sink = KafkaSink(bootstrap, {TOPIC: 1}, needed=(TOPIC,), ack_timeout_ms=1_500, stall_ms=400)
    outcomes: dict[str, list[str]] = collections.defaultdict(list)
    numbers = iter(range(10**9))
    is_over = False

    async def client() -> None:
        while not is_over:
            item = f"{next(numbers)}"
            try:
                await sink.send(
                    TOPIC, Click(customer="c", user="k1.u", item=item, received_ms=SystemClock().now_ms())
                )
                outcomes["ok"].append(item)
            except NotTakenError:
                outcomes["not taken"].append(item)
                await asyncio.sleep(0.02)
            except FateUnknownError:
                outcomes["unknown"].append(item)

    await stack.enter_async_context(started(sink))
    await until(lambda: not sink.problems())
    clients = [asyncio.create_task(client()) for _ in range(8)]
    await until(lambda: len(outcomes["ok"]) > 100)

    if fault == "frozen":
        own_broker.freeze()
    else:
        own_broker.kill()
    await until(lambda: bool(outcomes["unknown"]) and bool(outcomes["not taken"]))
    assert sink.problems()
    if fault == "frozen":
        own_broker.thaw()
    else:
        own_broker.launch()
        while not await asyncio.to_thread(own_broker.is_ready):
            await asyncio.sleep(0.1)

    before = len(outcomes["ok"])
    await until(lambda: len(outcomes["ok"]) > before + 100)
    is_over = True
    await asyncio.gather(*clients)
    await until(lambda: not sink.problems())
    await stack.aclose()

    found = collections.Counter(await read_all(bootstrap))
    assert {item: found[item] for item in outcomes["ok"] if found[item] != 1} == {}
    assert {item: found[item] for item in outcomes["not taken"] if found[item]} == {}
    assert {item: found[item] for item in outcomes["unknown"] if found[item] > 1} == {}
