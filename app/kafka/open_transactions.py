"""Finds the open transactions of a topic's partitions: who has them, since when, and the command that aborts them.

Consumers that read committed records stop where the first open transaction of a partition begins (its last stable offset).
Brokers from 3.0 on say whose these transactions are (app/kafka/transaction_requests.py).
"""

import asyncio
import logging
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError, for_code

from app.kafka.clients import AIOKafkaClient
from app.kafka.transaction_requests import DescribeProducers, DescribeTransactions, ListTransactions

_log: Final = logging.getLogger(__name__)
_NO_OFFSET: Final = -1
LONG_OPEN_MS: Final = 8_000
"""A transaction that is open for this long is a problem. A flush is one too, and takes milliseconds."""


@dataclass(frozen=True, slots=True)
class OpenTransaction:
    """An open transaction: where it begins in a partition, and its producer.

    ``since_ms`` is when it began; the time of the producer's last record if the coordinator does not know the transaction.
    ``transactional_id`` is None in that case.
    """

    topic: str
    partition: int
    start_offset: int
    producer_id: int
    producer_epoch: int
    since_ms: int
    transactional_id: str | None = None


def abort_command(
    bootstrap: str, topic: str, partition: int, start_offset: int, transactional_id: str | None = None
) -> str:
    """Return the command of Kafka 4.1 that aborts the transaction that begins at an offset.

    By its transactional id the transaction ends in all its partitions, and its producer is fenced.
    Without one only the marker in this partition is left to write.
    """
    tool = f"kafka-transactions.sh --bootstrap-server {bootstrap}"
    if transactional_id is None:
        return f"{tool} abort --topic {topic} --partition {partition} --start-offset {start_offset}"
    return f"{tool} forceTerminateTransaction --transactionalId {shlex.quote(transactional_id)}"


def describe(bootstrap: str, transaction: OpenTransaction) -> str:
    """Return a sentence for an operator: where a transaction is open, whose it is, and how to end it."""
    name = "no coordinator knows it" if transaction.transactional_id is None else transaction.transactional_id
    command = abort_command(
        bootstrap,
        transaction.topic,
        transaction.partition,
        transaction.start_offset,
        transaction.transactional_id,
    )
    return (
        f"{transaction.topic} partition {transaction.partition}: a transaction of producer {transaction.producer_id} ({name}) "
        f"is open at {transaction.start_offset} and hides what is behind it. End it in its producer, or abort it: {command}"
    )


def is_of_worker(transaction: OpenTransaction, app_id: str) -> bool:
    """Return whether a worker's flush has the transaction. Its next owner or its time limit ends it, and the watchdog sees a hang."""
    prefix, _, number = (transaction.transactional_id or "").rpartition("-")
    return prefix == app_id and number.isdecimal()


async def find_open_transactions(
    bootstrap: str, partitions: Iterable[TopicPartition], answer_seconds: float = 5.0
) -> list[OpenTransaction]:
    """Return the open transactions of these partitions, in the order of topic, partition and offset.

    Empty for a broker before 3.0, which cannot list them, and without the right to describe the topics.
    Raise TimeoutError if the brokers take longer than ``answer_seconds``, and a KafkaError if a partition has no leader now.
    """
    client = AIOKafkaClient(bootstrap_servers=bootstrap)
    try:
        async with asyncio.timeout(answer_seconds):
            found = await _ask(client, partitions)
    except (NotImplementedError, IncompatibleBrokerVersion) as error:
        _log.warning("the broker lists no open transactions: %r", error)
        return []
    finally:
        await client.close()
    return sorted(found, key=lambda each: (each.topic, each.partition, each.start_offset))


async def _ask(client: AIOKafkaClient, partitions: Iterable[TopicPartition]) -> list[OpenTransaction]:
    await client.bootstrap()
    cluster = await client.fetch_all_metadata()  # asking for a topic by name may create it
    leaders: dict[int, list[TopicPartition]] = {}
    for tp in partitions:
        leader = cluster.leader_for_partition(tp)
        if leader is not None and leader >= 0:
            leaders.setdefault(leader, []).append(tp)
    found: list[OpenTransaction] = []
    for leader, led in leaders.items():
        found += _open_of((await client.send(leader, DescribeProducers(led))).to_object())
    if not found:
        return []
    return await _with_starts(client, [broker.nodeId for broker in cluster.brokers()], found)


def _open_of(answer: Mapping[str, Any]) -> list[OpenTransaction]:
    """Return the open transactions of an answer. Raise a KafkaError if a partition has another leader by now: ask again."""
    for topic in answer["topics"]:
        for partition in topic["partitions"]:
            error = for_code(partition["error_code"])
            if error.retriable:
                raise error(f"{topic['name']} partition {partition['partition']}")
    return [
        OpenTransaction(
            topic["name"],
            partition["partition"],
            producer["start_offset"],
            producer["producer_id"],
            producer["producer_epoch"],
            producer["last_timestamp"],
        )
        for topic in answer["topics"]
        for partition in topic["partitions"]
        if partition["error_code"] == 0
        for producer in partition["producers"]
        if producer["start_offset"] != _NO_OFFSET
    ]


async def _with_starts(
    client: AIOKafkaClient, brokers: Iterable[int], found: list[OpenTransaction]
) -> list[OpenTransaction]:
    """Add what the coordinators know: the transactional ids, and when the transactions began."""
    known: dict[int, tuple[str, int]] = {}
    for broker in brokers:
        try:
            listing = (
                await client.send(broker, ListTransactions({each.producer_id for each in found}))
            ).to_object()
            names = [each["transactional_id"] for each in listing["transactions"]]
            if names:
                described = (await client.send(broker, DescribeTransactions(names))).to_object()
                known.update(
                    (each["producer_id"], (each["transactional_id"], each["start_ms"]))
                    for each in described["transactions"]
                    if each["error_code"] == 0
                )
        except KafkaError as error:
            _log.warning("broker %d does not say whose transactions are open: %r", broker, error)
    return [
        replace(each, transactional_id=name, since_ms=start_ms if start_ms > 0 else each.since_ms)
        for each in found
        for name, start_ms in [known.get(each.producer_id, (None, 0))]
    ]
