"""Measures how soon the page shows an accepted event, and how many open pages one dashboard serves.

Collector, Kafka, one worker, one dashboard and the clients share the machine. First, at light load, the time from the 2xx of an event
until its number is in the stream that the page reads. Then, for each step, a process of its own opens as many streams as there would be
pages. A step is held if every client gets 0.9 updates a second or more, and 99 % of the updates come within a second of the first client.
"""

import argparse
import asyncio
import json
import resource
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiohttp
import uvloop

from app.base.addresses import http_url
from benchmarks import against, journal
from benchmarks.checkouts import THIS, Checkout
from benchmarks.clients import percentiles
from benchmarks.command import finish, options, own_kafka, say, scratch
from benchmarks.ours import Ours
from benchmarks.page_readers import HOLDING
from benchmarks.page_site import SPARE_FILES, VIEWS, Deployment, deployment, past_day, target, visiting
from benchmarks.processes import Contestant, ContestantError, running
from benchmarks.rounds import Run
from benchmarks.traffic import SCENARIOS
from events.topics import JOURNAL

BAR_MS: Final = 2_000
BAR_CLIENTS: Final = 500
LEAST_UPDATES: Final = 0.9
"""Updates a second that every client must get."""
LATEST_MS: Final = 1_000
"""99 % of the updates come at most so much later than to the first client."""
UPDATES: Final = 4.0
"""Events a second while pages are open, so that the numbers change each second."""
SMALL: Final = {"probes": 10, "clients": [20], "seconds": 3.0}
_CATCH_UP_SECONDS: Final = 30.0


async def _numbers(stream: aiohttp.StreamReader) -> AsyncIterator[dict[str, int]]:
    """Yield, for each event of a stream, what each scenario showed in all windows."""
    async for line in stream:
        if not line.startswith(b"data: "):
            continue
        shown: dict[str, int] = {}
        for window in json.loads(line[6:]).get("windows", ()):
            shown[window["scenario"]] = shown.get(window["scenario"], 0) + window["rendered"]
        yield shown


async def shown_after(site: Deployment, chosen: argparse.Namespace, view: str) -> list[float]:
    """Return, for each probe, the milliseconds from its 2xx until the stream has its number.

    The probes of a scenario have one user, so they are counted in their order: the n-th is shown when the number has grown by n.
    """
    probed = SCENARIOS[:-1]
    accepted: dict[str, list[float]] = {name: [] for name in probed}
    shown_ms: list[float] = []
    url = http_url("127.0.0.1", site.dashboard_port) + target(view)
    async with (
        aiohttp.ClientSession(read_bufsize=2**24, timeout=aiohttp.ClientTimeout(total=None)) as http,
        http.get(url) as stream,
        visiting(site.collector_port, chosen.seed, chosen.load) as visits,
    ):
        numbers = _numbers(stream.content)
        before = await anext(numbers)

        async def follow() -> None:
            done = dict.fromkeys(probed, 0)
            async for shown in numbers:
                now = time.monotonic()
                for name in probed:
                    reached = min(shown.get(name, 0) - before.get(name, 0), len(accepted[name]))
                    shown_ms.extend((now - sent) * 1000 for sent in accepted[name][done[name] : reached])
                    done[name] = max(done[name], reached)
                if len(shown_ms) == chosen.probes:
                    return

        async def probe() -> None:
            for number in range(chosen.probes):
                name = probed[number % len(probed)]
                await visits.send(f"probe-{name}", name)
                accepted[name].append(time.monotonic())
                await asyncio.sleep(visits.draw.uniform(0.5, 1.5) / chosen.probes_per_second)

        async with asyncio.timeout(_CATCH_UP_SECONDS + 2 * chosen.probes / chosen.probes_per_second):
            await asyncio.gather(follow(), probe())
    return shown_ms


async def hold(site: Deployment, directory: Path, view: str, clients: int, seconds: float) -> dict[str, Any]:
    """Let a process open so many streams and read them; return what they got, and the CPU of those who served them in cores."""
    arguments = ["-m", "benchmarks.page_readers", "--port", str(site.dashboard_port)]
    arguments += ["--target", target(view), "--clients", str(clients), "--seconds", str(seconds)]
    watched = {"dashboard": site.dashboard, "worker": site.worker}
    async with visiting(site.collector_port, 1, UPDATES):
        readers = Contestant(f"readers-{view}-{clients}", arguments, directory, {})
        with running(readers):
            while not readers.said(HOLDING):
                readers.check()
                await asyncio.sleep(0.05)
            started = time.monotonic()
            before = {name: each.cpu_seconds for name, each in watched.items()}
            read_before = readers.cpu_seconds
            await asyncio.sleep(seconds)
            wall = time.monotonic() - started
            cores = {
                f"{name}_cores": round((each.cpu_seconds - before[name]) / wall, 3)
                for name, each in watched.items()
            }
            cores["readers_cores"] = round((readers.cpu_seconds - read_before) / wall, 3)
            while not readers.has_ended:
                await asyncio.sleep(0.05)
    found: dict[str, Any] = json.loads(readers.last_words().splitlines()[-1])
    return {**found, **cores, "dashboard_peak_mib": round(site.dashboard.peak_mib)}


