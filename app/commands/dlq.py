"""`uptake dlq`: show the records that could not be folded, and send them again after the cause is removed."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from app.base.clock import SystemClock
from app.base.errors import UptakeError
from app.base.logs import setup_logging
from app.base.settings import Settings
from app.commands import options
from app.commands.dlq_letter import FullLetter, letter_as_dict, print_letter, write_value
from app.commands.options import make_settings
from app.deadletters.dead_letter_topic import Layout, find, look_at_topics, read_values, replay
from app.deadletters.dead_letters import (
    Choice,
    FoundLetters,
    Letter,
    RecordAddress,
    parse_since_ms,
    printable,
    utc,
)
from events.topics import DEADLETTERS

_STOPPED = 130
_WIDTH = 150  # of the table if the output is not a terminal

dlq = typer.Typer(
    help="Show dead letters (records that could not be folded), and send them again.\n\nExample: uptake dlq list",
    no_args_is_help=True,
)

ReasonOption = Annotated[
    list[str] | None, typer.Option("--reason", help="only this reason, as `list` shows it; can be repeated")
]
TopicOption = Annotated[
    list[str] | None, typer.Option("--topic", help="only this source topic; can be repeated")
]
SinceOption = Annotated[
    str | None, typer.Option(help="only letters written since: PT2H (2 hours ago) or 2026-05-01T10:00 (UTC)")
]


@dlq.command("list")
def list_letters(
    kafka: options.Kafka = None,
    reason: ReasonOption = None,
    topic: TopicOption = None,
    since: SinceOption = None,
    as_json: options.AsJson = False,
) -> None:
    """Count the dead letters by source topic and reason.

    Example: uptake dlq list --since P1D
    """
    settings, choice = _settings(kafka), _choice(reason, topic, since)
    _, found = asyncio.run(_find(settings, choice))
    groups = found.groups()
    if as_json:
        print(json.dumps([group.as_dict() for group in groups], indent=2))
        return
    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = _WIDTH
    if not groups:
        console.print("no dead letters" + (" that match" if choice != Choice() else ""))
        return
    table = Table(box=None, pad_edge=False)
    for title in ("topic", "reason", "letters", "replayed", "cut", "first", "", "last", ""):
        table.add_column(
            title,
            justify="right" if title in ("letters", "replayed", "cut") else "left",
            no_wrap=title == "topic",
        )
    for group in groups:
        table.add_row(
            printable(group.topic.encode()),
            printable(group.reason.encode()),
            *(f"{count:,}" for count in (group.letters, group.replayed, group.cut)),
            *_place_and_time(group.first),
            *_place_and_time(group.last),
        )
    console.print(table)


def _place_and_time(letter: Letter) -> tuple[str, str]:
    return f"{letter.source.partition}/{letter.source.offset}", utc(letter.written_ms)


@dlq.command()
def show(
    place: Annotated[
        str | None,
        typer.Argument(
            metavar="TOPIC/PARTITION/OFFSET", help=f"address of the record, or of its letter in {DEADLETTERS}"
        ),
    ] = None,
    kafka: options.Kafka = None,
    limit: Annotated[
        int, typer.Option(help="without an address: number of letters, newest first", min=1, max=10_000)
    ] = 10,
    reason: ReasonOption = None,
    topic: TopicOption = None,
    since: SinceOption = None,
    raw: Annotated[
        Path | None, typer.Option(metavar="FILE", help="write the bytes of the value to a new file")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Show dead letters with headers, key and value. Exits with 1 if there are no such letters.

    Example: uptake dlq show uptake.events/3/17
    """
    if raw is not None and place is None:
        raise UptakeError("--raw writes the value of one letter: give its TOPIC/PARTITION/OFFSET")
    wanted = None
    if place is not None:
        wanted = RecordAddress.parse(place)
        if wanted is None:
            raise UptakeError(f"{place!r} must be TOPIC/PARTITION/OFFSET, as in uptake.events/3/17")
    settings, choice = _settings(kafka), _choice(reason, topic, since)
    layout, found = asyncio.run(_find(settings, choice))
    if wanted is not None:
        letters = [letter for letter in found.letters if wanted in (letter.place, letter.source)]
    else:
        letters = sorted(found.letters, key=lambda letter: letter.written_ms)[-limit:]
    if not letters:
        print(f"no such dead letter: {place}" if place else "no dead letters", file=sys.stderr)
        raise typer.Exit(1)
    full = asyncio.run(_with_values(settings, layout, letters))
    if raw is not None:
        write_value(raw, full[-1])
    elif as_json:
        print(json.dumps([letter_as_dict(found, *each) for each in full], indent=2))
    else:
        for each in full:
            print_letter(found, *each)


