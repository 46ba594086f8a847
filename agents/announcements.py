"""Announcements of a partition's progress to all partitions, by which the merge knows which windows are final.

docs/decisions/0011 has the rules.
"""

import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, Protocol

from agents.ports import Feed, Output
from events.topics import HISTORY, JOURNAL, PARTIALS
from tables.ctr import partials
from tables.ctr.window_keys import PANE_MS

HEARTBEAT: Final = 3
"""An announcement is repeated after this many times ``caught_up_ms``, the time without a record after which a lane counts as read."""
STALE: Final = 9
"""An announcement is stale after this many times ``caught_up_ms``: the partition has no owner, or its owner makes no progress."""


class Announcing(Protocol):
    """The announcer, as a partition uses it."""

    def is_due(self, positions: Mapping[str, int], newest_ms: int) -> bool:
        """Tell whether an announcement is due: it is new, or the last one was some time ago."""

    def take(self, positions: Mapping[str, int], newest_ms: int) -> tuple[list[Output], list[Output]]:
        """Return the records that the flush sends before all others, and after them; both empty if no announcement is due."""


class _Said(NamedTuple):
    """The content of an announcement. When any of it changes, another one is due."""

    pane: int
    live: bool
    history: bool
    beat: int


class Announcer:
    """Announces to all partitions the newest live event time of this one, and which lanes it has read to their end.

    An announcement is due when the newest time reaches another pane, when a lane becomes read or no longer is, and as a heartbeat.
    """

    def __init__(
        self,
        number: int,
        partitions: int,
        feed: Feed,
        caught_up_ms: int,
        flush_interval_ms: int,
        now_ms: Callable[[], int] = lambda: int(time.monotonic() * 1000),
    ) -> None:
        self._number, self._partitions, self._feed = number, partitions, feed
        self._caught_up_ms, self._now_ms = caught_up_ms, now_ms
        # Only an observed silence counts. After a gap, in a frozen process or behind a long flush, it is unknown what happened.
        self._max_gap_ms = max(caught_up_ms // 2, 2 * flush_interval_ms)
        self._looked_ms = 0
        self._said: _Said | None = None
        self._still: dict[str, tuple[int, int]] = {}

    def is_due(self, positions: Mapping[str, int], newest_ms: int) -> bool:
        """Tell whether an announcement is due: it is new, or the last one was some time ago."""
        return self._look(positions, newest_ms) != self._said

    def take(self, positions: Mapping[str, int], newest_ms: int) -> tuple[list[Output], list[Output]]:
        """Return the records that the flush sends before all others, and after them; both empty if no announcement is due.

        The news that a lane is no longer read to its end precedes the new counts of that lane. Otherwise the counts would find their
        windows closed. All other news follows the counts that it covers.
        """
        former, said = self._said, self._look(positions, newest_ms)
        if said == former:
            return [], []
        self._said = said
        first: list[Output] = []
        if former is not None and (former.live > said.live or former.history > said.history):
            first = self._announce(said, 0)
        return first, self._announce(said, newest_ms)

    def _announce(self, said: _Said, newest_ms: int) -> list[Output]:
        lanes = partials.DrainedLanes(said.live, said.history)
        key, value = partials.announcement(self._number, newest_ms, lanes)
        return [Output(PARTIALS, number, key, value) for number in range(self._partitions)]

    def _look(self, positions: Mapping[str, int], newest_ms: int) -> _Said:
        now_ms = self._now_ms()
        if now_ms - self._looked_ms > self._max_gap_ms:
            self._still.clear()
        self._looked_ms = now_ms
        return _Said(
            newest_ms // PANE_MS,
            self._is_read(JOURNAL, positions, now_ms),
            self._is_read(HISTORY, positions, now_ms),
            # It is the same for all partitions of a worker, so that they announce together, which costs less.
            now_ms // (HEARTBEAT * self._caught_up_ms),
        )

    def _is_read(self, topic: str, positions: Mapping[str, int], now_ms: int) -> bool:
        """Tell whether a lane is read: no record to fold for ``caught_up_ms``, and none on the broker or in flight."""
        position = positions.get(topic, 0)
        reach = self._feed.reach(topic, self._number)
        is_at_end = reach is not None and reach.next >= reach.end and position >= reach.fetched
        known = self._still.get(topic)
        if not is_at_end or known is None or known[0] != position:
            self._still[topic] = (position, now_ms)
            return False
        return now_ms - known[1] >= self._caught_up_ms