def is_held(step: dict[str, Any]) -> bool:
    """Whether every client of a step got its updates, and in time."""
    spread_ms = step["spread_ms"]["p99"]
    return (
        step["least_updates"] >= int(LEAST_UPDATES * step["seconds"])
        and step["lost"] == 0
        and spread_ms is not None
        and spread_ms <= LATEST_MS
    )


async def _steps(
    site: Deployment, directory: Path, chosen: argparse.Namespace, view: str
) -> list[dict[str, Any]]:
    """Measure each step until one is not held."""
    steps: list[dict[str, Any]] = []
    for clients in chosen.clients:
        try:
            step = await hold(site, directory, view, clients, chosen.seconds)
        except ContestantError as error:
            step = {"clients": clients, "is_held": False, "error": str(error).splitlines()[-1]}
        else:
            step["is_held"] = is_held(step)
        steps.append(step)
        say(f"page: {view}, {step}")
        if not step["is_held"]:
            break
    return steps


def _allow_files(wanted: int) -> int:
    """Raise the limit of open files of this process and its children as far as it may go; return the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        return limit
    return soft


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = options("page", __doc__, rounds=None)
    parser.add_argument(
        "--probes", type=int, default=240, help="events that are waited for (default: %(default)s)"
    )
    parser.add_argument(
        "--probes-per-second", type=float, default=4.0, help="probes per second (default: %(default)s)"
    )
    parser.add_argument(
        "--load", type=float, default=20.0, help="other events per second meanwhile (default: %(default)s)"
    )
    parser.add_argument(
        "--clients",
        type=int,
        nargs="*",
        default=[100, 500, 1_000, 2_000, 5_000],
        help="steps of open pages (default: %(default)s)",
    )
    parser.add_argument(
        "--seconds", type=float, default=20.0, help="length of each step (default: %(default)s)"
    )
    parser.add_argument(
        "--views", nargs="*", choices=tuple(VIEWS), default=tuple(VIEWS), help="views (default: all)"
    )
    return against.parse(parser, argv, small=SMALL)


@contextmanager
def _site(chosen: argparse.Namespace, checkout: Checkout = THIS) -> Iterator[tuple[Deployment, Path]]:
    """Start a checkout's processes on a broker of their own, with a past day."""
    with scratch("page") as directory, own_kafka(directory) as broker:
        ours = Ours(broker.bootstrap, directory, chosen.partitions).of(checkout)
        journal.load(ours.kafka, JOURNAL, past_day(chosen.partitions, int(time.time() * 1000)))
        with deployment(ours, directory, max(chosen.clients, default=0)) as site:
            yield site, directory


@contextmanager
def _trials(chosen: argparse.Namespace) -> Iterator[list[against.Trial]]:
    def run_one(view: str, run: Run, checkout: Checkout) -> None:
        with _site(chosen, checkout) as (site, _):
            shown_ms = percentiles(uvloop.run(shown_after(site, chosen, view)))
        run.figures = {f"shown_{name}_ms": shown_ms[name] or 0.0 for name in ("p50", "p99")}
        run.verdict = f"shown after {shown_ms} ms"

    measures = tuple(against.figure(f"shown_{name}_ms", against.LOWER) for name in ("p50", "p99"))
    yield [against.Trial(view, partial(run_one, view), measures, unit="probes") for view in chosen.views]


async def _measure(site: Deployment, directory: Path, chosen: argparse.Namespace) -> dict[str, Any]:
    shown_ms = {}
    for view in chosen.views:
        shown_ms[view] = percentiles(await shown_after(site, chosen, view))
        say(f"page: {view}, shown after {shown_ms[view]} ms")
    steps = {view: await _steps(site, directory, chosen, view) for view in chosen.views}
    return {"shown_ms": shown_ms, "steps": steps}


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark and print one JSON object as the last line; return 0 if it could be measured, else 1."""
    chosen = _parse(argv)
    if chosen.against is not None:
        return against.run("page", chosen, _trials)
    files = _allow_files(max(chosen.clients, default=0) + SPARE_FILES)
    if files != resource.RLIM_INFINITY:
        chosen.clients = [clients for clients in chosen.clients if clients + SPARE_FILES <= files]
    void: dict[str, str] = {}
    found: dict[str, Any] = {"shown_ms": {}, "steps": {}}
    with _site(chosen) as (site, directory):
        try:
            found = uvloop.run(_measure(site, directory, chosen))
        except (RuntimeError, TimeoutError, aiohttp.ClientError) as error:
            void = {"page": f"{type(error).__name__}: {error}"}
    held = {
        view: max((step["clients"] for step in steps if step["is_held"]), default=0)
        for view, steps in found["steps"].items()
    }
    result = {
        "is_smoke": chosen.smoke,
        "ratios": {
            f"shown_p99_vs_{BAR_MS}_ms.{view}": round(each["p99"] / BAR_MS, 3)
            for view, each in found["shown_ms"].items()
        },
        "void": void,
        "clients_held": held,
        "bar": {"shown_p99_ms": BAR_MS, "clients_held": BAR_CLIENTS},
        **found,
        "views": VIEWS,
        "open_files": files,
        "load_per_second": chosen.load,
        "probes_per_second": chosen.probes_per_second,
        "updates_per_second": UPDATES,
    }
    return finish("page", result, is_json=chosen.json)


if __name__ == "__main__":
    sys.exit(main())
