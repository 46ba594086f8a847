"""Connection of the sink to Kafka: an idempotent producer, and checks of the broker's topics.

A producer that is no longer usable is replaced. While no broker answers, the link logs this once, and retries with growing pauses.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from app.journal.broker_problems import no_answer, topic_problems
from app.journal.spool_format import SpoolTarget
from app.kafka.background_tasks import death_of
from app.kafka.clients import AIOKafkaProducer
from app.kafka.stopping import stop_within

log = logging.getLogger(__name__)

_BATCH_BYTES: Final = 262_144
_REQUEST_TIMEOUT_MS: Final = 10_000
_CHECK_SECONDS: Final = 5.0
_FIRST_PAUSE_SECONDS: Final = 0.25
_LONGEST_PAUSE_SECONDS: Final = 4.0  # events resume soon after the broker is back
# A batch that is retried many times must not delay the other batches of its broker.
_GATHER_SECONDS: Final = 0.05
_STOP_SECONDS: Final = 1.0
_RETIRE_SECONDS: Final = 30.0  # for a replaced producer to deliver its last batches

Timed = tuple[int, bytes, bytes]
"""(timestamp in ms, key, value)"""


class NotHandedOnError(Exception):
    """The producer did not take the batch, so none of its records are written."""


class LostError(Exception):
    """The producer gave up on a batch, so its records may be written or not."""


class Link:
    """A producer with the batches that Kafka has not acknowledged yet."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self.producer = producer
        self._acks: set[asyncio.Future[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._requests: dict[int, asyncio.Future[None]] = {}

    def leader(self, place: SpoolTarget) -> int | None:
        """Return the id of the broker that leads a partition; None if it has no leader, or the leader is not known."""
        node = self.producer.client.cluster.leader_for_partition(TopicPartition(*place))
        return None if node is None or node < 0 else int(node)

    async def turn(self, place: SpoolTarget) -> None:
        """Wait until no request to the partition's broker is in flight, at most 50 ms.

        aiokafka sends one request at a time to each broker, so waiting costs no time. Events that arrive meanwhile share the next
        request.
        """
        node = self.leader(place)
        request = None if node is None else self._requests.get(node)
        if request is not None and not request.done():
            await asyncio.wait([request], timeout=_GATHER_SECONDS)

    async def hand_on(
        self, place: SpoolTarget, records: Sequence[Timed], timeout_ms: int
    ) -> tuple[int, "asyncio.Future[None]"]:
        """Give the producer one batch with as many of the first records as fit; return their number and their acknowledgement.

        The acknowledgement is a future that fails with LostError if the producer gives up. Raises NotHandedOnError if the producer
        does not take the batch.
        """
        batch = self.producer.create_batch()
        count = 0
        for timestamp_ms, key, value in records:
            if batch.append(timestamp=timestamp_ms, key=key, value=value) is None:
                break
            count += 1
        batch.close()
        try:
            # A partition has one batch at a time, so this waits only while a topic's metadata is unknown. An error or a timeout
            # ends it before the producer takes the batch.
            async with asyncio.timeout(timeout_ms / 1000):
                delivery = await self.producer.send_batch(batch, place.topic, partition=place.partition)
        except (KafkaError, TimeoutError, AssertionError) as error:
            raise NotHandedOnError(type(error).__name__) from error
        ack: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        node = self.leader(place)
        if node is not None and (node not in self._requests or self._requests[node].done()):
            self._requests[node] = asyncio.get_running_loop().create_future()
        self._acks.add(ack)
        self._idle.clear()

        def settle(delivered: "asyncio.Future[Any]") -> None:
            error = asyncio.CancelledError() if delivered.cancelled() else delivered.exception()
            self._forget(ack)
            request = None if node is None else self._requests.get(node)
            if request is not None and not request.done():
                request.set_result(None)
            if not ack.done():
                if error is None:
                    ack.set_result(None)
                else:
                    ack.set_exception(LostError(type(error).__name__))

        delivery.add_done_callback(settle)
        return count, ack

    def _forget(self, ack: "asyncio.Future[None]") -> None:
        self._acks.discard(ack)
        if not self._acks:
            self._idle.set()

    async def retire(self, seconds: float) -> None:
        """Wait at most ``seconds`` for batches in flight, then close. Batches without an acknowledgement end with LostError."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        await self.close()

    async def close(self) -> None:
        """Close without waiting for batches in flight; they end with LostError."""
        # aiokafka's stop waits for a broker that may never answer. Without connections, its attempts end.
        await stop_within(self.producer, _STOP_SECONDS)
        self.lose("the connection to Kafka was given up")

    def lose(self, reason: str) -> None:
        """End all batches in flight with LostError."""
        for ack in list(self._acks):
            self._forget(ack)
            if not ack.done():
                ack.set_exception(LostError(reason))


class BrokerLink:
    """Keeps a Link to Kafka open.

    ``topics`` are all expected topics with their numbers of partitions; ``needed`` are those that the sink writes to. ``changed`` is
    called when the refusals change, and after each check that finds every needed topic usable.
    """

    def __init__(
        self, bootstrap: str, topics: Mapping[str, int], needed: Sequence[str], changed: Callable[[], None]
    ) -> None:
        self._bootstrap, self._topics, self._needed, self._changed = bootstrap, topics, needed, changed
        self.link: Link | None = None
        self.problems: list[str] = [f"Kafka at {bootstrap} has not answered yet"]
        self.is_misfit = False
        """Whether a needed topic has another number of partitions than expected. Then events are neither written nor spooled."""
        # Empty until the first check of the broker ends: events wait for it.
        self._refusals: dict[str, str] = {}
        self._poked = asyncio.Event()
        self._broken = False
        self._is_new = True
        self._task: asyncio.Task[None] | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._watching: asyncio.Task[None] | None = None

    def refusal(self, topic: str) -> str | None:
        """Return why events cannot be written to a topic now; None if they can."""
        return self._refusals.get(topic)

    def start(self) -> None:
        """Start to connect, in the background."""
        self._task = asyncio.create_task(self._keep(), name="kafka-connection")

    async def stop(self) -> None:
        """Close. Batches that Kafka has not acknowledged end with LostError."""
        tasks = [task for task in (self._task, self._watching, *self._retiring) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self.link is not None:
            await self.link.close()
            self.link = None

    def broke(self, link: Link) -> None:
        """Replace a producer after a permanent failure of a batch, which leaves a gap in the partition's sequence numbers."""
        if link is self.link and not self._broken:
            log.error("Kafka refused a batch permanently; the producer is replaced")
            self._broken = True
            self._poked.set()

    async def _replace_dead(self, link: Link) -> None:
        """Replace a producer when one of its background tasks ends. Its batches in flight can no longer be acknowledged."""
        error = await death_of(link.producer)
        link.lose(type(error).__name__)
        if link is self.link:
            log.error("%s; the producer is replaced", error)
            self._broken = True
            self._poked.set()

    def look(self) -> None:
        """Check the broker now instead of after the pause."""
        self._poked.set()

    async def _keep(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            before = self.problems
            try:
                await self._check()
            except Exception as error:  # without this task the collector would never connect again
                log.exception("the check of Kafka failed; it is repeated")
                self._away(error)
            if self.problems != before:
                for problem in self.problems:
                    log.warning("%s", problem)
                if not self.problems:
                    log.info("Kafka at %s answers, all topics are there", self._bootstrap)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS) if self.problems else _FIRST_PAUSE_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause if self.problems else _CHECK_SECONDS):
                    await self._poked.wait()
                await asyncio.sleep(_FIRST_PAUSE_SECONDS if self.problems else 0.02)  # never spin
            self._poked.clear()

    async def _check(self) -> None:
        """Connect if there is no connection, and compare the broker's topics with the expected ones."""
        if self._broken and self.link is not None:
            task = asyncio.create_task(self.link.retire(_RETIRE_SECONDS))
            self._retiring.add(task)
            if self._watching is not None:
                self._watching.cancel()
            task.add_done_callback(self._retiring.discard)
            self.link = None
        self._broken = False
        try:
            if self.link is None:
                self.link = Link(await self._connect())
                self._is_new = True
                self._watching = asyncio.create_task(self._replace_dead(self.link))
            found = await self.link.producer.client.fetch_all_metadata()
        except (KafkaError, OSError, TimeoutError) as error:
            self._away(error)
            return
        counts = {name: len(found.partitions_for_topic(name) or ()) for name in self._topics}
        wrong = {name: count for name, count in counts.items() if count != self._topics[name]}
        self.is_misfit = any(count for name, count in wrong.items() if name in self._needed)
        problems = topic_problems(self._bootstrap, self._topics, wrong)
        if self._refusals or self._is_new:
            self._is_new = False
            await self._learn_leaders(
                self.link.producer, [name for name in self._needed if name not in wrong]
            )
        self._say(problems, {name: problems[0] for name in self._needed if name in wrong or self.is_misfit})

    def _away(self, error: Exception) -> None:
        problem = no_answer(self._bootstrap, error)
        self._say([problem], dict.fromkeys(self._topics, problem))

    def _say(self, problems: list[str], refusals: dict[str, str]) -> None:
        self.problems = problems
        if refusals != self._refusals:
            self._refusals = refusals
            self._changed()
        elif not refusals:
            self._changed()

    async def _connect(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            client_id="uptake-collector",
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=_BATCH_BYTES,
            request_timeout_ms=_REQUEST_TIMEOUT_MS,
            metadata_max_age_ms=30_000,
        )
        try:
            async with asyncio.timeout(_REQUEST_TIMEOUT_MS / 1000):
                await producer.start()
        except BaseException:
            await Link(producer).close()
            raise
        return producer

    async def _learn_leaders(self, producer: AIOKafkaProducer, topics: Sequence[str]) -> None:
        """Look up the partitions of the topics now, so that the first record does not wait for them."""
        for topic in topics:
            with contextlib.suppress(KafkaError, TimeoutError):
                async with asyncio.timeout(_CHECK_SECONDS):
                    await producer.partitions_for(topic)
