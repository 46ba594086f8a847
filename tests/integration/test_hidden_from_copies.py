"""A standby's copy knows that an open transaction hides events or rows from it: it is not complete as of any later time."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from app.base.clock import SystemClock
from app.base.settings import Settings
from app.kafka.topics import ensure_topics
from app.local.broker import LocalBroker
from app.worker.freshness import Freshness
from app.worker.standby import Standbys
from app.worker.stores import Stores
from events.topics import JOURNAL, changelog
from tests.support.damage import MEMORY

pytestmark = pytest.mark.broker


@pytest.fixture
async def freshness(own_broker: LocalBroker, tmp_path: Path) -> AsyncIterator[Freshness]:
    """The freshness of a copy of partition 0, which has been complete."""
    await ensure_topics(Settings(kafka=own_broker.bootstrap, partitions=1))
    failed: list[BaseException] = []
    stores = Stores(tmp_path, MEMORY, SystemClock())
    standbys = Standbys(own_broker.bootstrap, "copies", stores, SystemClock(), failed.append)
    await standbys.set_copies([0], [])
    async with asyncio.timeout(30):
        while standbys.reading(0) is None:
            await asyncio.sleep(0.05)
    yield stores.freshness[0]
    await standbys.close()
    assert failed == []


@pytest.mark.parametrize("topic", [JOURNAL, changelog("clicked")])
async def test_copy_does_not_reach_what_is_hidden_until_the_transaction_ends(
    own_broker: LocalBroker, freshness: Any, topic: str
) -> None:
    foreign = Producer(
        {"bootstrap.servers": own_broker.bootstrap, "transactional.id": "foreign", "log_level": 0}
    )
    await asyncio.to_thread(foreign.init_transactions, 20)
    foreign.begin_transaction()
    foreign.produce(topic, b"{}", b"key", 0)
    assert await asyncio.to_thread(foreign.flush, 20) == 0
    complete_ms = freshness.complete_ms
    # Rounds, one a second, with ends that the copy has not reached.
    rounds = freshness._waiting if topic == JOURNAL else freshness._rounds
    async with asyncio.timeout(30):
        while len(rounds) < 4:
            await asyncio.sleep(0.05)
    if topic == JOURNAL:
        assert freshness.complete_ms - complete_ms < 3_000  # at most one round was in flight
    await asyncio.to_thread(foreign.abort_transaction, 20)
    async with asyncio.timeout(30):
        while len(rounds) > 1 or freshness.complete_ms - complete_ms < 4_000:
            await asyncio.sleep(0.05)
