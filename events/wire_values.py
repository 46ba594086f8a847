"""Kinds and bounds of the values that clients send, for the table of fields in events/wire_fields.py."""

import enum
from dataclasses import dataclass
from typing import Final

MAX_USER_CHARS: Final = 1_024  # the tracker API allows very long session ids; they are hashed anyway
MAX_ITEM_CHARS: Final = 256
MAX_ITEM_NUMBER: Final = 2_147_483_647
MAX_ITEMS_PER_REQUEST: Final = 1_000
MAX_ITEMS_CHARS: Final = 65_536
"""Of all items of one JSON element together: as much as a tracker request can hold, and far below the limit of a journal record."""
MAX_WORD_CHARS: Final = 256
_MAX_LONG_WORD_CHARS: Final = 2_048  # category paths, segments, image addresses
MAX_POSITION: Final = 1_000_000
MAX_QUANTITY: Final = 1_000_000
_MAX_CLOCK_MS: Final = 10**15  # the year 33658: beyond any broken clock, far below 64 bits
_MAX_LENGTH_MS: Final = 2_592_000_000  # 30 days
MAX_PROPERTIES: Final = 32
MAX_PROPERTY_NAME_CHARS: Final = 64
MAX_PROPERTY_CHARS: Final = 512

_AMOUNT_PATTERN: Final = r"[0-9]{1,12}(\.[0-9]{1,40})?"
_DECIMAL_PATTERN: Final = r"[0-9]{1,19}(\.[0-9]{1,40})?"
_FULLPRICE_PATTERN: Final = _AMOUNT_PATTERN + "([A-Z]{3})? *"
_WALL_TIME_PATTERN: Final = "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}"
_PLAYER_STATES: Final = ("playing", "paused", "buffering", "seeking", "ended")


class ValueKind(enum.Enum):
    """What a value is. Each dialect has one reader for each kind that it knows."""

    ADDRESS = enum.auto()
    """Where the event goes. JSON only: a tracker path names customer and event before its fields."""
    USER = enum.auto()
    """A raw user id: a text without control characters."""
    ITEMTYPE = enum.auto()
    """An integer up to the customer's ``max_itemtype``. The tracker requires it; in JSON it is 1 when absent."""
    ITEM = enum.auto()
    """A text without control characters, or an integer up to MAX_ITEM_NUMBER where the customer takes numbers only."""
    ITEMS = enum.auto()
    """Several of ITEM: a text with commas in the tracker, a list in JSON. There MAX_ITEMS_CHARS bounds them, too."""
    WORD = enum.auto()
    """A text without control characters."""
    CATEGORYPATH = enum.auto()
    """A WORD; both dialects strip the slashes at its ends."""
    INTEGER = enum.auto()
    """ASCII digits; in JSON also a number."""
    DECIMAL = enum.auto()
    """ASCII digits, with or without a point; in JSON also a number. It is rounded to 6 decimals, and more than ``least``."""
    NUMBER = enum.auto()
    """A number, with or without a fraction. JSON only."""
    CHOICE = enum.auto()
    """One of a few texts."""
    FULLPRICE = enum.auto()
    """An amount in one text with its currency, if it names one. It gives the event both ``price`` and ``currency``."""
    CENTS = enum.auto()
    """An integer in the currency's minor unit, or a FULLPRICE that names its currency. Tracker only."""
    AMOUNT = enum.auto()
    """A decimal amount as text or as a number; a text may be a FULLPRICE. JSON only."""
    CURRENCY = enum.auto()
    """A code of ISO 4217. When it is absent, a price has the customer's currency."""
    LISTS = enum.auto()
    """The lists of one recommendation. JSON only."""
    PROPERTIES = enum.auto()
    """An object of properties. JSON only. In both dialects, a field without a row becomes a property as well."""
    VERSION = enum.auto()
    """The version of the event's format. JSON only."""
    WALL_TIME = enum.auto()
    """A time in the customer's zone, with a SIGNATURE. Tracker only; JSON takes ``time_ms`` with the license key."""
    SIGNATURE = enum.auto()
    """The signature of an import. Tracker only."""
    CALLBACK = enum.auto()
    """The function that a JSONP answer calls. Tracker only."""
    SWITCH = enum.auto()
    """``1``, or nothing. Tracker only."""
    SET_BY_COLLECTOR = enum.auto()
    """What the collector sets. JSON rejects it; the tracker keeps it as a property, as any unknown parameter."""


