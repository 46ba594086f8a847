"""Kafka clients of aiokafka that run without a broker: they start all their background tasks, and wait."""

import asyncio
from collections.abc import Callable
from typing import Any

from app.kafka.clients import AIOKafkaConsumer, AIOKafkaProducer
from app.kafka.stopping import stop_within

NOBODY = "127.0.0.1:9"  # the discard port, where no program listens


class Clients:
    """Starts clients. ``started`` has all of them, in order."""

    def __init__(self) -> None:
        self.started: list[Any] = []

    async def consumer(self, group: str | None = None) -> Any:
        """Return a started consumer."""
        return await self._start(
            AIOKafkaConsumer(bootstrap_servers=NOBODY, group_id=group, enable_auto_commit=False)
        )

    async def producer(self) -> Any:
        """Return a started producer."""
        return await self._start(AIOKafkaProducer(bootstrap_servers=NOBODY))

    async def _start(self, client: Any) -> Any:
        core = core_of(client)

        async def bootstrap() -> None:
            core._sync_task = asyncio.create_task(core._md_synchronizer())

        core.bootstrap = bootstrap
        await client.start()
        self.started.append(client)
        return client

    async def stop(self) -> None:
        """Stop all clients."""
        for client in self.started:
            await stop_within(client, 0.1)


def core_of(client: Any) -> Any:
    """Return the AIOKafkaClient of a producer or consumer."""
    return client.client if isinstance(client, AIOKafkaProducer) else client._client


def kill_fetcher(consumer: Any) -> None:
    """End the task of a consumer that fetches."""
    consumer._fetcher._fetch_task.cancel()


def kill_sender(producer: Any) -> None:
    """End the task of a producer that sends."""
    producer._sender._sender_task.cancel()


async def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition, at most two seconds: so soon must a dead client be noticed."""
    async with asyncio.timeout(2):
        while not holds():
            await asyncio.sleep(0.01)
