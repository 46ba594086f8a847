"""Output of a demo for people: rates next to those of the files, lookups with their curl commands, and what to try next."""

from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.demo.counts import Cell, CellCounts, CountPart
from app.demo.dashboard_address import dashboard_address
from app.demo.lookups import sentence
from app.demo.result import DemoResult
from tables.ctr.rates import rate

_SHOWN_DIFFERENCES: Final = 40


def show_result(console: Console, result: DemoResult) -> None:
    """Print rates, lookups, times and the verdict."""
    console.print(_rates(result, "total", "CTR by scenario and variant"))
    console.print()
    console.print(_rates(result, "position", "CTR by position"))
    console.print()
    for lookup in result.lookups:
        question = lookup.question
        console.print(
            f"What must visitor {question.user} not be shown again at the data's end "
            f"(shown {question.threshold} times within {question.within})?",
            highlight=False,
        )
        _line(console, f"  {lookup.curl}")
        _line(console, f"  -> {sentence(lookup)}")
    console.print()
    _line(console, _times(result))
    _show_verdict(console, result)


def _show_verdict(console: Console, result: DemoResult) -> None:
    """Print ``equal``, or each difference."""
    if result.is_equal:
        _line(
            console,
            f"equal: {result.compared:,} numbers, read over HTTP and from the topic uptake.ctr.windows, "
            f"and {len(result.lookups)} lookups",
            style="green",
        )
        return
    for difference in result.differences[:_SHOWN_DIFFERENCES]:
        _line(console, str(difference), style="red")
    if len(result.differences) > _SHOWN_DIFFERENCES:
        _line(console, f"and {len(result.differences) - _SHOWN_DIFFERENCES:,} more differences", style="red")
    for lookup in result.lookups:
        if not lookup.is_right:
            _line(console, f"{lookup.url}: {sentence(lookup)}", style="red")


def show_what_to_try(console: Console, result: DemoResult, customer: str, from_ms: int, to_ms: int) -> None:
    """Print commands that the reader can try on the running system."""
    stack = result.stack
    worker, collector = stack.workers[0], stack.collector
    span = f"from={from_ms}&to={to_ms}"
    page = []
    if stack.dashboard is not None:
        address = dashboard_address(stack.dashboard, customer, from_ms, to_ms)
        page = ["  the dashboard, in a browser", f"    {address}"]
    lines = [
        "",
        "Everything keeps running. Try:",
        *page,
        "  the click-through rate of a scenario by day and variant, and by position",
        f"    curl '{worker}/v1/{customer}/ctr?scenario=all&granularity=P1D&by=variant&{span}&pretty=1'",
        f"    curl '{worker}/v1/{customer}/ctr?scenario=all&by=position&{span}&pretty=1'",
    ]
    lines += [
        "  the policies as an experiment: most visitors saw both, and the verdict says so",
        f"    curl '{worker}/v1/{customer}/experiments/policies?pretty=1'",
    ]
    if result.lookups:
        user = result.lookups[0].question.user
        lines += [
            "  everything known about a visitor",
            f"    curl '{worker}/v1/{customer}/users/{user}?pretty=1'",
        ]
    lines += [
        "  an event of your own, and what it changes",
        f"    curl -i '{collector}/api/{customer}/rendered/you/1/11,12?scenario=mine'",
        f"    curl -i '{collector}/api/{customer}/clickrecommended/you/1/12?scenario=mine'",
        f"    curl '{worker}/v1/{customer}/ctr?scenario=mine&pretty=1'",
        f"    curl '{worker}/v1/{customer}/users/you/exclusions?threshold=1&pretty=1'",
        f"  the state of the worker (Kafka is at {stack.kafka})",
        f"    curl '{worker}/v1/status?pretty=1'",
        "",
        "Ctrl-C stops everything and removes its data.",
    ]
    for line in lines:
        _line(console, line)


def _rates(result: DemoResult, part: CountPart, title: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    places = ("scenario", "variant") if part == "total" else ("scenario", "variant", "position")
    for name in places:
        table.add_column(name)
    for name in (
        "shown",
        "clicks",
        "attributed",
        "CTR",
        "95 % interval",
        "the files: shown",
        "clicks",
        "CTR",
    ):
        table.add_column(name, justify="right")
    for group, at in _places({**result.counts, **result.expected}, part):
        found, said = (_numbers(counts, group, part, at) for counts in (result.counts, result.expected))
        variant, _, scenario = group.partition("/")
        ctr = rate(found[2], found[0], "clicks", "shown")
        style = None if found == said else "red"
        interval = "" if ctr.low is None or ctr.high is None else f"{ctr.low:.3%} - {ctr.high:.3%}"
        table.add_row(
            *(escape(place) for place in (scenario, variant, at)[: len(places)]),
            *(f"{number:,}" for number in found),
            _share(ctr.value),
            interval,
            f"{said[0]:,}",
            f"{said[1]:,}",
            _share(rate(said[1], said[0], "clicks", "shown").value),
            style=style,
        )
    return table


def _places(counts: CellCounts, part: CountPart) -> list[tuple[str, str]]:
    places = {(cell.group, cell.at) for cell in counts if cell.part == part}
    return sorted(places, key=lambda place: (place[0].partition("/")[::-1], place[1]))


def _numbers(counts: CellCounts, group: str, part: CountPart, at: str) -> tuple[int, int, int]:
    shown, clicks, attributed = (
        counts.get(Cell(group, part, at, counter), 0)
        for counter in ("impressions", "clicks", "attributed_clicks")
    )
    return shown, clicks, attributed


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3%}"


def _times(result: DemoResult) -> str:
    tally = result.tally
    memory = ", ".join(
        f"{each.name} {each.peak_mb:.0f} MB at its peak" for each in result.memory if each.peak_mb
    )
    text = (
        f"ready after {result.ready_seconds:.1f} s; {tally.accepted:,} events in {tally.seconds:.1f} s "
        f"({tally.per_second:,.0f}/s); all folded and committed {result.drain_seconds:.1f} s later"
    )
    if tally.not_accepted:
        text += f"; {tally.not_accepted:,} events were not accepted"
    return f"{text}; {memory}" if memory else text


def _line(console: Console, text: str, style: str | None = None) -> None:
    """Print a line without wrapping it, so that a command can be copied."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)
