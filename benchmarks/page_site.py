"""The deployment that `page` measures, with a past day, and what visitors send to it."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.base.addresses import http_url
from app.local.tcp_ports import free_port
from benchmarks.clients import Pool, paced
from benchmarks.ours import READY, START_SECONDS, TAKES, Ours
from benchmarks.processes import Contestant, running
from benchmarks.traffic import CUSTOMER, SCENARIOS, Record, user_name
from events.codec import encode
from events.model import Rendered, user_key
from events.partitions import partition_of

VIEWS: Final = {"quarter": "span=PT15M&granularity=PT5M", "day": "span=P1D&granularity=PT15M"}
"""Name -> query of the stream, as the page asks it for its spans of 15 minutes and of 24 hours."""
SPARE_FILES: Final = 500
"""Connections and files beyond those of the open pages."""
_QUARTERS: Final = 96
"""Quarters of an hour before now, in which every scenario has an event."""
_LISTENS: Final = "dashboard listens on"
_QUARTER_MS: Final = 900_000


@dataclass(frozen=True)
class Deployment:
    """The processes that are measured, and the ports where they listen."""

    worker: Contestant
    collector: Contestant
    dashboard: Contestant
    collector_port: int
    dashboard_port: int


@contextmanager
def deployment(ours: Ours, directory: Path, clients: int) -> Iterator[Deployment]:
    """Start a collector, a worker, and a dashboard that takes so many streams."""
    ports = free_port(), free_port(), free_port()
    worker = ours.worker("worker", "bench", directory / "worker", ports[0])
    collector = ours.start("collector", "collector", "bench", directory, ports[1])
    dashboard = ours.start(
        "dashboard",
        "dashboard",
        "bench",
        directory,
        ports[2],
        UPTAKE_WORKER_URLS=http_url("127.0.0.1", ports[0]),
        UPTAKE_COLLECTOR_URLS=http_url("127.0.0.1", ports[1]),
        UPTAKE_MAX_CONNECTIONS=str(2 * clients + SPARE_FILES),  # half of them may be streams
    )
    with running(worker, collector, dashboard):
        worker.wait_for(READY, START_SECONDS)
        collector.wait_for(TAKES, START_SECONDS)
        dashboard.wait_for(_LISTENS, START_SECONDS)
        yield Deployment(worker, collector, dashboard, ports[1], ports[2])


def past_day(partitions: int, now_ms: int) -> Iterator[Record]:
    """Yield a `rendered` event of each scenario in each quarter of an hour of the past day."""
    user = user_name(0)
    key = user_key(CUSTOMER, user)
    for quarter in range(_QUARTERS - 1, 0, -1):
        time_ms = now_ms - quarter * _QUARTER_MS
        for scenario in SCENARIOS:
            event = Rendered(
                customer=CUSTOMER,
                user=user,
                items=("1", "2", "3", "4"),
                scenario=scenario,
                time_ms=time_ms,
                received_ms=now_ms,
            )
            yield Record(partition_of(key, partitions), key, encode(event), time_ms)


def target(view: str) -> str:
    """Return path and query of a view's stream."""
    return f"/dashboard/{CUSTOMER}/ctr/stream?{VIEWS[view]}"


class Visits:
    """Sends impressions to a collector over HTTP."""

    def __init__(self, port: int, seed: int) -> None:
        self._pool = Pool(port)
        self.draw = random.Random(seed)

    async def send(self, user: str, scenario: str) -> None:
        """Send an impression of one item; return when it is accepted, RuntimeError if it is refused."""
        item = self.draw.randrange(1, 5_001)
        answer = await self._pool.get(f"/api/{CUSTOMER}/rendered/{user}/1/{item}?scenario={scenario}")
        if not 200 <= answer.status < 300:
            raise RuntimeError(f"the collector answered {answer.status}")

    async def send_any(self, _due: float = 0.0) -> None:
        """Send an impression of any user in the last scenario."""
        await self.send(f"u{self.draw.randrange(1_000)}", SCENARIOS[-1])

    def close(self) -> None:
        self._pool.close()


@asynccontextmanager
async def visiting(port: int, seed: int, rate: float) -> AsyncIterator[Visits]:
    """Yield a sender of probes, while it sends ``rate`` impressions a second besides."""
    visits, is_over = Visits(port, seed), asyncio.Event()
    load = asyncio.create_task(paced(rate, is_over.is_set, visits.send_any))
    try:
        yield visits
    finally:
        is_over.set()
        await load
        visits.close()
