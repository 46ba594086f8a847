"""The one list of tables with the type of their rows: each has a changelog topic (events/topics.py) and a RocksDB column family.

Rows are msgpack. ``positions`` is no table of SEMANTICS.md, but is kept and restored like one.
"""

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from events.topics import POSITIONS, TABLES, changelog
from tables.ctr.panes import Pane
from tables.ctr.watermarks import WatermarkState
from tables.ctr.windows import WindowState
from tables.user.basket import BasketState
from tables.user.clicked import ClickedState
from tables.user.consumed import ConsumedState
from tables.user.identity import IdentityState
from tables.user.impressions import ImpressionsState
from tables.user.playback import PlaybackState
from tables.user.preferences import PreferencesState
from tables.user.purchases import PurchasesState
from tables.user.recommended import RecommendedState
from tables.user.rendered import RenderedState

POSITIONS_TABLE: Final = "positions"

STATES: Final[dict[str, Any]] = {
    "rendered": RenderedState,
    "impressions": ImpressionsState,
    "clicked": ClickedState,
    "consumed": ConsumedState,
    "playback": PlaybackState,
    "basket": BasketState,
    "purchases": PurchasesState,
    "preferences": PreferencesState,
    "identity": IdentityState,
    "recommended": RecommendedState,
    "seen": int,
    "panes": Pane,
    "windows": WindowState,
    "open_windows": int,
    "watermarks": WatermarkState,
}
"""Table -> type of its rows."""

_MEMORY_PER_ENCODED_BYTE: Final = {"rendered": 1.25, "impressions": 1.25}
"""What a decoded row takes for each byte of its encoding, where rows stay packed; OBJECTS_PER_ENCODED_BYTE elsewhere."""
_OBJECTS_PER_ENCODED_BYTE: Final = 8.0
"""The same for rows of Python objects: measured 7 to 9."""

USER_TABLES: Final = ("rendered", "clicked", "consumed", "playback", "basket", "purchases", "preferences")
"""The tables that a login moves from one user to another."""

STORED: Final = (*TABLES, POSITIONS_TABLE)
"""Every column family that is restored from a changelog."""

CHANGELOGS: Final[dict[str, str]] = {
    **{table: changelog(table) for table in TABLES},
    POSITIONS_TABLE: POSITIONS,
}
"""Column family -> its changelog topic."""


@dataclass(frozen=True, slots=True)
class Codec:
    """How the rows of one table are written and read, and what memory they take, read, for each byte written."""

    encode: Any
    decode: Any
    memory_per_byte: float


def codec(table: str) -> Codec:
    """Return the codec of a table's rows."""
    return Codec(
        msgspec.msgpack.Encoder(decimal_format="string").encode,
        msgspec.msgpack.Decoder(STATES[table]).decode,
        _MEMORY_PER_ENCODED_BYTE.get(table, _OBJECTS_PER_ENCODED_BYTE),
    )
