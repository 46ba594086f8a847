"""Spaces the fetches of a consumer, so that each brings more records.

A broker answers a fetch as soon as it has one record. Under a steady load, a consumer would then send hundreds of fetches a second,
each for a few records, and a fetch of all source partitions costs about a millisecond. Without load, the first record still comes at
once: the broker holds the next fetch until there is something to read.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

from aiokafka.protocol.fetch import FetchRequest

FULL_ANSWER_BYTES: Final = 524_288
"""An answer with this much is of a backlog. The next fetch does not wait."""


def space_fetches(consumer: Any, interval_ms: int, clock: Callable[[], float] = time.monotonic) -> None:
    """Let at least ``interval_ms`` pass between two fetches of one broker, unless the last one brought a backlog."""
    client = consumer._client
    send = client.send
    due: dict[Any, float] = {}

    async def spaced(node: Any, request: Any, **options: Any) -> Any:
        if not isinstance(request, FetchRequest):
            return await send(node, request, **options)
        wait_seconds = due.get(node, 0.0) - clock()
        if wait_seconds > 0:
            await asyncio.sleep(wait_seconds)
        sent = clock()
        answer = await send(node, request, **options)
        due[node] = 0.0 if _bytes_in(answer) >= FULL_ANSWER_BYTES else sent + interval_ms / 1000
        return answer

    client.send = spaced


def _bytes_in(answer: Any) -> int:
    """Return the bytes of records in the answer to a fetch."""
    return sum(len(partition[-1] or b"") for _, partitions in answer.topics for partition in partitions)
