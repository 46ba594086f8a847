"""Dry run of an import: prints what the first rows would become, and sends nothing."""

import itertools
from datetime import tzinfo
from pathlib import Path

from app.importer.elements import Converter, Problem, encoded
from app.importer.mapping import RowMapping
from app.importer.rows import FileRow, read_rows
from events.json_events import Reader
from events.rejections import Rejection
from events.rules import Rules


def show_rows(
    path: Path, mapping: RowMapping, zone: tzinfo, customer: str, rules: Rules | None, most: int, now_ms: int
) -> int:
    """Print what the first ``most`` rows become, a line each; return how many of them would be rejected.

    The collector's own parser checks them, with the customer's ``rules``; if these are None, with the default rules.
    """
    reader = Reader(rules or Rules(customer, "dry-run", bytes(32)), now_ms, is_owner=True)
    converter = Converter(mapping, zone, "dry-run")
    bad = 0
    for row in itertools.islice(read_rows(path, mapping), most):
        shown = _judged(row, converter, reader)
        where = f"{path.name} row {row.number}:"
        if isinstance(shown, Problem):
            bad += 1
            print(f"{where} rejected, {shown.code}: {shown.sentence} | {row.shown()}")
        else:
            print(f"{where} left out | {row.shown()}" if shown is None else f"{where} {shown}")
    return bad


def _judged(row: FileRow, converter: Converter, reader: Reader) -> str | Problem | None:
    """Return the JSON of a row's element, the Problem of a row that would be rejected, or None if the row is left out."""
    if row.values is None:
        return Problem("unreadable", row.problem)
    element = converter.element(row.number, row.values)
    if element is None or isinstance(element, Problem):
        return element
    body = encoded(element)
    if isinstance(body, Problem):
        return body
    said = reader.read(element)
    return Problem(said.code, said.sentence) if isinstance(said, Rejection) else body.decode()
