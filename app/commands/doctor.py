"""`uptake doctor`: check this machine and the broker, and print how to fix problems."""

import dataclasses
import json

import typer
from rich.console import Console
from rich.markup import escape

from app.base.logs import setup_logging
from app.commands import options
from app.commands.options import make_settings
from app.local.check import Check
from app.local.doctor import examine, is_healthy

_MARKS = {"ok": "[green]ok  [/green]", "warn": "[yellow]warn[/yellow]", "fail": "[red]FAIL[/red]"}


def doctor(
    kafka: options.Kafka = None,
    partitions: options.PartitionsOption = None,
    data_dir: options.DataDir = None,
    customers_file: options.CustomersFile = None,
    host: options.Host = None,
    as_json: options.AsJson = False,
) -> None:
    """Check this machine and the broker, and print how to fix problems. Exits with 1 if a check fails.

    Example: uptake doctor --kafka 127.0.0.1:9092
    """
    settings = make_settings(
        kafka=kafka,
        partitions=partitions,
        data_dir=data_dir,
        customers_file=customers_file,
        host=host,
        log_level="error",
    )
    setup_logging(settings)
    checks = examine(settings)
    if as_json:
        print(json.dumps([dataclasses.asdict(check) for check in checks], indent=2))
    else:
        _show(checks)
    raise typer.Exit(0 if is_healthy(checks) else 1)


def _show(checks: list[Check]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for check in checks:
        console.print(f"{_MARKS[check.level]} {check.name:<11} {escape(check.finding)}")
        if check.cure:
            console.print(f"     {'':<11} [bold]-> {escape(check.cure)}[/bold]")
