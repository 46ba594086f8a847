"""Thread that feeds the watchdog and ends a process that it gives up, with its own loop and its own connection.

The worker's loop or its consumer's thread may hang. So this thread does not use them: it reads their progress as plain values.
"""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from faust.types.tuples import TP
from mode import Service

from agents.registry import Partitions
from app.base.clock import SystemClock, elapsed_ms, monotonic_ms
from app.kafka.background_tasks import while_alive
from app.kafka.clients import AIOKafkaConsumer
from app.kafka.open_transactions import OpenTransaction, find_open_transactions
from app.kafka.stopping import stop_within
from app.kafka.topic_ids import TopicRecreatedError, read_topic_ids, recreated
from app.worker.hidden_ends import HiddenEnd, HiddenEnds, LogEnds
from app.worker.lag import readable_lag
from app.worker.visibility import Opaque, Visibility
from app.worker.watchdog import Sight, SourcePartition, Stall, Watchdog
from events.topics import SOURCES

log = logging.getLogger(__name__)

_LONGEST_INTERVAL_MS: Final = 10_000
_LOOKS_PER_ALARM: Final = 6
_OPAQUE_MS: Final = 1_000
"""Transactions of flushes hide records too, but each for a shorter time."""
_ANSWER_SECONDS: Final = 5.0  # a broker that takes longer counts as away
END_SECONDS: Final = 30.0
"""How long a failed worker may take to end by itself. If it does not, because its loop hangs, it is ended as by kill -9."""


