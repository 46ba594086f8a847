"""A new owner of a partition fences the former one before it reads, and reads only what that one committed.

docs/architecture.md, "Exactness, and where it lives", states the rules.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from agents.partition_limits import PartitionLimits
from agents.ports import Flush, PartitionLostError, Reach
from app.base.clock import SystemClock
from app.base.settings import Settings
from app.kafka.topics import ensure_topics
from app.local.broker import LocalBroker
from app.worker.outbox import KafkaOutbox
from app.worker.restore import Restorer
from app.worker.stores import Stores
from events.topics import JOURNAL
from tables.declare import CHANGELOGS, POSITIONS_TABLE
from tables.store import StoreMemory

pytestmark = pytest.mark.broker


class UnknownFeed:
    """The feed of a consumer that has fetched nothing."""

    def reach(self, topic: str, partition: int) -> Reach | None:
        return None


def a_flush(value: bytes, position: int) -> Flush:
    place = b'{"%s":%d}' % (JOURNAL.encode(), position)
    return Flush({"clicked": [(b"row", value)], POSITIONS_TABLE: [(b"0", place)]}, [], {JOURNAL: position})


def a_restorer(kind: type[Restorer], broker: LocalBroker, directory: Path) -> Restorer:
    return kind(
        bootstrap=broker.bootstrap,
        app_id="fence",
        stores=Stores(directory, StoreMemory(1 << 20, 1 << 20), SystemClock()),
        limits=PartitionLimits(partitions=1),
        transaction_timeout_ms=60_000,
        feed=UnknownFeed(),
        on_lost=lambda _: None,
        on_failed=lambda _: None,
    )


async def test_former_owner_can_add_nothing_to_what_the_new_one_reads(
    own_broker: LocalBroker, tmp_path: Path
) -> None:
    await ensure_topics(Settings(kafka=own_broker.bootstrap, partitions=1))
    former = await KafkaOutbox.start(own_broker.bootstrap, "fence", 0, 60_000)
    await former.commit(a_flush(b"committed", 1))
    await former._producer.begin_transaction()  # a second transaction, which it never ends
    await former._deliver(a_flush(b"never committed", 2), [])

    refused: list[PartitionLostError] = []

    class RestorerWithARival(Restorer):
        """The former owner writes at the worst moment: when the new owner has looked up the ends of the changelogs."""

        async def _seek(self, *args: Any) -> Any:
            ends = await super()._seek(*args)
            with pytest.raises(PartitionLostError) as raised:
                await rival()
            refused.append(raised.value)
            return ends

    async def rival() -> None:
        try:
            await former._producer.commit_transaction()
        except Exception as error:
            raise PartitionLostError(0, repr(error)) from error

    restorer = a_restorer(RestorerWithARival, own_broker, tmp_path)
    (partition,) = await restorer.open([0], epoch=0)
    try:
        assert len(refused) == 1
        assert partition.store.get("clicked", b"row") == b"committed"
        assert partition.positions == {JOURNAL: 1}
    finally:
        await partition.close(1)
        await former.close()


async def test_rows_behind_a_foreign_open_transaction_are_waited_for(
    own_broker: LocalBroker, tmp_path: Path
) -> None:
    await ensure_topics(Settings(kafka=own_broker.bootstrap, partitions=1))
    former = await KafkaOutbox.start(own_broker.bootstrap, "fence", 0, 60_000)
    await former.commit(a_flush(b"before", 1))
    foreign = Producer(
        {"bootstrap.servers": own_broker.bootstrap, "transactional.id": "foreign", "log_level": 0}
    )

    def leave_open() -> None:
        foreign.init_transactions(20)
        foreign.begin_transaction()
        foreign.produce(CHANGELOGS["clicked"], b"foreign", b"row", 0)
        assert foreign.flush(20) == 0

    await asyncio.to_thread(leave_open)
    await former.commit(a_flush(b"behind", 2))
    was_waiting: list[bool] = []

    class RestorerWithAHiddenEnd(Restorer):
        """The foreign transaction ends when everything before it is restored."""

        async def _read(self, *args: Any) -> None:
            reading = asyncio.ensure_future(super()._read(*args))
            while not (reading.done() or (self.progress is not None and self.progress.done >= 6)):
                await asyncio.sleep(0.01)
            was_waiting.append(not reading.done())
            await asyncio.to_thread(foreign.abort_transaction, 20)
            await reading

    (partition,) = await a_restorer(RestorerWithAHiddenEnd, own_broker, tmp_path).open([0], epoch=0)
    try:
        assert partition.store.get("clicked", b"row") == b"behind"
        assert partition.positions == {JOURNAL: 2}
        assert was_waiting == [True]
    finally:
        await partition.close(1)
        await former.close()
