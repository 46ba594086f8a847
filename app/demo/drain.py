"""Waits until all accepted events are folded, merged and committed, as the workers' status pages report it."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import aiohttp
from yarl import URL

from app.base.errors import UptakeError
from app.demo.measured_counts import get_json

_PAUSE_S: Final = 1.0  # longer than the greatest age of a broker's fetch answer
_STUCK_S: Final = 60.0


async def wait_until_drained(
    session: aiohttp.ClientSession,
    workers: Sequence[str],
    partitions: int,
    *,
    pause_s: float = _PAUSE_S,
    stuck_s: float = _STUCK_S,
    on_lag: Callable[[int], None] = lambda _lag: None,
) -> None:
    """Return when every partition has an owner and no lag, twice in a row with the same durable positions.

    Raise UptakeError if no durable position has changed for ``stuck_s``.
    """
    before: dict[str, Any] | None = None
    moved_at = time.monotonic()
    while True:
        durable, lag = await _look(session, workers)
        is_covered = durable.keys() == {str(number) for number in range(partitions)}
        if durable == before:
            if lag == 0 and is_covered:
                return
            if time.monotonic() - moved_at > stuck_s:
                raise UptakeError(
                    f"the workers made no progress for {stuck_s:g} s: {lag:,} records wait, {len(durable)} of {partitions} "
                    f"partitions are ready"
                )
        else:
            moved_at = time.monotonic()
        before = durable
        on_lag(lag)
        await asyncio.sleep(pause_s)


async def _look(session: aiohttp.ClientSession, workers: Sequence[str]) -> tuple[dict[str, Any], int]:
    """Return the durable positions of the ready partitions, and the sum of their lag."""
    durable: dict[str, Any] = {}
    lag = 0
    for worker in workers:
        status = await get_json(session, URL(worker) / "v1" / "status")
        for number, partition in status["partitions"].items():
            if partition["ready"]:
                durable[number] = partition["durable"]
                lag += partition["lag"]
    return durable, lag
