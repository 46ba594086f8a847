"""Faust's consumer thread with our consumer: committed records only, the app's assignor, and no task that ends unnoticed."""

import asyncio
import contextlib
from typing import Any, Final

from faust.transport.drivers import aiokafka as driver

from app.kafka.background_tasks import death_of
from app.kafka.clients import AIOKafkaConsumer
from app.kafka.stopping import stop_within
from app.worker.contact_probe import observe
from app.worker.fetch_pace import space_fetches
from app.worker.group_errors import report_group_errors
from app.worker.raw_records import keep_raw

_FETCH_MAX_WAIT_MS: Final = 500
_FETCH_BYTES_PER_PARTITION: Final = 1_048_576
_NO_BROKER_PAUSE_SECONDS: Final = 0.1
_STOP_SECONDS: Final = 5.0


class ChunkThread(driver.AIOKafkaConsumerThread):
    """Faust's consumer thread with a consumer that reads committed records only and always uses the app's assignor."""

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        conf = self.app.conf
        self._assignor = self.app.assignor
        consumer = AIOKafkaConsumer(
            client_id=conf.broker_client_id,
            group_id=conf.id,
            bootstrap_servers=driver.server_list(transport.url, transport.default_port),
            partition_assignment_strategy=[self._assignor],
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_records=conf.broker_max_poll_records,
            max_poll_interval_ms=int(conf.broker_max_poll_interval * 1000),
            max_partition_fetch_bytes=_FETCH_BYTES_PER_PARTITION,
            fetch_max_wait_ms=_FETCH_MAX_WAIT_MS,
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            metadata_max_age_ms=60_000,
            key_deserializer=keep_raw,
        )
        observe(consumer, transport.contact, _FETCH_MAX_WAIT_MS)
        space_fetches(consumer, transport.fetch_interval_ms)
        return consumer

    _watching: "asyncio.Task[None] | None" = None

    async def on_start(self) -> None:
        """Connect. Group coordination must not start before a broker is known, and no task of the client may end unnoticed."""
        await super().on_start()
        consumer: Any = self._consumer
        client = consumer._client
        # A broker that was frozen may be out of its own cluster for a moment, and then names no broker.
        # aiokafka 0.14 asserts that it knows one when it looks for the coordinator.
        while not (client.cluster.brokers() or self.should_stop):
            await client.force_metadata_update()
            await asyncio.sleep(_NO_BROKER_PAUSE_SECONDS)
        self._watching = asyncio.get_running_loop().create_task(self._end_with(consumer))
        report_group_errors(consumer, self._end)

    async def on_thread_stop(self) -> None:
        """Stop the consumer. One with a dead task, or without a broker, may not stop by itself and is abandoned."""
        if self._watching is not None:
            self._watching.cancel()
        await super(driver.AIOKafkaConsumerThread, self).on_thread_stop()
        if self._consumer is not None:
            await stop_within(self._consumer, _STOP_SECONDS)

    def _stopped_set(self) -> None:
        # after a crash the thread may already have ended and closed its loop
        with contextlib.suppress(RuntimeError):
            super()._stopped_set()

    async def _end_with(self, client: AIOKafkaConsumer) -> None:
        """End the worker when a background task of its consumer ends.

        The consumer would read nothing more, or not join the group again, and no other part would notice.
        """
        self._end(await death_of(client))

    def _end(self, error: BaseException) -> None:
        consumer: Any = self.consumer
        self.app.loop.call_soon_threadsafe(consumer.on_failed, error)
