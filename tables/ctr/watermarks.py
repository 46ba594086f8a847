"""Watermark of a merging partition, by which its windows become final.

Table ``watermarks``. Key: the number of the merging partition. Value: WatermarkState. Expires: never; one row per partition. A
repeated announcement changes nothing, and the watermark never goes back. The rules are in docs/decisions/0011.
"""

from dataclasses import dataclass
from typing import Final

import msgspec

from tables.base.table_spec import TableSpec


class SourceState(msgspec.Struct, array_like=True, gc=False):
    """The last announcement of a source partition.

    ``newest_ms`` is its newest live event time. ``appended_ms`` is the broker's time of the announcement. The others say whether it had
    read a lane to its end, without a new record for a while.
    """

    newest_ms: int = 0
    appended_ms: int = 0
    is_live_read: bool = False
    is_history_read: bool = False


class WatermarkState(msgspec.Struct, array_like=True, gc=False):
    """The watermark, and the last announcement of each source partition.

    ``grew_ms`` is the broker's time of the last announcement whose newest event time was later than all before it.
    """

    reached_ms: int = 0
    grew_ms: int = 0
    sources: dict[int, SourceState] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WatermarkRules:
    """The number of source partitions, how long windows wait for events out of order, and how old an announcement may be."""

    partitions: int
    grace_ms: int
    stale_ms: int


def row_key(number: int) -> bytes:
    """Return the key of the row of a merging partition."""
    return b"%d" % number


def announce(
    state: WatermarkState | None, number: int, said: SourceState, rules: WatermarkRules
) -> WatermarkState:
    """Return the next state after an announcement of source partition ``number``.

    An event time after the announcement itself, by the broker's clock, counts as the time of the announcement.
    """
    state = WatermarkState() if state is None else state
    source = state.sources.get(number, SourceState())
    newest_ms = min(said.newest_ms, said.appended_ms)
    if newest_ms > max((each.newest_ms for each in state.sources.values()), default=0):
        state.grew_ms = said.appended_ms
    if said.appended_ms >= source.appended_ms:  # an older one has no news of the lanes
        source = msgspec.structs.replace(said, newest_ms=source.newest_ms)
    source.newest_ms = max(source.newest_ms, newest_ms)
    state.sources[number] = source
    state.reached_ms = max(state.reached_ms, _watermark(state, rules))
    return state


def is_history_read(state: WatermarkState, rules: WatermarkRules) -> bool:
    """Tell whether every source partition recently announced that it has read the history lane to its end."""
    now_ms = _now(state)
    sources = [state.sources.get(number) for number in range(rules.partitions)]
    return all(
        each is not None and each.is_history_read and now_ms - each.appended_ms <= rules.stale_ms
        for each in sources
    )


def _now(state: WatermarkState) -> int:
    """Return the newest broker's time of all announcements."""
    return max((each.appended_ms for each in state.sources.values()), default=0)


def _watermark(state: WatermarkState, rules: WatermarkRules) -> int:
    """Return the watermark that follows from the announcements.

    It is the least newest time of the sources that hold it back: those that lag, have no owner, or never announced. If there is no such
    source, it is the newest time of all. If no newer time came for the length of the grace, event time advances with the broker's
    clock. So the last windows before a silence become final too.
    """
    now_ms = _now(state)
    holding: list[int] = []
    for number in range(rules.partitions):
        source = state.sources.get(number)
        if source is None:
            return 0
        if not source.is_live_read or now_ms - source.appended_ms > rules.stale_ms:
            holding.append(source.newest_ms)
    if holding:
        return min(holding)
    newest_ms = max(source.newest_ms for source in state.sources.values())
    silent_ms = now_ms - state.grew_ms
    return newest_ms + silent_ms if newest_ms and silent_ms >= rules.grace_ms else newest_ms


TABLE: Final = TableSpec(
    "watermarks",
    WatermarkState,
    key="partition",
    value="the watermark, and what each source partition announced last",
    expiry="never: one row a partition",
    is_user_table=False,
)
