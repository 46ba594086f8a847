"""When does a partition tell the others how far it is in its sources, and what: by this the merge knows which windows are final."""

import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, Protocol

from agents.ports import Feed, Output
from events.topics import HISTORY, JOURNAL, PARTIALS
from tables.ctr import partials
from tables.ctr.window_keys import PANE_MS

HEARTBEAT: Final = 3
"""An announcement is repeated after so many times the span for which a lane must be silent ..."""
STALE: Final = 9
"""... and after so many is not believed any more: the partition has no owner, or its owner does not get on."""


class Announcing(Protocol):
    """What a partition needs of its announcer."""

    def is_due(self, positions: Mapping[str, int], newest_ms: int) -> bool:
        """Whether there is something to tell that was not told, or not for a while."""

    def take(self, positions: Mapping[str, int], newest_ms: int) -> tuple[list[Output], list[Output]]:
        """Return what the flush sends before everything else, and after it; empty when nothing is to be told."""


class _Said(NamedTuple):
    """What an announcement was about; another follows when any of it changes."""

    pane: int
    live: bool
    history: bool
    beat: int


class Announcer:
    """Announces, to every partition, the newest live event time of this one, and which lanes it has read to their end.

    Not with every flush: when the newest time reaches another pane, when a lane was read or is not any more, and as a heartbeat.
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
        # A silence must be seen: of one that was slept through, in a frozen process or behind a long flush, nothing is known.
        self._max_gap_ms = max(caught_up_ms // 2, 2 * flush_interval_ms)
        self._looked_ms = 0
        self._said: _Said | None = None
        self._still: dict[str, tuple[int, int]] = {}

    def is_due(self, positions: Mapping[str, int], newest_ms: int) -> bool:
        """Whether there is something to tell that was not told, or not for a while."""
        return self._look(positions, newest_ms) != self._said

    def take(self, positions: Mapping[str, int], newest_ms: int) -> tuple[list[Output], list[Output]]:
        """Return what the flush sends before everything else, and after it; empty when nothing is to be told.

        That a lane is not read any more comes before the counts that show it, or they would find the windows closed; all else comes
        after the counts that it stands for.
        """
        former, said = self._said, self._look(positions, newest_ms)
        if said == former:
            return [], []
        self._said = said
        first: list[Output] = []
        if former is not None and (former.live > said.live or former.history > said.history):
            first = self._tell(said, 0)
        return first, self._tell(said, newest_ms)

    def _tell(self, said: _Said, newest_ms: int) -> list[Output]:
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
            now_ms
            // (
                HEARTBEAT * self._caught_up_ms
            ),  # the same for all partitions of a worker: together they cost less
        )

    def _is_read(self, topic: str, positions: Mapping[str, int], now_ms: int) -> bool:
        """Whether for ``caught_up_ms`` there was nothing of a lane to fold, and nothing is left on the broker or on its way."""
        position = positions.get(topic, 0)
        reach = self._feed.reach(topic, self._number)
        is_at_end = reach is not None and reach.next >= reach.end and position >= reach.fetched
        known = self._still.get(topic)
        if not is_at_end or known is None or known[0] != position:
            self._still[topic] = (position, now_ms)
            return False
        return now_ms - known[1] >= self._caught_up_ms
