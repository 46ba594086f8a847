"""`uptake import`: import past events from files through a collector."""

import json
from collections.abc import Iterable
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop
from rich.console import Console

from app.base.clock import SystemClock
from app.base.errors import UptakeError
from app.commands import options
from app.commands.options import make_settings
from app.customers.customer_registry import Customers
from app.importer.dry_run import show_rows
from app.importer.mapping import LAYOUTS, make_mapping
from app.importer.rows import kind_of
from app.importer.run import UNSURE, ImportResult, Options, import_file, zone_of
from app.replay.http import Endpoint
from events.rules import Rules

_STOPPED = 130


def import_files(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="CSV or JSON lines (both also .gz), or Parquet")
    ],
    columns_of: Annotated[
        list[str] | None, typer.Option("--map", metavar="FIELD=COLUMN", help="the column that holds a field")
    ] = None,
    constants: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="a field with the same value in all rows"),
    ] = None,
    events: Annotated[
        list[str] | None,
        typer.Option(
            "--event",
            metavar="WORD=EVENT",
            help="the event that WORD means in the event column; EVENT empty: leave the row out",
        ),
    ] = None,
    layout: Annotated[str | None, typer.Option(help=f"a known layout: {', '.join(LAYOUTS)}")] = None,
    mapping: Annotated[
        Path | None, typer.Option(help="TOML file with the tables map, set, events, absent and format")
    ] = None,
    time_format: Annotated[
        str | None,
        typer.Option(help="format of the times: s or ms (since 1970), iso, or auto", show_default="auto"),
    ] = None,
    zone: Annotated[
        str | None,
        typer.Option(
            help="time zone of times that name none, as in Europe/Berlin", show_default="the customer's"
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="names of the columns, if the first line does not have them"),
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(help="separates the values of CSV", show_default="comma, or tab in .tsv")
    ] = None,
    separator: Annotated[
        str | None, typer.Option(help="separates the items of a list", show_default=",")
    ] = None,
    url: Annotated[
        str, typer.Option(help="address of the collector", envvar="UPTAKE_URL")
    ] = "http://127.0.0.1:8080",
    customer: Annotated[str, typer.Option(help="id of the customer")] = "00000",
    license_key: Annotated[
        str | None,
        typer.Option(
            help="key that allows times of the past",
            envvar="UPTAKE_LICENSE_KEY",
            show_default="that of the customers file",
        ),
    ] = None,
    customers_file: options.CustomersFile = None,
    concurrency: Annotated[int, typer.Option(help="batches in flight at once", min=1, max=64)] = 8,
    checkpoint_dir: Annotated[
        Path | None,
        typer.Option(
            help="directory for checkpoints and rejected rows",
            show_default="next to each file",
            file_okay=False,
        ),
    ] = None,
    unsure: Annotated[
        str,
        typer.Option(
            help="for rows that may have been sent, after a kill and a pause of a day: send, skip, or ask (stops)"
        ),
    ] = "ask",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="send nothing; show the events of the first rows")
    ] = False,
    show: Annotated[int, typer.Option(help="number of rows that --dry-run shows", min=1)] = 10,
    as_json: options.AsJson = False,
) -> None:
    """Import past events from files through a collector, each user's events in the order of the file.

    You can stop the import at any time (Ctrl-C, kill -9). Give the same command again to resume.
    No row is lost, and none counts twice. Answers 503 and 429 are retried.
    FILE.uptake-rejects.jsonl holds the rows that were not accepted, with the reason.
    Exits with 1 if a row was not accepted.

    Example: uptake import sales.csv --map user=visitor --map item=sku --map time=ts --set event=buy

    Example: uptake import yoochoose-clicks.dat --layout recsys-clicks
    """
    for path in files:
        if not path.is_file():
            raise UptakeError(f"{path}: there is no such file")
        kind_of(path)
    if unsure not in UNSURE:
        raise UptakeError(f"--unsure {unsure!r} must be ask, send or skip")
    rows = make_mapping(
        layout=layout,
        file=mapping,
        columns=columns_of or (),
        constants=constants or (),
        events=events or (),
        given={
            "time": time_format,
            "zone": zone,
            "delimiter": "\t" if delimiter == "\\t" else delimiter,
            "columns": columns.split(",") if columns else None,
            "separator": separator,
        },
    )
    rules = _rules(customer, customers_file)
    console = Console(stderr=True)
    zone_used = zone_of(rows, _zone(rules))
    if dry_run:
        bad = sum(
            show_rows(path, rows, zone_used, customer, rules, show, SystemClock().now_ms()) for path in files
        )
        raise typer.Exit(1 if bad else 0)
    key = license_key or (None if rules is None else rules.license_key)
    if key is None:
        where = make_settings(customers_file=customers_file).customers_file
        raise UptakeError(
            f"a collector accepts past times only with the license key, and {where} has none for customer {customer!r}; give --license-key"
        )
    if checkpoint_dir is not None:
        checkpoint_dir.mkdir(parents=True, exist_ok=True)
    how = Options(Endpoint(url), customer, key, zone_used, rows, concurrency, checkpoint_dir, unsure)
    results, error = uvloop.run(_import_all(files, how, console))
    if as_json:
        print(json.dumps({"files": [_as_dict(result) for result in results]}))
    if error is not None:
        raise error
    stopped = [result for result in results if not result.is_finished]
    if stopped:
        console.print("give the same command again to resume", highlight=False)
        raise typer.Exit(_STOPPED)
    raise typer.Exit(1 if any(result.counts.not_accepted for result in results) else 0)


