"""Runs the demo: starts everything, replays the files, waits until all is folded, reads the counts and compares them."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
from rich.console import Console

from app.base.errors import UptakeError
from app.base.settings import Settings
from app.customers.customer_registry import Customers
from app.demo.counts import CellCounts, compare
from app.demo.dashboard_address import dashboard_address
from app.demo.drain import wait_until_drained
from app.demo.file_counts import FileCounts, questions
from app.demo.lookups import ask
from app.demo.measured_counts import read_from_topic, read_items, read_over_http
from app.demo.result import DemoResult, Memory
from app.local.kafka_jars import Runtime
from app.local.stack import FIRST_CUSTOMER, Plan, Stack, start_stack
from app.local.supervisor import Supervisor
from app.replay.files import read_files
from app.replay.http import Endpoint
from app.replay.lanes import RejectedEntry, ReplayLanes, ReplayTally
from app.replay.progress import shown_progress
from app.replay.request import Author

_CONCURRENCY: Final = 32
_SHOWN_REJECTS: Final = 5


@dataclass(frozen=True, slots=True)
class Demo:
    """The input of a demo. ``started`` is time.monotonic() at the start of the command."""

    settings: Settings
    plan: Plan
    runtime: Runtime
    facts: FileCounts
    expected: CellCounts
    console: Console
    started: float

    async def run(self, supervisor: Supervisor) -> DemoResult:
        """Run the demo and return its result. The system keeps running: the caller stops the supervisor."""
        console = self.console
        console.print("starting Kafka, collector and workers", highlight=False)
        stack = await start_stack(supervisor, self.settings, self.plan, runtime=self.runtime)
        ready_seconds = time.monotonic() - self.started
        if stack.dashboard is not None:
            address = dashboard_address(stack.dashboard, FIRST_CUSTOMER, self.facts.from_ms, self.facts.to_ms)
            console.print(f"dashboard  {address}", markup=False, highlight=False, soft_wrap=True)
        console.print(f"ready after {ready_seconds:.1f} s", highlight=False)
        tally = await self._replay(stack)
        timeout = aiohttp.ClientTimeout(total=60)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            drained = time.monotonic()
            with console.status("waiting until every event is folded and committed"):
                await wait_until_drained(session, stack.workers, self.settings.partitions)
            drain_seconds = time.monotonic() - drained
            facts, worker = self.facts, stack.workers[0]
            by_http = await read_over_http(session, worker, FIRST_CUSTOMER, facts.from_ms, facts.to_ms)
            by_item = await read_items(session, worker, FIRST_CUSTOMER, facts.from_ms, facts.to_ms)
            by_topic = await read_from_topic(stack.kafka, FIRST_CUSTOMER, self.settings.partitions)
            lookups = [await ask(session, worker, FIRST_CUSTOMER, question) for question in questions(facts)]
        return DemoResult(
            stack=stack,
            ready_seconds=ready_seconds,
            tally=tally,
            drain_seconds=drain_seconds,
            counts=by_http,
            expected=self.expected,
            compared=len(self.expected.keys() | by_http.keys() | by_topic.keys())
            + len(facts.items.keys() | by_item.keys()),
            differences=[
                *compare(self.expected, by_http, "HTTP"),
                *compare(self.expected, by_topic, "uptake.ctr.windows"),
                *compare(facts.items, by_item, "HTTP"),
            ],
            lookups=lookups,
            memory=[
                Memory.of(name, pid) for name, pid in supervisor.pids.items() if name.startswith("worker")
            ],
            restarts={name: count for name, count in supervisor.restarts.items() if count},
        )

    async def _replay(self, stack: Stack) -> ReplayTally:
        rejects: list[RejectedEntry] = []

        def note(reject: RejectedEntry) -> None:
            if len(rejects) < _SHOWN_REJECTS:
                rejects.append(reject)

        lanes = ReplayLanes(Endpoint(stack.collector), concurrency=_CONCURRENCY, on_reject=note)
        author = _author_of(stack.customers_file)
        entries = read_files(self.facts.paths, author)
        async with shown_progress(self.console, lanes, self.facts.events, "replay"):
            tally = await lanes.run(entries)
        for reject in rejects:
            self.console.print(
                f"{reject.where}: {reject.outcome}: {reject.reason}", markup=False, highlight=False
            )
        return tally


def _author_of(customers_file: Path) -> Author:
    """Return the author of the demo's requests: the only customer of the demo's customers file."""
    rules = Customers.load(customers_file)[FIRST_CUSTOMER].rules
    if rules.license_key is None:
        raise UptakeError(
            f"{customers_file}: customer {FIRST_CUSTOMER} has no license_key, so times of the past cannot be signed"
        )
    return Author(rules.customer, rules.license_key, rules.time_zone, rules.md5_signatures)
