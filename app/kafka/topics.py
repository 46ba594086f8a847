"""Compares the topics of events/topics.py with those on the broker, and creates the missing ones."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaConnectionError, KafkaError

from app.base.errors import NoBrokerError, UptakeError
from app.base.settings import Settings
from app.kafka.clients import AIOKafkaAdminClient, AIOKafkaProducer
from app.kafka.probe import any_answers
from app.kafka.topic_config import (
    Comparison,
    FoundTopic,
    TopicDifference,
    compare,
    creation_config,
    partitions_of,
    refuse_uncompacted_state,
    refuse_wrong_partitions,
)
from app.kafka.topic_ids import read_topic_ids
from events.topics import META, Topic
from tables.declare import TOPICS

_log: Final = logging.getLogger(__name__)
_NO_ERROR: Final = 0
_TOPIC_EXISTS: Final = 36
_PAUSE_S: Final = 0.25
_SAY_AGAIN_S: Final = 10.0
_GRACE_S: Final = 10.0  # no warning about a broker that is just starting, as in `uptake up`


async def compare_topics(
    settings: Settings, topics: Sequence[Topic] = TOPICS, *, wait_ms: int | None = 5_000
) -> list[Comparison]:
    """Return each topic with what the broker has.

    Wait for a broker that does not answer, up to ``wait_ms`` (None: without end), then raise NoBrokerError.
    """
    async with _admin(settings, wait_ms) as admin:
        return await _compare(admin, settings, topics)


async def ensure_topics(
    settings: Settings, topics: Sequence[Topic] = TOPICS, *, wait_ms: int | None = None
) -> list[TopicDifference]:
    """Create the missing topics, and return how the others differ.

    Raise TopicMismatchError if a topic has another partition count: partition p of all partitioned topics belongs together.
    Several processes may call this at once.
    """
    async with _admin(settings, wait_ms) as admin:
        comparisons = await _compare(admin, settings, topics)
        refuse_wrong_partitions(comparisons)
        missing = [comparison.topic for comparison in comparisons if comparison.found is None]
        created = await _create(admin, settings, missing) if missing else []
        if created:
            _log.info(
                "created %d topics of %d partitions: %s",
                len(created),
                settings.partitions,
                ", ".join(created),
            )
            if any(topic.name == META for topic in topics):
                await _write_creation_ids(settings, created)
        if missing:
            comparisons = await _compare(admin, settings, topics)
            refuse_wrong_partitions(comparisons)
    return [difference for comparison in comparisons for difference in comparison.differences]


async def require_topics(
    settings: Settings, topics: Sequence[Topic] = TOPICS, *, wait_ms: int | None = None
) -> None:
    """Wait until all topics exist, with a warning every 10 s.

    Raise TopicMismatchError for a wrong partition count, UptakeError for a changelog that is not compacted.
    Raise UptakeError if topics are still missing after ``wait_ms`` (None: wait without end), NoBrokerError if no broker answers.
    """
    deadline = None if wait_ms is None else time.monotonic() + wait_ms / 1000
    said = time.monotonic() - _SAY_AGAIN_S + _GRACE_S
    while True:
        comparisons = await compare_topics(settings, topics, wait_ms=wait_ms)
        refuse_uncompacted_state(
            comparisons
        )  # first: its cure also holds for topics that a broker created by itself
        refuse_wrong_partitions(comparisons)
        missing = [comparison.topic.name for comparison in comparisons if comparison.found is None]
        if not missing:
            return
        if deadline is not None and time.monotonic() > deadline:
            raise UptakeError(
                f"topics are missing on {settings.kafka}: {', '.join(missing)}; `uptake topics --create` creates them"
            )
        if time.monotonic() - said >= _SAY_AGAIN_S:
            said = time.monotonic()
            _log.warning(
                "topics are missing on %s: %s; waiting until `uptake topics --create` creates them",
                settings.kafka,
                ", ".join(missing),
            )
        await asyncio.sleep(1)


async def _wait_for_broker(settings: Settings, wait_ms: int | None = None) -> None:
    """Wait for an answer at ``settings.kafka``; raise NoBrokerError after ``wait_ms`` (None: wait without end)."""
    start = time.monotonic()
    said = start - _SAY_AGAIN_S + _GRACE_S
    while not await asyncio.to_thread(any_answers, settings.kafka):
        waited_s = time.monotonic() - start
        if wait_ms is not None and waited_s * 1000 >= wait_ms:
            raise NoBrokerError(
                f"no Kafka answers at {settings.kafka}; start one (`uptake kafka`, `uptake up`, docker compose up) or "
                f"say where it is with --kafka host:port (UPTAKE_KAFKA); run `uptake doctor` to find out why"
            )
        if time.monotonic() - said >= _SAY_AGAIN_S:
            said = time.monotonic()
            _log.warning(
                "no Kafka answers at %s, waiting for it (run `uptake doctor` to find out why)", settings.kafka
            )
        await asyncio.sleep(_PAUSE_S)


@asynccontextmanager
async def _admin(settings: Settings, wait_ms: int | None) -> AsyncIterator[Any]:
    """Yield a started admin client. Wait for the broker first, because the client itself gives up at once."""
    while True:
        await _wait_for_broker(settings, wait_ms)
        admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka, request_timeout_ms=20_000)
        try:
            await admin.start()
        except KafkaConnectionError:  # the broker went away after it had answered
            await admin.close()
            await asyncio.sleep(_PAUSE_S)
            continue
        break
    try:
        yield admin
    except (KafkaError, TimeoutError) as error:
        raise NoBrokerError(
            f"Kafka at {settings.kafka} did not answer about its topics: {error!r}"
        ) from error
    finally:
        await admin.close()


async def _compare(admin: Any, settings: Settings, topics: Sequence[Topic]) -> list[Comparison]:
    found = await _describe(admin, [topic.name for topic in topics])
    return [compare(topic, settings, found.get(topic.name)) for topic in topics]


async def _describe(admin: Any, names: list[str]) -> dict[str, FoundTopic]:
    present = {
        answer["topic"]: answer["partitions"]
        for answer in await admin.describe_topics(names)
        if answer["error_code"] == _NO_ERROR and answer["partitions"]
    }
    if not present:
        return {}
    configs: dict[str, dict[str, str]] = {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in present]
    for response in await admin.describe_configs(resources):
        for resource in response.to_object()["resources"]:
            configs[resource["resource_name"]] = {
                entry["config_names"]: entry["config_value"] for entry in resource["config_entries"]
            }
    return {
        name: FoundTopic(
            partitions=len(partitions),
            replication=min(len(partition["replicas"]) for partition in partitions),
            config=configs.get(name, {}),
        )
        for name, partitions in present.items()
    }


async def _create(admin: Any, settings: Settings, topics: Sequence[Topic]) -> list[str]:
    """Create the topics; return the names of those that this process created, and not another one."""
    wanted = [
        NewTopic(
            topic.name,
            partitions_of(topic, settings),
            settings.replication,
            topic_configs=creation_config(topic, settings),
        )
        for topic in topics
    ]
    answer = (await admin.create_topics(wanted)).to_object()
    created = []
    for result in answer["topic_errors"]:
        if result["error_code"] == _NO_ERROR:
            created.append(result["topic"])
        elif result["error_code"] != _TOPIC_EXISTS:
            raise UptakeError(
                f"Kafka at {settings.kafka} did not create topic {result['topic']}: "
                f"{result['error_message'] or 'error ' + str(result['error_code'])}"
            )
    await _wait_for_leaders(admin, {topic.name: partitions_of(topic, settings) for topic in topics})
    return created


async def _wait_for_leaders(admin: Any, expected: dict[str, int], wait_ms: int = 30_000) -> None:
    deadline = time.monotonic() + wait_ms / 1000
    while time.monotonic() < deadline:
        led = {
            answer["topic"]
            for answer in await admin.describe_topics(list(expected))
            if answer["partitions"] and all(partition["leader"] >= 0 for partition in answer["partitions"])
        }
        if led == set(expected):
            return
        await asyncio.sleep(0.05)
    raise NoBrokerError(f"the new topics have no leader after {wait_ms} ms: {sorted(set(expected) - led)}")


async def _write_creation_ids(settings: Settings, names: list[str]) -> None:
    """Write the id of each created topic into uptake.meta. State with another id belongs to a former topic."""
    ids = await read_topic_ids(settings.kafka, names)
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        created_ms = int(time.time() * 1000)
        sent = []
        for name in names:
            value = json.dumps({"id": ids.get(name), "created_ms": created_ms})
            sent.append(await producer.send(META, value.encode(), key=name.encode(), partition=0))
        await asyncio.gather(*sent)
    finally:
        await producer.stop()
