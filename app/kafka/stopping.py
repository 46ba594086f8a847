"""How a Kafka client is stopped without waiting for a broker that does not answer."""

import asyncio
import contextlib
from typing import Any


async def stop_within(client: Any, seconds: float) -> bool:
    """Stop a producer or consumer; return whether it stopped in time. Else it is abandoned; its own errors concern nobody any more."""
    task = asyncio.ensure_future(client.stop())
    done, _ = await asyncio.wait({task}, timeout=seconds)
    if not done:
        task.cancel()
    with contextlib.suppress(Exception, asyncio.CancelledError):
        await task
    return bool(done)
