"""Showings of items within a span of time, and the sessions of a user that follow from them."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from tables.user.shown_bytes import Shown

SILENCE_MS: Final = 30 * 60_000
"""A user's session ends after this long without a showing."""


def shown_within(shown: Shown, since_ms: int | None, as_of_ms: int) -> int:
    """Return how often the item was shown in ``(since_ms, as_of_ms]``; ``since_ms=None`` means from the beginning.

    The result is exact if it needs no time older than the last 16. Otherwise a limited span saturates at 16, so only a span from the
    beginning can reach a threshold above 16.
    """
    times = shown.times
    if not times or as_of_ms < shown.first_ms:
        return 0
    up_to = bisect_right(times, as_of_ms)
    if since_ms is None or since_ms < shown.first_ms:
        return shown.total - (len(times) - up_to)
    return max(0, up_to - bisect_right(times, since_ms))


def session_start_ms(times_ms: Iterable[int], as_of_ms: int, silence_ms: int = SILENCE_MS) -> int | None:
    """Return the start of the session that contains ``as_of_ms``, given a user's show times, or None if there is no session.

    A session is a run of showings of any items with less than ``silence_ms`` between neighbours. It contains ``as_of_ms`` if its last
    showing up to then is less than ``silence_ms`` ago. Only kept times count, the last 16 of each item.
    """
    start_ms: int | None = None
    reached_ms = as_of_ms
    for time_ms in sorted((time_ms for time_ms in times_ms if time_ms <= as_of_ms), reverse=True):
        if reached_ms - time_ms >= silence_ms:
            break
        start_ms = reached_ms = time_ms
    return start_ms


def show_times(items: Mapping[str, Shown]) -> Iterator[int]:
    """Yield all kept show times of the items."""
    for shown in items.values():
        yield from shown.times
