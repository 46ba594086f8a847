"""Reads lines of text as requests: the JSON of an event, or a request target of the tracker API.

A JSON line has the fields of events/model.py. Its ``user``, and the ``target`` of a login, are raw ids: the collector makes the
pseudonyms. A target (``/api/00000/click/u/1/11?lang=en``) is sent unchanged, so the collector may refuse it.
"""

import gzip
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TextIO

import msgspec

from app.base.errors import UptakeError
from app.replay.request import OVERRIDE, Author, Entries, ReplayEntry, Request, Unreadable
from events.event_time import parse_override
from events.model import NO_PROFILE_USER, Event, EventBase, ItemEvent, ItemsEvent, Login, TriggerOpened
from events.quantity import exact
from events.rejections import Rejection
from events.target import read_target, split_path
from events.tracker import TRACKER_EVENTS

_decoder: Final[msgspec.json.Decoder[Event]] = msgspec.json.Decoder(Event)
_TARGET: Final = re.compile(r"/[\x21-\x7e]*")
_NO_PROFILE_ID: Final = "not_defined"
_SHOWN: Final = 200
_PARAMETERS: Final = {
    "eid": "eid",
    "created_ms": "created",
    "sent_ms": "sent",
    "experiment": "experiment",
    "variant": "variant",
    "row": "row",
    "rank": "rank",
    "lang": "lang",
    "store_view_id": "storeViewId",
    "segments": "segments",
    "categorypath": "categorypath",
    "scenario": "scenario",
    "modelid": "modelid",
    "request_id": "requestuuid",
    "triggername": "triggername",
    "image": "image",
    "percentage": "percentage",
    "quantity": "quantity",
    "rating": "rating",
}
"""Field of an event -> the query parameter that carries it."""


def read_lines(path: Path, author: Author) -> Entries:
    """Yield the requests of a file, one for each line. Skip blank lines and lines that begin with ``#``."""
    for number, line in _lines(path):
        yield read_line(line, author, f"{path.name}:{number}")


def count_lines(path: Path) -> int:
    """Return the number of requests in a file, unreadable lines included."""
    return sum(1 for _ in _lines(path))


def read_line(line: str, author: Author, where: str) -> ReplayEntry:
    """Return the request of one line. ``where`` is file:line, for reports."""
    if line.startswith("/"):
        return _as_it_is(line, author, where)
    try:
        event = _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        reason = f"neither the JSON of an event nor a request target that begins with '/': {error}"
        return Unreadable(where, reason, _shown(line))
    after_user = _after_user(event)
    if isinstance(after_user, str):
        return Unreadable(where, after_user, _shown(line))
    time_ms = event.time_ms or None
    user = _NO_PROFILE_ID if event.user == NO_PROFILE_USER else event.user
    name = str(event.__struct_config__.tag)
    writer = author if event.customer == author.customer else Author(event.customer)
    if writer is not author and author.license_key is not None and time_ms is not None:
        reason = f"customer {event.customer[:64]!r}, but the license key is that of {author.customer!r}"
        return Unreadable(where, reason, _shown(line))
    return Request(writer.target(name, user, after_user, _params(event), time_ms), user, time_ms, where)


def _as_it_is(line: str, author: Author, where: str) -> ReplayEntry:
    if _TARGET.fullmatch(line) is None:
        reason = "a request target takes printable ASCII without blanks; percent-encode the rest"
        return Unreadable(where, reason, _shown(line))
    raw_path, _, raw_query = line.partition("?")
    path = split_path(raw_path)
    target = path if isinstance(path, Rejection) else read_target(path, raw_query)
    if isinstance(target, Rejection):  # the collector's answer will say what is wrong
        return Request(line, raw_path, None, where)
    lane = target.segments[0] if target.segments else raw_path
    return Request(line, lane, parse_override(target.params.get(OVERRIDE, ""), author.zone), where)


def _after_user(event: EventBase) -> tuple[str, ...] | str:
    """Return the path segments after the user, or a sentence that says why the tracker API has no path for the event."""
    if event.__struct_config__.tag not in TRACKER_EVENTS:
        return f"the tracker API has no path for {event.__struct_config__.tag!r}"
    if isinstance(event, ItemsEvent):
        if any("," in item for item in event.items):
            return "an item id of a list must not contain a comma: it separates the items on the wire"
        return str(event.itemtype), ",".join(event.items)
    if isinstance(event, ItemEvent):
        return str(event.itemtype), event.item
    if isinstance(event, TriggerOpened):
        return ()
    assert isinstance(event, Login)
    return ("0" if event.is_junk_target else event.target,)


def _shown(line: str) -> str:
    return line[:_SHOWN].encode("utf-8", "backslashreplace").decode()


def _params(event: EventBase) -> dict[str, str]:
    params = dict(event.properties or {})
    for field in event.__struct_fields__:
        name = _PARAMETERS.get(field)
        value: Any = getattr(event, field)
        if name is not None and value is not None:
            params[name] = str(exact(value) or value if isinstance(value, Decimal) else value)
    price, currency = getattr(event, "price", None), getattr(event, "currency", None)
    if price is not None and currency is not None:
        params["fullprice"] = f"{price:f}{currency}"
    return params


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    number = 0
    try:
        with _open(path) as file:
            for number, raw in enumerate(file, 1):
                line = raw.strip(" \t\r\n\ufeff")
                if line and not line.startswith("#"):
                    yield number, line
    except (OSError, EOFError) as error:
        raise UptakeError(f"{path}: cannot be read after line {number}: {error}") from error


def _open(path: Path) -> TextIO:
    # Bytes that are not UTF-8 become lone surrogates: a bad line is reported, and the next one is still read.
    if path.name.endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8", errors="surrogateescape", newline="\n")
    return path.open(encoding="utf-8", errors="surrogateescape", newline="\n")
