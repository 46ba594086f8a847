"""How are changelogs read into stores: one consumer without a group, from where each store is, never past what was committed."""

import logging
from collections.abc import Iterable
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from app.worker.stores import Stores
from tables.declare import CHANGELOGS
from tables.store import RocksStore

log = logging.getLogger(__name__)

TABLE_OF: Final = {topic: table for table, topic in CHANGELOGS.items()}
"""Changelog topic -> its table."""


def changelog_consumer(bootstrap: str, client_id: str, fetch_bytes: int) -> AIOKafkaConsumer:
    """Return a consumer that is not started; ``fetch_bytes`` a partition are held in memory at most, and the largest record."""
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
    """Assign these partitions of every changelog, and of ``others``, all at once; return them.

    Once only: aiokafka 0.14 loses the cancellation of a stop() that follows a second assign(). All at once, because topics that it
    does not know cost a retry of 100 ms each.
    """
    everything = [TopicPartition(topic, number) for number in numbers for topic in (*TABLE_OF, *others)]
    consumer.assign(everything)
    return everything


async def starts_and_ends(
    consumer: AIOKafkaConsumer, held: dict[int, RocksStore], stores: Stores
) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
    """Return from where each changelog is to be read, and where it ends (exclusive, committed).

    A store that is ahead of a changelog is of another one: it is replaced, in ``held`` too, by an empty one.
    """
    changelogs = [TopicPartition(topic, number) for number in held for topic in TABLE_OF]
    begins = await consumer.beginning_offsets(changelogs)
    ends = await consumer.end_offsets(changelogs)
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
