"""A producer that dies is noticed within two seconds and replaced, and its batches in flight end."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from app.journal.broker_link import BrokerLink, LostError
from app.journal.producer import DeliveryUnknownError, Producer
from events.rules import Rules
from events.topics import HISTORY, JOURNAL
from tests.support.builders import a_click
from tests.support.kafka_clients import NOBODY, Clients, kill_sender, until


@pytest.fixture
async def clients() -> AsyncIterator[Clients]:
    clients = Clients()
    yield clients
    await clients.stop()


class Metadata:
    """Metadata of a broker that has one partition of each topic."""

    def partitions_for_topic(self, topic: str) -> set[int]:
        return {0}


async def _metadata() -> Metadata:
    return Metadata()


async def test_collector_replaces_a_dead_producer(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    async def connect(_: object) -> Any:
        producer = await clients.producer()
        producer.client.fetch_all_metadata = _metadata
        return producer

    monkeypatch.setattr(BrokerLink, "_connect", connect)
    link = BrokerLink(NOBODY, {JOURNAL: 1}, [], lambda: None)
    link.start()
    await until(lambda: link.link is not None and not link.problems)
    assert link.link is not None
    first = link.link
    ack: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    first._acks.add(ack)  # a batch in flight
    kill_sender(first.producer)
    await until(lambda: link.link is not None and link.link is not first)
    assert isinstance(ack.exception(), LostError)
    await link.stop()


async def test_check_that_fails_is_repeated(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the task that checks, the collector would not connect again."""
    errors: list[Exception] = [AssertionError("no broker"), RuntimeError("the handler is closed")]

    async def connect(_: object) -> Any:
        if errors:
            raise errors.pop()
        producer = await clients.producer()
        producer.client.fetch_all_metadata = _metadata
        return producer

    monkeypatch.setattr(BrokerLink, "_connect", connect)
    monkeypatch.setattr("app.journal.broker_link._FIRST_PAUSE_SECONDS", 0.01)
    link = BrokerLink(NOBODY, {JOURNAL: 1}, [], lambda: None)
    link.start()
    await until(lambda: "RuntimeError" in link.problems[0])
    await until(lambda: not link.problems)
    await link.stop()


async def test_producer_of_a_back_end_is_replaced(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    async def connect(self: Producer) -> Any:
        self._counts = {JOURNAL: 1, HISTORY: 1}
        producer = await clients.producer()
        producer.client.cluster._partitions = {JOURNAL: {0: SimpleNamespace(leader=-1)}}
        return producer

    monkeypatch.setattr(Producer, "_connect", connect)
    async with Producer(NOBODY, [Rules("00000", "k1", bytes(32))]) as producer:
        first: Any = producer._producer
        sending = asyncio.create_task(producer.send(a_click()))
        await until(lambda: bool(first._message_accumulator._batches))
        kill_sender(first)
        with pytest.raises(DeliveryUnknownError, match="ClientDiedError"):
            await asyncio.wait_for(sending, 2)
        await until(lambda: producer._producer not in (None, first))
        assert first._closed
