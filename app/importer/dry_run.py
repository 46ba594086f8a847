"""What would the first rows become? Nothing is sent."""

import itertools
from datetime import tzinfo
from pathlib import Path
from typing import Any

import msgspec

from app.importer.elements import Converter, Problem
from app.importer.mapping import RowMapping
from app.importer.rows import read_rows
from events.model import ALIASES, Event
from events.raw import seal
from events.rejections import Rejection
from events.rules import Rules


def show_rows(
    path: Path, mapping: RowMapping, zone: tzinfo, customer: str, rules: Rules | None, most: int, now_ms: int
) -> int:
    """Print what the first rows become, one line each; return how many of them would be rejected.

    Without ``rules`` of the customer they are judged by the defaults.
    """
    used = rules or Rules(customer, "dry-run", bytes(32))
    converter = Converter(mapping, zone, "dry-run")
    bad = 0
    for row in itertools.islice(read_rows(path, mapping), most):
        element = (
            Problem("unreadable", row.problem)
            if row.values is None
            else converter.element(row.number, row.values)
        )
        problem = (
            element if isinstance(element, Problem) or element is None else _judge(element, used, now_ms)
        )
        where = f"{path.name} row {row.number}:"
        if isinstance(problem, Problem):
            bad += 1
            print(f"{where} rejected, {problem.code}: {problem.sentence} | {row.shown()}")
        elif element is None:
            print(f"{where} left out | {row.shown()}")
        else:
            print(f"{where} {msgspec.json.encode(element).decode()}")
    return bad


def _judge(element: dict[str, Any], rules: Rules, now_ms: int) -> Problem | None:
    """Return why the collector would refuse an element; None when it would take it."""
    if element["time_ms"] > now_ms:
        return Problem("bad_timestamp", "time_ms must be a time that has passed")
    kind = element["type"]
    stated = {"user": "", **element, "customer": rules.customer, "type": ALIASES.get(kind, kind)}
    try:
        event = msgspec.json.decode(msgspec.json.encode(stated), type=Event)
    except (msgspec.MsgspecError, UnicodeEncodeError) as error:
        return Problem("bad_body", str(error))
    sealed = seal(event, rules)
    return Problem(sealed.code, sealed.sentence) if isinstance(sealed, Rejection) else None
