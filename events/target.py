"""Request targets of the tracker API: splits the raw path and query first, then percent-decodes the parts.

``build_target`` is the inverse of ``read_target``.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote, quote_plus, unquote_to_bytes

import msgspec

from events.rejections import RefusedError, Rejection
from events.signature import ABSENT

PREFIXES: Final = frozenset(("api", "ebl", "news"))
DEBUG: Final = "debug"
"""The parameter that asks what was recorded. It belongs to the request, and not to the event."""
MAX_PARAMETERS: Final = 1_000  # more pairs than any client sends; a body of 64 KB could hold 30,000

_ITEM_SEGMENT: Final = 2  # {user}/{itemtype}/{item}
_MAX_NAME_CHARS: Final = 80  # of a parameter, in an answer
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.~-]*")  # most texts need no encoding, and quote() takes 3 us


def given_twice(name: str, value: str | None = None) -> RefusedError:
    """Return the refusal of a parameter that came more than once with different values."""
    name = name[:_MAX_NAME_CHARS]
    return RefusedError(
        "duplicate_parameter", f"{name} was given more than once, with different values", name, value
    )


class Target(msgspec.Struct, gc=False):
    """A request target, split and decoded.

    ``segments`` are those after the event name. ``conflicts`` are the parameters that came more than once with different values;
    ``params`` has the last value of each. ``is_debug``: the answer is to say what was recorded.
    """

    customer: str
    event: str
    segments: tuple[str, ...]
    params: dict[str, str]
    conflicts: frozenset[str] = frozenset()
    is_debug: bool = False


class RawPath(msgspec.Struct, gc=False):
    """A path that has been split. Its segments after the event name are still raw."""

    customer: str
    event: str
    segments: list[str]


def split_path(raw_path: str) -> RawPath | Rejection:
    """Split ``/{prefix}/{customer}/{event}/...``, in which every segment may be percent-encoded."""
    try:
        if "\\" in raw_path or "%5C" in raw_path or "%5c" in raw_path:
            raise RefusedError("backslash_in_path", "the path must not contain a backslash (%5C)")
        segments = raw_path.split("/")
        if len(segments) < 4 or segments[0] or segments[1] not in PREFIXES:
            if raw_path.startswith("//"):
                return split_path(without_extra_slashes(raw_path))
            raise RefusedError(
                "unknown_path", "there is nothing at this path; events go to /api/{customer}/{event}/..."
            )
        return RawPath(decode(segments[2], "customer"), decode(segments[3], "event"), segments[4:])
    except RefusedError as refused:
        return refused.rejection


def without_extra_slashes(raw_path: str) -> str:
    """Return a path that begins with one slash. A client that joins ``https://host/`` and ``/api/...`` sends two."""
    return f"/{raw_path.lstrip('/')}" if raw_path.startswith("//") else raw_path


def read_target(path: RawPath, *raw_params: str) -> Target | Rejection:
    """Decode the rest of a path and its parameters: the raw query and, for a POST, the form-encoded body.

    A ``&`` in the item segment starts parameters too, because an existing client sends ``/consume/u/1/55&a=3``.
    """
    try:
        segments = path.segments
        sources = [text for text in raw_params if text]
        if len(segments) > _ITEM_SEGMENT and "&" in segments[_ITEM_SEGMENT]:
            item, _, stray = segments[_ITEM_SEGMENT].partition("&")
            segments = [*segments[:_ITEM_SEGMENT], item, *segments[_ITEM_SEGMENT + 1 :]]
            sources.insert(0, stray)  # as in the address; the last value of a free parameter wins
        decoded = tuple([decode(segment, "path") for segment in segments])
        params: dict[str, str] = {}
        conflicts: set[str] = set()
        for source in sources:
            _read_params(source, params, conflicts)
        is_debug = DEBUG in params and _take_debug(params, conflicts)
        return Target(path.customer, path.event, decoded, params, frozenset(conflicts), is_debug)
    except RefusedError as refused:
        return refused.rejection


def _take_debug(params: dict[str, str], conflicts: set[str]) -> bool:
    if DEBUG in conflicts:
        raise given_twice(DEBUG)
    return params.pop(DEBUG) == "1"


def first_conflict(raw_query: str) -> Rejection | None:
    """Return the Rejection of a query that cannot be read or has a parameter with different values; else None."""
    conflicts: set[str] = set()
    try:
        _read_params(raw_query, {}, conflicts)
    except RefusedError as refused:
        return refused.rejection
    return given_twice(min(conflicts)).rejection if conflicts else None


def build_target(
    customer: str,
    event: str,
    segments: Sequence[str],
    params: Mapping[str, str] | None = None,
    *,
    prefix: str = "api",
) -> str:
    """Return the path and query that ``read_target`` reads back. Commas stay raw, because they separate rendered items."""
    path = "/".join([_segment(segment) for segment in (prefix, customer, event, *segments)])
    query = "&".join([f"{_value(name)}={_value(value)}" for name, value in (params or {}).items()])
    return f"/{path}?{query}" if query else f"/{path}"


def decode(raw: str, parameter: str) -> str:
    """Percent-decode one segment or value as strict UTF-8. Raise RefusedError if that is not possible."""
    if "%" not in raw and raw.isascii():
        return raw
    try:
        if _BAD_ESCAPE.search(raw) is None:
            # A raw byte above 127 arrives as a lone surrogate. It may still be part of valid UTF-8.
            return unquote_to_bytes(raw.encode("utf-8", "surrogateescape")).decode("utf-8")
    except UnicodeError:
        pass
    raise RefusedError(
        "malformed_encoding",
        f"{parameter}: the percent-encoding is broken or is not UTF-8; write each byte as % and two hex digits",
        parameter,
    )


def _segment(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else quote(text, safe=",")


def _value(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else quote_plus(text)


def _read_params(source: str, params: dict[str, str], conflicts: set[str]) -> None:
    pairs = source.split("&", MAX_PARAMETERS)
    if len(pairs) > MAX_PARAMETERS:
        raise RefusedError("bad_parameter", f"a request takes at most {MAX_PARAMETERS} parameters")
    for pair in pairs:
        raw_name, _, raw_value = pair.partition("=")
        if raw_value in ABSENT:
            continue
        name = decode(raw_name.replace("+", " "), "query")
        value = decode(raw_value.replace("+", " "), name[:_MAX_NAME_CHARS] or "query")
        if not name or value in ABSENT:
            continue
        if params.setdefault(name, value) != value:
            params[name] = value
            conflicts.add(name)