@dataclass(frozen=True, slots=True)
class ValueType:
    """The rules of a value: its kind, its bounds, and the rejection code for a value that breaks them.

    ``least`` and ``greatest`` bound a number, the length of a text or the count of a list; ``unit`` says what they count.
    ``greatest`` is 0 where only the kind, the pattern or the choices bound the value.
    """

    kind: ValueKind
    least: int = 0
    greatest: int = 0
    unit: str = ""
    code: str = "bad_parameter"
    pattern: str = ""
    choices: tuple[str, ...] = ()


ADDRESS: Final = ValueType(ValueKind.ADDRESS)
USER: Final = ValueType(ValueKind.USER, 1, MAX_USER_CHARS, "characters", "bad_user")
ITEMTYPE: Final = ValueType(ValueKind.ITEMTYPE, 1, MAX_ITEM_NUMBER, code="bad_itemtype")
ITEM: Final = ValueType(ValueKind.ITEM, 1, MAX_ITEM_CHARS, "characters", "bad_item")
ITEMS: Final = ValueType(ValueKind.ITEMS, 0, MAX_ITEMS_PER_REQUEST, "items", "bad_item")
WORD: Final = ValueType(ValueKind.WORD, 0, MAX_WORD_CHARS, "characters")
LONG_WORD: Final = ValueType(ValueKind.WORD, 0, _MAX_LONG_WORD_CHARS, "characters")
CATEGORYPATH: Final = ValueType(ValueKind.CATEGORYPATH, 0, _MAX_LONG_WORD_CHARS, "characters")
PERCENTAGE: Final = ValueType(ValueKind.INTEGER, 0, 100, "percent", "bad_percentage")
RATING: Final = ValueType(ValueKind.INTEGER, 0, 100, "percent", "bad_rating")
FULLPRICE: Final = ValueType(ValueKind.FULLPRICE, code="bad_price", pattern=_FULLPRICE_PATTERN)
CENTS: Final = ValueType(ValueKind.CENTS, code="bad_price", pattern=r"[0-9]{1,14}")
AMOUNT: Final = ValueType(ValueKind.AMOUNT, code="bad_price")
CURRENCY: Final = ValueType(ValueKind.CURRENCY, code="bad_currency")
QUANTITY: Final = ValueType(ValueKind.DECIMAL, 0, MAX_QUANTITY, "units", "bad_quantity", _DECIMAL_PATTERN)
PLACE_NUMBER: Final = ValueType(ValueKind.INTEGER, 0, MAX_POSITION, "places", "bad_number")
CLOCK: Final = ValueType(ValueKind.INTEGER, 0, _MAX_CLOCK_MS, "ms", "bad_number")
EVENT_TIME: Final = ValueType(ValueKind.INTEGER, 1, _MAX_CLOCK_MS, "ms", "bad_timestamp")
LENGTH: Final = ValueType(ValueKind.INTEGER, 0, _MAX_LENGTH_MS, "ms", "bad_number")
DURATION: Final = ValueType(ValueKind.INTEGER, 1, _MAX_LENGTH_MS, "ms", "bad_number")
PLAY_RATE: Final = ValueType(ValueKind.NUMBER, -100, 100, "times", "bad_number")
PLAYER_STATE: Final = ValueType(ValueKind.CHOICE, choices=_PLAYER_STATES)
CONSENT: Final = ValueType(ValueKind.CHOICE, choices=("yes", "none"))
LISTS: Final = ValueType(ValueKind.LISTS, 0, 200, "lists")
PROPERTIES: Final = ValueType(ValueKind.PROPERTIES, 0, MAX_PROPERTIES, "properties")
VERSION: Final = ValueType(ValueKind.VERSION)
WALL_TIME: Final = ValueType(ValueKind.WALL_TIME, code="bad_timestamp", pattern=_WALL_TIME_PATTERN)
SIGNATURE: Final = ValueType(ValueKind.SIGNATURE, code="bad_signature")
CALLBACK: Final = ValueType(ValueKind.CALLBACK, code="bad_jsonp", pattern=r"[A-Za-z_$][A-Za-z0-9_$.]{0,63}")
SWITCH: Final = ValueType(ValueKind.SWITCH)
SET_BY_COLLECTOR: Final = ValueType(ValueKind.SET_BY_COLLECTOR)
