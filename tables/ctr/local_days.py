"""Days of a time zone: when each begins, and windows of whole days.

A day has 24 hours, but for those on which a clock is set: they have 23, 25, or any other number. A day that a zone skipped does not exist.
Days are numbered from 1970-01-01.
"""

from datetime import date, datetime, time, tzinfo
from typing import Final, NamedTuple

from tables.ctr.window_keys import MAX_TIME_MS
from tables.ctr.windows import MINUTE_MS

_EPOCH: Final = date(1970, 1, 1).toordinal()
_MONDAY: Final = 4  # 1970-01-05 was the first Monday
_DAYS_OF_A_WEEK: Final = 7


class LocalSteps(NamedTuple):
    """Windows of uneven length, each from one bound (ms) to the next. ``now_ms`` says how old they are."""

    bounds: tuple[int, ...]
    now_ms: int

    def runs(self, count: int) -> "list[LocalSteps]":
        """Return the windows in runs of at most ``count``."""
        starts = range(0, max(1, len(self.bounds) - 1), count)
        return [self._replace(bounds=self.bounds[at : at + count + 1]) for at in starts]


def day_of(zone: tzinfo, time_ms: int) -> int:
    """Return the day that the calendar of a zone shows at a time."""
    return datetime.fromtimestamp(time_ms // 1_000, zone).toordinal() - _EPOCH


def day_start(zone: tzinfo, day: int) -> int:
    """Return when a day begins (ms): the earliest time at which the calendar shows it, or a later day if the zone skipped it.

    It is a whole minute. Only around 1970 had a zone an offset with seconds.
    """
    # Of a midnight that occurs twice, this is the first. One that a clock skips is the time at which it is set: since 1970, every zone
    # that skipped midnight set its clock at midnight.
    start_ms = round(datetime.combine(date.fromordinal(_EPOCH + day), time(), zone).timestamp()) * 1_000
    return start_ms - start_ms % MINUTE_MS


def day_bounds(zone: tzinfo, days: int, from_ms: int, to_ms: int) -> tuple[int, ...]:
    """Return the bounds of the windows of ``days`` days that a span has a part in.

    Whole weeks begin on Monday, other windows count from 1970.
    """
    day = day_of(zone, from_ms)
    day -= (day - (_MONDAY if days % _DAYS_OF_A_WEEK == 0 else 0)) % days
    bounds = [day_start(zone, day)]
    last_ms = min(to_ms, MAX_TIME_MS)
    while bounds[-1] < last_ms:
        day += days
        start_ms = day_start(zone, day)
        if start_ms <= from_ms:  # the clock was set back over midnight, and shows the former day again
            bounds = [start_ms]
        elif start_ms > bounds[-1]:  # else all days of this window were skipped
            bounds.append(start_ms)
    return (max(0, bounds[0]), *bounds[1:])


def bounds_before(zone: tzinfo, days: int, bounds: tuple[int, ...]) -> tuple[int, ...]:
    """Return the bounds of as many windows of ``days`` days, which end where the first of ``bounds`` begins."""
    if bounds[0] <= 0:
        return bounds[:1]  # nothing is stored of the time before 1970
    first = day_of(zone, bounds[0]) - days * (len(bounds) - 1)
    return day_bounds(zone, days, max(0, day_start(zone, first)), bounds[0])
