"""Table of the fields that clients send: one row a field, with its names in both dialects and the type of its value.

The tracker dialect is the text of URLs and forms (events/tracker_parameters.py). The JSON dialect has typed values
(events/json_fields.py). Both parsers and the OpenAPI document (app/collector/openapi_parameters.py) follow this table. To add a
field, add a row here, and the field to its structs in events/model.py. Where a dialect reads a kind of value in its own way,
``ValueKind`` says so (events/wire_values.py).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from events import wire_values as values
from events.model import EventBase
from events.wire_values import ValueType


@dataclass(frozen=True, slots=True)
class WireField:
    """One field as clients send it."""

    name: str
    """Its name in both dialects, unless ``tracker`` gives others. The event's field has this name too, unless ``fills`` is set."""
    value: ValueType
    description: str = ""
    """For the tracker's parameters in the OpenAPI document."""
    tracker: tuple[str, ...] | None = None
    """Its names in the tracker dialect, if not just ``name``. Rejections show the first one. Empty: only JSON has the field."""
    is_in_json: bool = True
    """Whether JSON has the field: under its name and its names in the tracker dialect."""
    json_value: ValueType | None = None
    """The type of its value in JSON, if the same name means something else there."""
    fills: str | None = None
    """The event's field, if that has another name."""
    is_in_path: bool = False
    """Whether the tracker dialect has it in the path, not in the query or form."""
    is_of_request: bool = False
    """Whether it belongs to the request: every event takes it, and no event has a field for it."""
    is_plain: bool = False
    """Whether a JSON value needs no reader: its type in events/model.py and ``Reader._read_plain`` check the same bounds."""

    is_free: bool = False
    """Whether it changes nothing: like a property, it is only kept. The last of several values wins, in the tracker dialect."""

    @property
    def event_field(self) -> str:
        """The event's field."""
        return self.fills or self.name

    @property
    def tracker_names(self) -> tuple[str, ...]:
        """All names in the tracker dialect."""
        return (self.name,) if self.tracker is None else self.tracker

    @property
    def json_names(self) -> tuple[str, ...]:
        """All names in the JSON dialect."""
        others = tuple([name for name in self.tracker_names if name != self.name])
        return (self.name, *others) if self.is_in_json else ()

    @property
    def value_in_json(self) -> ValueType:
        """The type of the value in the JSON dialect."""
        return self.json_value or self.value


