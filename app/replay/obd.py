"""Reads files of the Open Bandit Dataset as requests: each row is an item shown, and also a click if it was clicked.

The layout is that of data/obd: ``{policy}_{campaign}.csv[.gz]`` with the columns timestamp_ms, user, item_id, position, click.
"""

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple, TextIO

from app.base.errors import UptakeError
from app.replay.request import Author, Entries, Request, Unreadable

_COLUMNS: Final = ("timestamp_ms", "user", "item_id", "position", "click")
_ITEMTYPE: Final = "1"
_EXPERIMENT: Final = "policies"
_ROW: Final = "0"  # the three positions of a page form one row
_ENDINGS: Final = (".csv", ".csv.gz")
_MAX_MS: Final = 10**14


def is_obd(path: Path) -> bool:
    """Return whether a file's name ends like those of this layout."""
    return path.name.endswith(_ENDINGS)


def policy_and_campaign(path: Path) -> tuple[str, str]:
    """Return policy and campaign from the name of a file: ``bts_all.csv.gz`` is policy bts, campaign all.

    Raise UptakeError if the name has another form.
    """
    policy, _, campaign = _stem(path).partition("_")
    if not policy or not campaign:
        raise UptakeError(f"{path}: the name must be {{policy}}_{{campaign}}.csv.gz, as in bts_all.csv.gz")
    return policy, campaign


class ObdRow(NamedTuple):
    """One item shown. ``number`` counts from 1, ``rank`` from 0."""

    number: int
    time_ms: int
    user: str
    item: str
    rank: int
    is_clicked: bool


def read_rows(path: Path) -> Iterator[ObdRow | Unreadable]:
    """Yield the rows of a file. Raise UptakeError if the file cannot be read or lacks a column."""
    for number, values in _values(path):
        problem = _problem(values)
        if problem is None:
            timestamp, user, item, position, click = values
            yield ObdRow(number, int(timestamp), user, item, int(position) - 1, click == "1")
        else:
            yield Unreadable(_where(path, number), problem, ",".join(values)[:200])


def read_obd(path: Path, author: Author) -> Entries:
    """Yield the requests of a file: ``rendered``, and after it ``clickrecommended`` where click is 1.

    The campaign is the scenario, and the policy the variant of one experiment; position p is row 0, rank p-1. A click has the time and
    the request id (``{policy}_{campaign}:{row}``, the first row is 1) of its impression.
    """
    policy, campaign = policy_and_campaign(path)
    stem = _stem(path)
    for row in read_rows(path):
        if isinstance(row, Unreadable):
            yield row
            continue
        where = _where(path, row.number)
        params = {
            "scenario": campaign,
            "experiment": _EXPERIMENT,
            "variant": policy,
            "row": _ROW,
            "rank": str(row.rank),
            "requestuuid": f"{stem}:{row.number}",
        }
        for event in ("rendered", "clickrecommended") if row.is_clicked else ("rendered",):
            target = author.target(event, row.user, (_ITEMTYPE, row.item), params, row.time_ms)
            yield Request(target, row.user, row.time_ms, where)


def count_obd(path: Path) -> int:
    """Return the number of requests in a file, unreadable rows included."""
    return sum(1 if isinstance(row, Unreadable) else 1 + row.is_clicked for row in read_rows(path))


def _values(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (row number from 1, the five values in the order of _COLUMNS); a row that is too short has fewer values."""
    with _open(path) as file:
        reader = csv.reader(file)
        try:
            header = next(reader, [])
            missing = [column for column in _COLUMNS if column not in header]
            if missing:
                raise UptakeError(f"{path}: the first line names the columns; missing: {', '.join(missing)}")
            places = [header.index(column) for column in _COLUMNS]
            for number, row in enumerate(reader, 1):
                yield number, [row[place] for place in places if place < len(row)]
        except (csv.Error, OSError, EOFError, UnicodeDecodeError) as error:
            raise UptakeError(f"{path}: cannot be read after line {reader.line_num}: {error}") from error


def _problem(row: list[str]) -> str | None:
    if len(row) != len(_COLUMNS):
        return f"the row has {len(row)} of the values {', '.join(_COLUMNS)}"
    timestamp, user, item, position, click = row
    if not _is_number(timestamp) or int(timestamp) >= _MAX_MS:
        return f"timestamp_ms {timestamp[:40]!r} must be milliseconds since 1970"
    if not user or not item:
        return "user and item_id must not be empty"
    if not _is_number(position) or not 1 <= int(position) <= 1_000_000:
        return f"position {position[:40]!r} must be a whole number from 1"
    return None if click in ("0", "1") else f"click {click[:40]!r} must be 0 or 1"


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18


def _where(path: Path, number: int) -> str:
    return f"{path.name}:{number + 1}"  # the header is line 1


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".csv")


def _open(path: Path) -> TextIO:
    if path.name.endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")
