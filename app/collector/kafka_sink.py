"""How do events reach Kafka: one idempotent producer that never sends a record twice, replaced when it is no longer usable.

While no broker answers, it says so once, keeps trying with growing pauses, and refuses events before it takes them.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, cast

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError

from app.collector.pending import Pending
from app.collector.sink import FateUnknownError, NotTakenError, Outcome
from app.settings import Settings
from events.codec import encode
from events.model import EventBase
from events.partitions import partition_of
from events.pseudonym import journal_key
from events.topics import HISTORY, JOURNAL, TOPICS

log = logging.getLogger(__name__)

BATCH_BYTES: Final = 262_144
REQUEST_TIMEOUT_MS: Final = 10_000
CHECK_SECONDS: Final = 5.0
FIRST_PAUSE_SECONDS: Final = 0.25
LONGEST_PAUSE_SECONDS: Final = 4.0  # a broker that is back must not wait long for us
GIVE_UP_INTERVAL_SECONDS: Final = 0.1
STOP_SECONDS: Final = 8.0  # a stop must not take longer than supervisors wait before they kill


def expected_topics(settings: Settings) -> dict[str, int]:
    """Return every topic of the deployment with the partition count it must have."""
    return {topic.name: settings.partitions if topic.is_partitioned else 1 for topic in TOPICS}


class KafkaSink:
    """An EventSink on aiokafka. Waiting for Kafka blocks one partition's events, and after ``stall_ms`` all of them."""

    def __init__(
        self,
        bootstrap: str,
        topics: Mapping[str, int],
        *,
        needed: tuple[str, ...] = (JOURNAL, HISTORY),
        linger_ms: int = 2,
        ack_timeout_ms: int = 10_000,
        stall_ms: int = 2_000,
        max_pending: int = 10_000,
    ) -> None:
        self._bootstrap, self._topics, self._needed, self._linger_ms = bootstrap, topics, needed, linger_ms
        self._pending = Pending(ack_timeout_ms=ack_timeout_ms, stall_ms=stall_ms, limit=max_pending)
        self._hand_over_seconds = stall_ms / 1000
        self._producer: AIOKafkaProducer | None = None
        self._broken = asyncio.Event()
        self._problems: list[str] = [f"Kafka at {bootstrap} has not answered yet"]
        self._can_write = self._is_stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    def of(cls, settings: Settings) -> "KafkaSink":
        """Return the sink that the settings describe."""
        return cls(
            settings.kafka,
            expected_topics(settings),
            linger_ms=settings.linger_ms,
            ack_timeout_ms=settings.ack_timeout_ms,
            stall_ms=settings.stall_ms,
            max_pending=settings.max_pending,
        )

    async def start(self) -> None:
        """Begin to connect, and to watch the broker."""
        self._tasks = [
            asyncio.create_task(self._keep_connected(), name="kafka-connection"),
            asyncio.create_task(self._give_up_late_ones(), name="kafka-deadlines"),
        ]

    async def stop(self) -> None:
        """Wait for what is on its way, at most STOP_SECONDS, then close. Takes nothing more from now on."""
        self._is_stopping = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._pending.wait_idle(), STOP_SECONDS)
        if len(self._pending):
            log.error(
                "stopped with %d events whose fate is unknown; their clients were told so", len(self._pending)
            )
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._drop_producer()

    def problems(self) -> list[str]:
        """Return what keeps events from being written, and topics that are not as they should be."""
        refusal = self._refusal(_now_ms())
        return self._problems if refusal is None or refusal in self._problems else [*self._problems, refusal]

    async def send_many(self, events: Sequence[tuple[str, EventBase]]) -> list[Outcome]:
        """Write many; the events of one partition keep their order."""
        outcomes = await asyncio.gather(*(self.send(*each) for each in events), return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None and not isinstance(outcome, NotTakenError | FateUnknownError):
                raise outcome
        return cast("list[Outcome]", outcomes)

    async def send(self, topic: str, event: EventBase) -> None:
        """Write one event and return when all in-sync replicas have it."""
        now_ms = _now_ms()
        producer = self._producer
        if producer is None or not self._can_write or self._broken.is_set():
            raise NotTakenError(
                self._problems[0] if self._problems else "the connection to Kafka is being renewed"
            )
        refusal = self._pending.refusal(now_ms)
        if refusal is not None:
            raise NotTakenError(refusal)
        spread = random.randrange(self._topics[topic])  # noqa: S311 - spreads load, hides nothing
        key, value = journal_key(event, spread), encode(event)
        partition = partition_of(key, self._topics[topic])
        answer = self._pending.open(now_ms)
        try:
            # Handing over is a matter of memory. It waits only while the partition's batch is full or its leader unknown,
            # and whatever ends it early, a time-out too, ends it before the record is taken.
            async with asyncio.timeout(self._hand_over_seconds):
                delivery: asyncio.Future[Any] = await producer.send(
                    topic, value, key, partition=partition, timestamp_ms=event.received_ms
                )
        except (KafkaError, TimeoutError) as error:
            self._pending.withdraw(answer)
            if (
                isinstance(error, KafkaError)
                and not error.retriable
                and not isinstance(error, KafkaTimeoutError)
            ):
                self._broken.set()  # its sender has ended: it fails everything from now on
            raise NotTakenError(f"Kafka takes no more at the moment ({type(error).__name__})") from error
        except BaseException:
            self._pending.withdraw(answer)
            raise
        delivery.add_done_callback(partial(self._settle, answer))
        await answer

    def _settle(self, answer: "asyncio.Future[None]", delivery: "asyncio.Future[Any]") -> None:
        self._pending.settle(answer, delivery)
        # An idempotent producer retries what can be retried. What comes back has broken its sequence: it must be replaced.
        if not delivery.cancelled() and delivery.exception() is not None:
            self._broken.set()

    def _refusal(self, now_ms: int) -> str | None:
        """Return why nothing may be handed to the producer now; None when it may."""
        if self._is_stopping:
            return "the collector is stopping"
        if self._producer is None or not self._can_write:
            return self._problems[0] if self._problems else "there is no connection to Kafka"
        if self._broken.is_set():
            return "the connection to Kafka is being renewed"
        return self._pending.refusal(now_ms)

    async def _keep_connected(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            before = self._problems
            await self._check()
            if self._problems != before:
                for problem in self._problems:
                    log.warning("%s", problem)
                if not self._problems:
                    log.info("Kafka at %s answers, all topics are there: events are taken", self._bootstrap)
            if self._problems:
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
                await self._sleep_until_broken(pause)
            else:
                pause = FIRST_PAUSE_SECONDS
                await self._sleep_until_broken(CHECK_SECONDS)

    async def _sleep_until_broken(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._broken.wait(), seconds)
            await asyncio.sleep(FIRST_PAUSE_SECONDS)  # a broker that refuses everything must not make us spin

    async def _check(self) -> None:
        """Connect when we are not, and compare the broker's topics with ours."""
        if self._broken.is_set():
            log.error(
                "Kafka refused a record for good; the producer is replaced, the fate of what was on its way is unknown"
            )
            await self._drop_producer()
        try:
            if self._producer is None:
                self._producer = await self._connect()
            found = await self._producer.client.fetch_all_metadata()
        except (KafkaError, OSError, TimeoutError) as error:
            problem = (
                f"Kafka at {self._bootstrap} does not answer ({type(error).__name__}); events are answered 503 "
                f"until it does. Start it (`uptake up` does), or set UPTAKE_KAFKA to where it is; `uptake doctor` "
                f"tells more"
            )
            self._problems = [problem]
            self._can_write = False
            return
        counts = {name: len(found.partitions_for_topic(name) or ()) for name in self._topics}
        wrong = [name for name, count in counts.items() if count != self._topics[name]]
        self._problems = self._topic_problems({name: counts[name] for name in wrong})
        can_write = not any(name in wrong for name in self._needed)
        if can_write and not self._can_write:
            await self._learn_leaders(self._producer)
        self._can_write = can_write

    def _topic_problems(self, counts: Mapping[str, int]) -> list[str]:
        missing = [name for name, count in counts.items() if count == 0]
        problems = [
            f"topic {name} has {count} partitions, expected {self._topics[name]}; set UPTAKE_PARTITIONS to what it has, "
            f"or use a new cluster"
            for name, count in counts.items()
            if count
        ]
        if missing:
            shown = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
            problems.append(
                f"Kafka at {self._bootstrap} lacks the topics {shown}; `uptake topics --create` makes them"
            )
        return problems

    async def _connect(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            client_id="uptake-collector",
            acks="all",
            enable_idempotence=True,
            linger_ms=self._linger_ms,
            max_batch_size=BATCH_BYTES,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            metadata_max_age_ms=30_000,
        )
        try:
            await asyncio.wait_for(producer.start(), REQUEST_TIMEOUT_MS / 1000)
        except BaseException:
            await _close(producer)
            raise
        return producer

    async def _learn_leaders(self, producer: AIOKafkaProducer) -> None:
        """Let the producer look up the partitions it will write to, which its first record would wait for."""
        for topic in self._needed:
            with contextlib.suppress(KafkaError, TimeoutError):
                await asyncio.wait_for(producer.partitions_for(topic), CHECK_SECONDS)

    async def _drop_producer(self) -> None:
        producer, self._producer = self._producer, None
        self._can_write = False
        self._broken.clear()
        self._pending.abandon()
        if producer is not None:
            await _close(producer)

    async def _give_up_late_ones(self) -> None:
        while True:
            await asyncio.sleep(GIVE_UP_INTERVAL_SECONDS)
            told = self._pending.give_up(_now_ms())
            if told:
                log.warning("answered 504, because Kafka did not acknowledge in time: %d events", told)


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


async def _close(producer: AIOKafkaProducer) -> None:
    # aiokafka's stop waits for a broker that may never answer; what it could still deliver was given up by the caller.
    with contextlib.suppress(KafkaError, OSError, TimeoutError):
        await asyncio.wait_for(producer.stop(), 1.0)