# The tracker's parser reads in this order: if two parameters are invalid, it rejects the first one.
WIRE_FIELDS: Final = (
    WireField("type", values.ADDRESS, tracker=(), is_plain=True),
    WireField("customer", values.ADDRESS, tracker=()),
    WireField("user", values.USER, "`not_defined` for no user", is_in_path=True, is_plain=True),
    WireField("source", values.USER, "who it was until now", is_in_json=False, fills="user", is_in_path=True),
    # Of some events. Parameters that are read before the path:
    WireField("percentage", values.PERCENTAGE, "100 when absent"),
    WireField("rating", values.RATING, "required"),
    WireField("fullprice", values.FULLPRICE, "of one item, as 2.50EUR", fills="price"),
    WireField("price", values.CENTS, "deprecated: integer cents", json_value=values.AMOUNT),
    WireField("currency", values.CURRENCY, "of the deprecated price, EUR when absent"),
    WireField("quantity", values.QUANTITY, "units, rounded to 6 decimals; 1 when absent"),
    # The path:
    WireField("target", values.USER, "who it is from now on", is_in_path=True),
    WireField(
        "items",
        values.ITEMS,
        f"items separated by commas, at most {values.ITEMS.greatest}",
        is_in_path=True,
        is_plain=True,
    ),
    WireField(
        "itemtype",
        values.ITEMTYPE,
        f"1..{values.MAX_ITEM_NUMBER}, or up to the customer's `max_itemtype`",
        is_in_path=True,
        is_plain=True,
    ),
    WireField(
        "item",
        values.ITEM,
        f"1..{values.MAX_ITEM_NUMBER} where the customer takes numbers only",
        is_in_path=True,
        is_plain=True,
    ),
    # Parameters that are read after the path:
    WireField("categorypath", values.CATEGORYPATH, "slashes at its ends mean nothing"),
    WireField("scenario", values.WORD, "which recommendation", is_plain=True),
    WireField("modelid", values.WORD, "which model", tracker=("modelid", "modelId"), is_plain=True),
    WireField(
        "request_id", values.WORD, "which recommendation answer", tracker=("requestuuid",), is_plain=True
    ),
    WireField("triggername", values.WORD, "which trigger sent the message", is_plain=True),
    WireField("image", values.LONG_WORD, "the thumbnail under test"),
    # Of every event:
    WireField(
        "created_ms",
        values.CLOCK,
        "the client's clock when it happened, ms since 1970",
        tracker=("created",),
    ),
    WireField("sent_ms", values.CLOCK, "the client's clock when it was sent", tracker=("sent",)),
    WireField(
        "jsonp",
        values.CALLBACK,
        "wraps the answer in a script",
        tracker=("jsonp", "jsonpCallback", "jsonpcallback"),
        is_in_json=False,
        is_of_request=True,
    ),
    WireField(
        "debug",
        values.SWITCH,
        "`1`: the answer is JSON that says what was recorded",
        is_in_json=False,
        is_of_request=True,
    ),
    WireField(
        "eid",
        values.WORD,
        "the client's own id of the event, the same again on a retry",
        is_plain=True,
    ),
    WireField(
        "consent",
        values.CONSENT,
        "`none`: the event counts in totals and builds no profile",
        is_of_request=True,
    ),
    WireField("experiment", values.WORD, "the A/B test", is_plain=True),
    WireField("variant", values.WORD, "the arm of the A/B test that the user saw", is_plain=True),
    WireField("row", values.PLACE_NUMBER, "which list on the page, from 0", is_plain=True),
    WireField(
        "rank", values.PLACE_NUMBER, "which place in the list, from 0; of the first item", is_plain=True
    ),
    WireField("lang", values.WORD, "kept with the event", is_free=True),
    WireField("store_view_id", values.WORD, "kept with the event", tracker=("storeViewId",), is_free=True),
    WireField("segments", values.LONG_WORD, "kept with the event", is_free=True),
    # Of a signed import. They are read first of all:
    WireField(
        "overridetimestamp",
        values.WALL_TIME,
        "when a past event happened; only with a signature",
        is_in_json=False,
        is_of_request=True,
    ),
    WireField("signature", values.SIGNATURE, "of an import", is_in_json=False, is_of_request=True),
    # Only in JSON:
    WireField("time_ms", values.EVENT_TIME, tracker=(), is_plain=True),
    WireField("v", values.VERSION, tracker=()),
    WireField("properties", values.PROPERTIES, tracker=()),
    WireField("session", values.WORD, tracker=()),
    WireField("lists", values.LISTS, tracker=()),
    WireField("state", values.PLAYER_STATE, tracker=()),
    WireField("position_ms", values.LENGTH, tracker=()),
    WireField("duration_ms", values.DURATION, tracker=()),
    WireField("credits_ms", values.LENGTH, tracker=()),
    WireField("rate", values.PLAY_RATE, tracker=()),
    *[
        WireField(name, values.SET_BY_COLLECTOR, tracker=())
        for name in ("received_ms", "is_clamped", "previous_user", "is_junk_target", "fallback_scenario")
    ],
)


def by_name(rows: Iterable[WireField]) -> dict[str, WireField]:
    """Return the rows by name. Raise ValueError if a name stands for two fields in the table or in one dialect."""
    found: dict[str, WireField] = {}
    spellings: set[tuple[str, str]] = set()
    for row in rows:
        names = {("table", row.name)}
        names |= {("tracker dialect", name) for name in row.tracker_names}
        names |= {("JSON dialect", name) for name in row.json_names}
        if names & spellings:
            where, name = min(names & spellings)
            raise ValueError(f"{name} is declared twice in the {where}")
        spellings |= names
        found[row.name] = row
    return found


FIELD_BY_NAME: Final = by_name(WIRE_FIELDS)
"""Name -> row."""

FREE_PARAMETERS: Final = frozenset([name for row in WIRE_FIELDS if row.is_free for name in row.tracker_names])
"""The tracker's parameters that may come more than once. Unknown ones may, too."""


def fields_of(struct: type[msgspec.Struct]) -> tuple[WireField, ...]:
    """Return the rows of a struct's fields, in the order of the table."""
    return tuple([row for row in WIRE_FIELDS if row.event_field in struct.__struct_fields__])


COMMON_FIELDS: Final = tuple(
    [row for row in WIRE_FIELDS if row.is_of_request or row.event_field in EventBase.__struct_fields__]
)
"""The rows of the fields that every event has."""


def own_fields_of(event: type[EventBase]) -> tuple[WireField, ...]:
    """Return the rows of the fields that an event has in addition to the common ones, in the order of the table."""
    return tuple([row for row in fields_of(event) if row not in COMMON_FIELDS])
