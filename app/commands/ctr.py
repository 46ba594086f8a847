"""`uptake ctr`: click-through rates of a worker in the terminal, as they change."""

import asyncio
import json
import os
import sys
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.live import Live

from app.commands import options
from app.commands.ctr_source import CtrSource
from app.commands.ctr_table import ctr_view

_TABLE_LINES: Final = 30


def ctr(
    customer: options.CustomerId = "00000",
    scenario: Annotated[
        str | None, typer.Option(help="only this scenario", show_default="all, each for itself")
    ] = None,
    span: Annotated[str, typer.Option(help="the time up to now, as in PT15M, P1D or P90D")] = "PT1H",
    by: Annotated[
        str | None,
        typer.Option(
            help="variant, position, or both with a comma; item; item,image; customer", show_default=False
        ),
    ] = None,
    sort: Annotated[
        str | None, typer.Option(help="top or flop: by the bounds of the rate", show_default="by name")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(help="at most so many windows", min=1, max=1_000, show_default="30; all with --json"),
    ] = None,
    worker: options.Worker = options.WORKER,
    api_key: options.ApiKey = None,
    once: Annotated[bool, typer.Option("--once", help="print the rates of now, and end")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Show click-through rates, and follow them until Ctrl-C.

    With --json, each new answer is one line; with --once --json, the answer of now is indented.
    If the output is no terminal, a table is printed once.

    Example: uptake ctr --scenario home --span PT15M
    """
    lines = limit or (None if as_json else _TABLE_LINES)
    given = {"span": span, "scenario": scenario, "by": by, "sort": sort, "limit": lines and str(lines)}
    query = {name: value for name, value in given.items() if value}
    source = CtrSource(worker, customer, query, api_key)
    console = Console(markup=False, highlight=False, emoji=False)
    try:
        if once or not (as_json or console.is_terminal):
            _show(asyncio.run(source.once()), console, as_json)
        else:
            asyncio.run(_follow_json(source) if as_json else _follow(source, console))
    except KeyboardInterrupt:
        pass  # the way to end it
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python would flush into the pipe


def _show(answer: dict[str, Any], console: Console, as_json: bool) -> None:
    if as_json:
        print(json.dumps(answer, indent=2))
    else:
        console.print(ctr_view(answer, None))


async def _follow_json(source: CtrSource) -> None:
    async for update in source.updates():
        if update.problem is None:
            print(json.dumps(update.answer), flush=True)
        else:
            print(f"uptake: no answer now: {update.problem}", file=sys.stderr, flush=True)


async def _follow(source: CtrSource, console: Console) -> None:
    latest: dict[str, Any] | None = None
    with Live(ctr_view(None, None), console=console, auto_refresh=False) as live:
        async for update in source.updates():
            latest = update.answer or latest
            live.update(ctr_view(latest, update.problem), refresh=True)
