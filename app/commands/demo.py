"""`uptake demo`: start everything, replay real events, and show the results."""

import asyncio
import contextlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import typer
import uvloop
from rich.console import Console

from app.base.addresses import HIGHEST_PORT, LOWEST_PORT
from app.base.errors import PortTakenError
from app.base.logs import setup_logging
from app.base.settings import Settings
from app.commands import options
from app.commands.options import make_settings
from app.demo.expectations import read_expectations
from app.demo.file_counts import files_of, read_file_counts
from app.demo.report import show_result, show_what_to_try
from app.demo.result import DemoResult
from app.demo.run import Demo
from app.local.broker import HOST
from app.local.kafka_jars import locate
from app.local.stack import FIRST_CUSTOMER, Plan, free_ports, plan_ports
from app.local.supervisor import LinePrinter, Supervisor
from app.local.tcp_ports import is_free

_DATA: Final = Path(__file__).resolve().parents[2] / "data" / "obd"
_INTERRUPTED: Final = 130
_WIDTH: Final = 120  # of the tables if the output is not a terminal


def demo(
    check: Annotated[
        bool,
        typer.Option("--check", help="compare all counts with expected_counts.json and stop; exit 0 or 1"),
    ] = False,
    data: Annotated[
        Path, typer.Option(help="directory with files like those of data/obd", show_default="data/obd")
    ] = _DATA,
    workers: Annotated[int, typer.Option(min=1, max=64, help="worker processes")] = 1,
    port: Annotated[
        int | None,
        typer.Option(
            help="port of the collector",
            min=LOWEST_PORT,
            max=HIGHEST_PORT,
            show_default="8080, or the next free one",
        ),
    ] = None,
    partitions: options.PartitionsOption = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="keep the data and logs, and print where they are")
    ] = False,
    as_json: options.AsJson = False,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error")] = "warning",
) -> None:
    """Start everything on free ports with its own Kafka, replay real events, and show CTR and lookups.

    The demo sends 60,000 shown items and 287 clicks of a fashion shop (data/obd) to the collector.
    The events keep their true times.
    Then it shows the click-through rates next to those counted from the files, and keeps running.
    Ctrl-C stops everything and removes its data.

    Example: uptake demo --check --json
    """
    started = time.monotonic()
    notes = Console(stderr=True)
    report = notes if as_json else Console()
    if not report.is_terminal:
        report = Console(stderr=as_json, width=_WIDTH)
    paths = files_of(data)
    facts = read_file_counts(paths)
    expected = read_expectations(data) if check else facts.counts
    runtime = locate(lambda line: notes.print(line, markup=False, highlight=False))
    with _folder(notes, keep) as folder:
        settings = make_settings(
            data_dir=folder,
            host=HOST,
            customers_file=folder / "customers.toml",
            partitions=partitions,
            log_level=log_level,
        )
        setup_logging(settings)
        course = Demo(
            settings,
            _plan(settings, workers, port, is_visited=not check),
            runtime,
            facts,
            expected,
            notes,
            started,
        )

        def show(result: DemoResult) -> None:
            show_result(report, result)
            if as_json:
                print(json.dumps(result.as_dict()), flush=True)
            if not check:
                show_what_to_try(report, result, FIRST_CUSTOMER, facts.from_ms, facts.to_ms)

        status = uvloop.run(_run(course, show, notes, stays=not check))
    raise typer.Exit(status)


async def _run(course: Demo, show: Callable[[DemoResult], None], notes: Console, *, stays: bool) -> int:
    """Run the demo until it is over, or with ``stays`` until a signal; return the exit status."""
    supervisor = Supervisor(LinePrinter(sys.stderr))
    signalled = asyncio.create_task(supervisor.run_until_signal())
    running = asyncio.create_task(course.run(supervisor))
    try:
        await asyncio.wait([signalled, running], return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            return _INTERRUPTED
        result = running.result()
        show(result)
        if stays:
            await signalled
            return 0
        return 0 if result.is_equal else 1
    finally:
        running.cancel()
        signalled.cancel()
        await asyncio.gather(running, signalled, return_exceptions=True)
        notes.print("stopping")
        await supervisor.stop()


def _plan(settings: Settings, workers: int, port: int | None, *, is_visited: bool) -> Plan:
    """Return the ports of all processes.

    Visitors get the well-known ports if these are free, so that the curl commands of the README work.
    """
    if is_visited:
        return replace(
            plan_ports(settings, workers=workers, own_kafka=True, port=port),
            kafka_port=free_ports().kafka_port,
        )
    plan = free_ports(workers=workers)
    if port is None:
        return plan
    if not is_free(HOST, port):
        raise PortTakenError(HOST, port, "collector")
    return replace(plan, collector_port=port)


@contextlib.contextmanager
def _folder(notes: Console, keep: bool) -> Iterator[Path]:
    """Yield a new directory; remove it at the end unless ``keep``."""
    folder = Path(tempfile.mkdtemp(prefix="uptake-demo-"))
    try:
        yield folder
    finally:
        if keep:
            notes.print(f"data and logs are in {folder}", markup=False, highlight=False, soft_wrap=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)