async def _import_all(
    files: Iterable[Path], how: Options, console: Console
) -> tuple[list[ImportResult], UptakeError | None]:
    """Import one file after another; return the results, and the error that ended the import."""
    results: list[ImportResult] = []
    for path in files:
        try:
            result = await import_file(path, how, console)
        except UptakeError as error:
            return results, UptakeError(
                f"{error}\nthe settled rows are saved; give the same command again to resume"
            )
        results.append(result)
        console.print(_sentence(result), highlight=False, soft_wrap=True)
        if not result.is_finished:
            break
    return results, None


def _rules(customer: str, file: Path | None) -> Rules | None:
    path = make_settings(customers_file=file).customers_file
    if file is None and not path.exists():
        return None
    found = Customers.load(path).get(customer)
    return None if found is None else found.rules


def _zone(rules: Rules | None) -> tzinfo:
    return UTC if rules is None else rules.time_zone


def _sentence(result: ImportResult) -> str:
    counts, path = result.counts, result.path
    if result.is_finished and not result.seconds:
        return f"{path}: was imported before, {counts.accepted:,} rows; to import it again, delete {result.checkpoint}"
    settled = result.next_row - result.first_row
    rate = settled / result.seconds if result.seconds else 0.0
    begun = f" from row {result.first_row:,}" if result.first_row > 1 else ""
    text = (
        f"{path}: {settled:,} rows{begun} in {result.seconds:.1f} s ({rate:,.0f} rows/s); in all {counts.accepted:,} accepted, "
        f"{counts.rejected:,} rejected, {counts.skipped:,} left out ({result.retries:,} sent again)"
    )
    if counts.unknown:
        text += f"; {counts.unknown:,} not sent, because they may have been sent before"
    if counts.not_accepted:
        text += f"\nnot accepted: see {result.rejects}"
    return text if result.is_finished else f"{text}\nstopped before row {result.next_row:,}"


def _as_dict(result: ImportResult) -> dict[str, Any]:
    counts = result.counts
    return {
        "file": str(result.path),
        "finished": result.is_finished,
        "first_row": result.first_row,
        "next_row": result.next_row,
        "accepted": counts.accepted,
        "rejected": counts.rejected,
        "left_out": counts.skipped,
        "unknown": counts.unknown,
        "retries": result.retries,
        "seconds": round(result.seconds, 3),
        "rows_per_second": round((result.next_row - result.first_row) / result.seconds, 1)
        if result.seconds
        else 0.0,
        "checkpoint": str(result.checkpoint),
        "rejects": str(result.rejects) if counts.not_accepted else None,
    }
