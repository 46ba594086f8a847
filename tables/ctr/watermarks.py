"""How far has time come: the watermark, by which windows become final, from what each source partition announced.

Table ``watermarks``. Key: the number of the merging partition. Value: WatermarkState. One row a partition, which never expires. An
announcement that is read twice changes nothing, and the watermark never goes back. The rules are SEMANTICS "CTR windows".
"""

from dataclasses import dataclass
from typing import Final

import msgspec

from tables.base.table_spec import TableSpec


class SourceState(msgspec.Struct, array_like=True, gc=False):
    """What a source partition announced last.

    ``newest_ms`` is its greatest live event time, ``appended_ms`` the broker's time of the announcement; the others say whether a
    lane had been read to its end for a while.
    """

    newest_ms: int = 0
    appended_ms: int = 0
    is_live_read: bool = False
    is_history_read: bool = False


class WatermarkState(msgspec.Struct, array_like=True, gc=False):
    """The watermark that was reached, and what each source partition announced.

    ``grew_ms`` is the broker's time at which an announcement last told of an event newer than all before.
    """

    reached_ms: int = 0
    grew_ms: int = 0
    sources: dict[int, SourceState] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WatermarkRules:
    """How many source partitions there are, how long windows wait for events out of order, and how old an announcement may be."""

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

    A time that is later than the announcement itself, by the broker's clock, counts as the time of the announcement.
    """
    state = WatermarkState() if state is None else state
    source = state.sources.get(number, SourceState())
    newest_ms = min(said.newest_ms, said.appended_ms)
    if newest_ms > max((each.newest_ms for each in state.sources.values()), default=0):
        state.grew_ms = said.appended_ms
    if said.appended_ms >= source.appended_ms:  # an older one says nothing new of the lanes
        source = msgspec.structs.replace(said, newest_ms=source.newest_ms)
    source.newest_ms = max(source.newest_ms, newest_ms)
    state.sources[number] = source
    state.reached_ms = max(state.reached_ms, _watermark(state, rules))
    return state


def is_history_read(state: WatermarkState, rules: WatermarkRules) -> bool:
    """Whether every source partition has announced, not too long ago, that it has read the history lane to its end."""
    now_ms = _now(state)
    sources = [state.sources.get(number) for number in range(rules.partitions)]
    return all(
        each is not None and each.is_history_read and now_ms - each.appended_ms <= rules.stale_ms
        for each in sources
    )


def _now(state: WatermarkState) -> int:
    """Return the newest time of the broker's clock that an announcement told."""
    return max((each.appended_ms for each in state.sources.values()), default=0)


def _watermark(state: WatermarkState, rules: WatermarkRules) -> int:
    """Return the least newest time of the sources that hold: those that lag, that nobody owns, or that never announced.

    When none holds, it is the newest time of all. When nothing newer came for as long as the grace, event time goes on with the
    broker's clock, so that the last windows before a silence become final too.
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
