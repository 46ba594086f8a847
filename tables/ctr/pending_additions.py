"""Additions that wait in a partition until they are merged into the windows of items and users.

Table ``pending_additions``. Key: hour of a scenario (WindowKey bytes), 0x1f, number (5 digits). Value: Addition. Expires: when it is
merged. So an event costs a small row, and not the large rows of all items of its scenario.
"""

from typing import Final

from tables.base.table_spec import TableSpec
from tables.ctr.additions import Addition
from tables.ctr.window_keys import ITEM, SEPARATOR, WindowKey


def hour_key(customer: str, scenario: str, start_ms: int) -> WindowKey:
    """Return the key of an hour whose additions wait."""
    return WindowKey(customer, scenario, ITEM, "hour", start_ms)


def row_key(hour: bytes, number: int) -> bytes:
    """Return the key of a row, given the bytes of the key of its hour."""
    return b"%b%b%05d" % (hour, SEPARATOR, number)


def hour_of(row: bytes) -> bytes:
    """Return the bytes of the key of the hour of a row."""
    return row.rpartition(SEPARATOR)[0]


TABLE: Final = TableSpec(
    "pending_additions",
    Addition,
    key="an hour of a scenario, number",
    value="what one flush of a source partition added",
    expiry="when it is merged",
    is_user_table=False,
    memory_per_row=1000,
    memory_per_byte=12.6,
)
