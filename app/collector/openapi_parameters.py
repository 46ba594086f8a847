"""Which parameters does each event take, and what may stand in them: JSON Schemas of the tracker API, for the OpenAPI document.

The parsers (events/tracker.py) decide; a test sends every parameter to every event and holds these lists to what they do.
"""

from typing import Any, Final

from events import wire_values
from events.money import CURRENCIES
from events.tracker import JSONP_NAMES, TRACKER_EVENTS

_Parameter = tuple[dict[str, Any], str]
"""(JSON Schema, what it is)"""

_WORD: Final = {"type": "string", "maxLength": wire_values.MAX_WORD_CHARS}
_LONG_WORD: Final = {"type": "string", "maxLength": wire_values.MAX_LONG_WORD_CHARS}
_PLACE: Final = {"type": "integer", "minimum": 0, "maximum": wire_values.MAX_POSITION}
_CLOCK: Final = {"type": "integer", "minimum": 0, "maximum": wire_values.MAX_CLOCK_MS}
_PERCENT: Final = {"type": "integer", "minimum": 0, "maximum": 100}
_USER: Final = {"type": "string", "minLength": 1, "maxLength": wire_values.MAX_USER_CHARS}

PATH: Final[dict[str, _Parameter]] = {
    "user": (_USER, "`not_defined` for nobody"),
    "source": (_USER, "who it was until now"),
    "target": (_USER, "who it is from now on"),
    "itemtype": (
        {"type": "integer", "minimum": 1, "maximum": wire_values.MAX_ITEM_NUMBER},
        "1-5, or what the customer's `max_itemtype` allows",
    ),
    "item": (
        {"type": "string", "minLength": 1, "maxLength": wire_values.MAX_ITEM_CHARS},
        "1..2147483647 where the customer takes numbers only",
    ),
    "items": (
        {"type": "string", "minLength": 1},
        f"items separated by commas, at most {wire_values.MAX_ITEMS_PER_REQUEST}",
    ),
}
"""What stands in the path after the event."""

COMMON: Final[dict[str, _Parameter]] = {
    "eid": (_WORD, "the client's own id of the event, the same again on a retry"),
    "created": (_CLOCK, "the client's clock when it happened, ms since 1970"),
    "sent": (_CLOCK, "the client's clock when it was sent"),
    "experiment": (_WORD, "the A/B test"),
    "variant": (_WORD, "the arm of the A/B test that the user saw"),
    "row": (_PLACE, "which list on the page, from 0"),
    "rank": (_PLACE, "which place in the list, from 0; of the first item"),
    "lang": (_WORD, "kept with the event"),
    "storeViewId": (_WORD, "kept with the event"),
    "segments": (_LONG_WORD, "kept with the event"),
    "overridetimestamp": (
        {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}$"},
        "when a past event happened; only with a signature",
    ),
    "signature": ({"type": "string"}, "of an import"),
    **{
        name: (
            {"type": "string", "pattern": r"^[A-Za-z_$][A-Za-z0-9_$.]{0,63}$"},
            "wraps the answer in a script",
        )
        for name in JSONP_NAMES
    },
}
"""What every event takes."""

_CATEGORY: Final[dict[str, _Parameter]] = {"categorypath": (_LONG_WORD, "slashes at its ends mean nothing")}
_LIST: Final[dict[str, _Parameter]] = {
    "scenario": (_WORD, "which recommendation"),
    "modelid": (_WORD, "which model"),
    "modelId": (_WORD, "another name of modelid"),
    "requestuuid": (_WORD, "which recommendation answer"),
}
_MONEY: Final[dict[str, _Parameter]] = {
    "fullprice": (
        {"type": "string", "pattern": r"^[0-9]{1,12}(\.[0-9]{1,6})?[A-Z]{3} *$"},
        "of one item, as 2.50EUR",
    ),
    "price": ({"type": "string"}, "deprecated: integer cents"),
    "currency": ({"type": "string", "enum": sorted(CURRENCIES)}, "of the deprecated price, EUR when absent"),
}
_QUANTITY: Final[dict[str, _Parameter]] = {
    "quantity": ({"type": "integer", "minimum": 1, "maximum": wire_values.MAX_QUANTITY}, "1 when absent"),
}

OWN: Final[dict[str, dict[str, _Parameter]]] = {
    **{name: _CATEGORY for name in TRACKER_EVENTS if name != "login"},
    "login": {},
    "clickrecommended": {**_CATEGORY, **_LIST},
    "rendered": {**_CATEGORY, **_LIST, "image": (_LONG_WORD, "the thumbnail under test")},
    "viewed": {**_CATEGORY, **_LIST},
    "consume": {**_CATEGORY, "percentage": (_PERCENT, "100 when absent")},
    "rate": {**_CATEGORY, "rating": (_PERCENT, "required")},
    "buy": {**_CATEGORY, **_QUANTITY, **_MONEY},
    "owns": {**_CATEGORY, **_QUANTITY, **_MONEY},
    "basket": {**_CATEGORY, **_MONEY},
    "wishlist": {**_CATEGORY, **_MONEY},
}
"""Event -> what it takes beside. Any other parameter becomes a property."""

REQUIRED: Final = frozenset(("rating",))
"""What must be there where it is taken at all."""
