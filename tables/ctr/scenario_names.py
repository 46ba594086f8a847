"""Names of scenarios: how many of a customer count by themselves in one source partition. All others count as ``other``.

Table ``scenarios``. Key: customer, 0x1f, scenario; and customer alone. Value: NamesState. Expires: names two to three weeks after
their last event. A repeated event changes nothing: its name has its place already. docs/decisions/0017 has the rules.
"""

from typing import Final

import msgspec

from events.topics import DAY_MS
from tables.base.table_spec import TableSpec
from tables.ctr.window_keys import SEPARATOR, UNKNOWN_SCENARIO, escape

OTHER_SCENARIO: Final = "other"
"""The name under which all names without a place count."""
RESERVED: Final = (UNKNOWN_SCENARIO, OTHER_SCENARIO)
"""Names that need no place."""
_WEEK_MS: Final = 7 * DAY_MS
_KEPT_WEEKS: Final = 3
"""A name has lost its place after two. A restarted worker does not know the newest receipt, so its folds may be behind a sweep."""


class NamesState(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Of a name: the last week in which it counted. Of a customer: its names as of that week.

    ``counted`` is the number of names that counted in the week. ``kept`` is the number of those that counted in the week before, and not
    yet in this one: they keep their places until it ends. Weeks count from 1970, by time of receipt.
    """

    week: int
    counted: int = 0
    kept: int = 0


def customer_key(customer: str) -> bytes:
    """Return the key of a customer's row. The row of a name has the key ``tables.ctr.window_keys.scenario_key``."""
    return escape(customer)


def admit(
    names: NamesState | None, name: NamesState | None, received_ms: int, limit: int
) -> tuple[NamesState, bool]:
    """Return the next state of a customer, and whether a name counts by itself, given the rows of both (None: no row).

    If it does, the next state of the name is ``NamesState(week)`` of this week. The caller stores both with the counts. A customer's
    week never goes back, so that a flush and its repetition after a crash agree.
    """
    names = _as_of(names, received_ms // _WEEK_MS)
    week, counted, kept = names.week, names.counted, names.kept
    if name is not None and name.week == week:
        return names, True
    if name is not None and name.week == week - 1 and kept:
        return NamesState(week, counted + 1, kept - 1), True
    if counted + kept < limit:
        return NamesState(week, counted + 1, kept), True
    return names, False


def _as_of(names: NamesState | None, week: int) -> NamesState:
    """Return the state of a customer in a week, or in its own if that is later."""
    if names is None:
        return NamesState(week)
    if week <= names.week:
        return names
    return NamesState(week, 0, names.counted if week == names.week + 1 else 0)


def _has_expired(key: bytes, state: NamesState, received_ms: int) -> bool:
    return SEPARATOR in key and received_ms // _WEEK_MS - state.week >= _KEPT_WEEKS


TABLE: Final = TableSpec(
    "scenarios",
    NamesState,
    key="customer, scenario; or customer",
    value="the last week with an event; or how many names of the customer have a place",
    expiry="names after two to three weeks; never: one row a customer",
    is_user_table=False,
    has_expired=_has_expired,
    memory_per_row=205,
    memory_per_byte=1,
)
