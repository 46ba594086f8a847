"""Computes as of when a copy of a partition is complete.

Pure: it receives the ends that the broker reported and the offsets that were read since, and returns a time.

A copy is *complete as of* a time if it holds the effects of all records that the partition's source topics had then.
Positions alone do not show this, for two reasons. Commit markers lie between the last record and the end.
And ``uptake.positions`` is read independently of the rows.
"""

from collections import deque
from collections.abc import Mapping
from typing import Final, NamedTuple

MAX_ROUNDS: Final = 64


class Round(NamedTuple):
    """The ends at one moment (``asked_ms``, this machine's clock).

    They are exclusive, and high watermarks: they count what an open transaction hides.

    ``position`` (next offset per source) was read from the copy before the broker was asked for the ends.
    So when the copy has read the changelogs up to ``changelog_ends``, it holds all rows that this position covers.
    """

    asked_ms: int
    position: Mapping[str, int]
    changelog_ends: Mapping[str, int]
    source_ends: Mapping[str, int]


class Freshness:
    """As of when one copy is complete: ``complete_ms``. It only grows, and is None until a time is known."""

    def __init__(self) -> None:
        self.complete_ms: int | None = None
        self._rounds: deque[Round] = deque()
        self._waiting: deque[Round] = deque()
        self._whole: Round | None = None
        self._is_quiet: dict[str, bool] = {}
        self._clear: dict[str, int] = {}
        self._missing: dict[str, tuple[int, int]] = {}

    def ask(self, seen: Round) -> None:
        """Add a round. When MAX_ROUNDS rounds wait, it replaces the newest of them."""
        before = self._waiting[-1].source_ends if self._waiting else {}
        self._is_quiet = {topic: before.get(topic) == end for topic, end in seen.source_ends.items()}
        for rounds in (self._rounds, self._waiting):
            if len(rounds) >= MAX_ROUNDS:
                rounds.pop()
            rounds.append(seen)

    def read(self, offsets: Mapping[str, int]) -> None:
        """Note up to where (exclusive) the copy has read each changelog."""
        while self._rounds and _covers(offsets, self._rounds[0].changelog_ends):
            self._whole = self._rounds.popleft()
        if self._whole is None:
            return
        reached = {topic: self._reached(topic) for topic in self._whole.source_ends}
        while self._waiting and _covers(reached, self._waiting[0].source_ends):
            self._complete(self._waiting.popleft().asked_ms)
        times = [self._time(topic, self._whole) for topic in self._whole.source_ends]
        known = [time_ms for time_ms in times if time_ms is not None]
        if len(known) == len(times):
            self._complete(min(known))

    def doubts(self) -> dict[str, int]:
        """Return the source topics from which the caller must fetch, each with the offset to start from.

        Either records are left there or only commit markers; only a fetch tells.
        The caller passes the result to ``found`` or ``found_none``.
        """
        if self._whole is None:
            return {}
        return {
            topic: self._reached(topic)
            for topic in self._whole.source_ends
            if self._time(topic, self._whole) is None
            and (self.complete_ms is None or self._is_quiet.get(topic, False))
        }

    def found(self, topic: str, offset: int, timestamp_ms: int) -> None:
        """Note the first record of a source topic that the copy does not cover."""
        self._missing[topic] = (offset, timestamp_ms)

    def found_none(self, topic: str, end: int) -> None:
        """Note that there is no record between what the copy covers and ``end`` (exclusive)."""
        self._clear[topic] = max(end, self._clear.get(topic, 0))

    def _reached(self, topic: str) -> int:
        assert self._whole is not None
        return max(self._whole.position.get(topic, 0), self._clear.get(topic, 0))

    def _time(self, topic: str, seen: Round) -> int | None:
        """Return as of when a topic is complete, according to a round; None if that is unknown."""
        reached = self._reached(topic)
        if reached >= seen.source_ends[topic]:
            return seen.asked_ms
        offset, timestamp_ms = self._missing.get(topic, (-1, 0))
        return min(timestamp_ms, seen.asked_ms) if offset >= reached else None

    def _complete(self, time_ms: int) -> None:
        self.complete_ms = time_ms if self.complete_ms is None else max(self.complete_ms, time_ms)


def _covers(reached: Mapping[str, int], ends: Mapping[str, int]) -> bool:
    return all(reached.get(topic, 0) >= end for topic, end in ends.items())
