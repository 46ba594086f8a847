"""Progress of a replay or an import: a bar on a terminal, elsewhere a line every 10 s."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_TICK_S: Final = 0.1
_LINE_S: Final = 10.0


class Counted(Protocol):
    """Counts of the entries so far."""

    @property
    def done(self) -> int:
        """The number of entries with an outcome."""
        ...

    @property
    def not_accepted(self) -> int:
        """The number of those that are not known to be recorded."""
        ...


class ProgressSource(Protocol):
    """A sender whose progress is shown: ``ReplayLanes``, or an import."""

    @property
    def tally(self) -> Counted:
        """The counts."""
        ...

    def seconds(self) -> float:
        """Return how many seconds it has run."""
        ...


@contextlib.asynccontextmanager
async def shown_progress(
    console: Console, sender: ProgressSource, total: int, what: str
) -> AsyncIterator[None]:
    """Show the sender's progress while the body runs."""
    show = _bar if console.is_terminal else _lines
    showing = asyncio.create_task(show(console, sender, total, what))
    try:
        yield
    finally:
        showing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await showing


async def _bar(console: Console, sender: ProgressSource, total: int, what: str) -> None:
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:,.0f} events/s"),
        TimeRemainingColumn(compact=True),
        TextColumn("[red]{task.fields[bad]}[/red]"),
        console=console,
    )
    with progress:
        task = progress.add_task(what, total=total, rate=0.0, bad="")
        try:
            while True:
                _update(progress, task, sender)
                await asyncio.sleep(_TICK_S)
        finally:
            _update(progress, task, sender)


def _update(progress: Progress, task: object, sender: ProgressSource) -> None:
    tally = sender.tally
    bad = f"{tally.not_accepted:,} not accepted" if tally.not_accepted else ""
    rate = tally.done / max(sender.seconds(), 0.001)
    progress.update(task, completed=tally.done, rate=rate, bad=bad)  # type: ignore[arg-type] # rich's TaskID


async def _lines(console: Console, sender: ProgressSource, total: int, what: str) -> None:
    while True:
        await asyncio.sleep(_LINE_S)
        done, seconds = sender.tally.done, sender.seconds()
        rate = done / seconds
        left = f", {(total - done) / rate:,.0f} s left" if rate else ""
        console.print(f"{what}: {done:,} of {total:,}, {rate:,.0f} events/s{left}", highlight=False)
