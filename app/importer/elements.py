"""Conversion of a row to an element of the collector's batches, or to a Problem. Pure, except for time zone data."""

import re
from collections.abc import Mapping
from datetime import date, datetime, time, tzinfo
from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec

from app.importer.mapping import EVENT, PROPERTY, TIME, RowMapping
from events.event_time import is_in_seconds
from events.model import ALIASES, EVENTS
from events.money import rounded
from events.signature import ABSENT

_SECONDS_BELOW: Final = 10**11  # as ms: March 1973; as seconds: the year 5138
_NUMBER: Final = re.compile(r"-?[0-9]{1,17}(?:\.[0-9]+)?")
_INTEGER: Final = re.compile(r"-?[0-9]{1,18}")
_DECIMALS: Final = frozenset(("price", "quantity"))
_WHOLE: Final = frozenset(
    ("row", "rank", "itemtype", "percentage", "quantity", "rating", "created_ms", "sent_ms")
)


class Problem(NamedTuple):
    """Reason why a row cannot be sent: a code, and a sentence for people."""

    code: str
    sentence: str


class Converter:
    """Converts rows to elements by one mapping.

    ``zone`` applies to times without a zone. ``import_id`` begins every ``eid``. The ``eid`` of a row is the same in every run, so a
    row that is sent twice within 24 hours counts once.
    """

    def __init__(self, mapping: RowMapping, zone: tzinfo, import_id: str) -> None:
        self._mapping, self._zone, self._import_id = mapping, zone, import_id
        self._columns = [
            (field, column) for field, column in mapping.map.items() if field not in (TIME, EVENT)
        ]
        self._constants: dict[str, Any] = {
            field: _plain(field, value) for field, value in mapping.set.items() if field not in (TIME, EVENT)
        }

    def element(self, number: int, row: Mapping[str, Any]) -> dict[str, Any] | Problem | None:
        """Return the element of row ``number`` (from 1); None if the mapping leaves the row out."""
        kind = self._kind(row)
        if kind is None or isinstance(kind, Problem):
            return kind
        moment = self._mapping.set.get(TIME, row.get(self._mapping.map.get(TIME, "")))
        time_ms = self.time_ms(moment)
        if isinstance(time_ms, Problem):
            return time_ms
        element: dict[str, Any] = {"type": kind, "eid": f"{self._import_id}-{number}", "time_ms": time_ms}
        properties: dict[str, str] = {}
        for field, value in self._constants.items():
            _put(element, properties, field, value)
        for field, column in self._columns:
            value = row.get(column)
            if value is None or (isinstance(value, str) and value in ABSENT):
                continue
            if str(value) in self._mapping.absent.get(field, ()):
                continue
            _put(element, properties, field, self._value(field, value))
        if "price" not in element:
            element.pop("currency", None)  # the row has no price
        if properties:
            element["properties"] = properties
        fields = EVENTS[ALIASES.get(kind, kind)].__struct_fields__
        return {
            name: value
            for name, value in element.items()
            if name in fields or name in ("type", "fullprice", "consent")
        }

    def time_ms(self, value: object) -> int | Problem:
        """Return the milliseconds since 1970 of a time value of a file."""
        form = self._mapping.format.time
        if isinstance(value, datetime):
            return self._checked(value)
        if isinstance(value, date):
            return self._checked(datetime.combine(value, time(0)))  # _checked adds the zone
        text = "" if value is None or isinstance(value, bool) else str(value).strip()
        if form != "iso" and _NUMBER.fullmatch(text):
            number = Decimal(text)
            is_seconds = form == "s" or (form == "auto" and abs(number) < _SECONDS_BELOW)
            time_ms = int(number * 1000) if is_seconds else int(number)
            if form == "ms" and is_in_seconds(time_ms):
                return _bad_time(
                    text, "in seconds, not in milliseconds since 1970; use --time-format s or auto"
                )
            return time_ms if time_ms >= 0 else _bad_time(text, "before 1970")
        if form in ("s", "ms"):
            return _bad_time(
                text, f"not a number of {'seconds' if form == 's' else 'milliseconds'} since 1970"
            )
        try:
            return self._checked(datetime.fromisoformat(text))
        except ValueError:
            return _bad_time(text, "neither a number of seconds or milliseconds since 1970 nor ISO 8601")

    def _checked(self, moment: datetime) -> int | Problem:
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=self._zone)
        try:
            seconds = moment.replace(microsecond=0).timestamp()
        except (OverflowError, ValueError):
            return _bad_time(moment.isoformat(), "out of range")
        time_ms = int(seconds) * 1000 + moment.microsecond // 1000
        return time_ms if time_ms >= 0 else _bad_time(moment.isoformat(), "before 1970")

    def _kind(self, row: Mapping[str, Any]) -> str | Problem | None:
        mapping = self._mapping
        if EVENT in mapping.set:
            return str(mapping.set[EVENT])
        said = str(row.get(mapping.map[EVENT], "") or "")
        if said in mapping.events:
            return mapping.events[said] or None
        if said in EVENTS or said in ALIASES:
            return said
        sentence = f"{said[:40]!r} in column {mapping.map[EVENT]!r} is not an event; name the event with --event {said[:40]}=EVENT"
        return Problem("unknown_event", sentence)

    def _value(self, field: str, value: Any) -> Any:
        if field == "items":
            if isinstance(value, str):
                return [part.strip() for part in value.split(self._mapping.format.separator) if part.strip()]
            return [str(_plain(field, each)) for each in value] if isinstance(value, list | tuple) else value
        return _plain(field, value)


def encoded(element: Mapping[str, Any]) -> bytes | Problem:
    """Return the JSON of an element; a Problem if the file's text was not UTF-8."""
    try:
        return msgspec.json.encode(element)
    except UnicodeEncodeError:
        return Problem("malformed_encoding", "the row is not UTF-8")


def _plain(field: str, value: Any) -> Any:
    """Return a value in the type that the element's field has: an integer or text. The collector reads a decimal from both."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if field in _WHOLE:
        if isinstance(value, str) and _INTEGER.fullmatch(value.strip()) is not None:
            return int(value)
        if isinstance(value, int):
            return value
        if field not in _DECIMALS:
            return str(value)
    if field in _DECIMALS and isinstance(value, float):
        value = Decimal(repr(value))
    if isinstance(value, Decimal):
        return f"{rounded(value) if field in _DECIMALS else value:f}"
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else str(value)


def _put(element: dict[str, Any], properties: dict[str, str], field: str, value: Any) -> None:
    if field.startswith(PROPERTY):
        properties[field.removeprefix(PROPERTY)] = str(value)
    else:
        element[field] = value


def _bad_time(text: str, what: str) -> Problem:
    return Problem("bad_timestamp", f"time {text[:40]!r} is {what}")
