"""Windows of unique users: who was shown something, and who clicked, by variant of a scenario.

Table ``user_windows``. Key: WindowKey bytes with the dimension SCENARIO. Value: UserWindow. Expires, by received time: hours and days
after 400 days. To merge the same users again changes nothing.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from events.topics import DAY_MS
from tables.base.table_spec import TableSpec
from tables.ctr.additions import Seen
from tables.ctr.unique_users import add_marks

OTHER_VARIANT: Final = "\x1f"
"""Stands for all variants of a scenario and window beyond the first _MAX_VARIANTS. No event has such a variant."""
_MAX_VARIANTS: Final = 100
_KEEP_MS: Final = 400 * DAY_MS


class SeenSketches(msgspec.Struct, array_like=True, gc=False):
    """Sketches (tables/ctr/unique_users.py) of the users of one variant."""

    users: bytes = b""
    clickers: bytes = b""


class UserWindow(msgspec.Struct, array_like=True, gc=False):
    """Sketches by variant; "" stands for none."""

    variants: dict[str, SeenSketches] = msgspec.field(default_factory=dict)
    received_ms: int = 0


def add_users(window: UserWindow, seen: Mapping[str, Seen], received_ms: int) -> None:
    """Add users to a window, in place."""
    window.received_ms = max(window.received_ms, received_ms)
    for variant, marks in seen.items():
        name = (
            variant if variant in window.variants or len(window.variants) < _MAX_VARIANTS else OTHER_VARIANT
        )
        sketches = window.variants.setdefault(name, SeenSketches())
        if marks.users:
            sketches.users = add_marks(sketches.users, marks.users)
        if marks.clickers:
            sketches.clickers = add_marks(sketches.clickers, marks.clickers)


TABLE: Final = TableSpec(
    "user_windows",
    UserWindow,
    key="an hour or day of a scenario",
    value="variant -> sketches of the users who were shown something, and of those who clicked",
    expiry="after 400 days",
    is_user_table=False,
    has_expired=lambda _key, window, now_ms: now_ms - window.received_ms > _KEEP_MS,
    memory_per_row=465,
    memory_per_byte=1,
)
