"""Reads dead letters, and replays each of them once, however often and on whichever machine a replay is started.

A replay sends records to their source topics in a transaction.
The same transaction writes marks into the topic of the dead letters; they name what was replayed.
All replays share a transactional id: starting a replay fences the others, before it looks for their marks.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from agents.record_times import FIRST_APPENDED
from app.base.errors import UptakeError
from app.base.settings import Settings
from app.deadletters.dead_letters import (
    REPLAYED,
    Choice,
    FoundLetters,
    Letter,
    batches,
    read_letter,
    read_mark,
    write_mark,
)
from app.kafka.clients import AIOKafkaConsumer, AIOKafkaProducer
from app.kafka.topics import compare_topics
from events.topics import DEADLETTERS, JOURNAL
from tables.declare import TOPICS

_log: Final = logging.getLogger(__name__)

_BATCH_LETTERS: Final = 500  # in one transaction: this many are in memory, and are sent again after a stop
_BATCH_BYTES: Final = 4 * 1_048_576
_TRANSACTION_TIMEOUT_MS: Final = 15_000
"""Workers read nothing after an open transaction, so that of a killed replay must not stay open for long."""
_STALL_SECONDS: Final = 90.0
"""A worker's own open transaction hides the records after it for up to UPTAKE_TRANSACTION_TIMEOUT_MS, a minute."""
_POLL_MS: Final = 200
_POLL_RECORDS: Final = 2_000
_SAY_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Layout:
    """Partition counts of the dead letters and of the source topics on the broker."""

    deadletters: int
    sources: int


async def look_at_topics(settings: Settings) -> Layout:
    """Return the partition counts. Raise UptakeError if a topic is missing, NoBrokerError if no broker answers."""
    topics = [topic for topic in TOPICS if topic.name in (DEADLETTERS, JOURNAL)]
    counts: dict[str, int] = {}
    for comparison in await compare_topics(settings, topics):
        if comparison.found is None:
            raise UptakeError(
                f"topic {comparison.topic.name} is missing on {settings.kafka}; `uptake topics --create` creates it"
            )
        counts[comparison.topic.name] = comparison.found.partitions
    return Layout(counts[DEADLETTERS], counts[JOURNAL])


async def find(settings: Settings, layout: Layout, choice: Choice, *, is_exact: bool = False) -> FoundLetters:
    """Read all dead letters and return those of a choice.

    ``is_exact``: wait until every record that is in the topic now is committed or aborted, so that no mark is missed.
    """
    found = FoundLetters()
    async with _consumer(settings, layout.deadletters) as consumer:
        partitions = list(consumer.assignment())
        starts = await consumer.beginning_offsets(partitions)
        ends = (
            await _high_watermarks(settings, layout) if is_exact else await consumer.end_offsets(partitions)
        )
        async for record in _read(consumer, starts, ends):
            replayed = read_mark(record)
            if replayed is not None:
                found.replayed.update((record.partition, offset) for offset in replayed)
                continue
            letter = read_letter(record, layout.sources)
            if choice.has(letter):
                found.letters.append(letter)
    found.letters.sort(key=lambda letter: (letter.place.partition, letter.place.offset))
    return found


async def read_values(
    settings: Settings, layout: Layout, letters: Iterable[Letter]
) -> AsyncIterator[tuple[Letter, bytes | None, bytes | None]]:
    """Yield letters with their key and value, in the order of partition and offset. Letters that expired meanwhile are left out."""
    wanted: dict[TopicPartition, dict[int, Letter]] = {}
    for letter in letters:
        tp = TopicPartition(DEADLETTERS, letter.place.partition)
        wanted.setdefault(tp, {})[letter.place.offset] = letter
    async with _consumer(settings, layout.deadletters) as consumer:
        begins = await consumer.beginning_offsets(list(consumer.assignment()))
        for tp in sorted(wanted):
            start, end = {tp: max(begins[tp], min(wanted[tp]))}, {tp: max(wanted[tp]) + 1}
            async for record in _read(consumer, start, end):
                found = wanted[tp].get(record.offset)
                if found is not None:
                    yield found, record.key, record.value


