"""Time at which the broker first had a record, also of a record that was written again: forwarded, or replayed as a dead letter."""

from typing import Final

from agents.ports import SourceRecord

FIRST_APPENDED: Final = "timestamp"
"""Header with the timestamp of the first record, in ms. A dead letter has it too."""
_MAX_DIGITS: Final = 15


def first_appended_ms(record: SourceRecord) -> int:
    """Return the timestamp of the first record, or the record's own if it names none.

    The header is trusted only for the past: a record from the future would make all others expire.
    """
    for name, value in record.headers:
        if name == FIRST_APPENDED and value.isdigit() and len(value) <= _MAX_DIGITS:
            return min(int(value), record.timestamp)
    return record.timestamp
