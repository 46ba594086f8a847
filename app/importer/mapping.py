"""Mapping of a file's rows to events: columns, constants, times and event types.

Its parts come from a layout, a TOML file and the command line.
"""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from app.base.errors import UptakeError
from events.model import ALIASES, EVENTS

TIME: Final = "time"
EVENT: Final = "event"
PROPERTY: Final = "properties."
_FIELDS: Final = frozenset(
    field
    for event in EVENTS.values()
    for field in event.__struct_fields__
    if field not in ("customer", "v", "eid", "time_ms", "received_ms", "is_clamped", "previous_user")
    and field not in ("is_junk_target", "properties", "lists")
) | {TIME, EVENT, "fullprice", "consent"}
"""Fields that a mapping may name: those of events/model.py that the import does not set itself, and its own ``time`` and ``event``."""

TimeFormat = Literal["auto", "s", "ms", "iso"]


class Format(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Format of a file.

    - ``time``: seconds or milliseconds since 1970, ISO 8601, or ``auto`` for all three.
    - ``zone``: applies to times without one, as in Europe/Berlin. None: the customer's zone.
    - ``delimiter``: between the values of a CSV line. None: a tab in ``.tsv`` files, a comma in others.
    - ``columns``: names the columns of a CSV file whose first line does not.
    - ``separator``: between the items of a list.
    """

    time: TimeFormat = "auto"
    zone: str | None = None
    delimiter: Annotated[str, msgspec.Meta(min_length=1, max_length=1)] | None = None
    columns: tuple[str, ...] = ()
    separator: Annotated[str, msgspec.Meta(min_length=1)] = ","


class RowMapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Meaning of the rows of a file. In TOML: the tables ``[map]``, ``[set]``, ``[events]``, ``[absent]`` and ``[format]``.

    - ``map``: field -> column.
    - ``set``: field -> its value in every row.
    - ``events``: value of the event column -> event, or "" to leave the row out.
    - ``absent``: field -> values that mean "no value".
    """

    map: dict[str, str] = {}
    set: dict[str, str | int] = {}
    events: dict[str, str] = {}
    absent: dict[str, tuple[str, ...]] = {}
    format: Format = Format()

    def digest_text(self) -> bytes:
        """Return the bytes that identify a mapping. Equal mappings have equal bytes, in every process."""
        return msgspec.json.encode(self, order="deterministic")


_RECSYS: Final = {"user": "session", TIME: "timestamp", "item": "item"}

LAYOUTS: Final[dict[str, RowMapping]] = {
    "recsys-clicks": RowMapping(
        map={**_RECSYS, "categorypath": "category"},
        set={EVENT: "click"},
        absent={"categorypath": ("0",)},
        format=Format(time="iso", zone="UTC", columns=("session", "timestamp", "item", "category")),
    ),
    "recsys-buys": RowMapping(
        map={**_RECSYS, "price": "price", "quantity": "quantity"},
        set={EVENT: "buy"},
        absent={"price": ("0",), "quantity": ("0",)},
        format=Format(time="iso", zone="UTC", columns=("session", "timestamp", "item", "price", "quantity")),
    ),
}
"""Layouts of known data sets.

The files of the RecSys Challenge 2015 (YOOCHOOSE) are text without a line of column names; the session is the user. The price of
recsys-buys has no currency, so it is sent only if one is set. A price or quantity of 0 means that it is not known.
"""


def _read_mapping(path: Path) -> RowMapping:
    """Return the mapping of a TOML file; raise UptakeError if it cannot be read or is not a mapping."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        return msgspec.convert(document, RowMapping)
    except OSError as error:
        raise UptakeError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise UptakeError(f"{path}: {error}") from None


def make_mapping(
    *,
    layout: str | None = None,
    file: Path | None = None,
    columns: Sequence[str] = (),
    constants: Sequence[str] = (),
    events: Sequence[str] = (),
    given: Mapping[str, Any] | None = None,
) -> RowMapping:
    """Return the mapping of a layout, a TOML file and the command line. The file overrides the layout, the command line both.

    - ``columns``: ``FIELD=COLUMN``. ``constants``: ``FIELD=VALUE``. ``events``: ``WORD=EVENT``.
    - ``given``: fields of Format; None means that a field is not given.

    Raises UptakeError if an option is invalid, or if the mapping lacks the event, the user or the time.
    """
    parts = [] if layout is None else [_layout(layout)]
    parts += [] if file is None else [_read_mapping(file)]
    parts.append(
        RowMapping(
            map=_pairs("--map", columns), set={**_pairs("--set", constants)}, events=_pairs("--event", events)
        )
    )
    merged = RowMapping()
    for part in parts:
        merged = RowMapping(
            map={field: column for field, column in merged.map.items() if field not in part.set} | part.map,
            set={field: value for field, value in merged.set.items() if field not in part.map} | part.set,
            events=merged.events | part.events,
            absent=merged.absent | part.absent,
            format=_over(merged.format, part.format),
        )
    chosen = {name: value for name, value in (given or {}).items() if value}
    try:
        stated = msgspec.to_builtins(merged.format)
        format_ = msgspec.convert({**stated, **chosen}, Format)
    except msgspec.ValidationError as error:
        raise UptakeError(f"the format of the file: {error}") from None
    merged = msgspec.structs.replace(merged, format=format_)
    _check(merged)
    if "price" in merged.map and not {"currency"} & (merged.map.keys() | merged.set.keys()) and layout:
        merged = msgspec.structs.replace(
            merged, map={field: column for field, column in merged.map.items() if field != "price"}
        )
    return merged


def _over(lower: Format, upper: Format) -> Format:
    return msgspec.convert({**msgspec.to_builtins(lower), **msgspec.to_builtins(upper)}, Format)


def _layout(name: str) -> RowMapping:
    try:
        return LAYOUTS[name]
    except KeyError:
        raise UptakeError(f"there is no layout {name!r}; there are {', '.join(LAYOUTS)}") from None


def _pairs(option: str, given: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise UptakeError(f"{option} {text!r} must be written NAME=VALUE")
        pairs[name] = value
    return pairs


def _check(mapping: RowMapping) -> None:
    named = [*mapping.map, *mapping.set]
    for field in [*named, *mapping.absent]:
        if field not in _FIELDS and not (field.startswith(PROPERTY) and len(field) > len(PROPERTY)):
            raise UptakeError(
                f"an event has no field {field!r}; there are {', '.join(sorted(_FIELDS))}, and properties.NAME"
            )
    both = mapping.map.keys() & mapping.set.keys()
    if both:
        raise UptakeError(f"{min(both)} is given as a column and as a value; give one of them")
    for field, how in (
        (EVENT, "--set event=click, or --map event=COLUMN"),
        ("user", "--map user=COLUMN"),
        (TIME, "--map time=COLUMN"),
    ):
        if field not in named:
            raise UptakeError(f"the mapping lacks the {field} of a row; give it with {how}")
    kinds = [str(mapping.set.get(EVENT, "")), *mapping.events.values()]
    for kind in filter(None, kinds):
        if kind not in EVENTS and kind not in ALIASES:
            raise UptakeError(f"there is no event {kind!r}; there are {', '.join(EVENTS)}")
