"""Event times: how the collector sets one and a worker bounds it (docs/events.md), and the timestamps of signed imports."""

import re
from datetime import datetime, tzinfo
from typing import Any, Final

from events.rejections import RefusedError
from events.topics import DAY_MS
from events.wire_values import WALL_TIME

MAX_SKEW_MS: Final = DAY_MS
"""Largest age of a client's time. An older one is moved to this bound and counts as clamped."""
_MAX_COLLECTOR_SKEW_MS: Final = 300_000
"""How far a collector's clock may be ahead of the broker's."""

_FIRST_SECOND: Final = 946_684_800  # 2000-01-01
_LAST_SECOND: Final = 4_102_444_799  # 2099-12-31T23:59:59Z

_OVERRIDE: Final = re.compile(WALL_TIME.pattern)


def is_in_seconds(time_ms: int) -> bool:
    """Tell whether a time that should be in milliseconds can only be in seconds: it lies in 2000 to 2099 when read as seconds.

    Read as milliseconds, it lies in January or February 1970.
    """
    return _FIRST_SECOND <= time_ms <= _LAST_SECOND


def in_ms(name: str, time_ms: int, code: str = "bad_parameter") -> int:
    """Return a time in milliseconds; raise RefusedError if it can only be in seconds."""
    if is_in_seconds(time_ms):
        sentence = f"{name} must be in milliseconds since 1970; {time_ms} can only be seconds, write {time_ms * 1000}"
        raise RefusedError(code, sentence, name, str(time_ms))
    return time_ms


def drop_clocks_in_seconds(own: dict[str, Any]) -> bool:
    """Remove ``created_ms`` and ``sent_ms`` from the fields of an event if they can only be in seconds. Return whether one was."""
    is_any = False
    for name in ("created_ms", "sent_ms"):
        clock_ms = own.get(name)
        if clock_ms is not None and is_in_seconds(clock_ms):
            del own[name]
            is_any = True
    return is_any


def event_time(
    received_ms: int,
    *,
    created_ms: int | None = None,
    sent_ms: int | None = None,
    override_ms: int | None = None,
) -> tuple[int, bool]:
    """Return (event time in ms, whether the client's time was clamped).

    The event time is the first of these that exists:

    1. the signed override;
    2. ``created + (received - sent)``, clamped to the 24 h before ``received``;
    3. ``received``.
    """
    if override_ms is not None:
        return override_ms, False
    if created_ms is None or sent_ms is None:
        return received_ms, False
    corrected_ms = created_ms + (received_ms - sent_ms)
    time_ms = min(max(corrected_ms, received_ms - MAX_SKEW_MS), received_ms)
    return time_ms, time_ms != corrected_ms


def settle_times(
    time_ms: int, received_ms: int, appended_ms: int, max_age_ms: int | None
) -> tuple[int, int, bool]:
    """Return (event time, time of receipt, whether the event time was clamped) with which a worker folds a record.

    ``appended_ms`` is the broker's time. It replaces a time of receipt that is missing (0) or more than 5 minutes ahead of it.
    Otherwise an event from the future would make everything else expire. A missing event time (0) becomes the time of receipt. A
    later one is moved to the receipt, and one more than ``max_age_ms`` before the receipt (None: no bound) is moved to that bound.
    """
    received_ms = received_ms or appended_ms
    if received_ms > appended_ms + _MAX_COLLECTOR_SKEW_MS:
        received_ms = appended_ms
    settled_ms = time_ms or received_ms
    if settled_ms > received_ms:
        settled_ms = received_ms
    elif max_age_ms is not None and settled_ms < received_ms - max_age_ms:
        settled_ms = received_ms - max_age_ms
    return settled_ms, received_ms, time_ms not in (0, settled_ms)


def parse_override(text: str, zone: tzinfo) -> int | None:
    """Return the ms of an ``overridetimestamp`` (``yyyy-MM-ddTHH:mm:ss``, wall time of ``zone``).

    Return None if the text is not a valid timestamp, or is before 1970. If the change to winter time repeats the wall time, it is
    the first of the two.
    """
    if _OVERRIDE.fullmatch(text) is None:
        return None
    year, month, day, hour, minute, second = map(int, re.findall("[0-9]+", text))
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=zone)
        seconds = int(moment.timestamp())
    except (ValueError, OverflowError):
        return None
    return seconds * 1000 if seconds >= 0 else None


def format_override(time_ms: int, zone: tzinfo) -> str:
    """Return the ``overridetimestamp`` of a time. The format has no milliseconds, so they are cut off."""
    return datetime.fromtimestamp(time_ms // 1000, zone).strftime("%Y-%m-%dT%H:%M:%S")
