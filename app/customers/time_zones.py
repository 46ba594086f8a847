"""Time zones by their names in the IANA list."""

from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo


def find_time_zone(name: str) -> tzinfo | None:
    """Return the zone of a name such as ``Europe/Berlin``; None if no zone has it. The ``str`` of the zone is the name."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        return None
