"""Writes partitions to Kafka: one transactional producer per partition, one transaction per flush.

Starting a producer fences every earlier producer of the same partition, so the one started last is the only writer.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from typing import Any, NamedTuple

from aiokafka.errors import KafkaConnectionError, KafkaError

from agents.ports import Committed, Flush, PartitionLostError
from app.kafka.background_tasks import while_alive
from app.kafka.clients import AIOKafkaProducer
from app.kafka.stopping import stop_within
from events.topics import DEADLETTERS, HISTORY, JOURNAL, PARTIALS, TRANSFERS, WINDOWS
from tables.declare import CHANGELOGS

log = logging.getLogger(__name__)

_TOPICS = (*CHANGELOGS.values(), JOURNAL, HISTORY, TRANSFERS, PARTIALS, WINDOWS, DEADLETTERS)
BATCH_BYTES = 900_000  # below the broker's limit of 1 MB a batch
_STOP_SECONDS = 2.0


_Record = tuple[bytes | None, bytes | None, tuple[tuple[str, bytes], ...]]


class _Delivery(NamedTuple):
    """A batch in flight: its changelog (None for another topic), its number of records, and the broker's answer."""

    changelog: str | None
    records: int
    future: asyncio.Future[Any]


class KafkaOutbox:
    """The transactional producer of one partition. ``transactional.id`` is ``{app}-{partition}``."""

    def __init__(self, producer: AIOKafkaProducer, partition: int) -> None:
        self._producer, self._partition = producer, partition

    @classmethod
    async def start(
        cls, bootstrap: str, app_id: str, partition: int, transaction_timeout_ms: int
    ) -> "KafkaOutbox":
        """Start a producer that is from now on the partition's only writer, and return it.

        The broker aborts a transaction that an earlier producer left open.
        Raise KafkaConnectionError if the client knows no broker.
        """
        producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap,
            client_id=f"{app_id}-flush-{partition}",
            transactional_id=f"{app_id}-{partition}",
            transaction_timeout_ms=transaction_timeout_ms,
            acks="all",
            linger_ms=0,
            max_batch_size=BATCH_BYTES,
            max_request_size=64 * 1_048_576,  # more than any topic takes (events/topics.py)
            metadata_max_age_ms=60_000,
        )
        outbox = cls(producer, partition)
        try:
            await while_alive(producer, _start(producer))
        except AssertionError as error:
            # aiokafka asserts that it knows a broker; a broker that was frozen may not name one for a moment
            await outbox.close()
            raise KafkaConnectionError(f"no broker is known: {error}") from error
        except BaseException:
            await outbox.close()
            raise
        return outbox

    async def commit(self, flush: Flush) -> Committed:
        """Write a flush in one transaction and return where its changelog records ended.

        Every failure raises PartitionLostError. After a fence, the partition has another owner.
        After any other error, the fate of the transaction is unknown: only a new producer that reads the changelog can tell.
        """
        try:
            return await while_alive(self._producer, self._commit(flush))
        # aiokafka raises AssertionError on transitions after a fence
        except (KafkaError, AssertionError, OSError) as error:
            raise PartitionLostError(self._partition, repr(error)) from error

    async def _commit(self, flush: Flush) -> Committed:
        await self._producer.begin_transaction()
        deliveries: list[_Delivery] = []
        try:
            committed = await self._deliver(flush, deliveries)
        except BaseException:
            for delivery in deliveries:  # asyncio would log each exception that was never retrieved
                delivery.future.add_done_callback(lambda future: future.cancelled() or future.exception())
            raise
        await self._producer.commit_transaction()
        return committed

    async def _deliver(self, flush: Flush, deliveries: list[_Delivery]) -> Committed:
        """Send all records of a flush and wait until the broker has acknowledged them."""
        for table, changes in flush.changes.items():
            topic = CHANGELOGS[table]
            rows = ((key, value, ()) for key, value in changes)
            async for count, future in self._send(topic, self._partition, rows):
                deliveries.append(_Delivery(topic, count, future))
        outputs: dict[tuple[str, int], list[_Record]] = {}
        for output in flush.outputs:
            records = outputs.setdefault((output.topic, output.partition), [])
            records.append((output.key, output.value, output.headers))
        for (topic, partition), records in outputs.items():
            async for count, future in self._send(topic, partition, records):
                deliveries.append(_Delivery(None, count, future))
        committed = Committed()
        for delivery in deliveries:
            metadata = await delivery.future
            if delivery.changelog is not None:
                committed.offsets[delivery.changelog] = metadata.offset + delivery.records
        return committed

    async def _send(
        self,
        topic: str,
        partition: int,
        records: Iterable[_Record],
    ) -> AsyncIterator[tuple[int, asyncio.Future[Any]]]:
        """Pass records to the producer in batches; yield each batch's number of records and its delivery."""
        producer = self._producer
        batch, count = producer.create_batch(), 0
        for key, value, headers in records:
            if batch.append(key=key, value=value, timestamp=None, headers=list(headers)) is None:
                batch.close()
                yield count, await producer.send_batch(batch, topic, partition=partition)
                batch, count = producer.create_batch(), 0
                batch.append(key=key, value=value, timestamp=None, headers=list(headers))
            count += 1
        if count:
            batch.close()
            yield count, await producer.send_batch(batch, topic, partition=partition)

    async def close(self) -> None:
        """Stop the producer. The broker aborts a transaction in flight when the next owner starts."""
        if not await stop_within(self._producer, _STOP_SECONDS):
            log.warning("the producer of partition %d did not stop in time and is abandoned", self._partition)


async def _start(producer: AIOKafkaProducer) -> None:
    await producer.start()
    # fetches the metadata of all topics now: in the first flush, each topic would cost a retry of 100 ms
    await asyncio.gather(*(producer.partitions_for(topic) for topic in _TOPICS))
