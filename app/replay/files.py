"""Merges several files into one sequence of requests in order of time, and counts their requests."""

import heapq
from collections.abc import Iterator, Sequence
from pathlib import Path

from app.base.errors import UptakeError
from app.replay.lines import count_lines, read_lines
from app.replay.obd import count_obd, is_obd, policy_and_campaign, read_obd
from app.replay.request import Author, Entries, ReplayEntry, Request


def check_files(paths: Sequence[Path]) -> None:
    """Raise UptakeError if a file does not exist, or if its name does not fit its layout."""
    for path in paths:
        if not path.is_file():
            raise UptakeError(f"{path}: there is no such file")
        if is_obd(path):
            policy_and_campaign(path)


def read_files(paths: Sequence[Path], author: Author) -> Entries:
    """Yield the requests of all files, merged by time. Requests of one file keep their order."""
    sources = (_in_order(number, _read(path, author)) for number, path in enumerate(paths))
    for _, _, entry in heapq.merge(*sources, key=lambda timed: timed[:2]):
        yield entry


def count_files(paths: Sequence[Path]) -> int:
    """Return the number of requests in all files, unreadable ones included."""
    return sum(count_obd(path) if is_obd(path) else count_lines(path) for path in paths)


def _read(path: Path, author: Author) -> Entries:
    return read_obd(path, author) if is_obd(path) else read_lines(path, author)


def _in_order(number: int, entries: Entries) -> Iterator[tuple[int, int, ReplayEntry]]:
    """Yield (time, file, entry) with times that never decrease: an entry without a time, or with an earlier one, gets the latest."""
    latest_ms = 0
    for entry in entries:
        if isinstance(entry, Request) and entry.time_ms is not None:
            latest_ms = max(latest_ms, entry.time_ms)
        yield latest_ms, number, entry
