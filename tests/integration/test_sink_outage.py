"""A Kafka that freezes or dies under the collector's sink: durable means durable, and no event counts twice."""

import asyncio
import collections
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from app.base.clock import SystemClock
from app.journal.kafka_sink import KafkaSink
from app.journal.sink import FateUnknownError, NotTakenError
from app.local.broker import LocalBroker
from events.codec import decode
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


async def read_all(bootstrap: str) -> list[Click]:
    """Return the clicks in log order, without repeats of an ``eid``, as the tables count them."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    try:
        partition = TopicPartition(TOPIC, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning()
        end = (await consumer.end_offsets([partition]))[partition]
        found: list[Click] = []
        seen: set[str | None] = set()
        position = 0
        while position < end:
            for batch in (await consumer.getmany(timeout_ms=500)).values():
                for record in batch:
                    click, position = decode(record.value), record.offset + 1
                    assert isinstance(click, Click)
                    if click.eid is None or click.eid not in seen:
                        found.append(click)
                    seen.add(click.eid)
        return found
    finally:
        await consumer.stop()


@pytest.mark.parametrize(("fault", "spools"), [("frozen", False), ("killed", True)])
async def test_acknowledged_events_are_there_once_and_in_order_after_an_outage(
    own_broker: LocalBroker, fault: str, spools: bool, stack: AsyncExitStack, tmp_path: Path
) -> None:
    bootstrap = own_broker.bootstrap
    await create_topic(bootstrap)
    sink = KafkaSink(
        bootstrap,
        {TOPIC: 1},
        needed=(TOPIC,),
        ack_timeout_ms=1_500,
        stall_ms=400,
        spool_dir=tmp_path / "spool",
        spool_bytes=50_000_000 if spools else 0,
    )
    outcomes: dict[str, list[str]] = collections.defaultdict(list)
    numbers = iter(range(10**9))
    is_over = False

    async def client() -> None:
        while not is_over:
            number = next(numbers)
            item, eid = f"{number}", f"e{number}" if number % 2 else None
            now_ms = SystemClock().now_ms()
            try:
                await sink.send(
                    TOPIC, Click(customer="c", user="k1.u", item=item, received_ms=now_ms, eid=eid)
                )
                outcomes["ok"].append(item)
            except NotTakenError:
                outcomes["not taken"].append(item)
                await asyncio.sleep(0.02)
            except FateUnknownError:
                outcomes["unknown"].append(item)

    await stack.enter_async_context(started(sink))
    await until(lambda: not sink.warnings())
    clients = [asyncio.create_task(client()) for _ in range(8)]
    await until(lambda: len(outcomes["ok"]) > 100)

    if fault == "frozen":
        own_broker.freeze()
    else:
        own_broker.kill()
    if spools:
        await until(lambda: (counts := sink.spool_counts()) is not None and counts.events > 200)
        assert not sink.problems()
    else:
        await until(lambda: bool(outcomes["unknown"]) and bool(outcomes["not taken"]))
        assert sink.problems()
    assert sink.warnings()
    if fault == "frozen":
        own_broker.thaw()
    else:
        own_broker.launch()
        while not await asyncio.to_thread(own_broker.is_ready):
            await asyncio.sleep(0.1)

    before = len(outcomes["ok"])
    await until(lambda: len(outcomes["ok"]) > before + 100)
    await until(lambda: (counts := sink.spool_counts()) is None or counts.events == 0)
    before = len(outcomes["ok"])
    await until(lambda: len(outcomes["ok"]) > before + 100)
    is_over = True
    await asyncio.gather(*clients)
    await until(lambda: not sink.warnings())
    counts = sink.spool_counts()
    assert counts is None or counts.drained == counts.spooled
    await stack.aclose()

    log = [click.item for click in await read_all(bootstrap)]
    found = collections.Counter(log)
    assert {item: found[item] for item in outcomes["ok"] if found[item] != 1} == {}
    assert {item: found[item] for item in outcomes["not taken"] if found[item]} == {}
    assert {item: found[item] for item in outcomes["unknown"] if found[item] > 1} == {}
    assert log == sorted(log, key=int)
    assert not spools or not outcomes["not taken"]
