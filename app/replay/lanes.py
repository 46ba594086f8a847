"""Sends requests in lanes: those of one user one after another, those of different users at the same time.

A user's next event is sent when the last one was acknowledged. So a click stays behind its impression, even when the collector
pushes back. Connections are shared: a free one takes the user whose next event is the oldest.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from app.replay.http import Answer, ClientConnection, Endpoint, NoAnswerError, NoConnectionError
from app.replay.request import ReplayEntry, Request, Unreadable

_READ_AHEAD: Final = 10_000  # requests held in memory
PAUSE_S: Final = 1.0  # before a second try, if the collector names no pause
LONGEST_PAUSE_S: Final = 30.0
_TIMEOUT_S: Final = 30.0  # longer than a collector waits for Kafka
_GIVE_UP_S: Final = 60.0
_TURN: Final = 50  # requests that are read before the connections get a turn
_PUSHED_BACK: Final = frozenset((429, 503))
_UNKNOWN: Final = frozenset((502, 504))  # a collector, or a proxy in front of it, had passed the event on


@dataclass(slots=True)
class ReplayTally:
    """Number of entries for each outcome. ``accepted`` ones were acknowledged, ``unknown`` ones may have been, all others were not."""

    accepted: int = 0
    rejected: int = 0
    unreadable: int = 0
    failed: int = 0
    unknown: int = 0
    retries: int = 0
    seconds: float = 0.0

    @property
    def done(self) -> int:
        """The number of entries that have an outcome."""
        return self.accepted + self.not_accepted

    @property
    def not_accepted(self) -> int:
        """The number of entries that are not known to be recorded."""
        return self.rejected + self.unreadable + self.failed + self.unknown

    @property
    def per_second(self) -> float:
        """Entries per second."""
        return self.done / self.seconds if self.seconds else 0.0

    def as_dict(self) -> dict[str, float]:
        """Return the tally for JSON."""
        return {
            "accepted": self.accepted,
            "rejected": self.rejected,
            "unreadable": self.unreadable,
            "failed": self.failed,
            "unknown": self.unknown,
            "retries": self.retries,
            "seconds": round(self.seconds, 3),
            "events_per_second": round(self.per_second, 1),
        }


class RejectedEntry(msgspec.Struct, frozen=True):
    """One entry that is not known to be recorded. ``outcome`` is rejected, unreadable, failed or unknown."""

    where: str
    outcome: str
    status: int | None
    reason: str
    text: str


class ReplayLanes:
    """Sends requests to one collector.

    ``speed`` is how many seconds of the events' time are sent in one second; None: as fast as possible. An event that the collector
    cannot accept for ``give_up_s`` is ``failed``. ``on_reject`` is called with each entry that is not accepted.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        concurrency: int,
        speed: float | None = None,
        on_reject: Callable[[RejectedEntry], None] = lambda _reject: None,
        pause_s: float = PAUSE_S,
        timeout_s: float = _TIMEOUT_S,
        give_up_s: float = _GIVE_UP_S,
        read_ahead: int = _READ_AHEAD,
    ) -> None:
        self.tally = ReplayTally()
        self._endpoint, self._concurrency, self._speed = endpoint, concurrency, speed
        self._on_reject = on_reject
        self._pause_s, self._timeout_s, self._give_up_s = pause_s, timeout_s, give_up_s
        self._queues: dict[str, deque[tuple[int, Request]]] = {}
        # (number of the lane's next request, lane); each lane at most once, and only while no request of it is in flight
        self._ready: asyncio.PriorityQueue[tuple[int, str]] = asyncio.PriorityQueue()
        self._room = asyncio.Semaphore(read_ahead)
        self._stop = asyncio.Event()
        self._started = 0.0

    def stop(self) -> None:
        """Send no more requests, but wait for the answers to those in flight."""
        self._stop.set()

    @property
    def is_stopped(self) -> bool:
        """Whether ``stop`` was called."""
        return self._stop.is_set()

    async def run(self, entries: Iterable[ReplayEntry]) -> ReplayTally:
        """Send all entries and return the number for each outcome. Raise UptakeError if a file cannot be read."""
        self._started = time.monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                connections = [group.create_task(self._send_all()) for _ in range(self._concurrency)]
                await self._read_all(entries)
                await self._wait_until_sent()
                for connection in connections:
                    connection.cancel()
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None  # only the reader of entries raises: a file cannot be read
        finally:
            self.tally.seconds = time.monotonic() - self._started
        return self.tally

    def seconds(self) -> float:
        """Return how many seconds the replay has run so far."""
        return self.tally.seconds or time.monotonic() - self._started

    async def _read_all(self, entries: Iterable[ReplayEntry]) -> None:
        first_ms: int | None = None
        for number, entry in enumerate(entries):
            if self.is_stopped:
                return
            if number % _TURN == 0:
                await asyncio.sleep(0)
            if isinstance(entry, Unreadable):
                self.tally.unreadable += 1
                self._on_reject(RejectedEntry(entry.where, "unreadable", None, entry.reason, entry.text))
                continue
            if self._speed is not None and entry.time_ms is not None:
                first_ms = entry.time_ms if first_ms is None else first_ms
                await self._pause(
                    (entry.time_ms - first_ms) / 1000 / self._speed - (time.monotonic() - self._started)
                )
            await self._room.acquire()
            queue = self._queues.get(entry.lane)
            if queue is None:
                queue = self._queues[entry.lane] = deque()
                self._ready.put_nowait((number, entry.lane))
            queue.append((number, entry))

    async def _wait_until_sent(self) -> None:
        """Return when the last lane is empty; after ``stop``, when no request is in flight."""
        await self._ready.join()

    async def _send_all(self) -> None:
        connection: ClientConnection | None = None
        try:
            while True:
                _, lane = await self._ready.get()
                queue = self._queues[lane]
                if self.is_stopped:
                    del self._queues[lane]
                    for _ in queue:
                        self._room.release()
                    self._ready.task_done()
                    continue
                connection = await self._deliver(queue[0][1], connection)
                queue.popleft()
                self._room.release()
                if queue:
                    self._ready.put_nowait((queue[0][0], lane))
                else:
                    del self._queues[lane]
                self._ready.task_done()
        finally:
            if connection is not None:
                connection.close()

    async def _deliver(
        self, request: Request, connection: ClientConnection | None
    ) -> ClientConnection | None:
        """Send a request until its outcome is decided; return the connection that the next request may use."""
        raw = self._endpoint.request(request.target)
        first_try = time.monotonic()
        pause_s = self._pause_s
        while True:
            try:
                if connection is None or not connection.is_usable:
                    if connection is not None:
                        connection.close()
                    connection = await self._endpoint.connect()
                answer = await connection.ask(raw, self._timeout_s)
            except NoAnswerError as error:
                self._end(request, "unknown", None, str(error))
                return None
            except NoConnectionError as error:
                connection = None
                status, reason, wait_s = None, str(error), pause_s
            else:
                if answer.status not in _PUSHED_BACK:
                    self._decide(request, answer)
                    return connection
                status, reason = answer.status, _reason(answer)
                wait_s = pause_s if answer.retry_after_s is None else answer.retry_after_s
            if self.is_stopped or time.monotonic() + wait_s - first_try > self._give_up_s:
                self._end(request, "failed", status, f"not accepted, and given up: {reason}")
                return connection
            self.tally.retries += 1
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            await self._pause(wait_s)

    def _decide(self, request: Request, answer: Answer) -> None:
        if 200 <= answer.status < 300:
            self.tally.accepted += 1
        elif answer.status in _UNKNOWN:
            self._end(request, "unknown", answer.status, _reason(answer))
        else:
            outcome = "rejected" if 400 <= answer.status < 500 else "failed"
            self._end(request, outcome, answer.status, _reason(answer))

    def _end(self, request: Request, outcome: str, status: int | None, reason: str) -> None:
        setattr(self.tally, outcome, getattr(self.tally, outcome) + 1)
        self._on_reject(RejectedEntry(request.where, outcome, status, reason, request.target))

    async def _pause(self, seconds: float) -> None:
        """Sleep, but return at once on ``stop``."""
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._stop.wait()


def _reason(answer: Answer) -> str:
    """Return the server's own words."""
    try:
        problem = msgspec.json.decode(answer.body, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return answer.body.decode("utf-8", "replace").strip()[:500] or f"status {answer.status}"
    return f"{problem.get('code', answer.status)}: {problem.get('detail', '')}"
