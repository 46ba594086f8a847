"""The watchdog against a real broker: it learns the ends of the topics, and treats a silent broker as away."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import Producer
from faust.types.tuples import TP

from agents.registry import Partitions
from app.base.settings import Settings
from app.kafka.topics import ensure_topics
from app.local.broker import LocalBroker
from app.worker import watch as module
from app.worker.visibility import Visibility
from app.worker.watch import Watch
from app.worker.watchdog import Watchdog
from events.topics import JOURNAL, SOURCES
from tests.support.partitions import World

pytestmark = pytest.mark.broker


class StuckConsumer:
    """A consumer that has fetched nothing of partition 0; it knows only the ends that the watchdog gave it."""

    def __init__(self) -> None:
        self.ends: dict[TP, int] = {}

    def unread(self, tp: TP, end: int | None = None) -> int:
        return self.ends.get(tp, 0) if end is None else end

    def delivered(self, tp: TP) -> int:
        return 0


def produce(broker: LocalBroker, records: int) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "log_level": 0})
    for _ in range(records):
        producer.produce(JOURNAL, b"{", b"key", 0)
    assert producer.flush(20) == 0


async def test_stand_still_is_seen_while_the_broker_answers_and_never_while_it_is_frozen(
    own_broker: LocalBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ANSWER_SECONDS", 1.0)
    await ensure_topics(Settings(kafka=own_broker.bootstrap, partitions=1))
    world, partitions = World(), Partitions(close_timeout_seconds=1)
    partitions.add(world.open())
    app = SimpleNamespace(rebalancing=False, consumer=StuckConsumer())
    watchdog = Watchdog(alarm_ms=300, exit_ms=0, interval_ms=100)
    failed: list[BaseException] = []
    watch: Any = Watch(
        own_broker.bootstrap,
        "t",
        watchdog,
        partitions,
        app,
        failed.append,
        Visibility(lambda _topic, _partition: 0),
    )

    async def look_until(seen: Any, what: str) -> None:
        async with asyncio.timeout(20):
            while True:
                sights = await watch._sights()
                if seen(sights):
                    return
                await asyncio.sleep(0.05)
        raise AssertionError(what)

    try:
        await look_until(lambda sights: sights and len(sights) == len(SOURCES), "all source topics are seen")
        own_broker.freeze()
        assert await watch._sights() is None
        own_broker.thaw()
        await look_until(lambda sights: sights, "it answers again")

        await watch._disconnect()  # from here on the watchdog's own thread looks, over its own connection
        await watch.on_start()
        total = 0
        while not watch.alarms([0]) and total < 500:
            await asyncio.to_thread(produce, own_broker, 10)
            total += 10
            await asyncio.sleep(0.1)
        (stall,) = watch.alarms([0])
        assert (stall.place.topic, stall.sight.position) == (JOURNAL, 0)
        assert 10 <= stall.sight.lag <= total
        assert watch.alarms([1]) == []

        app.rebalancing = True
        assert await watch._sights() == {}
    finally:
        await watch.on_stop()
        world.end()
    assert failed == []
