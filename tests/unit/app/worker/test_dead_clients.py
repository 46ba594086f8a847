"""A Kafka client of a worker that dies is noticed within two seconds and replaced: flushes, restores, copies, the watchdog."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agents.ports import Flush, PartitionLostError
from app.base.clock import SystemClock
from app.kafka.background_tasks import ClientDiedError
from app.worker import restore, standby, watch
from app.worker.outbox import KafkaOutbox
from app.worker.restore import Restorer
from app.worker.standby import Standbys
from app.worker.stores import Stores
from app.worker.visibility import Visibility
from app.worker.watch import Watch
from app.worker.watchdog import Watchdog
from tables.store import StoreMemory
from tests.support.kafka_clients import NOBODY, Clients, kill_fetcher, kill_sender, until


@pytest.fixture
async def clients() -> AsyncIterator[Clients]:
    clients = Clients()
    yield clients
    await clients.stop()


def _stores(tmp_path: Path) -> Stores:
    return Stores(tmp_path, StoreMemory(1 << 20, 1 << 20), SystemClock())


async def _forever(*_: object) -> Any:
    await asyncio.Event().wait()


async def test_flush_of_a_dead_producer_loses_the_partition(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lost partition is opened again, with a new producer."""
    producer = await clients.producer()
    outbox = KafkaOutbox(producer, 3)
    monkeypatch.setattr(outbox, "_commit", _forever)  # the broker's answer is never read
    commit = asyncio.create_task(outbox.commit(Flush({}, [], {})))
    await asyncio.sleep(0)
    kill_sender(producer)
    with pytest.raises(PartitionLostError, match="sender"):
        await asyncio.wait_for(commit, 2)


async def test_restore_with_a_dead_consumer_fails_and_is_tried_again(
    clients: Clients, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    consumer = await clients.consumer()
    monkeypatch.setattr(consumer, "start", _forever)
    monkeypatch.setattr(restore, "changelog_consumer", lambda *_: consumer)
    restorer = Restorer(NOBODY, "t", _stores(tmp_path), *[SimpleNamespace()] * 2, 1000, print, print)  # type: ignore[arg-type]
    catching_up = asyncio.create_task(restorer._catch_up({}))
    await asyncio.sleep(0)
    kill_fetcher(consumer)
    with pytest.raises(ClientDiedError, match="fetcher"):  # a KafkaError: recovery opens the partitions again
        await asyncio.wait_for(catching_up, 2)
    assert consumer._closed


async def test_copies_are_followed_by_a_new_consumer(
    clients: Clients, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    first, second = await clients.consumer(), await clients.consumer()
    for consumer in (first, second):
        monkeypatch.setattr(consumer, "start", _forever)
    left = [first, second]
    monkeypatch.setattr(standby, "changelog_consumer", lambda *_: left.pop(0))

    async def no_ids(*_: object) -> dict[str, str]:
        return {}

    monkeypatch.setattr(standby, "read_topic_ids", no_ids)
    failures: list[BaseException] = []
    standbys = Standbys(NOBODY, "t", _stores(tmp_path), SystemClock(), failures.append)
    await standbys.set_copies([0], [])
    await until(lambda: left == [second])
    kill_fetcher(first)
    with caplog.at_level(logging.WARNING, "app.worker.standby"):
        await until(lambda: left == [])
    assert "fetcher" in caplog.text
    assert first._closed
    assert failures == []
    await standbys.close()


async def test_watchdog_counts_its_dead_consumer_as_no_answer_and_makes_a_new_one(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer = await clients.consumer()
    monkeypatch.setattr(consumer, "end_offsets", _forever)
    app = SimpleNamespace(rebalancing=False, consumer=None)
    partition = SimpleNamespace(number=0, topic_ids={})
    looking = Watch(
        NOBODY, "t", Watchdog(1, 0, 1), [partition], app, print, Visibility(lambda _topic, _partition: 0)
    )  # type: ignore[arg-type]
    looking._consumers = {"read_uncommitted": consumer}
    monkeypatch.setattr(watch, "_ANSWER_SECONDS", 60.0)
    sights = asyncio.create_task(looking._sights())
    await asyncio.sleep(0)
    kill_fetcher(consumer)
    assert await asyncio.wait_for(sights, 2) is None
    assert looking._consumers == {}
    assert consumer._closed
