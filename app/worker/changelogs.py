"""Reads changelogs into stores, with one consumer that has no group.

It starts where each store is, and reads committed records only.
"""

import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Final

from aiokafka import TopicPartition

from app.kafka.background_tasks import while_alive
from app.kafka.clients import AIOKafkaConsumer
from app.kafka.stopping import stop_within
from app.worker.stores import Stores
from tables.declare import CHANGELOGS
from tables.store import RocksStore

log = logging.getLogger(__name__)

TABLE_OF: Final = {topic: table for table, topic in CHANGELOGS.items()}
"""Changelog topic -> its table."""
_STOP_SECONDS: Final = 2.0


def changelog_consumer(bootstrap: str, client_id: str, fetch_bytes: int) -> AIOKafkaConsumer:
    """Return a consumer that is not started.

    It holds at most ``fetch_bytes`` per partition in memory, or one record if that is larger.
    """
    return AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        client_id=client_id,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=fetch_bytes,
        fetch_max_wait_ms=100,
    )


def assign_changelogs(
    consumer: AIOKafkaConsumer, numbers: Iterable[int], others: Iterable[str] = ()
) -> list[TopicPartition]:
    """Assign these partitions of every changelog and of ``others``; return them.

    Call it once per consumer: aiokafka 0.14 loses the cancellation of a stop() that follows a second assign().
    It assigns all topics at once, because each topic that the consumer does not know costs a retry of 100 ms.
    """
    everything = [TopicPartition(topic, number) for number in numbers for topic in (*TABLE_OF, *others)]
    consumer.assign(everything)
    return everything


@contextlib.asynccontextmanager
async def watermark_reader(
    bootstrap: str, partitions: list[TopicPartition]
) -> AsyncIterator[Callable[[], Awaitable[dict[TopicPartition, int]]]]:
    """Yield a function that asks where these partitions end (exclusive), with what an open transaction hides."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, isolation_level="read_uncommitted", enable_auto_commit=False
    )

    async def ask() -> dict[TopicPartition, int]:
        ends: dict[TopicPartition, int] = await while_alive(consumer, consumer.end_offsets(partitions))
        return ends

    try:
        await while_alive(consumer, consumer.start())
        consumer.assign(partitions)
        consumer.pause(*partitions)
        yield ask
    finally:
        await stop_within(consumer, _STOP_SECONDS)


async def high_watermarks(bootstrap: str, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
    """Return where partitions end (exclusive), with what an open transaction hides."""
    async with watermark_reader(bootstrap, partitions) as ask:
        return await ask()


async def starts_and_ends(
    bootstrap: str, consumer: AIOKafkaConsumer, held: dict[int, RocksStore], stores: Stores
) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
    """Return the offset from which to read each changelog, and its end (exclusive, the high watermark).

    Committed rows may lie behind a transaction that another producer left open, so the last stable offset is no end.

    A store that is ahead of a changelog belongs to a former one. An empty store replaces it, also in ``held``.
    """
    changelogs = [TopicPartition(topic, number) for number in held for topic in TABLE_OF]
    begins = await consumer.beginning_offsets(changelogs)
    ends = await high_watermarks(bootstrap, changelogs)
    starts: dict[TopicPartition, int] = {}
    for number in list(held):
        mine = [tp for tp in changelogs if tp.partition == number]
        known = held[number].offsets()
        ahead = [tp for tp in mine if known.get(tp.topic, 0) > ends[tp]]
        if ahead:
            log.warning(
                "the state of partition %d is ahead of %s, which must have been recreated: it is rebuilt",
                number,
                ahead[0].topic,
            )
            held[number] = stores.rebuild(number)
            known = {}
        starts.update({tp: max(known.get(tp.topic, 0), begins[tp]) for tp in mine})
    return starts, ends
