"""Which windows are not final yet, in the order in which they end: an index, so that closing them reads nothing else.

Table ``open_windows``. Key: lane, end (13 digits), 0x1f, WindowKey bytes. Value: 0. A row goes when its window becomes final. A change
of the window that is read twice finds its row there.
"""

from typing import Final

from tables.base.table_spec import TableSpec
from tables.ctr.window_keys import MAX_TIME_MS, SEPARATOR, WindowKey
from tables.ctr.windows import HISTORY_LANE, LIVE_LANE, WindowState, end_ms, is_over

_PREFIXES: Final = {LIVE_LANE: b"l", HISTORY_LANE: b"h"}


def row_key(lane: int, key: WindowKey) -> bytes:
    """Return the key of a window's row. A window that ends later than a key can order stands last."""
    return b"%s%013d%s%s" % (_PREFIXES[lane], min(end_ms(key), MAX_TIME_MS), SEPARATOR, key.encode())


def window_row(row: bytes) -> bytes:
    """Return the key in ``windows`` of a row."""
    return row.split(SEPARATOR, 1)[1]


def due_range(watermark_ms: int, grace_ms: int) -> tuple[bytes, bytes]:
    """Return the half-open range of the rows of windows that wait for the watermark, and need not any more."""
    passed_ms = min(max(watermark_ms - grace_ms, -1), MAX_TIME_MS - 1)
    return _PREFIXES[LIVE_LANE], b"%s%013d" % (_PREFIXES[LIVE_LANE], passed_ms + 1)


def history_range() -> tuple[bytes, bytes]:
    """Return the half-open range of the rows of windows that wait for the history lane."""
    return _PREFIXES[HISTORY_LANE], b"i"


def track(
    state: WindowState, key: WindowKey, is_history: bool, watermark_ms: int, grace_ms: int
) -> dict[bytes, int | None]:
    """Say which rows change (None: goes) when a live event, or one of the history lane, changed a window. The state is changed.

    A window that only history touched waits for the history lane; the first live event lets it wait for the watermark. What comes
    when the watermark has passed already corrects the window, emitted or not, and be it one that had been empty.
    """
    if state.is_final:
        return {}
    former = state.lane
    lane = HISTORY_LANE if is_history and former != LIVE_LANE else LIVE_LANE
    if lane == LIVE_LANE and is_over(key, watermark_ms, grace_ms):
        state.lane, state.is_final = LIVE_LANE, True
        state.revision += 1
        return {row_key(former, key): None} if former else {}
    if lane == former:
        return {}
    state.lane = lane
    rows: dict[bytes, int | None] = {row_key(former, key): None} if former else {}
    return {**rows, row_key(lane, key): 0}


def adopt(state: WindowState, key: WindowKey, watermark_ms: int, grace_ms: int) -> dict[bytes, int | None]:
    """Say which rows change when a window is met that was stored before there was an index: it waits, or is final. The state is changed."""
    state.lane = LIVE_LANE
    if is_over(key, watermark_ms, grace_ms):
        state.is_final = True
        return {}
    return {row_key(LIVE_LANE, key): 0}


TABLE: Final = TableSpec(
    "open_windows",
    int,
    key="lane, end, a window",
    value="nothing: an index of the windows that are not final",
    expiry="when the window is final",
    is_user_table=False,
)