@dlq.command("replay")
def replay_letters(
    kafka: options.Kafka = None,
    app_id: options.AppId = None,
    reason: ReasonOption = None,
    topic: TopicOption = None,
    since: SinceOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="send nothing; show what would be sent")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="send without asking")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Send dead letters back to their source topics. Each is sent once, even if you run this again.

    Remove the cause first: a record that still cannot be folded becomes a new dead letter.
    Exits with 1 if a letter cannot be sent.

    Example: uptake dlq replay --reason unknown_version --dry-run
    """
    settings, choice = _settings(kafka, app_id), _choice(reason, topic, since)
    layout, found = asyncio.run(_find(settings, choice))
    waiting, refused = found.waiting(), found.refused()
    tally = {
        "letters": len(found.letters),
        "replayed_before": sum(map(found.is_replayed, found.letters)),
        "refused": len(refused),
        "waiting": len(waiting),
        "replayed": 0,
    }
    notes = Console(stderr=True, highlight=False, soft_wrap=True)
    _explain(notes, tally, refused)
    stopped = False
    if waiting and not dry_run:
        if not yes:
            _ask(len(waiting))
        try:
            tally["replayed"] = _replay(settings, layout, waiting, notes)
        except KeyboardInterrupt:
            stopped = True
            notes.print("stopped; run the same command again to replay the rest")
    if as_json:
        print(json.dumps({**tally, "dry_run": dry_run}))
    elif not dry_run and not stopped:
        notes.print(f"replayed {tally['replayed']:,} dead letters")
    if stopped:
        raise typer.Exit(_STOPPED)
    raise typer.Exit(1 if refused else 0)


def _explain(notes: Console, tally: dict[str, int], refused: list[Letter]) -> None:
    notes.print(
        f"{tally['letters']:,} dead letters: {tally['waiting']:,} to replay, "
        f"{tally['replayed_before']:,} replayed before, {tally['refused']:,} that cannot be replayed"
    )
    why: dict[str, list[Letter]] = {}
    for letter in refused:
        why.setdefault(letter.refusal or "", []).append(letter)
    for refusal, letters in why.items():
        first = letters[0].place
        notes.print(f"  {len(letters):,}: {printable(refusal.encode())} (the first is {first})", markup=False)


def _ask(count: int) -> None:
    if not sys.stdin.isatty():
        raise UptakeError(
            "cannot ask without a terminal: give --yes to replay, or --dry-run to see what would be sent"
        )
    if not typer.confirm(f"replay {count:,} dead letters?", err=True):
        raise typer.Exit(_STOPPED)


def _replay(settings: Settings, layout: Layout, waiting: list[Letter], notes: Console) -> int:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=notes, disable=not notes.is_terminal) as progress:
        task = progress.add_task("replay", total=len(waiting))
        return asyncio.run(replay(settings, layout, waiting, lambda count: progress.advance(task, count)))


# --- shared -----------------------------------------------------------------------------------------------------------------------


def _settings(kafka: str | None, app_id: str | None = None) -> Settings:
    settings = make_settings(kafka=kafka, app_id=app_id, log_level="warning")
    setup_logging(settings)
    return settings


def _choice(reasons: list[str] | None, topics: list[str] | None, since: str | None) -> Choice:
    since_ms: int | None = 0
    if since is not None:
        since_ms = parse_since_ms(since, SystemClock().now_ms())
        if since_ms is None:
            raise UptakeError(
                f"--since {since!r} is neither a duration like PT2H nor a time like 2026-05-01T10:00"
            )
    return Choice(frozenset(reasons or ()), frozenset(topics or ()), since_ms or 0)


async def _find(settings: Settings, choice: Choice) -> tuple[Layout, FoundLetters]:
    layout = await look_at_topics(settings)
    return layout, await find(settings, layout, choice)


async def _with_values(settings: Settings, layout: Layout, letters: list[Letter]) -> list[FullLetter]:
    return [full async for full in read_values(settings, layout, letters)]
