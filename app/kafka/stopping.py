"""Stops a Kafka client without waiting for a broker that does not answer."""

import asyncio
import contextlib
from typing import Any


async def stop_within(client: Any, seconds: float) -> bool:
    """Stop a producer or consumer; return whether it stopped within ``seconds``.

    If it did not, it is abandoned. Its errors are ignored in both cases.
    """
    task = asyncio.ensure_future(client.stop())
    done, _ = await asyncio.wait({task}, timeout=seconds)
    if not done:
        task.cancel()
    with contextlib.suppress(Exception, asyncio.CancelledError):
        await task
    return bool(done)
