"""Entries about refused requests, without what identifies a person or an item.

An entry is made of fixed lists only: endpoints, events, names of parameters, causes of codes, families of clients. Of values, it holds
those of numbers, prices and currencies, and only in the form of one. Ids of users and items, signatures, credentials and addresses
cannot get into it, wherever a client writes them, unless it sends a number as a number or price.
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote_plus

import msgspec

from app.collector.agent_families import agent_family
from app.collector.endpoints import JSON_EVENTS, PRESENTATIONS, SHORT_PRESENTATIONS
from app.collector.static_files import SCRIPTS
from events.model import ALIASES
from events.money import CURRENCIES
from events.rejections import CAUSES, Rejection
from events.target import PREFIXES, without_extra_slashes
from events.tracker import TRACKER_PATHS
from events.wire_fields import WIRE_FIELDS
from events.wire_values import ValueKind

_OTHER: Final = "other"
_METHODS: Final = frozenset(("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"))
_FREE_NAMES: Final = frozenset(("title", "url", "unitprice", "pricebefore", "map", "sid", "elapsedtime", "_"))
"""Names of properties that shipped clients send."""
_OF_PAGES: Final = frozenset(
    ("data", "esn", "country", "application_name", "application_v", "location", "image_key", "time")
) | frozenset(("video_id", "video", "track_id", "trackId", "tctx"))
"""Names that pages of presentations send."""
_KNOWN_NAMES: Final = (
    frozenset([name for row in WIRE_FIELDS for name in (*row.tracker_names, *row.json_names)])
    | _FREE_NAMES
    | _OF_PAGES
)
_KNOWN_PLACES: Final = _KNOWN_NAMES | {"path", "query", "event", "body", "Content-Type", "Content-Encoding"}
"""What a rejection may name. A parameter that the client made up may be an id."""

_PRICES: Final = frozenset((ValueKind.FULLPRICE, ValueKind.CENTS, ValueKind.AMOUNT, ValueKind.CURRENCY))
_NUMBERS: Final = frozenset((ValueKind.INTEGER, ValueKind.NUMBER, ValueKind.DECIMAL))
_MAX_PRICE_CHARS: Final = 32
_MORE_CHARS: Final = 2  # a point and a digit, or a sign: `101.5` is worth showing, the id of an item is not
_MAX_CHARS: Final = {
    name: _MAX_PRICE_CHARS if row.value.kind in _PRICES else len(str(row.value.greatest)) + _MORE_CHARS
    for row in WIRE_FIELDS
    if row.value.kind in _PRICES | _NUMBERS and not row.is_in_path
    for name in (*row.tracker_names, *row.json_names)
}
"""Name of a parameter whose values are shown -> up to how many characters."""
_AMOUNT: Final = re.compile(r"(NaN|Infinity|[-+]?[0-9., ']*(?:[eE][-+]?[0-9]{1,3})?) ?([A-Z]{3}|[%€$£])? *")

MAX_SHOWN: Final = 24
"""Names of parameters in one entry; with it, an entry stays below 2 KB."""
_MAX_PAIRS: Final = 200


class RefusedRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """One refused request, or the elements of one body that were refused for the same reason."""

    time_ms: int
    method: str
    endpoint: str
    """The path with placeholders."""
    status: int
    code: str
    sentence: str
    agent: str
    """The family of the client."""
    parameter: str | None = None
    parameters: dict[str, str | None] | None = None
    """Known parameters, and the values of those that hold numbers, prices and currencies."""
    other_parameters: int = 0
    """The number of parameters whose names are not shown."""
    segments: int | None = None
    """The number of segments after the event."""
    elements: int | None = None
    """The number of refused elements. None if the request was refused as a whole."""


def entry_of(
    rejection: Rejection,
    time_ms: int,
    *,
    method: str,
    raw_path: str,
    user_agent: str,
    given: Mapping[str, Any],
    elements: int | None = None,
) -> RefusedRequest:
    """Return the entry of a request. ``given``: its parameters, or the fields of its first refused element."""
    endpoint, segments = _endpoint(without_extra_slashes(raw_path))
    shown = {name: _shown(name, value) for name, value in given.items() if name in _KNOWN_NAMES}
    return RefusedRequest(
        time_ms=time_ms,
        method=method if method in _METHODS else _OTHER,
        endpoint=endpoint,
        status=rejection.status,
        code=rejection.code,
        sentence=CAUSES[rejection.code],
        agent=agent_family(user_agent),
        parameter=rejection.parameter if rejection.parameter in _KNOWN_PLACES else None,
        parameters=dict(list(shown.items())[:MAX_SHOWN]) or None,
        other_parameters=len(given) - min(len(shown), MAX_SHOWN),
        segments=segments,
        elements=elements,
    )


def parameters_of(raw_query: str) -> dict[str, str]:
    """Return the parameters of a query that may be malformed; the last value of each."""
    pairs = [pair.partition("=") for pair in raw_query.split("&", _MAX_PAIRS)[:_MAX_PAIRS]]
    return {unquote_plus(name): unquote_plus(value) for name, _, value in pairs if name}


def _shown(name: str, value: Any) -> str | None:
    """Return a value in the form of a number or a price; None for any other."""
    most = _MAX_CHARS.get(name)
    if most is None or type(value) not in (str, int, float):
        return None
    text = str(value)
    found = _AMOUNT.fullmatch(text) if 0 < len(text) <= most else None
    if found is None:
        return None
    unit = found[2]
    return text if unit is None or not unit.isalpha() or unit in CURRENCIES else None


def _endpoint(path: str) -> tuple[str, int | None]:
    """Return a path with placeholders for what the client chose, and the number of segments after the event."""
    parts = path.split("/")
    if len(parts) > 1 and parts[1] in PREFIXES:
        return _tracker_endpoint(parts)
    if len(parts) == 4 and parts[1] == "v1" and parts[3] in JSON_EVENTS:
        return f"/v1/{{customer}}/{parts[3]}", None
    page = path.removesuffix("/")
    page = SHORT_PRESENTATIONS.get(page, page)
    if page in PRESENTATIONS:
        return page, None
    if parts[1:3] != ["cdn", "v1"]:
        return _OTHER, None
    scripts = (each for each in SCRIPTS if each.count("/") == path.count("/"))
    return next((each for each in scripts if each.endswith(f"/{parts[-1]}")), _OTHER), None


def _tracker_endpoint(parts: list[str]) -> tuple[str, int]:
    event = parts[3] if len(parts) > 3 else ""
    template = TRACKER_PATHS.get(ALIASES.get(event, event))
    after = parts[4:-1] if len(parts) > 4 and not parts[-1] else parts[4:]
    known = "{event}" if template is None else f"{event}/{template}"
    return f"/{parts[1]}/{{customer}}/{known}", len(after)
