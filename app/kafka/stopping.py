"""Stops a Kafka client without waiting for a broker that does not answer."""

import asyncio
from typing import Any

from app.kafka.background_tasks import cut


async def stop_within(client: Any, seconds: float) -> bool:
    """Stop a producer or consumer; return whether it stopped within ``seconds``.

    If it did not, it is abandoned: its background tasks and connections end. Its errors are ignored in both cases.
    """
    task = asyncio.ensure_future(client.stop())
    task.add_done_callback(_retrieve)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    finally:
        task.cancel()
        cut(client)
    return bool(done)


def _retrieve(task: "asyncio.Task[None]") -> None:
    """Read the error of a task, so that asyncio does not log it as never retrieved."""
    if not task.cancelled():
        task.exception()
