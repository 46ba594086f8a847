"""HTTP clients of the benchmarks: kept-alive connections, a steady rate of requests, and percentiles of response times."""

import asyncio
import math
import random
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from app.replay.http import Answer, ClientConnection, Endpoint

TIMEOUT_S = 10.0
SHARES: Final[Mapping[str, float]] = {"p50": 0.5, "p99": 0.99, "max": 1.0}
_FIRST_USERS = 32
"""So many users are in all partitions of a benchmark."""


class Pool:
    """Kept-alive connections to one server, as many as are in use at once."""

    def __init__(self, port: int) -> None:
        self._endpoint = Endpoint(f"http://127.0.0.1:{port}")
        self._idle: list[ClientConnection] = []

    async def get(self, target: str) -> Answer:
        """Return the answer to a GET."""
        return await self._ask(self._endpoint.request(target))

    async def post(self, target: str, body: bytes) -> Answer:
        """Return the answer to a POST of JSON."""
        return await self._ask(self._endpoint.post(target, body, {"Content-Type": "application/json"}))

    async def _ask(self, request: bytes) -> Answer:
        connection: ClientConnection | None = None
        while self._idle and connection is None:
            idle = self._idle.pop()
            if idle.is_usable:
                connection = idle
            else:
                idle.close()
        connection = connection or await self._endpoint.connect()
        answer = await connection.ask(request, TIMEOUT_S)
        self._idle.append(connection)
        return answer

    def close(self) -> None:
        for connection in self._idle:
            connection.close()


async def paced(rate: float, is_over: Callable[[], bool], act: Callable[[float], Awaitable[None]]) -> None:
    """Call ``act`` at a steady rate until ``is_over``, without waiting for it; then wait for all calls.

    ``rate`` is calls per second. ``act`` receives the monotonic time at which it was due.
    """
    started, count = time.monotonic(), 0
    acting: set[asyncio.Task[None]] = set()

    async def one(due: float) -> None:
        await act(due)

    while not is_over():
        due = started + count / rate
        pause = due - time.monotonic()
        if pause > 0:
            await asyncio.sleep(pause)
        elif count % 50 == 0:
            await asyncio.sleep(0)  # a generator that is late must still read answers
        task = asyncio.ensure_future(one(due))
        acting.add(task)
        task.add_done_callback(acting.discard)
        count += 1
    if acting:
        await asyncio.gather(*acting)


def percentiles(
    milliseconds: Sequence[float], shares: Mapping[str, float] = SHARES
) -> dict[str, float | int | None]:
    """Return the count, p50, p99 and maximum of response times, with None where there are no values. A percentile is one of the values."""
    ordered = sorted(milliseconds)
    found: dict[str, float | int | None] = {"count": len(ordered)}
    for name, share in shares.items():
        found[name] = round(ordered[max(0, math.ceil(share * len(ordered)) - 1)], 2) if ordered else None
    return found


def exclusions(customer: str, user: str) -> str:
    """Return the target of the lookup that a recommender sends for each page."""
    return f"/v1/{customer}/users/{user}/exclusions?threshold=2&within=PT30M&reasons=rendered,clicked,bought"


class Lookups(threading.Thread):
    """Sends exclusion lookups at a steady rate from a thread of its own, for users drawn evenly.

    It starts when the worker has answered for users of all partitions. Before its first records, a worker that catches up does not
    know how old its state is, and refuses. ``milliseconds`` holds the time of each answered lookup, from when it was due.
    """

    def __init__(self, port: int, customer: str, users: int, rate: float, seed: int = 1) -> None:
        super().__init__(daemon=True)
        self._port, self._customer, self._users, self._rate = port, customer, users, rate
        self._draw = random.Random(seed)
        self._is_over = threading.Event()
        self.milliseconds: list[float] = []
        self.refused = 0

    def run(self) -> None:
        asyncio.run(self._ask())

    async def _ask(self) -> None:
        pool = Pool(self._port)
        for number in range(_FIRST_USERS):
            while not self._is_over.is_set():
                if (await pool.get(exclusions(self._customer, f"u{number}"))).status == 200:
                    break
                await asyncio.sleep(0.02)

        async def ask(due: float) -> None:
            user = f"u{self._draw.randrange(self._users)}"
            answer = await pool.get(exclusions(self._customer, user))
            if answer.status == 200:
                self.milliseconds.append((time.monotonic() - due) * 1000)
            else:
                self.refused += 1

        await paced(self._rate, self._is_over.is_set, ask)
        pool.close()

    def finish(self) -> None:
        """Stop sending lookups, and return when all of them are answered."""
        self._is_over.set()
        self.join()
