"""`uptake replay`: send files of events to a collector."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Annotated

import msgspec
import typer
import uvloop
from rich.console import Console

from app.base.errors import UptakeError
from app.commands import options
from app.commands.options import make_settings
from app.customers.customer import Customer
from app.customers.customer_registry import Customers
from app.replay.files import check_files, count_files, read_files
from app.replay.http import Endpoint
from app.replay.lanes import RejectedEntry, ReplayLanes, ReplayTally
from app.replay.progress import shown_progress
from app.replay.request import Author, Entries

_STOPPED = 130


def replay(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", help="{policy}_{campaign}.csv[.gz], or a file with one event a line"
        ),
    ],
    url: Annotated[
        str, typer.Option(help="address of the collector", envvar="UPTAKE_URL")
    ] = "http://127.0.0.1:8080",
    speed: Annotated[
        float | None,
        typer.Option(
            help="1: real time; 60: a minute per second", min=0.001, show_default="as fast as possible"
        ),
    ] = None,
    concurrency: Annotated[int, typer.Option(help="connections to the collector", min=1, max=1024)] = 32,
    customer: Annotated[str, typer.Option(help="id of the customer")] = "00000",
    license_key: Annotated[
        str | None,
        typer.Option(
            help="key that signs the times",
            envvar="UPTAKE_LICENSE_KEY",
            show_default="that of the customers file",
        ),
    ] = None,
    customers_file: options.CustomersFile = None,
    as_of_now: Annotated[
        bool,
        typer.Option("--now", help="ignore the times of the files: the events happen when they are sent"),
    ] = False,
    rejects: Annotated[
        Path, typer.Option(help="file for events that were not accepted, with the reason")
    ] = Path("replay-rejects.jsonl"),
    as_json: options.AsJson = False,
) -> None:
    """Send files of events to a collector, each user's events in order. Exits with 1 if an event was not accepted.

    A file has the layout of data/obd, or one event a line.
    An event is the JSON of docs/events.md with raw user ids, or a request target (/api/00000/click/u/1/11).
    The license key signs times of the past.
    Answers 503 and 429 are retried.
    An event with an unknown outcome (504, no answer) is counted as unknown and not sent again.

    Example: uptake replay data/obd/*.csv.gz --url http://127.0.0.1:8080
    """
    check_files(files)
    author, credentials = _author(customer, license_key, customers_file, as_of_now)
    endpoint = Endpoint(url, credentials)
    console = Console(stderr=True)
    total = count_files(files)
    with _rejects_file(rejects) as write:
        lanes = ReplayLanes(endpoint, concurrency=concurrency, speed=speed, on_reject=write)
        tally = uvloop.run(_run(lanes, read_files(files, author), total, console))
    if as_json:
        print(json.dumps(tally.as_dict()))
    else:
        console.print(_sentence(tally, total, rejects), highlight=False, soft_wrap=True)
    if lanes.is_stopped:
        raise typer.Exit(_STOPPED)
    raise typer.Exit(1 if tally.not_accepted else 0)


def _author(
    customer_id: str, license_key: str | None, file: Path | None, as_of_now: bool
) -> tuple[Author, tuple[str, str] | None]:
    """Return the author who signs, and the credentials if the customer requires them.

    The collector accepts times of the past only with a signature, so a license key is needed unless ``as_of_now``.
    """
    path = make_settings(customers_file=file).customers_file
    found: Customer | None = None
    if path.exists() or (license_key is None and not as_of_now):
        found = Customers.load(path).get(customer_id)
    key = license_key or (None if found is None else found.rules.license_key)
    credentials = (
        (customer_id, key) if key is not None and found is not None and found.require_credentials else None
    )
    if as_of_now:
        return Author(customer_id), credentials
    if key is None:
        raise UptakeError(
            f"a collector accepts past times only if they are signed, and {path} has no license key for customer "
            f"{customer_id!r}; give --license-key, or --now to let the events happen when they are sent"
        )
    if found is None:
        return Author(customer_id, key), None
    return Author(customer_id, key, found.rules.time_zone, found.rules.md5_signatures), credentials


async def _run(lanes: ReplayLanes, entries: Entries, total: int, console: Console) -> ReplayTally:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, lanes.stop)
    async with shown_progress(console, lanes, total, "replay"):
        return await lanes.run(entries)


@contextlib.contextmanager
def _rejects_file(path: Path) -> Iterator[Callable[[RejectedEntry], None]]:
    """Yield a function that writes a reject. The first call creates the file for its owner only, because it holds user ids."""
    file: IO[bytes] | None = None

    def write(reject: RejectedEntry) -> None:
        nonlocal file
        if file is None:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            file = os.fdopen(handle, "wb")
        file.write(msgspec.json.encode(reject) + b"\n")

    try:
        yield write
    finally:
        if file is not None:
            file.close()


def _sentence(tally: ReplayTally, total: int, rejects: Path) -> str:
    text = (
        f"{tally.accepted:,} of {total:,} events accepted in {tally.seconds:.1f} s "
        f"({tally.per_second:,.0f} events/s, {tally.retries:,} sent again after a pause)"
    )
    if not tally.not_accepted:
        return text
    counts = {
        "rejected": tally.rejected,
        "unreadable": tally.unreadable,
        "failed": tally.failed,
        "unknown": tally.unknown,
    }
    parts = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
    return f"{text}\nnot accepted: {parts}; see {rejects}"
