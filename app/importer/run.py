"""Imports one file, from its checkpoint to its last row."""

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Final, Literal, get_args
from zoneinfo import ZoneInfo

from rich.console import Console

from app.base.clock import SystemClock
from app.base.errors import UptakeError
from app.importer.checkpoint import Bookkeeper, Checkpoint, identify, locked
from app.importer.elements import Converter
from app.importer.ledger import Ledger, RejectedRow, RowCounts
from app.importer.mapping import RowMapping
from app.importer.rows import count_rows, read_rows
from app.importer.send import RowSender
from app.replay.http import Endpoint
from app.replay.progress import shown_progress

_CHECKPOINT_SUFFIX: Final = ".uptake-import"
_REJECTS_SUFFIX: Final = ".uptake-rejects.jsonl"
# Workers remember an eid for 24 h from its receipt; one hour less allows for clocks that differ.
REMEMBERED_MS: Final = 23 * 3_600_000

Unsure = Literal["ask", "send", "skip"]
UNSURE: Final[tuple[Unsure, ...]] = get_args(Unsure)


@dataclass(frozen=True, slots=True)
class Options:
    """Options of an import, the same for all files of a command.

    ``folder`` is for checkpoints and rejects; if None, they are next to each file. ``unsure`` applies to rows that may have been sent
    more than 23 hours ago, which workers may have forgotten.
    """

    endpoint: Endpoint
    customer: str
    license_key: str = field(repr=False)
    zone: tzinfo
    mapping: RowMapping
    concurrency: int = 8
    folder: Path | None = None
    unsure: Unsure = "ask"


@dataclass(frozen=True, slots=True)
class ImportResult:
    """Result of importing one file.

    ``counts`` covers all runs. This run decided the rows from ``first_row`` up to, but without, ``next_row``; ``retries`` and
    ``seconds`` are of this run.
    """

    path: Path
    first_row: int
    next_row: int
    counts: RowCounts
    retries: int
    seconds: float
    is_finished: bool
    checkpoint: Path
    rejects: Path


def zone_of(mapping: RowMapping, fallback: tzinfo) -> tzinfo:
    """Return the zone for times without one: the mapping's, else ``fallback``; raise UptakeError if it is unknown."""
    name = mapping.format.zone
    if name is None:
        return fallback
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        raise UptakeError(f"zone {name!r} is not a zone of the IANA list, as in Europe/Berlin") from None


async def import_file(path: Path, options: Options, console: Console) -> ImportResult:
    """Import the rest of a file; raise UptakeError if the import cannot continue.

    After SIGINT or SIGTERM, it sends and decides the rows that it has read, then returns. If the collector takes nothing at that
    moment, it returns at once.
    """
    identity = identify(path, options.mapping, options.customer)
    folder = path.parent if options.folder is None else options.folder
    with locked(path):
        books = Bookkeeper(
            folder / (path.name + _CHECKPOINT_SUFFIX), folder / (path.name + _REJECTS_SUFFIX), identity
        )
        state = books.state
        if state.is_finished:
            return _result(path, books, state.next_row, retries=0, seconds=0.0)
        skip_before = _skip_before(path, books, options.unsure)
        with contextlib.closing(books):
            books.open()
            return await _import(path, options, console, books, skip_before)


async def _import(
    path: Path, options: Options, console: Console, books: Bookkeeper, skip_before: int
) -> ImportResult:
    state, mapping, first_row = books.state, options.mapping, books.state.next_row
    clock = SystemClock()
    ledger = Ledger(first_row, state.counts())
    converter = Converter(mapping, options.zone, state.identity.import_id)

    def save(next_row: int, may_be_sent: int, counts: RowCounts, rejects: list[RejectedRow]) -> None:
        try:
            books.save(next_row, may_be_sent, counts, rejects, clock.now_ms())
        except OSError as error:
            raise UptakeError(f"{books.path}: cannot be written: {error.strerror}") from error

    sender = RowSender(
        options.endpoint,
        options.customer,
        options.license_key,
        converter,
        ledger,
        save,
        concurrency=options.concurrency,
        skip_before=skip_before,
    )
    total = max(0, count_rows(path, mapping) - first_row + 1)
    with _stopped_by_signals(sender):
        async with shown_progress(console, sender, total, path.name):
            await sender.run(read_rows(path, mapping, first_row))
    if not sender.is_stopped:
        books.save(ledger.next_row, ledger.next_row, ledger.counts, [], clock.now_ms(), is_finished=True)
    return _result(path, books, first_row, retries=sender.retries, seconds=sender.seconds())


@contextlib.contextmanager
def _stopped_by_signals(sender: RowSender) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, sender.stop)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _skip_before(path: Path, books: Bookkeeper, unsure: Unsure) -> int:
    """Return the row before which rows are left out, because they may have been sent too long ago; 0 if no row is."""
    state: Checkpoint = books.state
    age_ms = SystemClock().now_ms() - state.written_ms
    if state.next_row >= state.may_be_sent or age_ms < REMEMBERED_MS or unsure == "send":
        return 0
    if unsure == "skip":
        return state.may_be_sent
    when = datetime.fromtimestamp(state.written_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    raise UptakeError(
        f"{path}: the import was killed soon after {when}, and some rows from {state.next_row:,} to {state.may_be_sent - 1:,} may have "
        f"been sent. Workers recognise a repeated row for 24 hours, which are over. To send these rows again may count some twice; to "
        f"leave them out may lose some. Choose: --unsure send, or --unsure skip (it writes them to {books.rejects_path})"
    )


def _result(path: Path, books: Bookkeeper, first_row: int, *, retries: int, seconds: float) -> ImportResult:
    state = books.state
    return ImportResult(
        path,
        first_row,
        state.next_row,
        state.counts(),
        retries,
        seconds,
        state.is_finished,
        books.path,
        books.rejects_path,
    )
