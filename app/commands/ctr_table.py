"""The table of `uptake ctr`: one line for each window of an answer, and their total."""

from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from app.deadletters.dead_letters import printable

_NAME_CHARS: Final = 40
_PLACES: Final = ("scenario", "variant", "row", "rank", "item", "image")


def ctr_view(answer: dict[str, Any] | None, problem: str | None) -> RenderableType:
    """Return what the terminal shows: the latest answer, and above it why it may be old."""
    notes = []
    if problem is not None:
        shown = "" if answer is None else "; the table is from before"
        notes.append(Text(f"no answer now: {problem}{shown}", style="bold red"))
    if answer is None:
        return Group(*notes or [Text("waiting for the first answer")])
    if "stale_ms" in answer:
        seconds = answer["stale_ms"] / 1_000
        notes.append(Text(f"may lack the events of the last {seconds:.0f} s", style="bold yellow"))
    return Group(*notes, _table(answer), Text(_caption(answer), style="dim"))


def _table(answer: dict[str, Any]) -> Table:
    windows = answer["windows"]
    places = [name for name in _PLACES if windows and name in windows[0]] or ["scenario"]
    table = Table(show_footer=True)
    for name in places:
        table.add_column(name, footer="total" if name == places[0] else "", overflow="fold")
    total = _numbers(answer["total"])
    for name, footer in zip(("shown", "clicked", "CTR", "95 %", "calls", "CTR of calls"), total, strict=True):
        table.add_column(name, footer=footer, justify="right", no_wrap=True)
    for window in windows:
        table.add_row(*(shown_name(window.get(place)) for place in places), *_numbers(window))
    return table


def _numbers(counts: dict[str, Any]) -> list[Text]:
    rate = counts["ctr_rendered"]
    interval = "" if rate["low"] is None else f"{rate['low']:.2%} to {rate['high']:.2%}"
    cells = (
        f"{counts['rendered']:,}",
        f"{counts['attributed_clicks']:,}",
        percent(rate["value"]),
        interval,
        "-" if counts["calls"] is None else f"{counts['calls']:,}",
        percent(counts["ctr_calls"]["value"]),
    )
    return [Text(cell) for cell in cells]


def percent(value: float | None) -> str:
    """Return a share in percent, and a dash if it does not exist."""
    return "-" if value is None else f"{value:.2%}"


def shown_name(value: Any, chars: int = _NAME_CHARS) -> Text:
    """Return a name as text: no markup, and no character that a terminal would obey."""
    return Text("-" if value is None else printable(str(value).encode(errors="replace"), chars))


def _caption(answer: dict[str, Any]) -> str:
    span = " to ".join(
        datetime.fromtimestamp(answer[name] / 1_000, UTC).strftime("%Y-%m-%d %H:%M")
        for name in ("from_ms", "to_ms")
    )
    left_out = f"; {answer['left_out']:,} more are left out" if answer.get("left_out") else ""
    nothing = "" if answer["windows"] else "; nothing was counted"
    return f"customer {printable(answer['customer'].encode())}, {span} UTC{left_out}{nothing}"