async def replay(
    settings: Settings, layout: Layout, letters: Sequence[Letter], on_sent: Callable[[int], None]
) -> int:
    """Send letters to their source topics again, except those that were replayed before; return how many were sent.

    ``on_sent`` is called with the number of letters that need no more work: first those that were replayed before, then after
    each transaction. Raise UptakeError if the broker refuses a transaction; what earlier transactions sent stays sent and marked.
    """
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka,
        client_id=f"{settings.app_id}-deadletters",
        transactional_id=f"{settings.app_id}-deadletters",
        transaction_timeout_ms=_TRANSACTION_TIMEOUT_MS,
        acks="all",
        max_batch_size=900_000,
        max_request_size=8 * 1_048_576,
    )
    asyncio.get_running_loop().set_exception_handler(_pass_over_left_behind)
    sent = 0
    try:
        try:
            await producer.start()  # from here on no other replay can add marks
            before = await find(settings, layout, Choice(), is_exact=True)
            left = [letter for letter in letters if not before.is_replayed(letter)]
            on_sent(len(letters) - len(left))
            for batch in batches(left, _BATCH_LETTERS, _BATCH_BYTES):
                sent += await _send(settings, layout, producer, batch)
                on_sent(len(batch))
        finally:
            await producer.stop()
    except (KafkaError, AssertionError) as error:  # aiokafka asserts on transitions after a fence
        raise UptakeError(
            f"the replay stopped after {sent} letters: {error!r}. Another `uptake dlq replay` may have been started, or the "
            "broker went away. What was replayed is marked: run it again for the rest"
        ) from error
    return sent


def _pass_over_left_behind(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Ignore the futures that aiokafka 0.14 leaves behind after a fence: each would print the error that is raised anyway."""
    if not isinstance(context.get("exception"), KafkaError):
        loop.default_exception_handler(context)


async def _send(settings: Settings, layout: Layout, producer: Any, batch: Sequence[Letter]) -> int:
    """Replay some letters and mark them, in one transaction; return how many had not expired."""
    values = [found async for found in read_values(settings, layout, batch)]
    if not values:
        return 0
    sent: list[asyncio.Future[Any]] = []
    try:
        async with producer.transaction():
            marks: dict[int, list[int]] = {}
            for letter, key, value in values:
                headers = [(REPLAYED, str(letter.place).encode())]
                if letter.source_ms:  # the event keeps the time at which the broker first had it
                    headers.append((FIRST_APPENDED, b"%d" % letter.source_ms))
                sent.append(
                    await producer.send(
                        letter.source.topic, value, key, partition=letter.home, headers=headers
                    )
                )
                marks.setdefault(letter.place.partition, []).append(letter.place.offset)
            for partition, offsets in marks.items():
                mark, headers = write_mark(offsets)
                sent.append(await producer.send(DEADLETTERS, mark, partition=partition, headers=headers))
            await asyncio.gather(*sent)
    except BaseException:
        for future in sent:  # asyncio would log each exception that was never retrieved
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
        raise
    return len(values)


# --- reading ----------------------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _consumer(
    settings: Settings, partitions: int, isolation: str = "read_committed"
) -> AsyncIterator[Any]:
    """Yield a consumer of all dead letters, with every partition paused. A KafkaError becomes an UptakeError."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka,
        client_id=f"{settings.app_id}-deadletters",
        isolation_level=isolation,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=100,
    )
    try:
        await consumer.start()
        try:
            assignment = [TopicPartition(DEADLETTERS, number) for number in range(partitions)]
            consumer.assign(assignment)
            consumer.pause(*assignment)
            yield consumer
        finally:
            await consumer.stop()
    except KafkaError as error:
        raise UptakeError(f"{DEADLETTERS} cannot be read from {settings.kafka}: {error!r}") from error


async def _high_watermarks(settings: Settings, layout: Layout) -> dict[TopicPartition, int]:
    async with _consumer(settings, layout.deadletters, "read_uncommitted") as consumer:
        ends: dict[TopicPartition, int] = await consumer.end_offsets(list(consumer.assignment()))
        return ends


async def _read(
    consumer: Any, starts: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
) -> AsyncIterator[Any]:
    """Yield the committed records with ``start <= offset < end`` of each partition; raise UptakeError if the end is not reached."""
    remaining = {tp: end for tp, end in ends.items() if starts[tp] < end}
    positions = {tp: starts[tp] for tp in remaining}
    for tp in remaining:
        consumer.seek(tp, starts[tp])
        consumer.resume(tp)
    moved = spoke = time.monotonic()
    while remaining:
        fetched = await consumer.getmany(*remaining, timeout_ms=_POLL_MS, max_records=_POLL_RECORDS)
        for tp, records in fetched.items():
            for record in records:
                if record.offset < remaining[tp]:
                    yield record
        now = time.monotonic()
        for tp in list(remaining):
            # The position also passes commit markers, which getmany() does not return.
            position = await consumer.position(tp)
            if position != positions[tp]:
                positions[tp], moved = position, now
            if position >= remaining[tp]:
                consumer.pause(tp)
                del remaining[tp]
        if now - moved > _STALL_SECONDS:
            raise UptakeError(
                f"{DEADLETTERS} could not be read to its end within {_STALL_SECONDS:.0f} s: a broker is away, or a transaction "
                "stays open; run `uptake doctor` to find out why"
            )
        if now - moved > _SAY_SECONDS and now - spoke > _SAY_SECONDS:
            spoke = now
            _log.warning("waiting for the end of an open transaction in %s", DEADLETTERS)
