"""JSON Schemas of the tracker's parameters for the OpenAPI document, made from the table of fields (events/wire_fields.py).

A test sends every parameter to every event, and holds these lists to what the parser takes.
"""

from collections.abc import Iterable
from typing import Any, Final

from events.model import EVENTS
from events.money import CURRENCIES
from events.tracker import TRACKER_EVENTS
from events.wire_fields import COMMON_FIELDS, WIRE_FIELDS, WireField, own_fields_of
from events.wire_values import ValueKind, ValueType

_Parameter = tuple[dict[str, Any], str]
"""(JSON Schema, description)"""


def _schema(value: ValueType) -> dict[str, Any]:
    match value.kind:
        case ValueKind.USER | ValueKind.ITEM:
            return {"type": "string", "minLength": value.least, "maxLength": value.greatest}
        case ValueKind.ITEMS:
            return {"type": "string", "minLength": 1}
        case ValueKind.WORD | ValueKind.CATEGORYPATH:
            return {"type": "string", "maxLength": value.greatest}
        case ValueKind.ITEMTYPE | ValueKind.INTEGER:
            return {"type": "integer", "minimum": value.least, "maximum": value.greatest}
        case ValueKind.DECIMAL:
            return {"type": "number", "exclusiveMinimum": value.least, "maximum": value.greatest}
        case ValueKind.FULLPRICE | ValueKind.WALL_TIME | ValueKind.CALLBACK:
            return {"type": "string", "pattern": f"^{value.pattern}$"}
        case ValueKind.CURRENCY:
            return {"type": "string", "enum": sorted(CURRENCIES)}
        case ValueKind.CHOICE:
            return {"type": "string", "enum": list(value.choices)}
        case _:
            return {"type": "string"}


def _parameters(fields: Iterable[WireField]) -> dict[str, _Parameter]:
    found: dict[str, _Parameter] = {}
    for field in fields:
        for name in field.tracker_names:
            is_alias = name != field.tracker_names[0]
            said = f"another name of {field.tracker_names[0]}" if is_alias else field.description
            found[name] = _schema(field.value), said
    return found


PATH: Final = _parameters(field for field in WIRE_FIELDS if field.is_in_path)
"""Fields that stand in the path after the event."""

COMMON: Final = _parameters(field for field in COMMON_FIELDS if not field.is_in_path)
"""Parameters of every event."""

OWN: Final[dict[str, dict[str, _Parameter]]] = {
    name: _parameters(field for field in own_fields_of(EVENTS[name]) if not field.is_in_path)
    for name in TRACKER_EVENTS
}
"""Event -> its own parameters. Any other parameter becomes a property."""

REQUIRED: Final = frozenset(("rating",))
"""Parameters that are required where an event has them."""