def interval_ms(alarm_ms: int) -> int:
    """Return the time between two checks (ms)."""
    return min(_LONGEST_INTERVAL_MS, max(100, alarm_ms // _LOOKS_PER_ALARM))


class Watch(Service):
    """Asks the broker where this worker's source partitions end, compares that with what is durable, and informs the watchdog."""

    def __init__(
        self,
        bootstrap: str,
        app_id: str,
        watchdog: Watchdog,
        partitions: Partitions,
        app: Any,
        on_failed: Callable[[BaseException], None],
        visibility: Visibility,
        end_seconds: float | None = None,
        **kwargs: Any,
    ) -> None:
        """``app`` is the Faust app; ``on_failed`` is called in its loop, and must end the worker.

        ``visibility`` learns from the broker since when a transaction hides records, where the worker cannot know it.
        """
        super().__init__(**kwargs)
        self._bootstrap, self._app_id = bootstrap, app_id
        self._watchdog, self._partitions, self._faust_app, self._on_failed = (
            watchdog,
            partitions,
            app,
            on_failed,
        )
        self._visibility = visibility
        self._end_seconds = END_SECONDS if end_seconds is None else end_seconds
        self._is_over = threading.Event()
        self._consumers: dict[str, AIOKafkaConsumer] = {}
        self._hidden_ends = HiddenEnds(bootstrap, app_id)
        self._opened_with: dict[int, Mapping[str, str]] = {}

    async def on_start(self) -> None:
        """Start the thread."""
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._run, args=(loop,), name="watchdog", daemon=True).start()

    async def on_stop(self) -> None:
        """Stop checking; a running check ends by itself."""
        self._is_over.set()

    def alarms(self, numbers: Iterable[int]) -> list[Stall]:
        """Return the active alarms of these partitions."""
        return self._watchdog.alarms(numbers)

    def open_transactions(self, numbers: Iterable[int]) -> list[HiddenEnd]:
        """Return the active alarms of these partitions whose end an open transaction hides."""
        return self._hidden_ends.alarms(numbers)

    def _run(self, workers_loop: asyncio.AbstractEventLoop) -> None:
        try:
            asyncio.run(self._look_regularly())
        except Exception as error:  # noqa: BLE001 - an alarm or a bug here; both would go unnoticed in a thread, and no worker may run unwatched
            self._end(workers_loop, error)

    def _end(self, workers_loop: asyncio.AbstractEventLoop, error: BaseException) -> None:
        workers_loop.call_soon_threadsafe(self._on_failed, error)
        time.sleep(self._end_seconds)  # a daemon thread does not delay a process that ends by itself
        log.error("the worker did not end by itself and is killed: %s", error)
        os._exit(1)

    async def _look_regularly(self) -> None:
        looked_ms = monotonic_ms()
        try:
            while not await asyncio.to_thread(self._is_over.wait, self._step_ms / 1000):
                await self._ask_since_when()
                if monotonic_ms() - looked_ms < self._watchdog.interval_ms:
                    continue
                looked_ms = monotonic_ms()
                sights = await self._sights()
                for stall in self._watchdog.look(monotonic_ms(), sights):
                    log.error("%s", stall)
        finally:
            await self._disconnect()

    @property
    def _step_ms(self) -> int:
        return min(_OPAQUE_MS, self._watchdog.interval_ms)

    async def _ask_since_when(self) -> None:
        """Ask the broker for the age of transactions that were open before this worker opened the partition.

        Until it is known, lookups of the partition are refused.
        """
        places = self._visibility.opaque(elapsed_ms(), _OPAQUE_MS)
        if not places:
            return
        found = await self._open_at(places) or []
        began = {(each.topic, each.partition, each.start_offset): each for each in found}
        for place in places:
            transaction = began.get((place.topic, place.partition, place.offset))
            if transaction is not None and transaction.transactional_id is not None:
                open_ms = max(0, SystemClock().now_ms() - transaction.since_ms)
                self._visibility.began(place, elapsed_ms() - open_ms)

    async def _open_at(self, places: Collection[Opaque | SourcePartition]) -> list[OpenTransaction] | None:
        """Return the open transactions of these partitions. None if the broker does not say: the next check asks again."""
        if not places:
            return []
        try:
            return await find_open_transactions(
                self._bootstrap,
                {TopicPartition(place.topic, place.partition) for place in places},
                _ANSWER_SECONDS,
            )
        except (KafkaError, OSError, AssertionError, TimeoutError) as error:
            log.warning("the broker does not say which transactions are open: %r", error)
            return None

    async def _sights(self) -> dict[SourcePartition, Sight] | None:
        """Return the position and lag of each open source partition that is not paused; None if the broker does not answer.

        Raise TopicRecreatedError if a source topic was recreated since its partition was opened.
        The records of the new topic would be mistaken for records that were already read.
        """
        if self._faust_app.rebalancing:
            return {}
        partitions = [(topic, partition) for partition in self._partitions for topic in SOURCES]
        # Kept after partitions are released: while a topic is deleted, the group assigns no partition of it.
        # What comes back under its name is another topic.
        self._opened_with.update((each.number, each.topic_ids) for each in self._partitions)
        if not self._opened_with:
            return {}
        consumer: Any = self._faust_app.consumer
        sources = [TopicPartition(topic, each.number) for topic, each in partitions]
        try:
            # In this order, what becomes readable between the two answers does not seem hidden.
            high_watermarks = await self._ends(sources, "read_uncommitted")
            stable_ends = await self._ends(sources, "read_committed")
            await self._look_for_hidden(
                {
                    SourcePartition(tp.topic, tp.partition): LogEnds(stable_ends[tp], high_watermarks[tp])
                    for tp in sources
                }
            )
            async with asyncio.timeout(_ANSWER_SECONDS):
                ids = await read_topic_ids(self._bootstrap, SOURCES)
        except (KafkaError, OSError, AssertionError, TimeoutError):  # aiokafka asserts that it knows a broker
            await self._disconnect()
            return None
        for number, known in self._opened_with.items():
            gone = recreated(known, ids, SOURCES)
            if gone:
                raise TopicRecreatedError(number, gone, "The position belongs to the former topic.")
        consumer.ends.update({TP(tp.topic, tp.partition): end for tp, end in high_watermarks.items()})
        return {
            SourcePartition(topic, partition.number): Sight(
                partition.epoch,
                partition.durable.get(topic, 0),
                readable_lag(
                    consumer, partition, topic, stable_ends[TopicPartition(topic, partition.number)]
                ),
            )
            for topic, partition in partitions
            if topic not in partition.halts
        }

    async def _look_for_hidden(self, ends: Mapping[SourcePartition, LogEnds]) -> None:
        """Log each source partition whose end a transaction has hidden for too long, and who has this transaction."""
        places = self._hidden_ends.look(monotonic_ms(), SystemClock().now_ms(), ends)
        found = await self._open_at(places)
        if found is not None:
            for alarm in self._hidden_ends.explain(places, found):
                log.error("%s", alarm)

    async def _ends(
        self, partitions: list[TopicPartition], isolation_level: str
    ) -> dict[TopicPartition, int]:
        """Return where each source partition ends: its last stable offset (read_committed) or its high watermark."""
        async with asyncio.timeout(_ANSWER_SECONDS):
            consumer = self._consumers.get(isolation_level)
            if consumer is None:
                consumer = AIOKafkaConsumer(
                    bootstrap_servers=self._bootstrap,
                    client_id=f"{self._app_id}-watchdog",
                    isolation_level=isolation_level,
                    enable_auto_commit=False,
                    request_timeout_ms=int(_ANSWER_SECONDS * 1000),
                )
                self._consumers[isolation_level] = consumer
                await while_alive(consumer, consumer.start())
            ends: dict[TopicPartition, int] = await while_alive(consumer, consumer.end_offsets(partitions))
            return ends

    async def _disconnect(self) -> None:
        consumers, self._consumers = self._consumers, {}
        for consumer in consumers.values():
            if not await stop_within(consumer, _ANSWER_SECONDS):
                log.debug("the watchdog's connection did not close")
