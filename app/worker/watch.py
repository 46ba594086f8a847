"""What the watchdog looks at, and how it ends a process: a thread with a loop and a connection of its own.

What it watches may hang: the worker's loop, or the thread of its consumer. So it shares neither with them, and reads what they have
reached as plain values.
"""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from faust.types.tuples import TP
from mode import Service

from agents.registry import Partitions
from app.base.clock import monotonic_ms
from app.kafka.topic_ids import TopicRecreatedError, read_topic_ids, recreated
from app.worker.lag import topic_lag
from app.worker.watchdog import Sight, SourcePartition, Stall, Watchdog
from events.topics import SOURCES

log = logging.getLogger(__name__)

_LONGEST_INTERVAL_MS: Final = 10_000
_LOOKS_PER_ALARM: Final = 6
_ANSWER_SECONDS: Final = 5.0  # a broker that takes longer is away
END_SECONDS: Final = 30.0
"""What a worker that is to end gets for it; one whose loop hangs never will, and is ended as by kill -9."""


def interval_ms(alarm_ms: int) -> int:
    """Return the time between two looks."""
    return min(_LONGEST_INTERVAL_MS, max(100, alarm_ms // _LOOKS_PER_ALARM))


class Watch(Service):
    """Asks the broker where the source partitions of this worker end, compares with what is durable, and tells the watchdog."""

    def __init__(
        self,
        bootstrap: str,
        app_id: str,
        watchdog: Watchdog,
        partitions: Partitions,
        app: Any,
        on_failed: Callable[[BaseException], None],
        end_seconds: float | None = None,
        **kwargs: Any,
    ) -> None:
        """``app`` is the Faust app; ``on_failed`` is called in its loop, and must end the worker."""
        super().__init__(**kwargs)
        self._bootstrap, self._app_id = bootstrap, app_id
        self._watchdog, self._partitions, self._faust_app, self._on_failed = (
            watchdog,
            partitions,
            app,
            on_failed,
        )
        self._end_seconds = END_SECONDS if end_seconds is None else end_seconds
        self._is_over = threading.Event()
        self._consumer: AIOKafkaConsumer | None = None
        self._opened_with: dict[int, Mapping[str, str]] = {}

    async def on_start(self) -> None:
        """Begin to look."""
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._run, args=(loop,), name="watchdog", daemon=True).start()

    async def on_stop(self) -> None:
        """Look no more; a look that is under way ends by itself."""
        self._is_over.set()

    def alarms(self, numbers: Iterable[int]) -> list[Stall]:
        """Return what stands still now of these partitions, and was told of."""
        return self._watchdog.alarms(numbers)

    def _run(self, workers_loop: asyncio.AbstractEventLoop) -> None:
        try:
            asyncio.run(self._look_regularly())
        except Exception as error:  # noqa: BLE001 - what it found, or a fault of its own: a thread's error is seen by nobody; a worker must not go on unwatched
            self._end(workers_loop, error)

    def _end(self, workers_loop: asyncio.AbstractEventLoop, error: BaseException) -> None:
        workers_loop.call_soon_threadsafe(self._on_failed, error)
        time.sleep(self._end_seconds)  # a daemon's thread: it does not keep a process that ends by itself
        log.error("the worker does not end by itself, and is ended: %s", error)
        os._exit(1)

    async def _look_regularly(self) -> None:
        try:
            while not await asyncio.to_thread(self._is_over.wait, self._watchdog.interval_ms / 1000):
                sights = await self._sights()
                for stall in self._watchdog.look(monotonic_ms(), sights):
                    log.error("%s", stall)
        finally:
            await self._disconnect()

    async def _sights(self) -> dict[SourcePartition, Sight] | None:
        """Return what is open here and how far behind; None when the broker does not answer.

        TopicRecreatedError when a source topic is another than the one that was opened: its records would be taken for read already.
        """
        if self._faust_app.rebalancing:
            return {}
        partitions = [(topic, partition) for partition in self._partitions for topic in SOURCES]
        # Remembered: while a topic is deleted the group is given nothing of it, and what comes back under its name is another.
        self._opened_with.update((each.number, each.topic_ids) for each in self._partitions)
        if not self._opened_with:
            return {}
        consumer: Any = self._faust_app.consumer
        try:
            ends = await self._ends([TopicPartition(topic, each.number) for topic, each in partitions])
            async with asyncio.timeout(_ANSWER_SECONDS):
                ids = await read_topic_ids(self._bootstrap, SOURCES)
        except (KafkaError, OSError, AssertionError, TimeoutError):  # aiokafka asserts that it knows a broker
            await self._disconnect()
            return None
        for number, known in self._opened_with.items():
            gone = recreated(known, ids, SOURCES)
            if gone:
                raise TopicRecreatedError(
                    number, gone, "The position that was reached is one of the former topic."
                )
        consumer.ends.update({TP(tp.topic, tp.partition): end for tp, end in ends.items()})
        return {
            SourcePartition(topic, partition.number): Sight(
                partition.epoch, partition.durable.get(topic, 0), topic_lag(consumer, partition, topic)
            )
            for topic, partition in partitions
            if topic not in partition.halts
        }

    async def _ends(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        """Return where each source partition ends: the offset behind the last committed record."""
        async with asyncio.timeout(_ANSWER_SECONDS):
            if self._consumer is None:
                consumer = AIOKafkaConsumer(
                    bootstrap_servers=self._bootstrap,
                    client_id=f"{self._app_id}-watchdog",
                    isolation_level="read_committed",
                    enable_auto_commit=False,
                    request_timeout_ms=int(_ANSWER_SECONDS * 1000),
                )
                self._consumer = consumer
                await consumer.start()
            ends: dict[TopicPartition, int] = await self._consumer.end_offsets(partitions)
            return ends

    async def _disconnect(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is None:
            return
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                await consumer.stop()
        except (KafkaError, OSError, TimeoutError):
            log.debug("the watchdog's connection did not close")
