"""Which event does a row of a file stand for: columns, constants, times and kinds of events, given by hand or by a layout."""

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
) | {TIME, EVENT, "fullprice"}
"""What may be given: the fields of events/model.py but those that the import makes itself; ``time`` and ``event`` for its own."""

TimeFormat = Literal["auto", "s", "ms", "iso"]


class Format(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a file is written. ``columns`` names those of a CSV file without a first line of names.

    ``zone`` is that of times without one, as in Europe/Berlin; None: the customer's. ``separator`` stands between the items of a list.
    """

    time: TimeFormat = "auto"
    zone: str | None = None
    delimiter: Annotated[str, msgspec.Meta(min_length=1, max_length=1)] | None = None
    columns: tuple[str, ...] = ()
    separator: Annotated[str, msgspec.Meta(min_length=1)] = ","


class RowMapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the rows of a file mean. In TOML: the tables ``[map]``, ``[set]``, ``[events]``, ``[absent]`` and ``[format]``.

    ``map``: field -> column. ``set``: field -> the value of every row. ``events``: what the event column says -> an event, or ""
    for rows to leave out. ``absent``: field -> values that mean that there is none.
    """

    map: dict[str, str] = {}
    set: dict[str, str | int] = {}
    events: dict[str, str] = {}
    absent: dict[str, tuple[str, ...]] = {}
    format: Format = Format()

    def digest_text(self) -> bytes:
        """Return what tells two mappings apart, the same in every process."""
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
"""Layouts of known data sets. RecSys Challenge 2015 (YOOCHOOSE): text without a first line of names, a session is the user.

The price of recsys-buys has no currency, so it is sent only where one is set; a price or quantity of 0 means that it is not known.
"""


def _read_mapping(path: Path) -> RowMapping:
    """Return the mapping of a TOML file; raise UptakeError when it is none."""
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
    """Return a mapping: the layout, over it the file, over it what was given on the command line (``FIELD=COLUMN`` and so on).

    ``given`` are fields of Format; None there means not given. Raise UptakeError when it does not make events.
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
            raise UptakeError(f"nothing says what is the {field} of a row; say it with {how}")
    kinds = [str(mapping.set.get(EVENT, "")), *mapping.events.values()]
    for kind in filter(None, kinds):
        if kind not in EVENTS and kind not in ALIASES:
            raise UptakeError(f"there is no event {kind!r}; there are {', '.join(EVENTS)}")
