"""ISO 8601 durations of fixed length, as in settings and lookups (``PT30M``, ``P7D``)."""

import re
from typing import Final

from events.topics import DAY_MS

_MAX_DURATION_MS: Final = 3_660 * DAY_MS  # ten years: no data is kept longer

_DURATION: Final = re.compile(
    r"P(?=.)(?:([0-9]{1,6})W)?(?:([0-9]{1,6})D)?(?:T(?=.)(?:([0-9]{1,6})H)?(?:([0-9]{1,6})M)?(?:([0-9]{1,9})S)?)?"
)
_UNITS_MS: Final = (7 * DAY_MS, DAY_MS, 3_600_000, 60_000, 1_000)


def parse_duration_ms(text: str) -> int | None:
    """Return a duration of weeks, days, hours, minutes and seconds in ms.

    Return None if the text is not a valid duration, or if it is zero or longer than ten years. Months and years are not valid,
    because they have no fixed length.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        return None
    total_ms = sum(
        int(count or 0) * unit_ms for count, unit_ms in zip(match.groups(), _UNITS_MS, strict=True)
    )
    return total_ms if 0 < total_ms <= _MAX_DURATION_MS else None
