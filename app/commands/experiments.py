"""`uptake experiments`: the experiments of a customer and their verdicts in the terminal."""

import asyncio
import json
from typing import Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from app.commands import options
from app.commands.ctr_source import CtrSource
from app.commands.ctr_table import percent, shown_name


def experiments(
    name: Annotated[
        str | None, typer.Argument(help="only this experiment, with its variants", show_default="all")
    ] = None,
    customer: options.CustomerId = "00000",
    metric: Annotated[
        str | None,
        typer.Option(
            help="ctr_rendered, ctr_calls, conversion_per_click or revenue_per_call",
            show_default="the declared one",
        ),
    ] = None,
    worker: options.Worker = options.WORKER,
    api_key: options.ApiKey = None,
    as_json: options.AsJson = False,
) -> None:
    """Show which variant is better, and whether you may stop.

    Example: uptake experiments new-list
    """
    query = {"metric": metric} if metric is not None else {}
    path = ("experiments",) if name is None else ("experiments", name)
    answer = asyncio.run(CtrSource(worker, customer, query, api_key, path).once())
    if as_json:
        print(json.dumps(answer, indent=2))
        return
    console = Console(markup=False, highlight=False, emoji=False)
    console.print(_listed(answer["experiments"]) if name is None else _view(answer))


def _listed(experiments: list[dict[str, Any]]) -> RenderableType:
    if not experiments:
        return Text("no experiment yet: send impressions with experiment and variant (docs/experiments.md)")
    table = Table()
    for title in ("experiment", "users", "verdict"):
        table.add_column(
            title, overflow="fold", justify="right" if title == "users" else "left", no_wrap=title == "users"
        )
    for each in experiments:
        table.add_row(shown_name(each["name"]), f"{each['users']:,}", shown_name(each["sentence"], 1_000))
    return table


def _view(answer: dict[str, Any]) -> RenderableType:
    table = Table(title=f"{answer['metric']} {answer['currency'] or ''}".strip(), title_justify="left")
    table.add_column("variant", overflow="fold")
    is_share = answer["metric"] != "revenue_per_call"
    for title in ("users", "rate", "at this look", "lift", "its interval", "p-value", "users missing"):
        table.add_column(title, justify="right", no_wrap=True)
    differences = {each["name"]: each for each in answer["differences"]}
    for each in answer["variants"]:
        table.add_row(
            shown_name(each["name"]),
            f"{each['users']:,}",
            _rate(each["rate"], is_share=is_share),
            ""
            if each["low"] is None
            else " to ".join(_rate(each[end], is_share=is_share) for end in ("low", "high")),
            *_difference(differences.get(each["name"])),
        )
    return Group(shown_name(answer["sentence"], 1_000), table)


def _difference(found: dict[str, Any] | None) -> list[str]:
    if found is None:
        return ["baseline", "", "", ""]
    lift = found["lift"]
    return [
        "-" if lift is None else f"{lift['value']:+.1%}",
        "" if lift is None else f"{lift['low']:+.1%} to {lift['high']:+.1%}",
        "-" if found["p_value"] is None else f"{found['p_value']:.2g}",
        "-" if found["users_missing"] is None else f"{found['users_missing']:,}",
    ]


def _rate(value: float | None, *, is_share: bool) -> str:
    if is_share or value is None:
        return percent(value)
    return f"{value:,.4g}"
